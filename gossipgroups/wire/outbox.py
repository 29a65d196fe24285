"""What this turn has to send: sections by destination, packed into as few datagrams as hold them.

Law: no datagram is over the limit, whatever was asked for; the room left over in the last one for a live node
is offered to rumours, and no other: the next would only use up their tellings on who has just been told. A
peer that is limited is answered with no more bytes than it has sent, and asked to prove itself for more.
"""

from __future__ import annotations

from collections.abc import Callable

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.ids import Address, NodeId, Peer
from gossipgroups.wire.codec import ARRAY_BYTES, pack_payload
from gossipgroups.wire.header import pack_header
from gossipgroups.wire.messages import MAX_SECTIONS
from gossipgroups.wire.seal import SEAL_BYTES, Seal

SHORT_ARRAY, ARRAY_GROWTH = 15, 2
"""Sections after which one more makes the array's own head longer, by so many bytes."""
ROOM = DATAGRAM_BYTES - SEAL_BYTES - ARRAY_BYTES
"""Bytes of sections that one datagram holds, be it sealed."""

Filler = Callable[[int], list[bytes]]
"""Gives packed sections of at most so many bytes together."""
Ask = Callable[[Peer], bytes]
"""Gives the packed section that asks a peer to prove itself."""


class _Parcel:
    """One datagram in the making."""

    __slots__ = ("room", "sections")

    def __init__(self, room: int) -> None:
        self.sections: list[bytes] = []
        self.room = room

    def has_room(self, section: bytes) -> bool:
        """Whether a section fits in; a few places are kept for rumours."""
        return self.room >= len(section) and len(self.sections) < MAX_SECTIONS - 3


class Outbox:
    """Collects a turn's sections and turns them into sealed datagrams, numbered from 1."""

    __slots__ = ("_limits", "_members", "_number", "_parcels", "_room", "_seal", "_sender", "_short")

    def __init__(self, sender: NodeId, seal: Seal) -> None:
        self._sender = sender
        self._seal = seal
        self._room = ROOM + SEAL_BYTES - seal.overhead
        self._number = 0
        self._parcels: dict[Peer, list[_Parcel]] = {}
        self._members: set[Peer] = set()
        self._limits: dict[Peer, int] = {}
        self._short: dict[Peer, None] = {}

    def __contains__(self, peer: Peer) -> bool:
        return peer in self._parcels

    @property
    def number(self) -> int:
        """That of the datagram that was sent last; 0 for none."""
        return self._number

    def add(self, peer: Peer, section: bytes) -> None:
        """Send a packed section to a peer this turn."""
        parcels = self._parcels.get(peer)
        if parcels is None:
            parcels = self._parcels[peer] = [_Parcel(self._room)]
        elif not parcels[-1].has_room(section):
            parcels.append(_Parcel(self._room))
        parcel = parcels[-1]
        parcel.sections.append(section)
        parcel.room -= len(section)

    def size_of(self, section: bytes) -> int:
        """Bytes of a datagram that holds this section alone."""
        return self._seal.overhead + 1 + len(section)

    def answer(self, peer: Peer, section: bytes) -> bool:
        """Send a section to a peer because of what it has sent; whether its limit allows that."""
        left = self._limits.get(peer)
        if left is not None:
            parcels = self._parcels.get(peer)
            if parcels is None or not parcels[-1].has_room(section):
                left -= self.size_of(section)
            else:
                left -= len(section) + ARRAY_GROWTH * (len(parcels[-1].sections) == SHORT_ARRAY)
            if left < 0:
                self._short[peer] = None
                return False
            self._limits[peer] = left
        self.add(peer, section)
        return True

    def open(self, peer: Peer) -> None:
        """Send at least one datagram to a live node this turn, be it for rumours alone.

        Only such datagrams are filled with rumours: strangers would use up their tellings.
        """
        self._members.add(peer)
        if peer not in self._parcels:
            self._parcels[peer] = [_Parcel(self._room)]

    def limit(self, peer: Peer, size: int) -> None:
        """A peer that has not proved itself has sent so many bytes: answers have no more this turn."""
        self._limits[peer] = self._limits.get(peer, 0) + size

    def unlimit(self, peer: Peer) -> None:
        """The peer has proved itself."""
        self._limits.pop(peer, None)
        self._short.pop(peer, None)

    def limited(self, peer: Peer) -> bool:
        """Whether answers to a peer are limited this turn."""
        return peer in self._limits

    def withholds(self, peer: Peer) -> bool:
        """Whether a peer must prove itself before it is worth making a large answer; if so it is asked to."""
        if peer in self._limits:
            self._short[peer] = None
        return peer in self._limits

    def drain(self, fill: Filler, ask: Ask) -> list[tuple[bytes, Address]]:
        """The turn's datagrams; `fill` is asked once for each live node, `ask` for peers at their limit."""
        for peer in list(self._short):
            self.answer(peer, ask(peer))
        datagrams = []
        for peer, parcels in self._parcels.items():
            if peer in self._members:
                parcels[-1].sections += fill(parcels[-1].room)
            for parcel in parcels:
                if parcel.sections:
                    self._number += 1
                    header = pack_header(self._sender, peer.node_id, self._number)
                    datagrams.append((self._seal.seal(header, pack_payload(parcel.sections)), peer.address))
        self._parcels.clear()
        self._members.clear()
        self._limits.clear()
        self._short.clear()
        return datagrams
