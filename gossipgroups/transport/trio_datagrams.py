"""A socket of trio's, whatever network it is of: a test's fake one, too.

Law: it behaves as a kernel's does that tells of no closed port: bounded queues, order kept, losses silent.
"""

from __future__ import annotations

import errno
import math
from collections import deque
from contextlib import suppress

import trio

from gossipgroups.ids import Address
from gossipgroups.transport.datagrams import MAX_BATCH, family, numeric

_MAX_READ = 2_048
"""A trio socket may hold a buffer this large for as long as it waits; longer datagrams are cut to it."""


class TrioDatagrams:
    """Datagrams over any bound trio socket, such as those of trio's fake network, which this object owns.

    A trio socket sends and receives by waiting, so two tasks in the nursery wait for it, until this is
    closed or the nursery cancelled. Datagrams leave in the order sent; those sent before `close` still leave.
    Queues hold `MAX_BATCH` datagrams each way and, as a kernel does, drop what comes when they are full.
    """

    stalled = False

    def __init__(self, sock: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        self.address = numeric(sock.getsockname())
        self._socket = sock
        self._closed = False
        self._received: deque[tuple[bytes, Address]] = deque()
        self._readers = trio.lowlevel.ParkingLot()
        self._to_send, self._sending = trio.open_memory_channel[tuple[bytes, Address]](math.inf)
        self._unsent = 0
        nursery.start_soon(self._receive_all)
        nursery.start_soon(self._send_all)

    def receive(self) -> list[tuple[bytes, Address]]:  # noqa: D102
        received = [] if self._closed else list(self._received)
        self._received.clear()
        return received

    def send(self, datagram: bytes, address: Address) -> bool:  # noqa: D102
        if self._closed or self._unsent == MAX_BATCH or family(address) != family(self.address):
            return False
        self._unsent += 1
        self._to_send.send_nowait((datagram, address))
        return True

    def refused(self) -> list[tuple[Address, bytes]]:  # noqa: D102
        return []

    async def readable(self) -> None:  # noqa: D102
        await trio.lowlevel.checkpoint()
        if self._readers:
            raise trio.BusyResourceError("another task waits for datagrams already")
        if not self._received and not self._closed:
            await self._readers.park()
        if self._closed:
            raise trio.ClosedResourceError("the socket was closed")

    def close(self) -> None:  # noqa: D102
        self._closed = True
        self._to_send.close()
        self._readers.unpark_all()
        if not self._unsent:
            self._socket.close()

    async def _receive_all(self) -> None:
        while not self._closed:
            try:
                datagram, source = await self._socket.recvfrom(_MAX_READ)
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if error.errno == errno.EBADF:
                    return
                continue
            if len(self._received) < MAX_BATCH:
                self._received.append((datagram, numeric(source)))
                self._readers.unpark_all()

    async def _send_all(self) -> None:
        try:
            async for datagram, address in self._sending:
                with suppress(OSError):
                    await self._socket.sendto(datagram, address)
                self._unsent -= 1
        finally:
            self._unsent = 0
            self._sending.close()
            self.close()
