"""Sockets of a simulated network, and the carrier that takes datagrams from one to another in trio's time.

Law: whatever happens to a datagram happens at its own time, in an order that does not depend on the order in
which trio runs tasks: by arrival, then by sender, then by the order of sending. A socket's buffer is bounded,
and a port that nobody is bound to refuses, as with the kernel.
"""

from __future__ import annotations

import errno
import os
import random
from collections import Counter, deque
from dataclasses import dataclass
from heapq import heappop, heappush

import trio

from gossipgroups.errors import InvalidValue
from gossipgroups.ids import Address
from gossipgroups.testing.medium import BOOKKEEPING_BYTES, REFUSAL_BYTES, Line, Medium
from gossipgroups.transport.datagrams import MAX_BATCH, QUOTED, RECEIVE_BUFFER

MAX_DATAGRAM = 65_507
"""Bytes that UDP carries at most."""
FIRST_DRAWN_PORT, LAST_PORT = 49_152, 65_535


@dataclass(frozen=True, slots=True)
class Letter:
    """One thing under way: a datagram, or the word that a port is closed."""

    source: Address
    target: Address
    datagram: bytes
    refused: bool = False
    """Whether the source refuses the datagram, which the target has sent."""


class SimulatedDatagrams:
    """A bound socket of a simulated network; see `gossipgroups.transport.datagrams.Datagrams`."""

    def __init__(
        self, carrier: Carrier, address: Address, chance: random.Random, owner: object = None
    ) -> None:
        self.address = address
        self.owner = owner
        """Whoever is gone when this dies."""
        self._carrier = carrier
        self._chance = chance
        self._received: deque[tuple[bytes, Address]] = deque()
        self._waiting_bytes = 0
        self._refused: list[tuple[Address, bytes]] = []
        self._readers = trio.lowlevel.ParkingLot()
        self._closed = False
        self._dead = False

    @property
    def stalled(self) -> bool:
        """Whether its host is paused, or its process has crashed."""
        return self._dead or self.address.host in self._carrier.paused

    def receive(self) -> list[tuple[bytes, Address]]:
        """What waits, oldest first, at most `MAX_BATCH`."""
        count = 0 if self._closed else min(len(self._received), MAX_BATCH)
        batch = [self._received.popleft() for _ in range(count)]
        self._waiting_bytes -= sum(len(datagram) + BOOKKEEPING_BYTES for datagram, _ in batch)
        return batch

    def send(self, datagram: bytes, address: Address) -> bool:
        """Put a datagram on its way."""
        if self._closed or self._dead or len(datagram) > MAX_DATAGRAM:
            return False
        if (":" in address.host) != (":" in self.address.host):
            return False
        self._carrier.send(Letter(self.address, address, datagram), len(datagram), self._chance)
        return True

    def refused(self) -> list[tuple[Address, bytes]]:
        """Who has refused since the last call, and the head of what."""
        refused, self._refused = self._refused, []
        return refused

    async def readable(self) -> None:
        """Return when something has come; not while the host is paused."""
        await trio.lowlevel.checkpoint()
        if self._readers:
            raise trio.BusyResourceError("another task waits for datagrams already")
        if not self._closed and (self.stalled or not (self._received or self._refused)):
            await self._readers.park()
        if self._closed:
            raise trio.ClosedResourceError("the socket was closed")

    def close(self) -> None:
        """Give the address back."""
        self._closed = True
        self._carrier.release(self)
        self.wake()

    # For the carrier and the network.

    def take(self, letter: Letter) -> bool:
        """Put what has come into the buffer; whether there was room."""
        if letter.refused:
            if len(self._refused) < MAX_BATCH:
                self._refused.append((letter.source, letter.datagram[:QUOTED]))
        else:
            size = len(letter.datagram) + BOOKKEEPING_BYTES
            if self._waiting_bytes + size > RECEIVE_BUFFER:
                return False
            self._waiting_bytes += size
            self._received.append((letter.datagram, letter.source))
        if not self.stalled:
            self.wake()
        return True

    def wake(self) -> None:
        """Let the owner look."""
        self._readers.unpark_all()

    def die(self) -> None:
        """Lose the owner without a word: it takes no turn any more, and the address is free."""
        self._dead = True
        self._carrier.release(self)


