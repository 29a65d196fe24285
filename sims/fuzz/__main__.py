"""Give nodes hostile datagrams by the million, and see that none does harm.

    python -m sims.fuzz --datagrams 1000000 --jobs 2

Each kind is given to nodes with and without keys, that many of each. Ends with status 1 when a rule was
broken, and prints the datagram that did it.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing

import click
from rich.console import Console

from sims.fuzz.campaign import carry_out, cases
from sims.fuzz.target import Tally
from sims.sweep import CaseFailed, Where, options, sweep
from sims.tables import Table


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
