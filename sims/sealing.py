"""What sealing costs: `python -m sims.sealing`.

Law: both sides of a ratio are measured in one run, by turns, and each figure is a median. Idle clusters are
real coordinators on loopback, and their time is that of this process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from statistics import median

import click
import trio
from rich.console import Console

from gossipgroups import Coordinator, Key, KeyRing, open_coordinator
from gossipgroups.wire.header import HEADER_BYTES
from gossipgroups.wire.seal import Seal, make_seal
from sims.tables import Table

PAYLOAD_BYTES = 1200
REPEATS = 7
CALLS = 5_000
DRAIN = 3.0
"""Seconds after all see all until nothing is news any more."""


def cost(call: Callable[[], object]) -> float:
    """Microseconds of processor for one call: the median of several runs."""
    runs = []
    for _ in range(REPEATS):
        begun = time.process_time()
        for _ in range(CALLS):
            call()
        runs.append((time.process_time() - begun) / CALLS * 1e6)
    return median(runs)


def datagram_costs(seal: Seal) -> tuple[float, float]:
    """What it takes to seal a datagram, and to open it."""
    payload = os.urandom(PAYLOAD_BYTES - seal.overhead)
    header = bytes(HEADER_BYTES)
    datagram = seal.seal(header, payload)
    return cost(lambda: seal.seal(header, payload)), cost(lambda: seal.open(datagram))


async def idle_cost(keys: KeyRing | None, nodes: int, seconds: float) -> tuple[float, float]:
    """Processor milliseconds and bytes sent per node and second of an idle cluster."""
    async with AsyncExitStack() as stack:
        opened: list[Coordinator] = []
        for number in range(nodes):
            seeds = [str(each.node.address) for each in opened[:1]]
            coordinator = open_coordinator(f"n{number}", seeds=seeds, keys=keys, join_timeout=60)
            opened += [await stack.enter_async_context(coordinator)]
        while any(sum(node.status.live for node in each.nodes()) < nodes for each in opened):
            await trio.sleep(0.1)
        await trio.sleep(DRAIN)
        begun, sent = time.process_time(), sum(each.stats()["sent_bytes"] for each in opened)
        await trio.sleep(seconds)
        spent = time.process_time() - begun
        sent = sum(each.stats()["sent_bytes"] for each in opened) - sent
    return spent / nodes / seconds * 1e3, sent / nodes / seconds


@click.command(help="Measure what sealing costs: for each datagram, and for idle clusters by turns.")
@click.option("--nodes", type=click.IntRange(2, 256), default=32, show_default=True, help="In a cluster.")
@click.option("--seconds", type=click.FloatRange(1), default=15.0, show_default=True, help="Idle.")
@click.option("--runs", type=click.IntRange(1), default=4, show_default=True, help="Of each kind.")
def main(nodes: int, seconds: float, runs: int) -> None:
    """Measure and print."""
    ring = KeyRing([Key.generate(os.urandom)])
    kinds: tuple[KeyRing | None, ...] = (None, ring)
    costs = [datagram_costs(make_seal("measured", keys, os.urandom)) for keys in kinds]
    idle: list[list[tuple[float, float]]] = [[], []]
    for run in range(runs):
        # There and back again: what comes later in a process is slower, whatever it is.
        for figures, keys in list(zip(idle, kinds, strict=True))[:: -1 if run % 2 else 1]:
            figures.append(trio.run(idle_cost, keys, nodes, seconds))
    time_of = [median(figure for figure, _ in figures) for figures in idle]
    bytes_of = [median(figure for _, figure in figures) for figures in idle]
    rows: tuple[tuple[str | float, ...], ...] = (
        (f"seal {PAYLOAD_BYTES} bytes, µs", *(each[0] for each in costs), costs[1][0] / costs[0][0]),
        (f"open {PAYLOAD_BYTES} bytes, µs", *(each[1] for each in costs), costs[1][1] / costs[0][1]),
        ("idle, ms of processor per node and s", *time_of, time_of[1] / time_of[0]),
        ("idle, bytes sent per node and s", *bytes_of, bytes_of[1] / bytes_of[0]),
    )
    title = f"Sealing: medians of {REPEATS} runs, idle clusters of {nodes}: of {runs}"
    Console().print(Table(title, ("what", "without keys", "with keys", "ratio"), rows).rich())


if __name__ == "__main__":
    main()
