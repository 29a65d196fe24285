r"""Replay one schedule with a readable trace: a file, or the schedule that a seed of `sims.explore` draws.

    \b
    python -m sims.replay broken-17.json
    python -m sims.replay --seed 17 --no-datagrams

Ends with status 1 when a promise is broken.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sims.engine import Trace
from sims.schedules import LARGE_SHARE, BadDocument, Schedule, draw, load
from sims.schedules.schedule import begin, finish


@click.command(help=__doc__)
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(0), help="Instead of a file: the seed of a schedule.")
@click.option(
    "--large-share",
    type=click.FloatRange(0, 1),
    default=LARGE_SHARE,
    show_default=True,
    help="As given to sims.explore.",
)
@click.option("--datagrams/--no-datagrams", default=True, help="A line for each datagram, or only events.")
def main(file: Path | None, seed: int | None, large_share: float, datagrams: bool) -> None:
    """Replay, and say how it ended."""
    schedule = _schedule(file, seed, large_share)
    try:
        world = begin(schedule, [Trace(sys.stdout, datagrams=datagrams)])
        finish(schedule, world)
    except Exception as error:
        click.echo(f"broken: {type(error).__name__}: {error}")
        sys.exit(1)
    reports = world.checks.tally["settled reports"]
    click.echo(
        f"at rest after {world.simulation.now:.3f} s; {reports:,} settled reports checked; "
        f"trace {world.simulation.trace_hash}"
    )


def _schedule(file: Path | None, seed: int | None, large_share: float) -> Schedule:
    if (file is None) == (seed is None):
        raise click.UsageError("give either a file or --seed")
    if file is None:
        assert seed is not None
        return draw(seed, large_share)
    try:
        return load(file.read_text(encoding="utf-8"))
    except (BadDocument, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file}: {error}") from None


if __name__ == "__main__":
    main()
