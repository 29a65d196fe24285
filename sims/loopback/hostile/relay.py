"""A relay before a seed, for where nobody may listen to the wire: what passes it is recorded.

Law: it changes nothing, and adds nothing: each datagram goes on once, to one receiver.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

import trio

from gossipgroups.ids import Address
from gossipgroups.url import parse_endpoint
from sims.loopback.hostile.wire import Recorded, udp

LOOPBACK = "127.0.0.1"


class Relay:
    """Passes datagrams on between a node and those who know it by the relay's address."""

    def __init__(self, node: Address, stack: ExitStack, nursery: trio.Nursery) -> None:
        self.records: list[Recorded] = []
        self._node = node
        self._stack = stack
        self._nursery = nursery
        self._door = stack.enter_context(udp(None, Address(LOOPBACK, 0)))
        self._ways: dict[Address, socket.socket] = {}
        self.address = Address(*self._door.getsockname())

    async def inwards(self) -> None:
        """Pass on what comes for the node."""
        while True:
            datagram, source = await _receive(self._door)
            client = Address(*source)
            if client not in self._ways:
                self._ways[client] = self._stack.enter_context(udp(None, Address(LOOPBACK, 0)))
                self._nursery.start_soon(self._outwards, client)
            self._pass(self._ways[client], Recorded(client, self._node, datagram))

    async def _outwards(self, client: Address) -> None:
        while True:
            datagram, _ = await _receive(self._ways[client])
            self._pass(self._door, Recorded(self._node, client, datagram))

    def _pass(self, sock: socket.socket, recorded: Recorded) -> None:
        self.records.append(recorded)
        with suppress(OSError):
            sock.sendto(recorded.datagram, recorded.target)


@asynccontextmanager
async def relaying(endpoint: str) -> AsyncIterator[Relay]:
    """A relay before the node at an endpoint, for as long as the block lasts."""
    with ExitStack() as stack:
        async with trio.open_nursery() as nursery:
            relay = Relay(Address(*parse_endpoint(endpoint)), stack, nursery)
            nursery.start_soon(relay.inwards)
            yield relay
            nursery.cancel_scope.cancel()


def free_addresses(count: int) -> list[Address]:
    """Addresses of loopback that nobody holds now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(udp(None, Address(LOOPBACK, 0))) for _ in range(count)]
        return [Address(*sock.getsockname()) for sock in sockets]


async def _receive(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    while True:
        await trio.lowlevel.wait_readable(sock)
        with suppress(OSError):
            return sock.recvfrom(65_535)
