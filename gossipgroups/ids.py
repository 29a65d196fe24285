"""Names and places: node ids, addresses, and the text of group and member ids.

Law: a name is a `str` inside and UTF-8 (surrogateescape) outside, 1 to `MAX_NAME` bytes; an address has
exactly one packed form, so equal addresses have equal bytes.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple, NewType, Protocol

from gossipgroups.errors import InvalidValue, LimitExceeded

NodeId = NewType("NodeId", bytes)
"""Eight random bytes drawn when a coordinator starts: a restart is a new node."""

NODE_ID_BYTES = 8
ANYBODY = NodeId(bytes(NODE_ID_BYTES))
"""Stands for the receiver of a datagram to an address whose node is not known: nobody has this id."""
MAX_NAME = 255
"""Bytes of UTF-8 in a group id, member id or node name: a register must fit one datagram."""


class Random(Protocol):
    """The part of `random.Random` that the protocol draws from; always passed in."""

    def random(self) -> float: ...
    def randrange(self, start: int, stop: int | None = None, /) -> int: ...
    def randbytes(self, n: int, /) -> bytes: ...
    def shuffle(self, x: list[NodeId], /) -> None: ...


class Address(NamedTuple):
    """A UDP address: a numeric IPv4 or IPv6 host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Peer(NamedTuple):
    """Where a datagram goes: to a node, at an address."""

    node_id: NodeId
    address: Address


@lru_cache(maxsize=4096)
def pack_address(address: Address) -> bytes:
    """The 6 (IPv4) or 18 (IPv6) bytes of an address: host, then port, big-endian.

    Raises `InvalidValue` when the host is not numeric or the port not in 0 … 65535.
    """
    host, port = address
    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        raise InvalidValue(f"address {host!r} is not a numeric IP address") from None
    if not 0 <= port <= 0xFFFF:
        raise InvalidValue(f"port {port} is not in 0 … 65535")
    return packed + port.to_bytes(2, "big")


@lru_cache(maxsize=4096)
def unpack_address(packed: bytes) -> Address:
    """The address of its 6 or 18 packed bytes. Raises `InvalidValue` on any other length."""
    if len(packed) not in (6, 18):
        raise InvalidValue(f"an address has 6 or 18 bytes, not {len(packed)}")
    return Address(ipaddress.ip_address(packed[:-2]).compressed, int.from_bytes(packed[-2:], "big"))


def encode_name(name: str) -> bytes:
    """The bytes of a name on the wire."""
    return name.encode("utf-8", "surrogateescape")


def decode_name(packed: bytes) -> str:
    """The name of its bytes on the wire; every byte string has exactly one."""
    return packed.decode("utf-8", "surrogateescape")


def check_name(what: str, value: str | bytes) -> str:
    """A group id, member id or cluster name as given by the application, as `str`.

    Raises `InvalidValue` when it is neither `str` nor `bytes` or is empty, `LimitExceeded` over `MAX_NAME`
    bytes.
    """
    if isinstance(value, bytes):
        value = decode_name(value)
    if not isinstance(value, str):
        raise InvalidValue(f"{what} must be str or bytes, not {type(value).__name__}")
    try:
        encoded = encode_name(value)
    except UnicodeEncodeError:
        raise InvalidValue(f"{what} {value!r} cannot be encoded as UTF-8") from None
    if not encoded:
        raise InvalidValue(f"{what} is empty: use 1 to {MAX_NAME} bytes")
    if len(encoded) > MAX_NAME:
        raise LimitExceeded(what, len(encoded), MAX_NAME)
    return decode_name(encoded)
