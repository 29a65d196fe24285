"""What a stranger writes: garbage, broken datagrams, and questions that keep to the protocol.

Law: nothing here needs more than a stranger has: the cluster's name and the ids that nodes give themselves.
Where there are keys he seals with another one, also under the id of the right one, or not at all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.ids import NODE_ID_BYTES, Address, NodeId
from gossipgroups.keys import KEY_ID_BYTES, Key, KeyRing
from gossipgroups.registers import NodeRegister
from gossipgroups.status import Status
from gossipgroups.wire.codec import pack_payload, pack_section
from gossipgroups.wire.header import Header
from gossipgroups.wire.messages import (
    COOKIE_BYTES,
    NO_COOKIE,
    REFUSED,
    ROOT,
    Accusation,
    Accusations,
    Ack,
    AskSettling,
    Buckets,
    Entry,
    Hashes,
    Interval,
    Ping,
    PingReq,
    Proof,
    Repair,
    Rumours,
    Section,
    Want,
)
from gossipgroups.wire.seal import make_seal

LARGEST = 65_507
"""Bytes of the largest datagram that UDP over IPv4 carries."""
MANY = 20
"""Sections of one kind in one datagram."""
ALL = 2**64 - 1


class Pen:
    """Writes the datagrams of one stranger."""

    def __init__(self, cluster: str, key: Key | None, chance: random.Random) -> None:
        self._key = key
        self._chance = chance
        self._plain = make_seal(cluster, None, os.urandom)
        self._seal = (
            self._plain
            if key is None
            else make_seal(cluster, KeyRing([Key.generate(os.urandom)]), os.urandom)
        )
        self._number = 0
        self.node_id = NodeId(os.urandom(NODE_ID_BYTES))

    def write(self, receiver: NodeId, sections: Sequence[Section]) -> bytes:
        """A datagram for a node."""
        self._number += 1
        header = Header(self.node_id, receiver, self._number).pack()
        payload = pack_payload([pack_section(section) for section in sections])
        if self._key is None:
            return self._seal.seal(header, payload)
        way = self._chance.randrange(3)
        datagram = (self._plain if way == 0 else self._seal).seal(header, payload)
        return datagram if way < 2 else datagram[:1] + self._key.packed_id + datagram[1 + KEY_ID_BYTES :]

    def misshapen(self, receiver: NodeId) -> bytes:
        """A datagram of a size, a version or a payload that nobody takes."""
        chance = self._chance
        good = self.write(receiver, [Ping(chance.getrandbits(32), 0, 0)])
        return chance.choice(
            (
                b"",
                bytes((chance.randrange(256),)),
                good[: chance.randrange(1, len(good))],
                good + bytes(1 + DATAGRAM_BYTES - len(good)),
                good + bytes(8000),
                chance.randbytes(LARGEST),
                bytes((chance.choice((0, 3, 255)),)) + good[1:],
                good + b"\x00",
                good[:1] + bytes(8) + good[9:],
            )
        )

    def repair(self) -> list[Section]:
        """A request for repair, well-formed as a datagram if not always as a request."""
        chance = self._chance
        some = chance.randbytes(8 * 100)
        overlapping = [Interval(0, ALL, b"")] * MANY
        request: Section = chance.choice(
            (
                Buckets(0, b""),
                Buckets(ALL, some[: 8 * 64]),
                Buckets(3, some[:8]),
                Hashes([Interval(0, ALL, b"")]),
                Hashes([Interval(0, ALL, some)]),
                Hashes(overlapping),
                Want(some),
                Want(b""),
            )
        )
        return chance.choice(([request], [Ping(chance.getrandbits(32), 0, 0), request]))

    def question(self, own: Address, others: Sequence[NodeId], foreign_cookie: bytes) -> list[Section]:
        """A question whose answer could be larger than itself; `own` is the address of its register."""
        chance = self._chance
        number = chance.getrandbits(32)
        ping = Ping(number, chance.getrandbits(64), 0)
        register = NodeRegister(self.node_id, 0, Status.ALIVE, own, "s").packed
        proof = Proof(chance.choice((NO_COOKIE, chance.randbytes(COOKIE_BYTES), foreign_cookie)))
        ask = AskSettling(0, [Entry(ROOT, 0, 0, b"")])
        charges = Accusations([Accusation(each, 0, self.node_id, REFUSED) for each in others])
        questions: tuple[list[Section], ...] = (
            [Ping(1, 0, 0)],
            [Ping(number, 0, 0)],
            [ping],
            [proof, ping],
            [ping] * MANY,
            [Buckets(0, b"")],
            [ping, Buckets(0, b"")],
            [proof, ping, Buckets(0, b""), Rumours([register])],
            [Rumours([register]), Buckets(0, b"")],
            [Repair([register], []), ping],
            [ask],
            [ping, ask],
            [ask] * MANY,
            [Want(chance.randbytes(8 * 100))],
            [ping, Hashes([Interval(0, ALL, b"")])],
            [Ack(number, chance.getrandbits(64)), Buckets(0, b"")],
            [charges, ping],
            [PingReq(number, other) for other in others],
        )
        return chance.choice(questions)


def flood_of(size: int, key: Key | None, chance: random.Random) -> bytes:
    """A datagram of random bytes, behind the head of a real one, that no node can open."""
    heads = [b"\x01", b"\x02", b"\x03", b""] + ([] if key is None else [b"\x02" + key.packed_id])
    head = chance.choice(heads)
    return (head + chance.randbytes(size))[:size]
