"""Nodes wired in memory: real `Node` objects on a network of discrete events, in virtual time.

Law: one seed, one trace. Every delay and loss is drawn from one generator, and nothing waits for a real
clock. Each process has a clock of its own (an offset), as on real machines, and reads everything that waits
before it lets time pass, as the driver does. After every call into a node the watcher sees what it has told.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Protocol
from zlib import crc32

from gossipgroups.config import Config
from gossipgroups.events import Event
from gossipgroups.groups.rules import Command
from gossipgroups.ids import Address
from gossipgroups.node import Node
from gossipgroups.operations import Outcome

TURN_SECONDS = 0.0005
"""How long a turn keeps a process busy: what arrives meanwhile is read together in the next one."""
SHORTEST, LONGEST = 0.0002, 0.002
"""Delay of a datagram on a calm network."""
BASE_PORT = 1000


@dataclass(eq=False)
class Process:
    """One run of one coordinator: a node, its socket's queue and its clock."""

    place: int
    node: Node
    address: Address
    clock_offset: float
    inbox: list[tuple[bytes, Address]] = field(default_factory=list)
    refusals: list[Address] = field(default_factory=list)
    turn_at: float = float("inf")
    busy_until: float = 0.0
    paused: bool = False
    give_up_at: float | None = None
    """When a graceful stop ends anyway; `None` while the process is not stopping."""
    operations: dict[int, Command] = field(default_factory=dict)
    """What was submitted, by number."""

    @property
    def name(self) -> str:
        return f"{self.place}/{self.address.port}"


class Watcher(Protocol):
    """Who looks on: called after every call into a node."""

    def started(self, process: Process) -> None: ...
    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None: ...