class Carrier:
    """All sockets of a network and what is under way between them; runs for as long as there are any."""

    def __init__(self, seed: int, line: Line) -> None:
        self._seed = seed
        self._refusing = self._chance("refusals")
        self.medium = Medium(self._chance("medium"), line)
        self.sockets: dict[Address, SimulatedDatagrams] = {}
        self.paused: set[str] = set()
        self.silent: set[str] = set()
        """Machines that do not even say that a port is closed."""
        self._bound: Counter[Address] = Counter()
        self._drawn: Counter[str] = Counter()
        self._numbers: Counter[Address] = Counter()
        self._under_way: list[tuple[float, Address, int, Letter]] = []
        self._sleep = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None

    def bind(self, address: Address, owner: object = None) -> SimulatedDatagrams:
        """A new socket; port 0 draws the next free one of the host. Raises `OSError` when it is taken."""
        token = trio.lowlevel.current_trio_token()
        if self._token not in (None, token):
            raise InvalidValue("this simulated network is in use in another trio run: make one for each")
        if not address.port:
            address = self._next_free(address.host)
        if address in self.sockets:
            raise OSError(errno.EADDRINUSE, f"cannot bind UDP {address}: {os.strerror(errno.EADDRINUSE)}")
        self._bound[address] += 1
        self.silent.discard(address.host)
        socket = SimulatedDatagrams(self, address, self.chance("line", address), owner)
        self.sockets[address] = socket
        if self._token is None:
            self._token = token
            trio.lowlevel.spawn_system_task(self._run)
        return socket

    def chance(self, what: str, address: Address) -> random.Random:
        """A generator for the socket that is or was bound last at an address.

        Made of the seed and of where it is bound, not of when: trio may start tasks in any order.
        """
        return self._chance(f"{what} {address} {self._bound[address]}")

    def _chance(self, what: str) -> random.Random:
        return random.Random(f"{self._seed} {what}")

    def release(self, socket: SimulatedDatagrams) -> None:
        """Free a socket's address."""
        if self.sockets.get(socket.address) is socket:
            del self.sockets[socket.address]
            self._sleep.cancel()  # to end, if it was the last

    def send(self, letter: Letter, size: int, chance: random.Random) -> None:
        """Put something on its way, with the medium's leave."""
        self._post(letter, size, trio.current_time(), chance)

    def _post(self, letter: Letter, size: int, now: float, chance: random.Random) -> None:
        self._numbers[letter.source] += 1
        number = self._numbers[letter.source]
        for at in self.medium.carry(letter.source, letter.target, size, now, chance):
            heappush(self._under_way, (at, letter.source, number, letter))
            self._sleep.deadline = min(self._sleep.deadline, at)

    async def _run(self) -> None:
        try:
            while self.sockets or self._under_way:
                due = self._under_way[0][0] if self._under_way else float("inf")
                with trio.CancelScope(deadline=due) as self._sleep:
                    await trio.sleep_forever()
                self._deliver(trio.current_time())
        finally:
            # Cancelled with the run, it leaves nothing for a later one.
            self.sockets.clear()
            self._under_way.clear()
            self._token = None

    def _deliver(self, now: float) -> None:
        under_way = self._under_way
        while under_way and under_way[0][0] <= now:
            at, _, _, letter = heappop(under_way)
            socket = self.sockets.get(letter.target)
            if socket is not None:
                if not socket.take(letter):
                    self.medium.tally["overflow"] += 1
            elif not letter.refused and letter.target.host not in self.silent:
                self.medium.tally["refused"] += 1
                refusal = Letter(letter.target, letter.source, letter.datagram, refused=True)
                self._post(refusal, REFUSAL_BYTES, at, self._refusing)

    def _next_free(self, host: str) -> Address:
        count = LAST_PORT - FIRST_DRAWN_PORT + 1
        for _ in range(count):
            address = Address(host, FIRST_DRAWN_PORT + self._drawn[host] % count)
            self._drawn[host] += 1
            if address not in self.sockets:
                return address
        raise OSError(errno.EADDRINUSE, f"cannot bind UDP {host}:0: no port is free")
