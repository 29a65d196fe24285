"""UDP sockets: datagrams in, datagrams out, and the kernel's word that nobody listens at an address.

Law: no other file touches a UDP socket. A datagram is handed over as it came, empty and oversize ones too;
what the network does to a datagram never raises: it is lost, and the protocol lives with loss.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import struct
import sys
from collections import deque
from contextlib import suppress
from functools import lru_cache
from typing import Protocol
from weakref import WeakSet

import trio

from gossipgroups.ids import Address, pack_address

MAX_BATCH = 1024
"""Datagrams, or refusals, that one call returns at most: a flood must not keep the timers waiting."""

QUOTED = 64
"""Bytes of a refused datagram that are handed up: its header lies within."""

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes asked of the kernel: what arrives while a process is stopped should wait, not be lost."""

_MAX_READ = 65_535
"""No UDP datagram is longer. Reading it whole costs no more than cutting it, which Windows calls an error."""
_MAX_FAKE_READ = 2_048
"""A trio socket may hold a buffer this large for as long as it waits; longer datagrams are cut to it."""
_SEND_TRIES = 3

# From linux/in.h, linux/in6.h and linux/errqueue.h; the socket module does not name them before 3.14.
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # errno, origin, type, code, pad, info, data
_ORIGIN_ICMP = 2
_ORIGIN_ICMP6 = 3
_ERROR_MESSAGES = ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR))
_ERROR_SPACE = 256  # an extended error and an IPv6 address take 64 bytes with their header


_kernel_sockets: WeakSet[socket.socket] = WeakSet()


def _close_in_child() -> None:
    # A forked child that kept the port open would hide its parent's death: nothing would be refused, and
    # nobody could bind the port again.
    for sock in list(_kernel_sockets):
        sock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


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


class KernelDatagrams:
    """Datagrams over a bound socket of the operating system, which this object owns from now on.

    On Linux the kernel's error queue is read, which tells who refused; elsewhere `refused` is empty.
    """

    stalled = False

    def __init__(self, sock: socket.socket, receive_buffer: int = RECEIVE_BUFFER) -> None:
        sock.setblocking(False)
        self.address = _address(sock.getsockname())
        self._socket = sock
        self._hears_refusals = _hear_refusals(sock)
        _kernel_sockets.add(sock)
        self._errors_wait = False
        self.descriptor = sock.fileno()
        """What to wait for, in place of `readable`, while this is open."""
        self.woken = False
        """Whether the kernel has said, since the last `receive`, that something waits."""
        _ask_receive_buffer(sock, receive_buffer)

    def receive(self) -> list[tuple[bytes, Address]]:  # noqa: D102
        received = []
        recvfrom = self._socket.recvfrom
        for _ in range(MAX_BATCH):
            try:
                datagram, source = recvfrom(_MAX_READ)
            except BlockingIOError:
                break
            except OSError:
                # Not about a datagram that came, but about one that was sent: there may be more to read.
                # Windows says ECONNRESET, and does not say about whom.
                if self._socket.fileno() < 0:
                    break
                self._errors_wait = self._hears_refusals
            else:
                received.append((datagram, _address(source)))
        if self.woken and not received:
            # Something woke us, so it was an error. Left in its queue it would wake us forever.
            self._errors_wait = self._hears_refusals
        self.woken = False
        return received

    def send(self, datagram: bytes, address: Address) -> bool:  # noqa: D102
        for _ in range(_SEND_TRIES):
            try:
                self._socket.sendto(datagram, address)
            except BlockingIOError:
                return False
            except OSError:
                # Most likely an earlier datagram's refusal, told to whoever calls next: not to be paid for
                # by this one. Asking again clears it; what is wrong with this datagram stays wrong.
                self._errors_wait = self._hears_refusals
            else:
                return True
        return False

    def refused(self) -> list[tuple[Address, bytes]]:  # noqa: D102
        if not self._errors_wait:
            return []
        refused = []
        for _ in range(MAX_BATCH):
            try:
                quoted, ancillary, _, destination = self._socket.recvmsg(
                    QUOTED, _ERROR_SPACE, socket.MSG_ERRQUEUE
                )
            except OSError:  # the queue is empty
                self._errors_wait = False
                break
            if any(map(_is_refusal, ancillary)):
                refused.append((_address(destination), quoted))
        return refused

    async def readable(self) -> None:  # noqa: D102
        descriptor = self._socket.fileno()
        if descriptor < 0:
            raise trio.ClosedResourceError("the socket was closed")
        await trio.lowlevel.wait_readable(descriptor)
        self.woken = True

    def close(self) -> None:  # noqa: D102
        descriptor = self._socket.fileno()
        if descriptor >= 0:
            trio.lowlevel.notify_closing(descriptor)
            self._socket.close()


class TrioDatagrams:
    """Datagrams over any bound trio socket, such as those of trio's fake network, which this object owns.

    A trio socket sends and receives by waiting, so two tasks in the nursery wait for it, until this is
    closed or the nursery cancelled. Datagrams leave in the order sent; those sent before `close` still leave.
    Queues hold `MAX_BATCH` datagrams each way and, as a kernel does, drop what comes when they are full.
    """

    stalled = False

    def __init__(self, sock: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        self.address = _address(sock.getsockname())
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
        if self._closed or self._unsent == MAX_BATCH or _family(address) != _family(self.address):
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
                datagram, source = await self._socket.recvfrom(_MAX_FAKE_READ)
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if error.errno == errno.EBADF:
                    return
                continue
            if len(self._received) < MAX_BATCH:
                self._received.append((datagram, _address(source)))
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


async def open_datagrams(
    bind: Address, nursery: trio.Nursery, receive_buffer: int = RECEIVE_BUFFER
) -> Datagrams:
    """Bind a UDP address, on the network that trio's sockets use: the kernel's, unless a test replaced it.

    An IPv6 address receives IPv6 only, `::` too, so that a peer has one address. `receive_buffer` is in
    bytes, and the kernel may give less. On a replaced network, tasks are started in the nursery that end
    after `close`.

    Raises `InvalidValue` when the address is not numeric, `OSError` with the address in its message when it
    cannot be bound.
    """
    pack_address(bind)
    try:
        sock = trio.socket.socket(_family(bind), socket.SOCK_DGRAM)
        try:
            descriptor = sock.detach()
        except NotImplementedError:  # trio's own word for: there is no kernel socket below
            return await _bind_trio(sock, bind, nursery)
        return _bind_kernel(socket.socket(fileno=descriptor), bind, receive_buffer)
    except OSError as error:
        raise OSError(error.errno, f"cannot bind UDP {bind}: {error.strerror}") from error


async def _bind_trio(sock: trio.socket.SocketType, bind: Address, nursery: trio.Nursery) -> Datagrams:
    try:
        await sock.bind(tuple(bind))
        return TrioDatagrams(sock, nursery)
    except BaseException:
        sock.close()
        raise


def _bind_kernel(sock: socket.socket, bind: Address, receive_buffer: int) -> Datagrams:
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(bind)
        return KernelDatagrams(sock, receive_buffer)
    except BaseException:
        sock.close()
        raise


@lru_cache(maxsize=4096)
def _address(sockaddr: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    """The address in a socket's words, without the flow label and scope that IPv6 adds."""
    return Address(sockaddr[0], sockaddr[1])


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET


def _hear_refusals(sock: socket.socket) -> bool:
    """True when the kernel agrees to tell whose port refused what this socket sends."""
    if sys.platform != "linux":
        return False
    level, option = _ERROR_MESSAGES[sock.family == socket.AF_INET6]
    try:
        sock.setsockopt(level, option, 1)
    except OSError:
        return False
    return True


def _is_refusal(message: tuple[int, int, bytes]) -> bool:
    """True for a control message of the error queue that says ICMP "port unreachable"."""
    level, kind, body = message
    if (level, kind) not in _ERROR_MESSAGES or len(body) < _EXTENDED_ERROR.size:
        return False
    code, origin, *_ = _EXTENDED_ERROR.unpack_from(body)
    return code == errno.ECONNREFUSED and origin in (_ORIGIN_ICMP, _ORIGIN_ICMP6)


def _ask_receive_buffer(sock: socket.socket, size: int) -> None:
    """Ask for a receive buffer of so many bytes: Linux clips to what it allows, BSD refuses more."""
    size = min(size, 0x7FFF_FFFF)
    while size > 0:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        except OSError:
            size //= 2
        else:
            return
