"""The simulation: real nodes on a simulated network, in virtual time, as one loop of events.

Law: one seed, one trace, on every machine and under any hash seed. All chance comes from generators made of
the seed; nothing waits for a real clock. A turn of a process is the driver's: read everything that waits, let
time pass, send, sleep until the node's deadline; it occupies the process for what it costs.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b

from gossipgroups.config import Config
from gossipgroups.groups.rules import Command
from gossipgroups.ids import Address
from gossipgroups.keys import KeyRing
from gossipgroups.node import Node
from gossipgroups.swim.parts import Part
from gossipgroups.testing.medium import REFUSAL_BYTES, Line, Medium
from gossipgroups.transport.datagrams import QUOTED
from gossipgroups.wire.seal import make_seal
from sims.engine.agenda import Agenda
from sims.engine.clock import Clock
from sims.engine.process import SOCKET_BUFFER, Cost, Process
from sims.engine.watching import Watcher, takers

BASE_PORT = 1000
CLUSTER = "simulated"

_stamp = struct.Struct("<dIH").pack


def host_of(place: int) -> str:
    """The numeric address of the machine at a place (0, 1, …)."""
    number = place + 1
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def address_of(place: int, port: int = BASE_PORT) -> Address:
    """The usual address at a place."""
    return Address(host_of(place), port)


class Simulation(Agenda):
    """A network with its processes. Times are in virtual seconds from 0."""

    def __init__(
        self,
        seed: int,
        config: Config = Config.lan(),
        *,
        line: Line = Line(),
        cost: Cost = Cost(),
        keys: KeyRing | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        super().__init__()
        self.seed = seed
        self.random = random.Random(seed)
        """For scenarios: the network has a generator of its own, and so has each node."""
        self.config = config
        self.cost = cost
        self.keys = keys
        self._salts = random.Random(f"salts {seed}")
        self.medium = Medium(random.Random(self.random.getrandbits(64)), line)
        self.processes: dict[Address, Process] = {}
        """All that run, by address, in the order of their starts."""
        self.silent: set[str] = set()
        """Machines that do not even say that a port is closed."""
        self.tally: Counter[str] = Counter()
        """What was done, and what came of it."""
        self.jumped = 0.0
        """Seconds by which clocks have jumped forward, all together."""
        self.sent = 0
        self.sent_bytes = 0
        self._started = 0
        self._hash = blake2b(digest_size=16)
        self._last_on: dict[tuple[str, str], int] = {}
        self._watchers = list(watchers)
        self._closely = any(each.closely for each in watchers)
        self._called_takers = takers(watchers, "called")
        self._received_takers = takers(watchers, "received")
        self._taken_takers = takers(watchers, "taken")
        self._sent_takers = takers(watchers, "sent")
        for each in watchers:
            each.began(self)

    @property
    def trace_hash(self) -> str:
        """A hash over everything that was sent, by whom, to whom and when."""
        return self._hash.hexdigest()

    # Processes.

    def start(
        self,
        address: Address,
        name: str | None = None,
        *,
        seeds: Iterable[Address] = (),
        config: Config | None = None,
        omit: Collection[Part] = (),
        clock: Clock | None = None,
        buffer_bytes: int = SOCKET_BUFFER,
    ) -> Process:
        """Start a process on a free address; its node's name is that of its machine unless given."""
        clock = clock or Clock(self.random.random() * 100, since=self.now)
        node = Node(
            name=name or address.host,
            address=address,
            seal=make_seal(CLUSTER, self.keys, self._salts.randbytes),
            config=config or self.config,
            random=random.Random(self.random.getrandbits(64)),
            now=clock.read(self.now),
            omit=omit,
        )
        process = self.adopt(node, address, clock, buffer_bytes=buffer_bytes)
        self.did("start", process)
        node.seek(tuple(seeds), clock.read(self.now))
        self._called(process)
        return process

    def adopt(
        self, node: Node, address: Address, clock: Clock, *, buffer_bytes: int = SOCKET_BUFFER
    ) -> Process:
        """Let a node that was made elsewhere run on a free address, whatever it holds to be its own."""
        if address in self.processes:
            raise ValueError(f"{address} is in use by {self.processes[address].name}")
        self._started += 1
        process = Process(self._started, node, address, clock, self.cost, buffer_bytes=buffer_bytes)
        self.processes[address] = process
        self.silent.discard(address.host)
        for each in self._watchers:
            each.started(process)
        self._wake(process, self.now)
        return process

    def submit(self, process: Process, command: Command) -> int:
        """Let a process carry out an operation; its outcomes carry the number returned."""
        number = process.node.submit(command, process.clock.read(self.now))
        process.operations[number] = command
        for each in self._watchers:
            each.did("submit", process, str(command))
        self._called(process)
        self._wake(process, self.now)
        return number

    def crash(self, process: Process, *, silent: bool = False) -> None:
        """End a process without a word; `silent` takes its machine along, so that no port is refused."""
        self._end(process)
        self.did("crash silent" if silent else "crash", process)
        if silent:
            self.silent.add(process.host)

    def stop(self, process: Process) -> None:
        """Stop a process gracefully: it ends once the others have it, or after `leave_timeout`."""
        if process.is_up:
            self.did("stop", process)
            process.give_up_at = self.now + process.node.config.leave_timeout
            process.node.leave(process.clock.read(self.now))
            self._called(process)
            self._wake(process, self.now)

    def pause(self, process: Process) -> None:
        """Stall a process: its datagrams wait for it, as many as its socket holds."""
        if not process.paused:
            self.did("pause", process)
            process.paused = True
            process.turn_at = float("inf")

    def resume(self, process: Process) -> None:
        """Let a stalled process go on."""
        if process.paused:
            self.did("resume", process)
            process.paused = False
            self._wake(process, self.now)

    def block(self, process: Process) -> None:
        """Let the socket of a process stand still while its timers run: nothing is read, nothing leaves."""
        if not process.blocked:
            self.did("block", process)
            process.blocked = True

    def unblock(self, process: Process) -> None:
        """Let a blocked socket go on: what was held leaves now, what waits is read."""
        if process.blocked:
            self.did("unblock", process)
            process.blocked = False
            held, process.held = process.held, []
            for datagram, target in held:
                self._send(process, datagram, target, self.now)
            self._wake(process, self.now)

    def slow(self, process: Process, share: float) -> None:
        """Give a process this share of a processor from now on."""
        self.did("slow" if share < process.share else "quick", process, f"{share:g}")
        process.share = share

    def jump(self, process: Process, seconds: float) -> None:
        """Let the clock of a process jump."""
        self.did("jump", process, f"{seconds:+g}")
        process.clock.jump(seconds)
        self.jumped += max(0.0, seconds)
        self._wake(process, self.now)

    def skew(self, process: Process, rate: float) -> None:
        """Let the clock of a process run at this rate."""
        self.did("skew", process, f"{rate:g}")
        process.clock.run(rate, self.now)
        self._wake(process, self.now)

    def did(self, what: str, process: Process | None = None, detail: str = "") -> None:
        """Count and tell something that was done to a process or to the network."""
        self.tally[what] += 1
        for each in self._watchers:
            each.did(what, process, detail)

    # Datagrams under way.

    def lose_in_flight(self, count: int) -> None:
        """Lose the next datagrams under way."""
        doomed = self.next_of(self._deliver, count)
        self.cancel(doomed)
        self.tally["lost in flight"] += len(doomed)

    def repeat_in_flight(self, count: int) -> None:
        """Let the next datagrams under way arrive a second time, later."""
        for time, _, deliver, arguments in self.next_of(self._deliver, count):
            self.tally["repeated in flight"] += 1
            self.at(time + self.random.random(), deliver, *arguments)

    def _send(self, process: Process, datagram: bytes, target: Address, at: float) -> None:
        arrivals = self.medium.carry(process.address, target, len(datagram), at)
        self.sent += 1
        self.sent_bytes += len(datagram)
        self._hash.update(_stamp(at, process.number, target.port))
        self._hash.update(target.host.encode())
        self._hash.update(datagram)
        for each in self._sent_takers:
            each.sent(process, datagram, target, arrivals)
        for arrival in arrivals:
            self.at(arrival, self._deliver, self.sent, datagram, process.address, target)

    def _deliver(self, number: int, datagram: bytes, source: Address, target: Address) -> None:
        line = (source.host, target.host)
        last = self._last_on.get(line, 0)
        if number < last:
            self.tally["overtaken"] += 1
        else:
            self._last_on[line] = number
        self.arrive(datagram, source, target)

    def arrive(self, datagram: bytes, source: Address, target: Address) -> None:
        """A datagram arrives now, whoever has sent it: its source is anybody's word."""
        process = self.processes.get(target)
        if process is not None:
            if not process.take(datagram, source):
                self.tally["overflow"] += 1
            elif not process.blocked:
                self._wake(process, self.now)
        elif target.host not in self.silent:
            for arrival in self.medium.carry(target, source, REFUSAL_BYTES, self.now):
                self.at(arrival, self._refuse, source, target, datagram[:QUOTED])

    def _refuse(self, source: Address, target: Address, quoted: bytes) -> None:
        process = self.processes.get(source)
        if process is not None:
            self.tally["port refused"] += 1
            process.refusals.append((target, quoted))
            self._wake(process, self.now)

    # Turns.

    def _turn(self, process: Process) -> None:
        if process.turn_at != self.now:
            return  # an earlier or later wake-up has taken this one's place
        node, now = process.node, process.clock.read(self.now)
        process.turn_at = float("inf")
        inbox, refusals = process.read(), process.refusals
        for datagram, source in inbox:
            for each in self._received_takers:
                each.received(process, datagram, source)
            reason = node.receive(datagram, source, now)
            for each in self._taken_takers:
                each.taken(process, datagram, source, reason)
            if self._closely:
                self._called(process)
        if refusals:
            process.refusals = []
            for address, quoted in refusals:
                node.refused(address, quoted, now)
                if self._closely:
                    self._called(process)
        node.tick(now)
        self._called(process)
        datagrams = node.datagrams(now)
        cost = process.cost
        spent = cost.turn + len(inbox) * cost.received + len(datagrams) * cost.sent
        done = process.busy_until = self.now + spent / process.share
        if process.blocked:
            process.held += datagrams
        else:
            for datagram, target in datagrams:
                self._send(process, datagram, target, done)
        stop_at = process.give_up_at
        if stop_at is not None and (node.departed or self.now >= stop_at):
            self._end(process)
            self.did("stopped, told" if node.departed else "stopped, not told", process)
            return
        deadline = process.clock.when(node.next_deadline())
        self._wake(process, deadline if stop_at is None else min(deadline, stop_at))

    def _end(self, process: Process) -> None:
        del self.processes[process.address]
        process.running = False
        process.turn_at = float("inf")

    def _called(self, process: Process) -> None:
        events, outcomes = process.node.events(), process.node.outcomes()
        for each in self._called_takers:
            each.called(process, events, outcomes)

    def _wake(self, process: Process, at: float) -> None:
        at = max(at, self.now, process.busy_until)
        if at < process.turn_at and not process.paused and process.running:
            process.turn_at = at
            self.at(at, self._turn, process)
