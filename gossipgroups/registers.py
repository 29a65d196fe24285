"""The replicated values: three kinds of register, each with its total order and its bytes.

Law: a register is frozen, one register has exactly one encoding, and of two registers of one key the
higher `rank` wins. Merge is `max`, so it is commutative, associative and idempotent, and any subset may be
lost, repeated or reordered. A register is its own delta.

    node      id              -> (incarnation, status)   written by the node; status also by its accusers
    group     name            -> epoch                   causal length, odd = exists (Yu & Rostad, PaPoC 2020)
    presence  group, member   -> (epoch, clock, node id) capabilities, or none when the member has left

A presence of a later epoch wins whatever its clock: the earlier one is void since the group was deleted.

The encoding ends each rank, so that even registers that break the rule "one writer per rank" merge alike
everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any, ClassVar

import msgpack

from gossipgroups.errors import BadPacket, InvalidValue, LimitExceeded
from gossipgroups.ids import (
    ANYBODY,
    MAX_NAME,
    NODE_ID_BYTES,
    Address,
    NodeId,
    Peer,
    decode_name,
    encode_name,
    pack_address,
    unpack_address,
)
from gossipgroups.keys import KEY_ID_BYTES, MAX_KEYS
from gossipgroups.status import Status

MAX_COUNTER = 2**48 - 1
"""Largest incarnation, epoch or clock: 280 million million changes, and one below it leaves no room to
wrap."""
MAX_CAPABILITIES = 512
"""Bytes of encoded capabilities: with two names of 255 bytes a presence still fits one datagram."""
PROTOCOLS = 0x11
"""Wire versions spoken: lowest in the high four bits, highest in the low four."""
REGISTER_CACHE = 16_384
"""Decoded registers kept by their bytes: equal registers of all nodes in a process are one object."""

_KEY_IDS_SIZES = range(KEY_ID_BYTES, KEY_ID_BYTES * MAX_KEYS + 1, KEY_ID_BYTES)

_pack = msgpack.Packer(autoreset=True).pack


def hash_bytes(data: bytes) -> int:
    """The 64-bit hash that digests are made of (BLAKE2b), equal on every machine."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True, eq=False)
class _Register:
    packed: bytes = field(init=False, repr=False)
    hash: int = field(init=False, repr=False)

    def _seal(self, *fields: Any) -> None:
        packed = _pack(fields)
        object.__setattr__(self, "packed", packed)
        object.__setattr__(self, "hash", hash_bytes(packed))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Register) and self.packed == other.packed

    def __hash__(self) -> int:
        return self.hash


@dataclass(frozen=True, slots=True, eq=False)
class NodeRegister(_Register):
    """What is held of one node: 30 bytes and its name, with keys 4 to 18 more."""

    KIND: ClassVar[int] = 0
    node_id: NodeId
    incarnation: int
    status: Status
    address: Address
    name: str
    protocols: int = PROTOCOLS
    key_ids: bytes = b""
    """Ids of the keys that the node holds, that of the one that it seals with first; empty without keys."""
    peer: Peer = field(init=False, repr=False)
    """Where datagrams for the node go."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "peer", Peer(self.node_id, self.address))
        self._seal(
            self.KIND,
            self.node_id,
            self.incarnation,
            int(self.status),
            pack_address(self.address),
            encode_name(self.name),
            self.protocols,
            *((self.key_ids,) if self.key_ids else ()),
        )

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.KIND, self.node_id)

    @property
    def rank(self) -> tuple[int, int, bytes]:
        return (self.incarnation, self.status, self.packed)

    def become(
        self, status: Status, incarnation: int | None = None, *, key_ids: bytes | None = None
    ) -> NodeRegister:
        """The same node at another status, and at another incarnation or with other keys when given."""
        return NodeRegister(
            self.node_id,
            self.incarnation if incarnation is None else incarnation,
            status,
            self.address,
            self.name,
            self.protocols,
            self.key_ids if key_ids is None else key_ids,
        )


@dataclass(frozen=True, slots=True, eq=False)
class GroupRegister(_Register):
    """Whether a group exists, and how often that has changed."""

    KIND: ClassVar[int] = 1
    group: str
    epoch: int

    def __post_init__(self) -> None:
        self._seal(self.KIND, encode_name(self.group), self.epoch)

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.KIND, self.group)

    @property
    def rank(self) -> tuple[int, bytes]:
        return (self.epoch, self.packed)


@dataclass(frozen=True, slots=True, eq=False)
class PresenceRegister(_Register):
    """A member's record in a group: the node it lives on, and its capabilities or `None` after a leave."""

    KIND: ClassVar[int] = 2
    group: str
    member: str
    clock: int
    node_id: NodeId
    epoch: int
    capabilities: bytes | None

    def __post_init__(self) -> None:
        self._seal(
            self.KIND,
            encode_name(self.group),
            encode_name(self.member),
            self.clock,
            self.node_id,
            self.epoch,
            self.capabilities,
        )

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.KIND, self.group, self.member)

    @property
    def rank(self) -> tuple[int, int, bytes, bytes]:
        return (self.epoch, self.clock, self.node_id, self.packed)


