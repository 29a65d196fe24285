"""Kinds of hostile input, each made from a generator: same generator, same bytes.

Law: a maker knows the protocol's grammar and nothing about the node that gets its work. `KINDS` is the whole
list; what a stranger could send and what only a holder of the key could is said there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.ids import Address, NodeId
from gossipgroups.registers import MAX_COUNTER, GroupRegister, NodeRegister, PresenceRegister, Register
from gossipgroups.status import Status
from gossipgroups.wire.codec import pack_payload, pack_section
from gossipgroups.wire.messages import (
    COOKIE_BYTES,
    NO_COOKIE,
    Accusation,
    Accusations,
    Ack,
    AskSettling,
    Buckets,
    Cookie,
    Entry,
    Hashes,
    Interval,
    Nack,
    NotMe,
    Ping,
    PingReq,
    Proof,
    Repair,
    Rumours,
    Scope,
    Section,
    Settling,
    Want,
)
from sims.fuzz.corpus import payloads

NAMES = ("g", "h", "a", "member", "x" * 255, "\udcff")
IDS = tuple(NodeId(bytes((number,)) * 8) for number in range(6))
"""Few, so that messages are about the same nodes; the target knows the first ones."""
EDGES = (0, 1, 2, 255, 2**16, 2**32 - 1, MAX_COUNTER - 1, MAX_COUNTER, 2**48, 2**63, 2**64 - 1)

Chance = random.Random


def raw(chance: Chance) -> bytes:
    """Bytes without form, of any size that fits an envelope, and some that do not."""
    return chance.randbytes(chance.choice((0, 1, 9, 30, 100, 400, 1200, DATAGRAM_BYTES, DATAGRAM_BYTES + 1)))


def damaged(chance: Chance) -> bytes:
    """A payload of real traffic with a few bytes changed, cut out or put in, or with another's end."""
    payload = bytearray(chance.choice(payloads()))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(payload) + 1)
        match chance.randrange(4):
            case 0 if at < len(payload):
                payload[at] ^= 1 << chance.randrange(8)
            case 1:
                del payload[at : at + chance.randint(1, 4)]
            case 2:
                payload[at:at] = chance.randbytes(chance.randint(1, 4))
            case _:
                payload[at:] = chance.choice(payloads())[-chance.randint(1, 60) :]
    return bytes(payload)


def nested(chance: Chance) -> bytes:
    """Well-formed msgpack that is no message, or one with fields of the wrong types."""
    sections = [[chance.randrange(18), *_things(chance, 5, 3)] for _ in range(chance.randrange(5))]
    message = sections if chance.random() < 0.9 else _thing(chance, 5)
    packed: bytes = msgpack.packb(message, unicode_errors="surrogateescape")
    return packed


def shaped(chance: Chance) -> bytes:
    """Messages by the grammar, about nodes and groups that the target knows, with odd numbers in them."""
    sections = [_section(chance) for _ in range(chance.randint(1, 4))]
    return pack_payload([pack_section(each) for each in sections])


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of input. `sealed`: its payloads are put into the target's own envelope."""

    make: Callable[[Chance], bytes]
    sealed: bool


KINDS: dict[str, Kind] = {
    "raw bytes": Kind(raw, sealed=False),
    "damaged traffic, sealed": Kind(damaged, sealed=True),
    "nested values, sealed": Kind(nested, sealed=True),
    "shaped messages, sealed": Kind(shaped, sealed=True),
}
"""What a target is given as it is, and what in its envelope, as only a holder of its key could."""


def _number(chance: Chance, limit: int) -> int:
    return min(limit, chance.choice(EDGES) if chance.random() < 0.4 else chance.randrange(8))


def _node_id(chance: Chance) -> NodeId:
    return chance.choice(IDS)


def _register(chance: Chance) -> Register:
    match chance.randrange(3):
        case 0:
            address = Address(f"10.0.0.{chance.randrange(8)}", chance.choice((0, 7946, 65535)))
            return NodeRegister(
                _node_id(chance),
                _number(chance, MAX_COUNTER),
                Status(chance.randrange(4)),
                address,
                chance.choice(NAMES),
                chance.randrange(256),
                chance.choice((b"", b"\x01\x02")),
            )
        case 1:
            return GroupRegister(chance.choice(NAMES), _number(chance, MAX_COUNTER))
        case _:
            return PresenceRegister(
                chance.choice(NAMES),
                chance.choice(NAMES),
                _number(chance, MAX_COUNTER),
                _node_id(chance),
                _number(chance, MAX_COUNTER),
                chance.choice((None, b"", b"\xc0", b"\x81\x01", chance.randbytes(30))),
            )


