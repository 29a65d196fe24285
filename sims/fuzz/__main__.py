"""Give nodes hostile datagrams by the million, and see that none does harm.

    python -m sims.fuzz --datagrams 1000000 --jobs 2

Each kind is given to nodes with and without keys, that many of each. Ends with status 1 when a rule was
broken, and prints the datagram that did it.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import dataclass

import click
from rich.console import Console

from sims.fuzz.makers import KINDS
from sims.fuzz.target import Tally, fuzz, fuzz_forged, fuzz_replayed
from sims.sweep import CaseFailed, Where, options, sweep
from sims.tables import Table

FORGED, REPLAYED = "forged", "replayed"
BATCH = 20_000
"""Datagrams of one case of the sweep."""


@dataclass(frozen=True, slots=True)
class Case:
    """A batch of one kind."""

    kind: str
    keyed: bool
    seed: int
    count: int


def carry_out(case: Case) -> tuple[Case, Tally]:
    """Fuzz one batch."""
    if case.kind == FORGED:
        return case, fuzz_forged(seed=case.seed, count=case.count)
    if case.kind == REPLAYED:
        return case, fuzz_replayed(keyed=case.keyed, seed=case.seed, count=case.count)
    return case, fuzz(KINDS[case.kind], keyed=case.keyed, seed=case.seed, count=case.count)


def cases(datagrams: int, first_seed: int) -> list[Case]:
    """Batches of all kinds, for nodes with and without keys."""
    kinds = [(kind, keyed) for kind in (*KINDS, REPLAYED) for keyed in (False, True)] + [(FORGED, True)]
    return [
        Case(kind, keyed, first_seed + batch, min(BATCH, datagrams - batch * BATCH))
        for batch in range(-(-datagrams // BATCH))
        for kind, keyed in kinds
    ]


@click.command(help=__doc__)
@click.option(
    "--datagrams",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="Of each kind, for nodes with keys and for nodes without.",
)
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True, help="Where to begin.")
@options
def main(datagrams: int, first_seed: int, where: Where) -> None:
    """Run the campaign."""
    begun = time.monotonic()
    tallies: dict[tuple[str, bool], Tally] = {}
    try:
        with closing(sweep(carry_out, cases(datagrams, first_seed), where, label="datagrams")) as results:
            for case, tally in results:
                tallies.setdefault((case.kind, case.keyed), Tally()).add(tally)
    except CaseFailed as failed:
        click.echo(str(failed))
        sys.exit(1)
    rows = tuple(
        (
            kind,
            "yes" if keyed else "no",
            tally.datagrams,
            tally.processed,
            tally.refused.total(),
            len(tally.refused),
            tally.slowest * 1e3,
            tally.over_a_millisecond,
        )
        for (kind, keyed), tally in tallies.items()
    )
    head = ("kind", "keys", "datagrams", "processed", "refused", "reasons", "slowest, ms", "over 1 ms")
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a file or pipe has none
    console.print(Table("Hostile datagrams", head, rows).rich())
    total = sum(tally.datagrams for tally in tallies.values())
    console.print(f"{total:,} datagrams in {time.monotonic() - begun:,.0f} s: no rule was broken")


if __name__ == "__main__":
    main()
