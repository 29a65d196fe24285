"""What to expect of a cluster before there is one: the figures of `gossipgroups plan`.

Law: every figure is computed from the config, by formulas of what the protocol does; nothing is simulated and
nothing is looked up by preset. `python -m sims.experiments.plan` holds them against the simulator.
"""

from __future__ import annotations

from dataclasses import dataclass

from gossipgroups.config import Config
from gossipgroups.errors import InvalidValue
from gossipgroups.plan.detection import machine_crash, process_crash
from gossipgroups.plan.memory import Largest, held, largest
from gossipgroups.plan.network import Network
from gossipgroups.plan.spreading import settling
from gossipgroups.plan.traffic import Rate, change, false_suspicions, idle
from gossipgroups.wire.messages import MAX_LIVE

MEDIAN, LATE = 0.5, 0.99


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds until the last callback at any node: in half of the cases, and in 99 of 100."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to expect of a cluster."""

    nodes: int
    groups: int
    members: int
    """Of each group."""
    ack_wait: float
    """Seconds that a probe waits for an ack before others are asked, once round trips were measured."""
    process_crash: Times
    """A process ends, and its port is refused from then on."""
    machine_crash: Times
    """A machine, or the way to it, is gone without a word."""
    change: Times
    """A member joins or leaves."""
    idle: Rate
    """Datagrams and bytes that a node sends in a second while nothing happens, without keys."""
    idle_sealed: Rate
    """The same with keys."""
    change_cost: Rate
    """Datagrams and bytes that a node sends for one change of a group, without keys."""
    change_cost_sealed: Rate
    """The same with keys."""
    false_suspicions: float
    """How often in an hour a node that runs is suspected, and refutes."""
    memory: int
    """Bytes of one node's tables."""
    largest: Largest


def plan(
    config: Config, network: Network, nodes: int, *, groups: int = 1, members: int | None = None
) -> Plan:
    """What to expect of so many nodes; a group has a member on each unless told otherwise.

    Raises `InvalidValue` on a cluster that the limits do not allow.
    """
    if not 2 <= nodes <= MAX_LIVE:
        raise InvalidValue(f"nodes is {nodes}: a cluster has 2 to {MAX_LIVE:,} live nodes")
    limits = largest(config, nodes)
    members = nodes if members is None else members
    for name, value, limit in (
        ("groups", groups, limits.groups),
        ("members", members, limits.members),
        ("members of all groups", groups * members, limits.presences),
    ):
        if not 0 <= value <= limit:
            raise InvalidValue(f"{name} is {value:,}: it must be 0 to {limit:,}")
    settles = settling(config, network, nodes)
    told = settles.last
    process, machine = process_crash(config, network, nodes), machine_crash(config, network, nodes)
    return Plan(
        nodes=nodes,
        groups=groups,
        members=members,
        ack_wait=network.wait(config),
        process_crash=Times(process.quantile(MEDIAN), process.quantile(LATE)),
        machine_crash=Times(machine.quantile(MEDIAN), machine.quantile(LATE)),
        change=Times(told.quantile(MEDIAN), told.quantile(LATE)),
        idle=idle(config, network, nodes, sealed=False),
        idle_sealed=idle(config, network, nodes, sealed=True),
        change_cost=change(config, network, nodes, False, settles),
        change_cost_sealed=change(config, network, nodes, True, settles),
        false_suspicions=false_suspicions(config, network, nodes),
        memory=held(nodes, groups, groups * members),
        largest=limits,
    )
