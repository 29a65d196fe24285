"""`python -m sims.report`: write the page, or the generated tables of a document."""

from __future__ import annotations

from pathlib import Path

import click

from sims.experiments import NAMES
from sims.experiments.experiment import RESULTS
from sims.report.document import filled
from sims.report.film import Film
from sims.report.page import page
from sims.report.results import find
from sims.report.scenario import filmed


@click.command(
    help="Write one HTML page with the tables and plots of all experiments that were run, and a run to watch."
)
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    show_default=True,
    help="The folder with the experiments' results.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The page.  [default: report.html, unless --document is given]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the run to watch.")
@click.option(
    "--document",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the tables between the markers of this Markdown document.",
)
def main(results: Path, out: Path | None, seed: int, document: Path | None) -> None:
    """Write the page, the document, or both."""
    if out is not None and not out.parent.is_dir():
        raise click.BadParameter(
            f"{str(out)!r}: there is no folder {str(out.parent)!r}", param_hint="'--out'"
        )
    found, missing = find(results, NAMES)
    for each in missing:
        click.echo(f"{each.name}: {each.why}; {each.command}", err=True)
    if document is not None:
        document.write_text(filled(document.read_text("utf-8"), found), "utf-8")
        click.echo(f"{document}: {len(found)} of {len(NAMES)} experiments")
    if document is None or out is not None:
        out = out or Path("report.html")
        film: Film = filmed(seed)
        out.write_text(page(found, missing, film), "utf-8")
        click.echo(f"{out}: {len(found)} of {len(NAMES)} experiments, and a run of {film.end / 1000:.0f} s")


if __name__ == "__main__":
    main(prog_name="python -m sims.report")
