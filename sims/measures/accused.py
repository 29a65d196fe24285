"""Who was suspected, or held dead, though it ran.

Law: an accusation counts once for each node and incarnation, however many believe it: it stands until its
node refutes it, and that raises the incarnation.
"""

from __future__ import annotations

from collections.abc import Sequence

from gossipgroups.events import Event, NodeFailed, NodeSuspected
from gossipgroups.ids import NodeId
from gossipgroups.operations import Outcome
from sims.engine import Process, Watcher


class Accused(Watcher):
    """False suspicions and false deaths since the start or the last `restart`."""

    def __init__(self) -> None:
        self.suspected: dict[tuple[NodeId, int], Process] = {}
        """Processes that were suspected while they ran, by node and incarnation."""
        self.dead: dict[tuple[NodeId, int], Process] = {}
        """Processes that were held dead while they ran."""
        self._running: dict[NodeId, Process] = {}

    def started(self, process: Process) -> None:
        self._running[process.node.node_id] = process

    def did(self, what: str, process: Process | None, detail: str = "") -> None:
        if process is not None and not process.running:
            self._running.pop(process.node.node_id, None)

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        for event in events:
            match event:
                case NodeSuspected(node_id):
                    self._enter(self.suspected, process, node_id)
                case NodeFailed(node_id):
                    self._enter(self.dead, process, node_id)

    def restart(self) -> None:
        """Count anew from now on."""
        self.suspected.clear()
        self.dead.clear()

    def _enter(self, accused: dict[tuple[NodeId, int], Process], observer: Process, node_id: NodeId) -> None:
        subject = self._running.get(node_id)
        if subject is not None:
            incarnation = observer.node.state.replica.nodes[node_id].incarnation
            accused.setdefault((node_id, incarnation), subject)
