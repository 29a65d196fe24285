"""The command: `python -m sims.soak virtual` or `real`: a cluster is kept busy, and nothing may grow.

Law: the exit status is 0 only when nothing grew after the warm-up and nobody was harmed.
"""

from __future__ import annotations

import sys
import time

import click
import trio
from rich.console import Console

from gossipgroups.config import PRESETS
from sims.loopback.cluster import WorkerFailed
from sims.loopback.progress import open_progress
from sims.soak import real, virtual
from sims.soak.growth import LEAST
from sims.tables import Table

REAL_SAMPLES = 240
"""Samples of the real soak, if they are not under a second apart."""


@click.group(help=__doc__)
def main() -> None:
    """Soak a cluster."""


@main.command("virtual")
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=24.0, show_default=True)
@click.option("--nodes", type=click.IntRange(3), default=8, show_default=True)
@click.option(
    "--forget-after",
    type=click.FloatRange(0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Seconds after which what is gone is forgotten.",
)
@click.option(
    "--loss", type=click.FloatRange(0, 0.5), default=0.01, show_default=True, help="Share of datagrams."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def _virtual(hours: float, nodes: int, forget_after: float, loss: float, seed: int) -> None:
    """A busy cluster in the simulator, in virtual time."""
    every = min(120.0, hours * virtual.HOUR / LEAST)
    try:
        plan = virtual.Plan(hours, nodes, forget_after, every, loss, seed)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    begun = time.monotonic()
    soak = virtual.Soak(plan)
    with open_progress(plan.samples) as progress:
        progress.doing("virtual hours")
        soak.run(progress.step)
    _show(soak.tables(), soak.troubles(), f"{hours:g} virtual hours", begun)


@main.command("real")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=4.0,
    show_default=True,
    help="Joins and leaves a second.",
)
@click.option("--preset", type=click.Choice(sorted(PRESETS)), default="lan", show_default=True)
def _real(minutes: float, rate: float, preset: str) -> None:
    """Five processes with keys on loopback, in real time."""
    seconds = 60 * minutes
    plan = real.Plan(seconds, rate, max(seconds / REAL_SAMPLES, min(1.0, seconds / LEAST)), preset)
    begun = time.monotonic()
    failed: BaseException | None = None
    found: real.Found | None = None
    try:
        with open_progress(real.samples_of(plan)) as progress:
            found = trio.run(real.soak, plan, progress)
    except* WorkerFailed as failures:
        failed = failures
    if found is None:
        while isinstance(failed, BaseExceptionGroup):
            failed = failed.exceptions[0]
        raise click.ClickException(f"the soak was given up: {failed}")
    _show(found.tables(), found.troubles(), f"{minutes:g} minutes", begun)


def _show(tables: list[Table], troubles: list[str], what: str, begun: float) -> None:
    """Print what was found and end with the status that says so."""
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a file or pipe has none
    for each in tables:
        console.print(each.rich())
    for trouble in troubles:
        click.echo(trouble, err=True)
    click.echo(
        f"{what} in {time.monotonic() - begun:,.0f} s: {'nothing grew' if not troubles else 'not sound'}"
    )
    sys.exit(bool(troubles))


if __name__ == "__main__":
    main()