def _packed(chance: Chance) -> list[bytes]:
    packed = [_register(chance).packed for _ in range(chance.randint(1, 3))]
    if chance.random() < 0.1:
        packed.append(chance.randbytes(12))
    return packed


def _hashes(chance: Chance) -> bytes:
    return chance.randbytes(8 * chance.randrange(12))


def _entries(chance: Chance) -> list[Entry]:
    scopes: tuple[Scope, ...] = (0, 1, *NAMES)
    return [
        Entry(
            chance.choice(scopes),
            _number(chance, MAX_COUNTER),
            chance.choice(EDGES),
            chance.randbytes(chance.choice((0, 1, 2, 300))),
        )
        for _ in range(chance.randint(1, 3))
    ]


def _digest(chance: Chance) -> int:
    return chance.choice(EDGES) if chance.random() < 0.5 else chance.getrandbits(64)


def _u32(chance: Chance) -> int:
    return _number(chance, 2**32 - 1)


def _accusations(chance: Chance) -> Accusations:
    return Accusations(
        [
            Accusation(_node_id(chance), _number(chance, MAX_COUNTER), _node_id(chance), chance.randrange(2))
            for _ in range(chance.randint(1, 3))
        ]
    )


def _repair(chance: Chance) -> Repair:
    registers = _packed(chance)
    ages = [_u32(chance) for _ in registers] if chance.random() < 0.7 else []
    return Repair(registers, ages if chance.random() < 0.9 else [*ages, 1])


def _mask(chance: Chance) -> Buckets:
    mask = chance.choice((0, 1, 2**64 - 1, chance.getrandbits(64)))
    return Buckets(mask, chance.randbytes(8 * (mask.bit_count() if chance.random() < 0.8 else 3)))


def _intervals(chance: Chance) -> list[Interval]:
    bounds = sorted(chance.getrandbits(64) for _ in range(2 * chance.randint(1, 3)))
    if chance.random() < 0.3:
        bounds = [0, 2**64 - 1]
    if chance.random() < 0.1:
        bounds.reverse()
    return [Interval(bounds[at], bounds[at + 1], _hashes(chance)) for at in range(0, len(bounds), 2)]


_SECTIONS: tuple[Callable[[Chance], Section], ...] = (
    lambda chance: Ping(
        _u32(chance),
        _digest(chance),
        _number(chance, MAX_COUNTER),
    ),
    lambda chance: Ack(_u32(chance), _digest(chance)),
    lambda chance: PingReq(_u32(chance), _node_id(chance)),
    lambda chance: Nack(_u32(chance)),
    lambda chance: NotMe(_u32(chance), _node_id(chance)),
    lambda chance: Rumours(_packed(chance)),
    _accusations,
    lambda chance: Settling(_digest(chance), _entries(chance)),
    lambda chance: AskSettling(_digest(chance), _entries(chance)),
    _mask,
    lambda chance: Hashes(_intervals(chance)),
    lambda chance: Want(_hashes(chance)),
    _repair,
    lambda chance: Cookie(_u32(chance), chance.randbytes(COOKIE_BYTES)),
    lambda chance: Proof(chance.choice((NO_COOKIE, chance.randbytes(COOKIE_BYTES)))),
)


def _section(chance: Chance) -> Section:
    return chance.choice(_SECTIONS)(chance)


def _things(chance: Chance, most: int, depth: int) -> list[Any]:
    return [_thing(chance, depth) for _ in range(chance.randrange(most + 1))]


def _thing(chance: Chance, depth: int) -> Any:
    match chance.randrange(8):
        case 0:
            return chance.choice(EDGES)
        case 1:
            return chance.choice((None, True, False, -1, 1.5, float("nan")))
        case 2:
            return chance.randbytes(chance.choice((0, 7, 8, 16, 300)))
        case 3:
            return chance.choice(("", "text", "\udcff"))
        case 4:
            return _register(chance).packed
        case 5:
            return {1: _thing(chance, depth - 1)} if depth else {}
        case 6:
            return chance.choice((msgpack.ExtType(1, b"x"), msgpack.Timestamp(1)))
        case _:
            return _things(chance, 4, depth - 1) if depth else []
