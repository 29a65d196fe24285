"""The same through real sockets on loopback: members ask from another process, the node answers here.

Law: the answering side is the library's own socket and node, in a loop like the gossip thread's, and only its
processor time counts, that of the kernel included. Nobody asks again before all are answered.
"""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from selectors import EVENT_READ, DefaultSelector

import trio

from gossipgroups.ids import Address
from gossipgroups.keys import KeyRing
from gossipgroups.transport.binding import open_datagrams
from gossipgroups.transport.kernel_datagrams import KernelDatagrams
from gossipgroups.wire.messages import Ping
from sims.cost.scene import Scene

LOOPBACK = Address("127.0.0.1", 0)
PATIENCE = 10.0
"""Seconds until an answer that has not come is an error."""


def ask(socks: Sequence[socket.socket], target: Address, bursts: Sequence[Sequence[bytes]]) -> None:
    """Send a datagram from each socket, and wait for all answers, over and over.

    Raises `TimeoutError` if an answer is missing.
    """
    for burst in bursts:
        for sock, datagram in zip(socks, burst, strict=True):
            sock.sendto(datagram, target)
        for sock in socks:
            sock.settimeout(PATIENCE)
            sock.recv(2048)


def answer(scene: Scene, datagrams: KernelDatagrams, counts: Sequence[int]) -> list[float]:
    """Answer so many, and then so many more: microseconds for each, by the count.

    Raises `TimeoutError` if nothing comes for long.
    """
    costs = []
    with DefaultSelector() as selector:
        selector.register(datagrams.descriptor, EVENT_READ)
        for count in counts:
            begun, received = time.process_time(), 0
            while received < count:
                if not selector.select(PATIENCE):
                    raise TimeoutError(
                        f"{received} of {count} pings have come, and then none for {PATIENCE:g} s"
                    )
                datagrams.woken = True
                batch = datagrams.receive()
                received += len(batch)
                for datagram, target in scene.next_turn(batch):
                    datagrams.send(datagram, target)
            costs.append((time.process_time() - begun) / received * 1e6)
    return costs


def socket_costs(nodes: int, keys: KeyRing | None, members: int, count: int, runs: int) -> list[float]:
    """Microseconds for a ping and its ack, by the run, when so many members ask at once."""
    return trio.run(_measure, nodes, keys, members, count, runs)


async def _measure(nodes: int, keys: KeyRing | None, members: int, count: int, runs: int) -> list[float]:
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(members)]
        for sock in socks:
            sock.bind(LOOPBACK)
        async with trio.open_nursery() as nursery:
            datagrams = await open_datagrams(LOOPBACK, nursery)
            assert isinstance(datagrams, KernelDatagrams)
            sources = [Address(*sock.getsockname()) for sock in socks]
            scene = Scene(nodes, keys, datagrams.address, sources)
            question = Ping(7, scene.digest, 0)
            bursts = [
                [scene.datagram_from(each.node_id, question) for each in scene.members[:members]]
                for _ in range(count * runs)
            ]
            asking = multiprocessing.get_context("spawn").Process(
                target=ask, args=(socks, datagrams.address, bursts)
            )
            asking.start()
            costs = answer(scene, datagrams, [count * members] * runs)
            asking.join()
            datagrams.close()
    return costs
