"""How nodes see the cluster: the sizes that they show, and the live sets that they settle.

Law: a node counts from the moment at which its application gets it: once it has joined, or when it has nobody
to wait for. A settled view is the live set that a node holds when its root scope is told as converged: every
node that it holds alive is known to have held the same.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from gossipgroups.events import Event
from gossipgroups.ids import Address
from gossipgroups.operations import Outcome
from gossipgroups.wire.messages import ROOT
from sims.engine import Process, Simulation, Watcher

NOBODY: frozenset[Address] = frozenset()


@dataclass(slots=True)
class Sight:
    """What one process has shown and settled."""

    size: int = 0
    """Live nodes that it shows; 0 until it has joined."""
    changed_at: float = 0.0
    """When it last showed another live set."""
    settled_at: float = 0.0
    """When it last settled one."""
    sizes: set[int] = field(default_factory=set)
    """All sizes shown."""
    logged: set[int] = field(default_factory=set)
    """Those of them that a log once a second has seen."""
    settled: list[int] = field(default_factory=list)
    """The digests of the live sets settled, in order."""
    unconverged: int = 0
    """Live sets that had to be told before they were settled."""
    version: int = -1
    pending: bool = False


class Membership(Watcher):
    """The sights of all processes. Each logs its size once a second, at a moment of its own."""

    def __init__(self, seed: int) -> None:
        self.sights: dict[Address, Sight] = {}
        self.log: list[list[tuple[Address, int]]] = []
        """What was logged, by second since the start or the last `restart`."""
        self._phases = random.Random(seed)
        self._since = 0.0

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def started(self, process: Process) -> None:
        self.sights[process.address] = Sight()
        self._simulation.after(self._phases.random(), self._log, process)

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        node, sight = process.node, self.sights[process.address]
        live = node.state.live
        is_open = not node._convergence.is_settled(ROOT)
        changed = live.version != sight.version
        if not (changed or is_open or sight.pending) or not (node.joined or node.alone):
            return
        now = self._simulation.now
        if changed:
            sight.version, sight.size, sight.changed_at = live.version, len(live), now
            sight.sizes.add(sight.size)
        pending = ROOT in node._reports.pending
        if not is_open:
            if not sight.settled or sight.settled[-1] != live.digest:
                sight.settled.append(live.digest)
                sight.settled_at = now
        elif sight.pending and not pending:
            sight.unconverged += 1
        sight.pending = pending

    def restart(self) -> None:
        """Count anew from now on: what is held now is no change."""
        self._since = self._simulation.now
        self.log.clear()
        for sight in self.sights.values():
            sight.sizes, sight.logged = {sight.size}, {sight.size}
            sight.settled = sight.settled[-1:]
            sight.unconverged = 0

    def of(self, without: Collection[Address] = NOBODY) -> Iterator[Sight]:
        """The sights of all processes but some."""
        return (sight for address, sight in self.sights.items() if address not in without)

    def sizes(self, without: Collection[Address] = NOBODY) -> int:
        """Different sizes shown."""
        return len(set[int]().union(*(each.sizes for each in self.of(without))))

    def logged(self, without: Collection[Address] = NOBODY) -> int:
        """Different sizes logged."""
        return len(set[int]().union(*(each.logged for each in self.of(without))))

    def settled(self, without: Collection[Address] = NOBODY) -> int:
        """Different live sets settled."""
        return len(set[int]().union(*(each.settled for each in self.of(without))))

    def _log(self, process: Process) -> None:
        if not process.running:
            return
        sight = self.sights[process.address]
        if sight.size:
            sight.logged.add(sight.size)
            second = int(self._simulation.now - self._since)
            self.log += [[] for _ in range(second + 1 - len(self.log))]
            self.log[second].append((process.address, sight.size))
        self._simulation.after(1.0, self._log, process)
