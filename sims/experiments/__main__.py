"""`python -m sims.experiments [NAMES]`: run several experiments one after the other, or all."""

from __future__ import annotations

from pathlib import Path

import click

from sims.experiments import NAMES, load
from sims.experiments.experiment import PLOT, RESULTS, RESUME, ROWS, RUN, TABLES, Scale
from sims.sweep import Where, options


@click.command(help="Run the named experiments, or all, and write their tables and plots.")
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--quick", is_flag=True, help="Fewer and shorter runs: the shape, not the figures.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first seed.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=RESULTS, show_default=True)
@click.option("--resume", is_flag=True, help=RESUME)
@options
def main(names: tuple[str, ...], quick: bool, seed: int, out: Path, resume: bool, where: Where) -> None:
    """Run experiments."""
    for name in names or NAMES:
        load(name).carry_out(Scale(quick, seed), where, out / name, resume=resume, label=name)
        click.echo(f"{out / name}: {ROWS}, {RUN}, {TABLES}, {PLOT}")


if __name__ == "__main__":
    main()
