"""One change to a group: when each node learnt it and was told, and what simpler rules would have said.

Law: a rule speaks too early when it says "all have it" at a node while another that runs, and that this node
holds alive, has not learnt the change. All rules are judged on one and the same run, by what its nodes learnt
and when: settling stops rumours only once all have learnt, so it makes no rule speak too early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log2

from gossipgroups.events import Event, MemberJoinedGroup
from gossipgroups.groups.rules import Join
from gossipgroups.operations import Outcome
from gossipgroups.status import Status
from sims.engine import Process, Simulation, Watcher

SETTLED = "settled"
"""The name of our own rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Says "all have it" so many gossip rounds after the change was learnt, or after it was last heard of."""

    name: str
    rounds: int
    per_doubling: bool = False
    """Whether the rounds are for each doubling of the number of nodes."""
    since_heard: bool = False

    def wait(self, nodes: int, interval: float) -> float:
        """Seconds to wait among so many nodes."""
        return self.rounds * interval * (log2(nodes) if self.per_doubling else 1)


RULES = (
    *(Rule(f"wait {rounds} log2 n rounds", rounds, per_doubling=True) for rounds in (1, 2, 3)),
    *(Rule(f"quiet for {rounds} rounds", rounds, since_heard=True) for rounds in (1, 3, 5)),
)
NAMES = (SETTLED, *(rule.name for rule in RULES))


@dataclass(slots=True)
class Verdict:
    """What one rule said of one change."""

    said: dict[Process, float] = field(default_factory=dict)
    """When, in seconds after the change, by process."""
    early: int = 0


@dataclass(eq=False, slots=True)
class Change:
    """One join, and how far it is."""

    member: str
    at: float
    packed: bytes
    unlearnt: dict[Process, None]
    heard: dict[Process, float] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=lambda: {name: Verdict() for name in NAMES})
    learnt: dict[Process, float] = field(default_factory=dict)
    """When each had learnt it, in seconds after it."""
    told: dict[Process, float] = field(default_factory=dict)
    """When each was told, converged or not."""
    unconverged: int = 0
    """How many were told before it had converged."""


class Settlings(Watcher):
    """Follows one join after the other through all processes."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._change: Change | None = None

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def join(self, process: Process, member: str) -> Change:
        """Let a process join the group, and follow that from now on."""
        simulation = self._simulation
        simulation.submit(process, Join(self._group, member, b"\x80"))
        presence = process.node.state.replica.presences[self._group][member]
        change = Change(member, simulation.now, presence.packed, dict.fromkeys(simulation.processes.values()))
        self._change = change
        self.called(process, (), ())
        return change

    def received(self, process: Process, datagram: bytes, source: object) -> None:
        change = self._change
        if change is not None and change.packed in datagram:
            change.heard[process] = self._simulation.now

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        change = self._change
        if change is None:
            return
        if process in change.unlearnt and change.member in process.node.state.views[self._group]:
            self._learns(process, change)
        for event in events:
            if isinstance(event, MemberJoinedGroup) and event.member_id == change.member:
                self._told(process, change, event.converged)

    def _learns(self, process: Process, change: Change) -> None:
        simulation = self._simulation
        del change.unlearnt[process]
        change.learnt[process] = simulation.now - change.at
        change.heard[process] = simulation.now
        nodes, interval = len(simulation.processes), process.node.config.gossip_interval
        for rule in RULES:
            simulation.after(rule.wait(nodes, interval), self._waited, process, change, rule)

    def _waited(self, process: Process, change: Change, rule: Rule) -> None:
        simulation = self._simulation
        if rule.since_heard:
            wait = rule.wait(len(simulation.processes), process.node.config.gossip_interval)
            until = change.heard[process] + wait
            if simulation.now < until:
                simulation.at(until, self._waited, process, change, rule)
                return
        self._says(rule.name, process, change)

    def _told(self, process: Process, change: Change, converged: bool) -> None:
        change.told.setdefault(process, self._simulation.now - change.at)
        if converged:
            self._says(SETTLED, process, change)
        else:
            change.unconverged += 1

    def _says(self, name: str, process: Process, change: Change) -> None:
        verdict = change.verdicts[name]
        verdict.said.setdefault(process, self._simulation.now - change.at)
        nodes = process.node.state.replica.nodes
        verdict.early += any(
            (register := nodes.get(each.node.node_id)) is not None and register.status is Status.ALIVE
            for each in change.unlearnt
        )
