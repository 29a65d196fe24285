"""Admission: what nodes take in, and what they drop, whoever has sent it, and how often.

    once       a node takes in what nodes have sent, to it, and each number of a sender once at most, be it
               the original's or its twin's
    nothing    what is dropped, and what is sent to anybody, changes nothing that is held
    twins      a node that knows where another is at home takes in nothing from its twin elsewhere
    kind       what a node has sent to another is dropped for a few reasons only

Law: datagrams are told apart by their bytes, and by sender and number, read here from the header.
"""

from __future__ import annotations

from collections import Counter

from gossipgroups.ids import ANYBODY, Address, NodeId
from gossipgroups.keys import KEY_ID_BYTES
from gossipgroups.wire.header import HEADER_BYTES, Header, unpack_header
from gossipgroups.wire.messages import Proof
from gossipgroups.wire.seal import TAG_BYTES
from sims.checks.broken import Broken
from sims.checks.outsiders import Outsiders
from sims.engine import Process

EXPECTED = ("own datagram", "replayed", "for another", "unproved")
"""What nodes that keep the rules may refuse of each other: what a restarted process sends to its own address,
what the network has duplicated, what was for the node that had the address before, and what came sooner than
the news of its sender."""


def header_of(process: Process, datagram: bytes) -> Header:
    """The header of a datagram of this process's cluster: it is in the clear."""
    at = 1 + (TAG_BYTES if process.node.keys is None else KEY_ID_BYTES)
    return unpack_header(datagram[at : at + HEADER_BYTES])


class Admitted:
    """The check of admission."""

    def __init__(self, outsiders: Outsiders, tally: Counter[str]) -> None:
        self._outsiders = outsiders
        self._tally = tally
        self._makers: dict[bytes, Process] = {}
        self._taken: set[tuple[NodeId, NodeId, int]] = set()
        """By whom, of whom, and the number."""
        self._digest = 0
        self._knows_home = True
        self._proved: set[tuple[NodeId, NodeId]] = set()
        """Of twins that had a cookie: who has heard them."""

    def sent(self, process: Process, datagram: bytes) -> None:
        """A process has sent this. Without keys a twin may send the same bytes: they are the original's."""
        if process.address in self._outsiders:
            self._makers.setdefault(datagram, process)
        else:
            self._makers[datagram] = process

    def received(self, process: Process, datagram: bytes, source: Address) -> None:
        """A node is about to be given a datagram."""
        replica = process.node.state.replica
        self._digest = replica.digest
        if self._outsiders.get(source) == "twin":
            self._knows_home = header_of(process, datagram).sender in replica.nodes

    def taken(self, process: Process, datagram: bytes, source: Address, reason: str | None) -> None:
        """Check what a node made of a datagram."""
        maker = self._makers.get(datagram)
        if reason is None:
            self._accepted(process, maker, datagram, source)
        else:
            self._tally[f"refused: {reason}"] += 1
            self._unchanged(process, reason)
            if maker is not None:
                self._dropped(process, maker, source, reason)

    def _accepted(self, process: Process, maker: Process | None, datagram: bytes, source: Address) -> None:
        node = process.node
        if maker is None:
            # Without keys anybody can ask who is there.
            if node.keys is not None or node.read(datagram).receiver != ANYBODY:
                raise Broken("admission", f"{process.name} took in what no node has sent")
            self._unchanged(process, "a question")
            return
        header = header_of(process, datagram)
        kind = self._outsiders.get(maker.address)
        if kind == "other version":
            raise Broken("admission", f"{process.name} took in a datagram of another version")
        if header.receiver == ANYBODY:
            self._unchanged(process, "a question")
            return
        if header.receiver != node.node_id:
            raise Broken("admission", f"{process.name} took in what {maker.name} sent to another node")
        this = (node.node_id, header.sender, header.number)
        if this in self._taken:
            raise Broken("admission", f"{process.name} took in number {header.number} of {maker.name} twice")
        self._taken.add(this)
        if self._outsiders.get(source) == "twin":
            self._tally["twin taken in"] += 1
            pair = (node.node_id, header.sender)
            if any(isinstance(section, Proof) for section in node.read(datagram).sections):
                # It was cloned with a cookie in its hands that the original had just got.
                self._proved.add(pair)
            if self._knows_home and pair not in self._proved:
                raise Broken(
                    "admission", f"{process.name} listened to the twin of {maker.name}, whose home it knows"
                )

    def _dropped(self, process: Process, maker: Process, source: Address, reason: str) -> None:
        kind = self._outsiders.get(maker.address)
        if kind == "other version":
            right = reason == "version"
        elif reason == "elsewhere":
            # Where a node is at home its register tells. Until that is held, the place at which it was heard
            # first counts, and a stranger that was quicker than the node itself may have chosen that.
            deaf = maker.node.node_id not in process.node.state.replica.nodes
            self._tally["deaf until the register comes"] += deaf and source == maker.address
            right = source != maker.address or kind == "twin" or deaf
        else:
            right = reason in EXPECTED
        if not right:
            raise Broken("datagrams", f"{process.name} refused a datagram of {maker.name}: {reason}")

    def _unchanged(self, process: Process, what: str) -> None:
        if process.node.state.replica.digest != self._digest:
            raise Broken("admission", f"{process.name} dropped a datagram ({what}), and holds something else")
