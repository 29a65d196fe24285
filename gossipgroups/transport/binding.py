"""Binding a UDP address, on whichever network trio's sockets use.

Law: no UDP socket is made anywhere else.
"""

from __future__ import annotations

import socket

import trio

from gossipgroups.ids import Address, pack_address
from gossipgroups.transport.datagrams import RECEIVE_BUFFER, Datagrams, family
from gossipgroups.transport.kernel_datagrams import KernelDatagrams
from gossipgroups.transport.trio_datagrams import TrioDatagrams


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
        sock = trio.socket.socket(family(bind), socket.SOCK_DGRAM)
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
