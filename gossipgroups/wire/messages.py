"""The sections of a datagram: every message of the protocol, with its fields in wire order.

Law: a section is a frozen tuple whose fields are checked when it is decoded, so a handler may trust types,
ranges and lengths, and nothing else. `CHECKS` is the whole grammar; `docs/protocol.md` draws it.

    failure detection   A --Ping--> B --Ack--> A
                        A --PingReq--> C --Ping--> B --Ack--> C --Ack (A's number)--> A, or C --Nack--> A
                        A --Ping to another id--> B --NotMe--> A
    introduction        A --Ping to anybody--> B --Cookie--> A --Proof, Ping--> B --Ack--> A
    rumours             Rumours, Accusations: on every datagram, as far as they fit
    settling            A --Settling--> B;  A --AskSettling--> B --Settling--> A
    repair              A --Buckets--> B --Hashes--> A --Want, Repair--> B --Repair--> A
"""

from __future__ import annotations

from collections.abc import Callable
from operator import call
from typing import Any, NamedTuple

from gossipgroups.errors import BadPacket
from gossipgroups.ids import MAX_NAME, NODE_ID_BYTES, NodeId, decode_name, encode_name
from gossipgroups.registers import MAX_COUNTER

MAX_LIVE = 8 * 1024
"""Nodes in one cluster that the bitmap of a settling entry has room for: 1,024 bytes."""
MAX_SECTIONS = 24
MAX_ENTRIES = 64
"""Items in one section: more do not fit a datagram of 1,400 bytes usefully."""

COOKIE_BYTES = 8
NO_COOKIE = bytes(COOKIE_BYTES)
"""Sent by who has none yet: it makes room for the answer, which is no larger than what it answers."""

SILENT, REFUSED = 0, 1
"""What an accuser saw: no answer, or the kernel's word that the port is closed."""

ROOT, WHOLE = 0, 1
"""Scopes that settle besides the groups: live set with all epochs, and everything at once."""
Scope = int | str
"""`ROOT`, `WHOLE`, or a group's name."""


class Ping(NamedTuple):
    """Are you there? `clock` is the sender's probe clock in 1/256 periods, `digest` its replica's."""

    number: int
    digest: int
    clock: int


class Ack(NamedTuple):
    """The answer to the ping of this number."""

    number: int
    digest: int


class PingReq(NamedTuple):
    """Ping `target` for me, at the address that you hold it under."""

    number: int
    target: NodeId


class Nack(NamedTuple):
    """I asked for you and have no ack yet; but I am there (Lifeguard, section IV.A)."""

    number: int


class NotMe(NamedTuple):
    """The ping of this number was for `target`, and has reached me, another node."""

    number: int
    target: NodeId


class Rumours(NamedTuple):
    """Registers, each in its one encoding."""

    registers: list[bytes]


class Accusation(NamedTuple):
    """`accuser` probed `subject` at this incarnation without success."""

    subject: NodeId
    incarnation: int
    accuser: NodeId
    evidence: int


class Accusations(NamedTuple):
    """Who suspects whom, and on what evidence."""

    accusations: list[Accusation]


class Entry(NamedTuple):
    """One scope that is settling: `bits` over the sorted live ids names those that held `digest`."""

    scope: Scope
    stamp: int
    digest: int
    bits: bytes


class Settling(NamedTuple):
    """Who holds which view; `live` is the digest of the live set that makes the bits readable."""

    live: int
    entries: list[Entry]


class AskSettling(NamedTuple):
    """The same, and tell me what you hold."""

    live: int
    entries: list[Entry]


class Buckets(NamedTuple):
    """The sender's non-empty buckets: a mask, and 8 bytes for each bit set."""

    mask: int
    digests: bytes


class Interval(NamedTuple):
    """The sender holds exactly these hashes (8 bytes each) from `first` to `last`."""

    first: int
    last: int
    hashes: bytes


class Hashes(NamedTuple):
    """What the sender holds in the intervals in which we differ."""

    intervals: list[Interval]


class Want(NamedTuple):
    """Send me the registers of these hashes (8 bytes each)."""

    hashes: bytes


