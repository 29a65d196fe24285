"""A bound UDP socket, as the driver sees it: datagrams in, datagrams out, and whose port is closed.

Law: a datagram is handed over as it came, empty and oversize ones too; what the network does to a datagram
never raises: it is lost, and the protocol lives with loss.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import Protocol

from gossipgroups.ids import Address

MAX_BATCH = 1024
"""Datagrams, or refusals, that one call returns at most: a flood must not keep the timers waiting."""

QUOTED = 64
"""Bytes of a refused datagram that are handed up: its header lies within."""

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes asked of the kernel: what arrives while a process is stopped should wait, not be lost."""


class Datagrams(Protocol):
    """A bound UDP socket, for the tasks of one trio run."""

    @property
    def address(self) -> Address:
        """The local address that is bound; after a bind to port 0, with the port drawn."""

    @property
    def stalled(self) -> bool:
        """Whether the process is held up, and takes no turn: only a simulated network can say so."""

    def receive(self) -> list[tuple[bytes, Address]]:
        """Every datagram that waits, oldest first, with its source; does not block.

        At most `MAX_BATCH`: a full list means that more may wait. Empty once closed.
        """

    def send(self, datagram: bytes, address: Address) -> bool:
        """Send one datagram to a numeric address of the bound family; does not block.

        False when it was not sent: the buffer is full, the address is not reachable, the datagram is longer
        than UDP carries, or this is closed. True promises nothing: datagrams get lost.
        """

    def refused(self) -> list[tuple[Address, bytes]]:
        """The addresses whose port was reported unreachable since the last call, and what was sent there.

        Of that, as many first bytes as the report quotes, `QUOTED` at most. Evidence, not proof: over a
        network it is an ICMP message, which a rejecting firewall sends too and others can forge. At most
        `MAX_BATCH`; always empty where the system does not tell.
        """

    async def readable(self) -> None:
        """Return when `receive` or `refused` may have something; a checkpoint, and cancellable.

        May return for nothing. Raises `trio.ClosedResourceError` when closed, before or while it waits;
        `trio.BusyResourceError` when another task waits already.
        """

    def close(self) -> None:
        """Release the socket and wake a waiting `readable`. Closing twice does nothing."""


@lru_cache(maxsize=4096)
def numeric(sockaddr: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    """The address in a socket's words, without the flow label and scope that IPv6 adds."""
    return Address(sockaddr[0], sockaddr[1])


def family(address: Address) -> socket.AddressFamily:
    """Of IPv4 or of IPv6."""
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET
