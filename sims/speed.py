"""How fast the simulator is: `python -m sims.speed`.

Law: everything measured is printed with what it was measured on; nothing is kept.
"""

from __future__ import annotations

import cProfile
import pstats
import resource
import time
from pathlib import Path

import click
from rich.console import Console

from sims.engine import Simulation
from sims.measures.cluster import make_whole, start_nodes
from sims.tables import Table

ENGINE = (str(Path("sims", "engine")), str(Path("gossipgroups", "testing")))
"""Folders whose time is the engine's own."""
BUILT_IN = "~"
"""Where a profile puts functions that have no file; each is its caller's."""


def start(nodes: int) -> Simulation:
    """A cluster whose nodes all see all and have settled."""
    simulation = Simulation(seed=1)
    start_nodes(simulation, nodes)
    make_whole(simulation)
    return simulation


def engine_share(simulation: Simulation, seconds: float) -> float:
    """The engine's share of the time of an idle cluster, by a profile."""
    profile = cProfile.Profile()
    profile.runcall(simulation.advance, seconds)
    engine = total = 0.0
    for (path, *_), (_, _, own, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        total += own
        if path == BUILT_IN:
            engine += sum(times[2] for (caller, *_), times in callers.items() if _is_engine(caller))
        elif _is_engine(path):
            engine += own
    return engine / total


def _is_engine(path: str) -> bool:
    return any(folder in path for folder in ENGINE)


@click.command(
    help="Measure the start of a large cluster, and how much faster than real time an idle one runs."
)
@click.option("--large", type=click.IntRange(2), default=1000, show_default=True, help="Nodes that start.")
@click.option("--nodes", type=click.IntRange(2), default=128, show_default=True, help="Nodes that idle.")
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="Idle, virtual.")
def main(large: int, nodes: int, seconds: float) -> None:
    """Measure and print."""
    begun = time.process_time()
    simulation = start(nodes)
    idle, sent = time.process_time(), simulation.sent
    simulation.advance(seconds)
    spent, datagrams = time.process_time() - idle, simulation.sent - sent
    share = engine_share(simulation, seconds / 4)
    whole = time.process_time()
    simulation = start(large)
    started = time.process_time() - whole
    mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = (
        (f"start of {nodes} nodes, s of processor", idle - begun),
        (f"{nodes} idle nodes, times faster than real time", seconds / spent),
        ("for each datagram, µs", 1e6 * spent / datagrams),
        ("share of the engine, the rest is the nodes'", share),
        (f"start of {large} nodes, s of processor", started),
        (f"datagrams of that start ({simulation.now:.2f} s of virtual time)", simulation.sent),
        ("largest memory, MiB", mebibytes),
    )
    Console().print(Table("Speed, on one core", ("what", "figure"), rows).rich())


if __name__ == "__main__":
    main()