class Repair(NamedTuple):
    """Registers that the receiver lacked, and for how many seconds each is a tombstone (or no ages)."""

    registers: list[bytes]
    ages: list[int]


class Cookie(NamedTuple):
    """Who you are is not proved: send this back, from where it reached you. `number` is that of your ping."""

    number: int
    cookie: bytes


class Proof(NamedTuple):
    """The cookie that you gave me, or `NO_COOKIE`."""

    cookie: bytes


Section = (
    Ping
    | Ack
    | PingReq
    | Nack
    | NotMe
    | Rumours
    | Accusations
    | Settling
    | AskSettling
    | Buckets
    | Hashes
    | Want
    | Repair
    | Cookie
    | Proof
)

Check = Callable[[Any], Any]


_make = tuple.__new__
"""Makes a named tuple of values that are checked: at half the cost of its own constructor."""


def _integer(limit: int) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int or not 0 <= value <= limit:
            raise BadPacket("integer")
        return value

    return check


def _octets(*lengths: int, limit: int = -1, unit: int = 1) -> Check:
    def check(value: Any) -> bytes:
        if type(value) is not bytes:
            raise BadPacket("bytes")
        size = len(value)
        if size not in lengths and (size > limit or size % unit):
            raise BadPacket("length")
        return value

    return check


def _items(item: Check) -> Check:
    def check(value: Any) -> list[Any]:
        if type(value) is not list or len(value) > MAX_ENTRIES:
            raise BadPacket("list")
        return list(map(item, value))

    return check


def _tuple(shape: Any, *checks: Check) -> Check:
    size = len(checks)

    def check(value: Any) -> Any:
        if type(value) is not list or len(value) != size:
            raise BadPacket("fields")
        return _make(shape, map(call, checks, value))

    return check


def _scope(value: Any) -> Scope:
    if type(value) is bytes and 1 <= len(value) <= MAX_NAME:
        return decode_name(value)
    if value is ROOT or value is WHOLE:
        return int(value)
    raise BadPacket("scope")


_u32 = _integer(2**32 - 1)
_u64 = _integer(2**64 - 1)
_counter = _integer(MAX_COUNTER)
_node = _octets(NODE_ID_BYTES)
_register = _octets(limit=1200)
_cookie = _octets(COOKIE_BYTES)
_entry = _tuple(Entry, _scope, _counter, _u64, _octets(limit=MAX_LIVE // 8))
_accusation = _tuple(Accusation, _node, _counter, _node, _integer(REFUSED))
_interval = _tuple(Interval, _u64, _u64, _octets(limit=1200, unit=8))

CHECKS: dict[int, Check] = {
    1: _tuple(Ping, _u32, _u64, _counter),
    2: _tuple(Ack, _u32, _u64),
    3: _tuple(PingReq, _u32, _node),
    4: _tuple(Nack, _u32),
    5: _tuple(NotMe, _u32, _node),
    6: _tuple(Rumours, _items(_register)),
    7: _tuple(Accusations, _items(_accusation)),
    8: _tuple(Settling, _u64, _items(_entry)),
    9: _tuple(AskSettling, _u64, _items(_entry)),
    10: _tuple(Buckets, _u64, _octets(limit=512, unit=8)),
    11: _tuple(Hashes, _items(_interval)),
    12: _tuple(Want, _octets(limit=1200, unit=8)),
    13: _tuple(Repair, _items(_register), _items(_u32)),
    14: _tuple(Cookie, _u32, _cookie),
    15: _tuple(Proof, _cookie),
}
"""The grammar: section kind -> the check that turns its untrusted fields into a section."""

KINDS: dict[type[Any], int] = {
    Ping: 1,
    Ack: 2,
    PingReq: 3,
    Nack: 4,
    NotMe: 5,
    Rumours: 6,
    Accusations: 7,
    Settling: 8,
    AskSettling: 9,
    Buckets: 10,
    Hashes: 11,
    Want: 12,
    Repair: 13,
    Cookie: 14,
    Proof: 15,
}


def entry_fields(entry: Entry) -> tuple[Any, ...]:
    """An entry as it is packed: a group's name as bytes."""
    scope = entry.scope
    return (encode_name(scope) if isinstance(scope, str) else scope, *entry[1:])
