"""Statuses: what observers hold of nodes.

Law: per observer and subject (incarnation, status) only rises; nobody holds an incarnation that the subject
has not reached itself; from dead to alive leads a higher incarnation only; one (subject, incarnation) has one
address, name and protocol range everywhere.
"""

from __future__ import annotations

from collections import Counter

from gossipgroups.ids import Address, NodeId
from gossipgroups.registers import NodeRegister
from gossipgroups.status import Status
from sims.checks.broken import Broken
from sims.checks.holdings import Pair, is_live
from sims.engine import Process

Content = tuple[Address, str, int]


class Statuses:
    """The check of node registers."""

    def __init__(self, tally: Counter[str]) -> None:
        self._tally = tally
        self._reached: dict[NodeId, int] = {}
        self._by_twins: dict[NodeId, int] = {}
        self._contents: dict[tuple[NodeId, int], Content] = {}

    def own(self, process: Process) -> None:
        """Note how far a node has raised its own incarnation."""
        own = process.node.state.own
        before = self._reached.get(own.node_id, 0)
        if own.incarnation < before:
            raise Broken("incarnation", f"{process.name} went back from {before} to {own.incarnation}")
        self._reached[own.node_id] = own.incarnation
        if own.status not in (Status.ALIVE, Status.LEFT):
            raise Broken("status", f"{process.name} holds itself {own.status.name}")

    def twin(self, process: Process) -> None:
        """Note how far a twin has raised the incarnation of the node that both are."""
        own = process.node.state.own
        self._by_twins[own.node_id] = max(self._by_twins.get(own.node_id, 0), own.incarnation)

    def changed(self, process: Process, pairs: list[Pair]) -> None:
        """Check what a node has learnt of nodes."""
        for old, new in pairs:
            if isinstance(new, NodeRegister):
                self._check(process, old if isinstance(old, NodeRegister) else None, new)

    def _check(self, process: Process, old: NodeRegister | None, new: NodeRegister) -> None:
        if new.node_id not in self._reached:
            raise Broken("incarnation", f"{process.name} holds {new.name}, which never ran: {new}")
        if new.incarnation > max(self._reached[new.node_id], self._by_twins.get(new.node_id, 0)):
            raise Broken(
                "incarnation",
                f"{process.name} holds incarnation {new.incarnation} of {new.name}, "
                f"which itself is at {self._reached[new.node_id]}",
            )
        content = (new.address, new.name, new.protocols)
        known = self._contents.setdefault((new.node_id, new.incarnation), content)
        if known != content:
            raise Broken("content", f"{process.name} holds {content} of {new.name}, another held {known}")
        self._tally[f"status {new.status.name.lower()}"] += 1
        if old is None:
            return
        if (new.incarnation, new.status) < (old.incarnation, old.status):
            raise Broken(
                "status",
                f"{process.name} went back from {old.status.name} at incarnation {old.incarnation} "
                f"to {new.status.name} at {new.incarnation} for {new.name}",
            )
        if is_live(new) and not is_live(old):
            self._tally["status dead to alive"] += 1
            if new.incarnation == old.incarnation:
                raise Broken("status", f"{process.name} revived {new.name} at incarnation {new.incarnation}")
