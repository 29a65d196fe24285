"""Settling at work: views compared, entries sent and answered, changes reported, operations ended.

Law: what is compared with an entry is the view after all registers of its datagram; what is reported as
converged is settled at that moment; an operation ends with the report of what it changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gossipgroups.config import Config
from gossipgroups.convergence import Convergence
from gossipgroups.gossip import Gossip
from gossipgroups.ids import NodeId, Peer
from gossipgroups.operations import Operations
from gossipgroups.reports import Reports
from gossipgroups.state import State
from gossipgroups.swim.dissemination import RumourQueue
from gossipgroups.wire.codec import pack_section, split_entries
from gossipgroups.wire.messages import ROOT, AskSettling, Entry, Scope, Settling
from gossipgroups.wire.outbox import Outbox

FAREWELLS = 16
"""Leavers that are told when their leave has settled."""


class Settler:
    """Joins the state, the rules of convergence, the reports and the operations of one node."""

    def __init__(
        self,
        state: State,
        convergence: Convergence,
        reports: Reports,
        operations: Operations,
        rumours: RumourQueue,
        gossip: Gossip,
        outbox: Outbox,
        config: Config,
    ) -> None:
        self._state = state
        self._convergence = convergence
        self._reports = reports
        self._operations = operations
        self._rumours = rumours
        self._gossip = gossip
        self._outbox = outbox
        self._config = config
        self._root_seen = (0, 0)
        self._farewells: dict[Peer, None] = {}

    def end_turn(self, now: float) -> None:
        """Carry out operations, and report what has settled or is overdue."""
        self._operations.run()
        self.compare_views(now)
        if not (self._convergence.open or self._reports.pending or self._operations.waiting):
            return
        self._operations.pending(self._reports.pending)
        # Once the root was told, groups that waited for it may be told too.
        while settled := self._convergence.settled(self._reports.waits_for_root):
            for scope in settled:
                self._report(scope, converged=True)
                self._rumours.settled(scope)
        for scope in self._reports.overdue(now):
            self._report(scope, converged=False)
        if self._operations.waiting:
            for scope in sorted(self._operations.awaited.difference(self._reports.pending), key=str):
                # Changed and changed back within the turn: there is nothing to report.
                self._operations.reported(scope, converged=True)

    def _is_compared(self) -> bool:
        state = self._state
        return not state.views.touched and self._root_seen == (state.epochs_digest, state.live.version)

    def compare_views(self, now: float) -> None:
        """Start to settle what has changed since the last comparison."""
        if self._is_compared():
            return
        state, convergence = self._state, self._convergence
        epochs, version = self._root_seen
        if state.epochs_digest != epochs and convergence.update(ROOT, state.epochs_digest, now):
            self._reports.changed(ROOT, now)
        if state.live.version != version:
            self._reports.changed(ROOT, now)
            convergence.live_changed(self._reports.pending, now)
        self._root_seen = (state.epochs_digest, state.live.version)
        if state.views.touched:
            for group, members in state.views.touched.items():
                self._reports.shown(group, members)
                if convergence.update(group, state.views.digests.get(group, 0), now):
                    self._reports.changed(group, now)
            state.changed_groups.update(state.views.touched)
            state.views.touched.clear()

    def send(self, now: float) -> None:
        """Send the entries that are due, and what leavers wait for."""
        if not self._convergence.quiet:
            self._send_due(Settling, self._convergence.pushes(now))
            self._send_due(AskSettling, self._convergence.asks(now))
        if self._farewells and self._convergence.is_settled(ROOT):
            for peer in self._farewells:
                self._send_entries(Settling, peer, [self._convergence.entry(ROOT)])
            self._farewells.clear()

    def _send_due(
        self, shape: type[Settling | AskSettling], targets: Iterable[tuple[NodeId, list[Entry]]]
    ) -> None:
        for target, entries in targets:
            peer = self._state.replica.nodes[target].peer
            self._send_entries(shape, peer, entries)
            self._outbox.open(peer)

    def say_farewell(self) -> None:
        """Ask a few nodes about the root, which this node has just left."""
        for peer in self._gossip.draw(self._config.fanout):
            self._send_entries(AskSettling, peer, [self._convergence.entry(ROOT)])
            self._outbox.open(peer)

    def hear(self, peer: Peer, section: Settling | AskSettling, now: float) -> bool:
        """Take in entries and answer them; whether the sender asked about a view that differs from ours."""
        self.compare_views(now)
        asked = isinstance(section, AskSettling)
        differs = False
        answers: dict[Scope, Entry] = {}
        for entry in section.entries:
            more = self._convergence.hear(section.live, entry, now)
            if more is None:
                differs = True
            elif more and (asked or entry.stamp < self._convergence[entry.scope].stamp):
                answers[entry.scope] = self._convergence.entry(entry.scope)
        for some in self._packed(Settling, list(answers.values())):
            self._outbox.answer(peer, some)
        if asked and self._waits_for_farewell(peer):
            self._farewells[peer] = None
        return asked and differs

    def _waits_for_farewell(self, peer: Peer) -> bool:
        """Whether a node is known to have gone that was at this address, which it has proved to read."""
        register = self._state.replica.nodes.get(peer.node_id)
        left = register is not None and not register.status.live and register.address == peer.address
        return left and len(self._farewells) < FAREWELLS and not self._outbox.withholds(peer)

    def _report(self, scope: Scope, converged: bool) -> None:
        if self._reports.report(scope, converged):
            self._operations.reported(scope, converged)
        self._state.events += self._reports.events
        self._reports.events.clear()

    def _send_entries(self, shape: type[Settling | AskSettling], peer: Peer, entries: list[Entry]) -> None:
        for some in self._packed(shape, entries):
            self._outbox.add(peer, some)

    def _packed(self, shape: type[Settling | AskSettling], entries: list[Entry]) -> Iterator[bytes]:
        """Sections that each fit one datagram."""
        for some in split_entries(entries):
            yield pack_section(shape(self._state.live.digest, some))
