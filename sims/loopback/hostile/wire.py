"""The attacker's sockets: in another network namespace, with a forged source, and listening to the wire.

Law: a socket stays in the namespace in which it was made, whatever thread uses it; ours is never left but by
a thread that ends at once.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gossipgroups.ids import Address

NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3
_ETHERNET = 14
"""Bytes of an Ethernet header; its last two are the type."""
_OUTGOING = 4
"""The kind of a frame that leaves an interface: it was seen already where it entered."""
ROOMY = 8 << 20
"""Bytes asked of the kernel for what a socket has received: nothing that comes back is to be lost."""


class Recorded(NamedTuple):
    """A genuine datagram, and between which addresses it was seen."""

    source: Address
    target: Address
    datagram: bytes


def made_in(namespace: str | None, make: Callable[[], socket.socket]) -> socket.socket:
    """A socket made in a namespace; `None` is our own."""
    if namespace is None:
        return make()
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def work() -> None:
        try:
            with (NAMESPACES / namespace).open() as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"namespace {namespace} cannot be entered")
            made.append(make())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def udp(namespace: str | None, address: Address) -> socket.socket:
    """A UDP socket bound to an address; it does not block."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOMY)
        sock.bind(address)
        sock.setblocking(False)
        return sock

    return made_in(namespace, make)


def raw(namespace: str) -> socket.socket:
    """A socket that sends IPv4 packets as they are given, whatever source they name."""
    return made_in(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))


def listening(namespace: str) -> socket.socket:
    """A socket that hears all frames of all interfaces of a namespace; it does not block."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOMY)
        sock.setblocking(False)
        return sock

    return made_in(namespace, make)


def packet(source: Address, target: Address, datagram: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram in it. No checksum of UDP; the kernel fills in that of IPv4."""
    size = 8 + len(datagram)
    ports = struct.pack("!HHHH", source.port, target.port, size, 0)
    ends = socket.inet_aton(source.host) + socket.inet_aton(target.host)
    return (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, 0, 0, 64, socket.IPPROTO_UDP, 0)
        + ends
        + ports
        + datagram
    )


def heard(sock: socket.socket, deaf_to: str) -> list[Recorded]:
    """The UDP datagrams that came in by any interface but one, since the last call."""
    found: list[Recorded] = []
    while True:
        try:
            frame, (interface, _, kind, *_) = sock.recvfrom(65_535)
        except BlockingIOError:
            return found
        if kind != _OUTGOING and interface.startswith("port") and interface != deaf_to:
            recorded = _unpack(frame[_ETHERNET:]) if frame[12:_ETHERNET] == b"\x08\x00" else None
            if recorded is not None:
                found.append(recorded)


def may_spoof() -> bool:
    """Whether this user may make raw sockets."""
    return os.geteuid() == 0


def _unpack(content: bytes) -> Recorded | None:
    """The UDP datagram in an IPv4 packet that is not a fragment."""
    if len(content) < 28 or content[0] != 0x45 or content[9] != socket.IPPROTO_UDP:
        return None
    if int.from_bytes(content[6:8], "big") & 0x3FFF:
        return None
    source, target, size, _ = struct.unpack("!HHHH", content[20:28])
    hosts = (socket.inet_ntoa(content[12:16]), socket.inet_ntoa(content[16:20]))
    return Recorded(Address(hosts[0], source), Address(hosts[1], target), bytes(content[28 : 20 + size]))
