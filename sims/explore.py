"""Search for a schedule that breaks a promise: random faults of all kinds, over 2 to 12 nodes or 128.

    python -m sims.explore --seeds 10000 --jobs 2

Ends with status 1 when a promise was broken, or when some kind of fault or status never occurred.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from sims.schedules import LARGE_SHARE, World, draw, dump, shrink
from sims.schedules.occurred import DISTINCT_CUTS, MUST_OCCUR, SEEDS_FOR_CUTS, never_occurred
from sims.schedules.schedule import begin, finish
from sims.schedules.shrinking import ATTEMPTS
from sims.sweep import Where, options, sweep
from sims.tables import Table

MOST_SHRUNK = 3
"""Violations that are shrunk and kept as files; of more, the seeds are named."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one seed."""

    seed: int
    broken: str | None
    tally: Counter[str]
    cuts: frozenset[str]
    seconds: float
    """Virtual time."""


def examine(seed: int, large_share: float = LARGE_SHARE) -> Finding:
    """Replay the schedule of a seed; what occurred counts also when a promise was broken."""
    schedule = draw(seed, large_share)
    broken = None
    world: World | None = None
    try:
        world = begin(schedule)
        finish(schedule, world)
    except Exception as error:
        broken = f"{type(error).__name__}: {error}"
    if world is None:
        return Finding(seed, broken, Counter(), frozenset(), 0.0)
    return Finding(seed, broken, world.tally, frozenset(world.cuts), world.simulation.now)


@dataclass
class Campaign:
    """The sum of what was found."""

    seeds: int = 0
    broken: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.tally: Counter[str] = Counter()
        self.cuts: set[str] = set()

    def add(self, finding: Finding) -> None:
        """Take in one seed."""
        self.seeds += 1
        self.broken += finding.broken is not None
        self.seconds += finding.seconds
        self.tally += finding.tally
        self.cuts |= finding.cuts

    @property
    def complaints(self) -> list[str]:
        """Why the campaign is not a success."""
        complaints = [f"{self.broken:,} of {self.seeds:,} seeds broke a promise"] if self.broken else []
        if never := never_occurred(self.tally):
            complaints.append(f"never occurred: {', '.join(never)}; more seeds may bring it")
        if self.seeds >= SEEDS_FOR_CUTS and len(self.cuts) < DISTINCT_CUTS:
            complaints.append(f"{len(self.cuts)} distinct partitions: at least {DISTINCT_CUTS} are wanted")
        return complaints

    def tables(self) -> list[Table]:
        """What was done, and what occurred."""
        done = (
            ("seeds", self.seeds),
            ("violations", self.broken),
            ("settled reports checked", self.tally["settled reports"]),
            ("distinct partitions", len(self.cuts)),
            ("hours of virtual time", self.seconds / 3600),
        )
        occurred = tuple(
            (kind, what, self.tally[what]) for kind, whats in MUST_OCCUR.items() for what in whats
        )
        return [
            Table("Exploration", ("what", "count"), done),
            Table("What occurred", ("class", "what", "count"), occurred),
        ]


@click.command(help=__doc__)
@click.option("--seeds", type=click.IntRange(1), default=1000, show_default=True, help="Schedules to run.")
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True, help="Where to begin.")
@click.option(
    "--large-share",
    type=click.FloatRange(0, 1),
    default=LARGE_SHARE,
    show_default=True,
    help="Share of the schedules that have 128 nodes.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder for the schedules that break a promise, as JSON.",
)
@options
def main(seeds: int, first_seed: int, large_share: float, out: Path, where: Where) -> None:
    """Run the campaign."""
    campaign = Campaign()
    console = Console()
    broken: list[int] = []
    cases = range(first_seed, first_seed + seeds)
    look = partial(examine, large_share=large_share)
    with closing(sweep(look, cases, where, label="schedules")) as findings:
        for finding in findings:
            campaign.add(finding)
            if finding.broken is not None:
                broken.append(finding.seed)
                click.echo(f"seed {finding.seed}: {finding.broken}")
    for seed in broken[:MOST_SHRUNK]:
        _show(seed, large_share, out)
    for table in campaign.tables():
        console.print(table.rich())
    for complaint in campaign.complaints:
        click.echo(complaint)
    sys.exit(1 if campaign.complaints else 0)


def _show(seed: int, large_share: float, out: Path) -> None:
    schedule = draw(seed, large_share)
    shortest = shrink(schedule, ATTEMPTS * 10 // (10 + schedule.nodes))
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"broken-{seed}.json"
    path.write_text(dump(shortest))
    click.echo(dump(shortest), nl=False)
    click.echo(f"replay it with: python -m sims.replay {path}")


if __name__ == "__main__":
    main()
