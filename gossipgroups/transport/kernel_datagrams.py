"""A socket of the operating system, and the kernel's word that nobody listens at an address.

Law: what a call of the system says about an earlier datagram is not held against the one at hand.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from weakref import WeakSet

import trio

from gossipgroups.ids import Address
from gossipgroups.transport.datagrams import MAX_BATCH, QUOTED, RECEIVE_BUFFER, numeric

_MAX_READ = 65_535
"""No UDP datagram is longer. Reading it whole costs no more than cutting it, which Windows calls an error."""
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


class KernelDatagrams:
    """Datagrams over a bound socket of the operating system, which this object owns from now on.

    On Linux the kernel's error queue is read, which tells who refused; elsewhere `refused` is empty.
    """

    stalled = False

    def __init__(self, sock: socket.socket, receive_buffer: int = RECEIVE_BUFFER) -> None:
        sock.setblocking(False)
        self.address = numeric(sock.getsockname())
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
                received.append((datagram, numeric(source)))
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
                refused.append((numeric(destination), quoted))
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
