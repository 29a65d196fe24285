"""Closed ports: which reports of the kernel, that nobody listens at an address, are believed.

Law: such a report is an ICMP message, which anybody can forge. It is believed if it quotes a datagram that
this node has sent of late: its own id as the sender, a number that was not reported yet, and as the receiver
a node that is at home there, or nobody by name. One that quotes too little says nothing, and neither do more
than `REPORTS_A_SECOND`. What is not believed costs a look at its header.
"""

from __future__ import annotations

from gossipgroups.budget import Budget
from gossipgroups.groups.replica import Replica
from gossipgroups.ids import ANYBODY, Address, NodeId
from gossipgroups.stats import Stats
from gossipgroups.wire.header import unpack_header
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.seal import quoted_header
from gossipgroups.wire.window import WINDOW, Window

REPORTS_A_SECOND = 200.0
"""Reports believed in a second, and at once: each costs a look at all nodes."""
UNQUOTED, TOO_MANY = "unquoted", "too many"
"""Why a report is not believed."""


class ClosedPorts:
    """What the kernel reports to one node. Times are on the node's clock, in seconds."""

    __slots__ = ("_budget", "_me", "_outbox", "_replica", "_reported", "_stats", "_told")

    def __init__(self, me: NodeId, replica: Replica, outbox: Outbox, stats: Stats) -> None:
        self._me = me
        self._replica = replica
        self._outbox = outbox
        self._stats = stats
        self._reported = Window()
        self._told: set[tuple[Address, NodeId]] = set()
        self._budget = Budget(REPORTS_A_SECOND, REPORTS_A_SECOND)

    def receiver(self, address: Address, quoted_untrusted: bytes, now: float) -> NodeId | None:
        """Whom the refused datagram was for, maybe `ANYBODY`; `None` if the report is not to be heard.

        Of several about one address and receiver, only the first of a turn is heard.
        """
        header = quoted_header(quoted_untrusted)
        receiver = None if header is None else self._sent_to(address, *unpack_header(header))
        if receiver is None:
            self._stats.disbelieved[UNQUOTED] += 1
        elif (address, receiver) in self._told:
            return None
        elif not self._budget.spend(1, now):
            self._stats.disbelieved[TOO_MANY] += 1
            return None
        else:
            self._told.add((address, receiver))
        return receiver

    def turn_ended(self) -> None:
        """What is reported from now on is news."""
        self._told.clear()

    def _sent_to(self, address: Address, sender: NodeId, receiver: NodeId, number: int) -> NodeId | None:
        """The receiver of a datagram that this node has sent to the address, as far as can be told."""
        if sender != self._me or not 0 <= self._outbox.number - number < WINDOW:
            return None
        if receiver != ANYBODY:
            register = self._replica.nodes.get(receiver)
            if register is None or register.address != address:
                return None
        return receiver if self._reported.accept(number) else None