class Wired:
    """The network and its processes, each at a place (0, 1, …) that is a machine of its own."""

    def __init__(self, seed: int, config: Config, watcher: Watcher) -> None:
        self.random = random.Random(seed)
        self.config = config
        self.now = 0.0
        self.running: dict[int, Process] = {}
        self.loss = 0.0
        self.duplication = 0.0
        self.jitter = 0.0
        """Seconds that a datagram may take longer: more than the gap between two lets them overtake."""
        self.cuts: set[tuple[int, int]] = set()
        """Pairs (from, to) of places between which nothing passes."""
        self.silent: set[int] = set()
        """Places that do not even say that a port is closed."""
        self.tally: Counter[str] = Counter()
        self.trace = 0
        """A checksum over everything that was sent, and when."""
        self._watcher = watcher
        self._events: list[tuple[float, int, str, Any]] = []
        self._serial = 0
        self._sent = 0
        self._last_on: Counter[tuple[int, int]] = Counter()
        self._generation: Counter[int] = Counter()
        self._addresses: dict[int, Address] = {}

    # Processes.

    def start(self, place: int, *, same_address: bool = True) -> Process:
        """Start a process on a free place; it seeks all addresses that the others had last."""
        if not same_address:
            self._generation[place] += 1
        address = Address(f"10.0.0.{place + 1}", BASE_PORT + self._generation[place])
        self._addresses[place] = address
        self.silent.discard(place)
        self.tally["start" if same_address else "start elsewhere"] += 1
        offset = self.random.random() * 100
        node = Node(
            name=f"node-{place}",
            address=address,
            cluster="wired",
            config=self.config,
            random=random.Random(self.random.getrandbits(64)),
            now=self.now + offset,
        )
        process = Process(place, node, address, offset)
        self.running[place] = process
        self._watcher.started(process)
        seeds = tuple(each for other, each in sorted(self._addresses.items()) if other != place)
        node.seek(seeds, self.now + offset)
        self._called(process)
        self._wake(process, self.now)
        return process

    def submit(self, place: int, command: Command) -> None:
        """Let the process carry out an operation."""
        process = self.running[place]
        number = process.node.submit(command, self.now + process.clock_offset)
        process.operations[number] = command
        self._called(process)
        self._wake(process, self.now)

    def crash(self, place: int, *, silent: bool) -> None:
        """End a process without a word; `silent` takes its machine along, so that no port is refused."""
        process = self.running.pop(place)
        process.turn_at = float("inf")
        self.tally["crash silent" if silent else "crash"] += 1
        if silent:
            self.silent.add(place)

    def stop(self, place: int) -> None:
        """Stop a process gracefully: it ends once the others have it, or after `leave_timeout`."""
        process = self.running[place]
        if process.give_up_at is None:
            self.tally["stop"] += 1
            process.give_up_at = self.now + self.config.leave_timeout
            process.node.leave(self.now + process.clock_offset)
            self._called(process)
            self._wake(process, self.now)

    def pause(self, place: int) -> None:
        """Stall a process: its datagrams wait for it."""
        self.tally["pause"] += 1
        process = self.running[place]
        process.paused = True
        process.turn_at = float("inf")

    def resume(self, place: int) -> None:
        """Let a stalled process go on."""
        process = self.running[place]
        self.tally["resume"] += process.paused
        process.paused = False
        self._wake(process, self.now)

    # The network.

    def cut(self, one: int, other: int, *, both: bool) -> None:
        """Cut the line from one place to another, or both ways."""
        if one != other:
            self.tally["cut both" if both else "cut one way"] += 1
        self.cuts.add((one, other))
        if both:
            self.cuts.add((other, one))

    def split(self, last: int) -> None:
        """Cut all lines between the places up to this one and those after it."""
        self.tally["split"] += 1
        for one in self._addresses:
            for other in self._addresses:
                if (one <= last) != (other <= last):
                    self.cuts.add((one, other))

    def heal(self) -> None:
        """Mend all lines; what was lost stays lost."""
        self.tally["heal"] += bool(self.cuts)
        self.cuts.clear()
        self.loss = self.duplication = self.jitter = 0.0

    def drop_in_flight(self, count: int) -> None:
        """Lose the next datagrams under way."""
        for event in self._in_flight(count):
            self._events.remove(event)
            self.tally["drop"] += 1
        self._events.sort()

    def duplicate_in_flight(self, count: int) -> None:
        """Let the next datagrams under way arrive a second time, later."""
        for event in self._in_flight(count):
            self.tally["duplicate"] += 1
            self._at(event[0] + self.random.random(), "deliver", event[3])

    def _in_flight(self, count: int) -> list[tuple[float, int, str, Any]]:
        return sorted(event for event in self._events if event[2] == "deliver")[:count]

    def _send(self, process: Process, datagram: bytes, address: Address) -> None:
        self._sent += 1
        self.trace = crc32(datagram, crc32(f"{self.now:.9f} {process.name} {address}".encode(), self.trace))
        self.tally["sent"] += 1
        lost, twice = self.random.random() < self.loss, self.random.random() < self.duplication
        delay = self._delay()
        if (process.place, _place(address)) in self.cuts:
            self.tally["lost to a cut"] += 1
        elif lost:
            self.tally["lost"] += 1
        else:
            self._at(self.now + delay, "deliver", (self._sent, datagram, process, address))
            if twice:
                self.tally["duplicated"] += 1
                self._at(self.now + 2 * delay, "deliver", (self._sent, datagram, process, address))

    def _delay(self) -> float:
        return self.random.uniform(SHORTEST, LONGEST) + self.random.random() * self.jitter

    def _deliver(self, number: int, datagram: bytes, sender: Process, address: Address) -> None:
        place = _place(address)
        line = (sender.place, place)
        self.tally["overtaken"] += number < self._last_on[line]
        self._last_on[line] = max(number, self._last_on[line])
        receiver = self.running.get(place)
        if receiver is not None and receiver.address == address:
            receiver.inbox.append((datagram, sender.address))
            self._wake(receiver, self.now)
        elif place not in self.silent and (place, sender.place) not in self.cuts:
            self._at(self.now + self._delay(), "refuse", (sender, address))

    def _refuse(self, sender: Process, address: Address) -> None:
        if self.running.get(sender.place) is sender:
            self.tally["port refused"] += 1
            sender.refusals.append(address)
            self._wake(sender, self.now)

    # Time.

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, kind, what = heappop(self._events)
            if kind == "deliver":
                self._deliver(*what)
            elif kind == "refuse":
                self._refuse(*what)
            elif what.turn_at == self.now and not what.paused:
                self._turn(what)
        self.now = until

    def _turn(self, process: Process) -> None:
        node, now = process.node, self.now + process.clock_offset
        process.turn_at = float("inf")
        process.busy_until = self.now + TURN_SECONDS
        inbox, process.inbox = process.inbox, []
        refusals, process.refusals = process.refusals, []
        for datagram, source in inbox:
            node.receive(datagram, source, now)
            self._called(process)
        for address in refusals:
            node.refused(address, now)
            self._called(process)
        node.tick(now)
        self._called(process)
        for datagram, address in node.datagrams(now):
            self._send(process, datagram, address)
        stop_at = process.give_up_at
        if stop_at is not None and (node.departed or self.now >= stop_at):
            self.tally["stopped, told" if node.departed else "stopped, not told"] += 1
            del self.running[process.place]
            return
        deadline = node.next_deadline() - process.clock_offset
        self._wake(process, deadline if stop_at is None else min(deadline, stop_at))

    def _called(self, process: Process) -> None:
        self._watcher.called(process, process.node.events(), process.node.outcomes())

    def _wake(self, process: Process, at: float) -> None:
        at = max(at, self.now, process.busy_until)
        if process.paused:
            return
        if at < process.turn_at:
            process.turn_at = at
            self._at(at, "turn", process)

    def _at(self, time: float, kind: str, what: Any) -> None:
        if time < float("inf"):
            self._serial += 1
            heappush(self._events, (time, self._serial, kind, what))


def _place(address: Address) -> int:
    return int(address.host.rpartition(".")[2]) - 1
