"""The command: `python -m sims.cost`.

Law: a figure is the median of several runs; the kinds of a case are measured by turns.
"""

from __future__ import annotations

import os
from statistics import median

import click
from rich.console import Console

from gossipgroups.keys import Key, KeyRing
from sims.cost.cases import CASES, cost
from sims.cost.scene import Scene
from sims.cost.sockets import socket_costs
from sims.tables import Table

ASKING = (15, 8, 1)
"""Members that ping at once, through sockets."""


@click.command(help="Measure what a datagram costs one node of a quiet cluster, in µs of processor time.")
@click.option(
    "--nodes", type=click.IntRange(3, 512), multiple=True, default=(16, 128), show_default=True, help="Known."
)
@click.option("--count", type=click.IntRange(1), default=500, show_default=True, help="Rounds of a run.")
@click.option("--runs", type=click.IntRange(1), default=7, show_default=True, help="Of each case.")
def main(nodes: tuple[int, ...], count: int, runs: int) -> None:
    """Measure and print."""
    ring = KeyRing([Key.generate(os.urandom)])
    kinds = [(size, keys) for size in nodes for keys in (None, ring)]
    columns = [f"{size} nodes, sealed" if keys else f"{size} nodes" for size, keys in kinds]
    scenes = [Scene(size, keys) for size, keys in kinds]
    rows: list[tuple[str | float, ...]] = []
    for what, case in CASES.items():
        costs = [[cost(scene, case, count) for scene in scenes] for _ in range(runs)]
        rows.append((what, *map(median, zip(*costs, strict=True))))
    for asking in ASKING:
        measured = [socket_costs(*kind, min(asking, kind[0] - 1), count, runs) for kind in kinds]
        rows.append((f"ping in, ack out by sockets, {asking} at once", *map(median, measured)))
    title = f"Cost of a datagram in its turn, µs: medians of {runs} runs of {count}"
    Console().print(Table(title, ("what", *columns), tuple(rows)).rich())


if __name__ == "__main__":
    main()
