"""Who was told of a crash, and who was held dead though it ran.

Law: a death is false if its node runs; it counts once for each node and incarnation, however many believe it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gossipgroups.events import Event, MemberLeftGroup, NodeFailed
from gossipgroups.ids import NodeId
from gossipgroups.operations import Outcome
from sims.engine import Process, Simulation, Watcher


class Deaths(Watcher):
    """Who was held dead, who was told to have left, and when."""

    def __init__(self) -> None:
        self.victim: Process | None = None
        self.told: dict[Process, float] = {}
        """When each was told that the victim has left."""
        self.unconverged: list[Process] = []
        """Those of them who were told before it had converged."""
        self.false: dict[tuple[NodeId, int], Process] = {}
        """Processes that were held dead while they ran, by node and incarnation."""
        self._running: dict[NodeId, Process] = {}

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def started(self, process: Process) -> None:
        self._running[process.node.node_id] = process

    def crash(self, victim: Process, *, silent: bool) -> None:
        """Let a process crash, and follow that from now on."""
        self.victim = victim
        self.told, self.unconverged = {}, []
        del self._running[victim.node.node_id]
        self._simulation.crash(victim, silent=silent)

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        for event in events:
            if isinstance(event, NodeFailed):
                self._failed(process, event.node_id)
            elif isinstance(event, MemberLeftGroup):
                self._left(process, event)

    def _left(self, process: Process, event: MemberLeftGroup) -> None:
        if self.victim is not None and event.member_id == self.victim.host and process not in self.told:
            self.told[process] = self._simulation.now
            if not event.converged:
                self.unconverged.append(process)

    def _failed(self, process: Process, node_id: NodeId) -> None:
        subject = self._running.get(node_id)
        if subject is not None:
            incarnation = process.node.state.replica.nodes[node_id].incarnation
            self.false.setdefault((node_id, incarnation), subject)
