"""The header of a datagram: from which node, to which, and the how-manieth of its sender.

Law: a node numbers all that it sends, from 1, and sends no number twice; its id is drawn anew at each start.
So sender and number name one datagram for ever, and the receiver's id names one run of one node: what was
recorded is known again, wherever and whenever it is sent.
"""

from __future__ import annotations

from typing import NamedTuple

from gossipgroups.ids import NODE_ID_BYTES, NodeId
from gossipgroups.wire.messages import Section

NUMBER_BYTES = 6
HEADER_BYTES = 2 * NODE_ID_BYTES + NUMBER_BYTES


class Header(NamedTuple):
    """Who sent it, for whom (`ANYBODY` when the sender knows an address only), and its number."""

    sender: NodeId
    receiver: NodeId
    number: int

    def pack(self) -> bytes:
        """Its bytes on the wire."""
        return pack_header(*self)


class Message(NamedTuple):
    """A datagram that was opened and decoded."""

    sender: NodeId
    receiver: NodeId
    number: int
    sections: list[Section]


def pack_header(sender: NodeId, receiver: NodeId, number: int) -> bytes:
    """The bytes of a header on the wire."""
    return sender + receiver + number.to_bytes(NUMBER_BYTES, "big")


def unpack_header(packed: bytes) -> Header:
    """The header of its bytes."""
    return Header(
        NodeId(packed[:NODE_ID_BYTES]),
        NodeId(packed[NODE_ID_BYTES : 2 * NODE_ID_BYTES]),
        int.from_bytes(packed[2 * NODE_ID_BYTES : HEADER_BYTES], "big"),
    )
