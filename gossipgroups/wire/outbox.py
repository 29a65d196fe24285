"""What this turn has to send: sections by destination, packed into as few datagrams as hold them.

Law: no datagram is over the limit, whatever was asked for; the room left over in the last one for a live node
is offered to rumours, and no other: the next would only use up their tellings on who has just been told.
"""

from __future__ import annotations

from collections.abc import Callable

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.ids import Address, NodeId
from gossipgroups.wire.codec import ARRAY_BYTES, SENDER_BYTES, pack_message
from gossipgroups.wire.messages import MAX_SECTIONS
from gossipgroups.wire.seal import SEAL_BYTES, Seal

ROOM = DATAGRAM_BYTES - SEAL_BYTES - ARRAY_BYTES - SENDER_BYTES
"""Bytes of sections that one datagram holds, be it sealed."""

Filler = Callable[[int], list[bytes]]
"""Gives packed sections of at most so many bytes together."""


class _Parcel:
    """One datagram in the making."""

    __slots__ = ("room", "sections")

    def __init__(self, room: int) -> None:
        self.sections: list[bytes] = []
        self.room = room


class Outbox:
    """Collects a turn's sections and turns them into sealed datagrams."""

    __slots__ = ("_members", "_parcels", "_room", "_seal", "_sender")

    def __init__(self, sender: NodeId, seal: Seal) -> None:
        self._sender = sender
        self._seal = seal
        self._room = ROOM + SEAL_BYTES - seal.overhead
        self._parcels: dict[Address, list[_Parcel]] = {}
        self._members: set[Address] = set()

    def __contains__(self, address: Address) -> bool:
        return address in self._parcels

    def add(self, address: Address, section: bytes) -> None:
        """Send a packed section to an address this turn."""
        parcels = self._parcels.setdefault(address, [])
        if not parcels or parcels[-1].room < len(section) or len(parcels[-1].sections) >= MAX_SECTIONS - 3:
            parcels.append(_Parcel(self._room))
        parcels[-1].sections.append(section)
        parcels[-1].room -= len(section)

    def open(self, address: Address) -> None:
        """Send at least one datagram to a live node this turn, be it for rumours alone.

        Only such datagrams are filled with rumours: strangers would use up their tellings.
        """
        self._members.add(address)
        if address not in self._parcels:
            self._parcels[address] = [_Parcel(self._room)]

    def drain(self, fill: Filler) -> list[tuple[bytes, Address]]:
        """The turn's datagrams; `fill` is asked once for each live node."""
        datagrams = []
        for address, parcels in self._parcels.items():
            if address in self._members:
                parcels[-1].sections += fill(parcels[-1].room)
            for parcel in parcels:
                if parcel.sections:
                    payload = pack_message(self._sender, parcel.sections)
                    datagrams.append((self._seal.seal(payload), address))
        self._parcels.clear()
        self._members.clear()
        return datagrams
