"""The way to a running cluster, which most experiments begin with.

Law: when a cluster is given away, all nodes hold all alive, nobody suspects anybody, all replicas are equal,
no scope is open and nothing waits to be told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from gossipgroups.groups.rules import Join
from gossipgroups.swim.parts import Part
from sims.engine import Process, Simulation, address_of

BOOT_LIMIT = 120.0
"""Seconds in which a cluster must have come up."""
NOTHING = b"\xc0"
"""Capabilities of a member that has none to tell."""


def start_nodes(simulation: Simulation, nodes: int, omit: Collection[Part] = ()) -> list[Process]:
    """Start so many at once, with the first as everybody's seed."""
    return [
        simulation.start(address_of(place), seeds=[address_of(0)] if place else [], omit=omit)
        for place in range(nodes)
    ]


def join_all(simulation: Simulation, processes: Iterable[Process], group: str) -> None:
    """Let each join a group as the member that is named after its machine, which is made if it is missing."""
    for process in processes:
        simulation.submit(process, Join(group, process.host, NOTHING, create=True))


def is_whole(processes: Sequence[Process]) -> bool:
    """Whether all of these, and no others, hold each other alive and have settled one and the same state."""
    digest = processes[0].node.state.replica.digest
    for process in processes:
        node = process.node
        live = node.state.live
        if node.state.replica.digest != digest or len(live) != len(processes) or live.suspects:
            return False
        if node._convergence.open or node._reports.pending or not node.idle:
            return False
    return True


def make_whole(simulation: Simulation) -> None:
    """Let time pass until all that run are whole. Raises `AssertionError` if that takes too long."""
    processes = list(simulation.processes.values())
    if not simulation.advance_until(lambda: is_whole(processes), within=BOOT_LIMIT):
        raise AssertionError(f"no whole cluster within {BOOT_LIMIT} s (seed {simulation.seed})")