Register = NodeRegister | GroupRegister | PresenceRegister


def successor(counter: int, what: str) -> int:
    """The next value of a counter. Raises `LimitExceeded` rather than make one that others refuse."""
    if counter >= MAX_COUNTER:
        raise LimitExceeded(what, counter + 1, MAX_COUNTER, "changes")
    return counter + 1


def encode_capabilities(capabilities: object) -> bytes:
    """Capabilities as kept in a presence. `None` counts as given: a member may have none.

    Raises `InvalidValue` when msgpack cannot encode them, `LimitExceeded` over `MAX_CAPABILITIES` bytes.
    """
    try:
        packed: bytes = msgpack.packb(capabilities)
        msgpack.unpackb(packed, strict_map_key=False)  # a tuple as a key is packed, but not read back
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(
            f"capabilities {capabilities!r} cannot be encoded ({error}): use numbers, strings, bytes, "
            "lists and dicts"
        ) from None
    if len(packed) > MAX_CAPABILITIES:
        raise LimitExceeded("capabilities", len(packed), MAX_CAPABILITIES)
    return packed


def decode_capabilities(packed_untrusted: bytes) -> Any:
    """The capabilities of a presence, a fresh object each time; undecodable bytes come back as they are."""
    try:
        return msgpack.unpackb(packed_untrusted, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException):
        return packed_untrusted


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_COUNTER:
        raise BadPacket("register counter")
    return value


def _node_id(value: object) -> NodeId:
    if type(value) is not bytes or len(value) != NODE_ID_BYTES:
        raise BadPacket("register node id")
    return NodeId(value)


def _name(value: object) -> str:
    if type(value) is not bytes or not 1 <= len(value) <= MAX_NAME:
        raise BadPacket("register name")
    return decode_name(value)


def _status(value: object) -> Status:
    if type(value) is not int or not 0 <= value <= Status.LEFT:
        raise BadPacket("register status")
    return Status(value)


def _address(value: object) -> Address:
    if type(value) is not bytes or len(value) not in (6, 18):
        raise BadPacket("register address")
    return unpack_address(value)


def _protocols(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 0xFF:
        raise BadPacket("register protocols")
    return value


def _key_ids(value: object) -> bytes:
    if type(value) is not bytes or len(value) not in _KEY_IDS_SIZES:
        raise BadPacket("register keys")
    return value


def _somebody(value: object) -> NodeId:
    node_id = _node_id(value)
    if node_id == ANYBODY:
        raise BadPacket("register node id")
    return node_id


def _capabilities(value: object) -> bytes | None:
    if value is not None and (type(value) is not bytes or len(value) > MAX_CAPABILITIES):
        raise BadPacket("register capabilities")
    return value


_SHAPES: dict[int, tuple[Any, tuple[Any, ...]]] = {
    NodeRegister.KIND: (
        NodeRegister,
        (_somebody, _count, _status, _address, _name, _protocols, _key_ids),
    ),
    GroupRegister.KIND: (GroupRegister, (_name, _count)),
    PresenceRegister.KIND: (
        PresenceRegister,
        (_name, _name, _count, _node_id, _count, _capabilities),
    ),
}


@lru_cache(maxsize=REGISTER_CACHE)
def decode_register(packed_untrusted: bytes) -> Register | None:
    """The register of its bytes; `None` for a kind that only a later version knows.

    Raises `BadPacket` unless they are exactly its one encoding.
    """
    try:
        values = msgpack.unpackb(packed_untrusted, raw=False, max_map_len=0, max_str_len=0, max_ext_len=0)
    except (ValueError, TypeError, msgpack.UnpackException):
        raise BadPacket("register encoding") from None
    if type(values) is not list or not values or type(values[0]) is not int:
        raise BadPacket("register shape")
    if values[0] not in _SHAPES:
        return None
    shape, checks = _SHAPES[values[0]]
    least = len(checks) - (shape is NodeRegister)  # without keys nothing stands for them
    if not least < len(values) <= len(checks) + 1:
        raise BadPacket("register shape")
    register: Register = shape(*(check(value) for check, value in zip(checks, values[1:], strict=False)))
    if register.packed != packed_untrusted:
        raise BadPacket("register not canonical")
    return register
