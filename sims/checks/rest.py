"""Rest: when all is healed and calm, nodes come to hold and to have told the same, and how soon.

Law: at rest all replicas are equal, all digests are equal and those of the registers held, each node holds
exactly those alive that run, every scope is settled at every node, events add up to it, and no operation
waits.

Where registers are forgotten while all look on, each node drops them when its own clock says so: what says no
more than that something is gone is then not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log, log10

from gossipgroups.config import Config
from gossipgroups.convergence import LONGEST_RETRY
from gossipgroups.node import Node
from gossipgroups.status import Status
from sims.checks.holdings import is_live, is_over, registers_of, view_of
from sims.checks.outcomes import Outcomes
from sims.checks.reports import Reports
from sims.engine import Process

LONG = 3600.0
"""No run lasts so long, seconds."""


def rest_seconds(config: Config, nodes: int) -> float:
    """How long rest may take after healing: each step at its slowest, one after the other."""
    longest_probe = config.probe_period * (1 + config.awareness_limit)
    # One that was under way ends, the turn of the last crashed comes, its probe fails, its death is doubted.
    detected = 4 * longest_probe
    shortest_suspicion = config.suspicion_multiplier * max(1.0, log10(nodes)) * config.probe_period
    suspected = config.suspicion_max_factor * shortest_suspicion
    # Each of the dead is called once an interval on average: all of them, but for one run in e^12.
    found_again = config.reach_interval * (log(nodes) + 12) + config.seed_interval
    return detected + suspected + found_again + LONGEST_RETRY * config.settle_retry


def missing(processes: Iterable[Process], reports: Reports, outcomes: Outcomes) -> list[str]:
    """What is missing to rest among these processes, which are all that run."""
    processes = list(processes)
    if stopping := [each.name for each in processes if each.give_up_at is not None]:
        return [f"{', '.join(stopping)} are still stopping"]
    wanting = _quickly(processes)
    if not wanting:
        first = _replica(processes[0].node) if processes else frozenset()
        for process in processes:
            wanting += _state(process, first) + _told(process, reports)
    return wanting + [f"{each.name}: {what} waits" for each in processes for what in outcomes.waiting(each)]


def _quickly(processes: Sequence[Process]) -> list[str]:
    """What is missing at first sight: a look at all registers of many nodes takes its time."""
    wanting = []
    ids = sorted(each.node.node_id for each in processes)
    for process in processes:
        node = process.node
        nodes = node.state.replica.nodes.values()
        live = sorted(each.node_id for each in nodes if is_live(each))
        if live != ids or any(each.status is Status.SUSPECT for each in nodes):
            statuses = {each.name: each.status.name.lower() for each in nodes}
            wanting.append(f"{process.name} holds {statuses}")
        same = node.state.replica.digest == processes[0].node.state.replica.digest
        if not same and not (_forgets(node) and _replica(node) == _replica(processes[0].node)):
            wanting.append(f"{process.name} has another digest than {processes[0].name}")
        if node._convergence.open:
            wanting.append(f"{process.name}: {sorted(map(repr, node._convergence.open))} not settled")
    return wanting


def _state(process: Process, first: frozenset[bytes]) -> list[str]:
    node, replica = process.node, process.node.state.replica
    wanting = []
    if _replica(node) != first:
        wanting.append(f"{process.name} holds another replica")
    digest = 0
    for register in registers_of(replica):
        digest ^= register.hash
    if replica.digest != digest or len(replica.by_hash) != len(registers_of(replica)):
        wanting.append(f"{process.name}: its digest is not that of its registers")
    if node.state.live.ids != sorted(each.node_id for each in replica.nodes.values() if is_live(each)):
        wanting.append(f"{process.name}: its live set is not that of its registers")
    return wanting


def _told(process: Process, reports: Reports) -> list[str]:
    replica = process.node.state.replica
    told = reports[process.node.node_id]
    wanting = []
    for group in sorted(replica.groups.keys() | told.members.keys()):
        view = view_of(replica, group)
        if told.members[group] != set(view):
            wanting.append(f"{process.name}: told {sorted(told.members[group])} of {group}")
        register = replica.groups.get(group)
        if told.exists[group] != (register is not None and register.epoch % 2 == 1):
            wanting.append(f"{process.name}: told that {group} exists: {told.exists[group]}")
    return wanting


def _replica(node: Node) -> frozenset[bytes]:
    """What is compared."""
    replica = node.state.replica
    forgets = _forgets(node)
    return frozenset(
        each.packed for each in registers_of(replica) if not (forgets and is_over(replica, each))
    )


def _forgets(node: Node) -> bool:
    return node.config.forget_after < LONG
