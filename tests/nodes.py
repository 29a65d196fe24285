"""Nodes and registers for tests: short names for values, and a wire that joins real nodes in virtual time.

Law: the wire carries each datagram once, after a fixed delay, unless a test cuts it; its chance is seeded.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import count

from hypothesis import strategies as st

from gossipgroups.config import Config
from gossipgroups.events import Event
from gossipgroups.groups.limits import LIMITS, Limits
from gossipgroups.groups.replica import Replica
from gossipgroups.groups.rules import Command
from gossipgroups.ids import Address, NodeId, Peer
from gossipgroups.node import Node
from gossipgroups.operations import Outcome
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, Register
from gossipgroups.status import Status
from gossipgroups.swim.live import LiveSet
from gossipgroups.transport.datagrams import QUOTED
from gossipgroups.wire.codec import pack_payload, pack_section, unpack_payload
from gossipgroups.wire.header import Header, Message, unpack_header
from gossipgroups.wire.messages import Proof, Section
from gossipgroups.wire.seal import TaggedSeal

CLUSTER = "c"
NOTHING = b"\xc0"
"""Capabilities of a member that gave none."""


def an_id(number: int) -> NodeId:
    """Ids in the order of their numbers, whose digests do not cancel each other out."""
    return NodeId(number.to_bytes(2, "big") + blake2b(number.to_bytes(2, "big"), digest_size=6).digest())


def number_of(node_id: NodeId) -> int:
    return int.from_bytes(node_id[:2], "big")


def an_address(number: int) -> Address:
    return Address(f"10.0.{number // 250}.{number % 250 + 1}", 7946)


def a_peer(number: int) -> Peer:
    return Peer(an_id(number), an_address(number))


def a_node(number: int, incarnation: int = 0, status: Status = Status.ALIVE) -> NodeRegister:
    return NodeRegister(an_id(number), incarnation, status, an_address(number), f"n{number}")


def a_presence(
    group: str,
    member: str,
    node: int,
    *,
    clock: int = 1,
    epoch: int = 1,
    capabilities: bytes | None = NOTHING,
) -> PresenceRegister:
    return PresenceRegister(group, member, clock, an_id(node), epoch, capabilities)


def a_live_set(*numbers: int) -> LiveSet:
    live = LiveSet()
    for number in numbers:
        live.add(an_id(number))
    return live


def replica_of(registers: Iterable[Register]) -> Replica:
    replica = Replica()
    for register in registers:
        replica.merge(register)
    return replica


_numbers = count(1)


def sealed(sender: int, to: NodeId, *sections: Section) -> bytes:
    """The next datagram that the node of this number would send to another."""
    return sealed_as(Header(an_id(sender), to, next(_numbers)), *sections)


def sealed_as(header: Header, *sections: Section) -> bytes:
    payload = pack_payload([pack_section(each) for each in sections])
    return TaggedSeal(CLUSTER).seal(header.pack(), payload)


def meet(node: Node, number: int, now: float = 0.0, *, address: Address | None = None) -> None:
    """Let a node hear the node of this number for the first time, with proof of where it is."""
    peer = Peer(an_id(number), address or an_address(number))
    proof = Proof(node._admission._cookies.make(peer, node._time(now)))
    assert node.receive(sealed(number, node.node_id, proof), peer.address, now) is None
    assert node._admission.has_proved(peer)


def opened(datagram: bytes) -> Message:
    header, payload = TaggedSeal(CLUSTER).open(datagram)
    return Message(*unpack_header(header), unpack_payload(payload))


# Few keys and small counters, so that registers meet, outrank each other and hang on one another.
_small = st.integers(0, 3)
_groups = st.sampled_from(["g", "h"])
node_registers = st.builds(a_node, _small, _small, st.sampled_from(Status))
group_registers = st.builds(GroupRegister, _groups, _small)
presence_registers = st.builds(
    a_presence,
    _groups,
    st.sampled_from(["a", "b"]),
    _small,
    clock=_small,
    epoch=_small,
    capabilities=st.sampled_from([None, NOTHING, b"\x01"]),
)
registers: st.SearchStrategy[Register] = st.one_of(node_registers, group_registers, presence_registers)


class Quoted(bytes):
    """A datagram that was refused, in the word of the kernel."""


class Wire:
    """Real nodes, joined in virtual time. `cut(source, target)` says what does not pass."""

    def __init__(
        self,
        nodes: int = 0,
        *,
        seed: int = 1,
        config: Config = Config.lan(),
        delay: float = 0.001,
        limits: Limits = LIMITS,
    ) -> None:
        self.now = 0.0
        self.limits = limits
        self.config = config
        self.delay = delay
        self.nodes: list[Node] = []
        self.events: dict[Node, list[Event]] = {}
        self.outcomes: dict[Node, list[Outcome]] = {}
        self.crashed: set[Node] = set()
        self.closed_ports_answer = False
        self.cut: Callable[[Node, Node], bool] = lambda source, target: False
        self.sent: list[tuple[float, Node, bytes, Address]] = []
        self._paused: dict[Node, list[tuple[bytes, Address]]] = {}
        self._random = random.Random(seed)
        self._at: dict[Address, Node] = {}
        self._count = 0
        self._queue: list[tuple[float, int, Node, bytes | None, Address]] = []
        for _ in range(nodes):
            self.add(seeds=self.nodes[:1])

    def add(self, *, seeds: Iterable[Node] = (), address: Address | None = None) -> Node:
        """Start one more node, at an address of its own or one that another had."""
        number = len(self.nodes)
        where = address or an_address(number)
        node = Node(
            name=f"n{number}",
            address=where,
            seal=TaggedSeal(CLUSTER),
            config=self.config,
            random=random.Random(self._random.random()),
            now=self.now,
            limits=self.limits,
        )
        self.nodes.append(node)
        self._at[where] = node
        self.events[node] = []
        self.outcomes[node] = []
        node.seek(tuple(each.state.own.address for each in seeds), self.now)
        self.turn(node)
        return node

    def submit(self, node: Node, command: Command) -> int:
        number = node.submit(command, self.now)
        self.turn(node)
        return number

    def crash(self, node: Node) -> None:
        self.crashed.add(node)

    def pause(self, node: Node) -> None:
        """Stop its process, as SIGSTOP does: what comes waits in its socket."""
        self._paused[node] = []

    def resume(self, node: Node) -> None:
        for datagram, address in self._paused.pop(node):
            node.receive(datagram, address, self.now)
        self.turn(node)

    def last_sent(self, node: Node, target: Node) -> bytes:
        """The datagram that one node has sent to another last."""
        address = target.state.own.address
        return next(each for _, source, each, to in reversed(self.sent) if (source, to) == (node, address))

    def turn(self, node: Node) -> None:
        node.tick(self.now)
        source = node.state.own.address
        for datagram, target in node.datagrams(self.now):
            self.sent.append((self.now, node, datagram, target))
            there = self._at.get(target)
            if there is None or there in self.crashed:
                if self.closed_ports_answer:
                    self._push(self.now + 2 * self.delay, node, Quoted(datagram), target)
            elif not self.cut(node, there):
                self._push(self.now + self.delay, there, datagram, source)
        self.events[node] += node.events()
        self.outcomes[node] += node.outcomes()
        due = node.next_deadline()
        if due < float("inf"):
            self._push(due, node, None, source)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until(lambda: False, seconds)

    def run_until(self, condition: Callable[[], bool], within: float) -> bool:
        """Let time pass until a condition holds; whether it did within so many seconds."""
        until = self.now + within
        while not condition():
            if not self._queue or self._queue[0][0] > until:
                self.now = until
                return condition()
            at, _, node, datagram, address = heapq.heappop(self._queue)
            self.now = max(self.now, at)
            if node in self.crashed:
                continue
            if node in self._paused:
                if datagram is not None and not isinstance(datagram, Quoted):
                    self._paused[node].append((datagram, address))
                continue
            if datagram is None:
                if node.next_deadline() > self.now:
                    continue
            elif isinstance(datagram, Quoted):
                node.refused(address, datagram[:QUOTED], self.now)
            else:
                node.receive(datagram, address, self.now)
            self.turn(node)
        return True

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes if node not in self.crashed]

    def agree(self) -> bool:
        """Whether all running nodes hold the same, and know all of each other."""
        nodes = self.running
        return len({node.state.replica.digest for node in nodes}) == 1 and all(
            set(node.state.live.ids) == {each.node_id for each in nodes} for node in nodes
        )

    def _push(self, at: float, node: Node, datagram: bytes | None, address: Address) -> None:
        self._count += 1
        heapq.heappush(self._queue, (at, self._count, node, datagram, address))
