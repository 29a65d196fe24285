"""The whole protocol as one object: datagrams, time and commands in; datagrams, events and a deadline out.

Law: a node touches no socket, no clock and no chance but its arguments. A turn is: `receive` every datagram
that waits, `tick`, send what `datagrams` returns, hand out `events`, sleep until `next_deadline`.

While the process is stalled the node's own clock stands still: a node that was stopped finds the acks that
wait for it before its timers accuse anybody, and one that is starved runs slower instead of accusing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gossipgroups.budget import Budget
from gossipgroups.config import Config
from gossipgroups.contacts import Contacts
from gossipgroups.convergence import Convergence
from gossipgroups.errors import BadPacket
from gossipgroups.events import Event
from gossipgroups.groups.rules import Command, Rules
from gossipgroups.ids import NODE_ID_BYTES, Address, NodeId, Random
from gossipgroups.operations import Operations, Outcome
from gossipgroups.reconcile import Reconciler
from gossipgroups.registers import (
    MAX_COUNTER,
    GroupRegister,
    NodeRegister,
    Register,
    decode_register,
)
from gossipgroups.reports import Reports
from gossipgroups.state import State
from gossipgroups.stats import Stats
from gossipgroups.status import Status
from gossipgroups.swim import awareness
from gossipgroups.swim.detector import Detector
from gossipgroups.swim.dissemination import RumourQueue, retransmit_limit
from gossipgroups.swim.probe import Purpose
from gossipgroups.wire.codec import Message, pack_section, split_entries, unpack_message
from gossipgroups.wire.messages import (
    ANYBODY,
    ROOT,
    Accusations,
    Ack,
    AskSettling,
    Buckets,
    Entry,
    Hashes,
    Nack,
    NotMe,
    Ping,
    PingReq,
    Repair,
    Rumours,
    Settling,
    Want,
)
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.seal import ClusterSeal

FAREWELLS = 16
"""Leavers that are told when their leave has settled."""
CALM = 2.0
"""A difference is repaired when nothing has changed here for a gossip interval, or for this many probe
periods."""


class Node:
    """One node of a cluster. `random` is its only chance, `now` in every call its only clock (seconds)."""

    def __init__(
        self,
        *,
        name: str,
        address: Address,
        cluster: str,
        config: Config,
        random: Random,
        now: float,
    ) -> None:
        self.config = config
        self.stats = Stats()
        self.node_id = NodeId(random.randbytes(NODE_ID_BYTES))
        self.state = state = State(self.node_id, config.forget_after)
        self._random = random
        self._now = now
        self._stalled = 0.0
        self._awaited: float | None = None
        self._rumours = RumourQueue()
        self._outbox = Outbox(self.node_id, ClusterSeal(cluster))
        self._detector = Detector(
            self.node_id,
            state.replica,
            state.live,
            self._rumours,
            self._outbox,
            config,
            random,
            self._learn,
        )
        self._convergence = Convergence(self.node_id, state.live, config, random)
        self._reconciler = Reconciler(state.replica, self._outbox, config, self._age)
        self._contacts = Contacts(state.replica, state.live, self._detector.numbers, config, random, address)
        self._reports = Reports(state.replica, state.views, config)
        self._operations = Operations(
            Rules(self.node_id, state.replica, state.views),
            lambda register: self._learn(register, self._now),
            lambda holder: self._detector.probe(holder, Purpose.CHALLENGE, self._now),
        )
        self._detector.on_challenged = self._operations.challenged
        self._root_seen = (0, 0)
        self._news_budget = Budget(config.news_rate, max(config.news_rate / 4, config.fanout))
        self._news_from: set[NodeId] = set()
        self._members_heard: set[Address] = set()
        self._gossip_at = now
        self._last_change = now
        self._last_repair = now
        self._farewells: dict[Address, None] = {}
        self._learn(NodeRegister(self.node_id, 0, Status.ALIVE, address, name), now)
        self._end_turn(now)

    # Commands.

    def submit(self, command: Command, now: float) -> int:
        """Queue an operation on groups; its outcomes carry the number returned."""
        now = self._clock(now)
        number = self._operations.submit(command)
        self._end_turn(now)
        return number

    def seek(self, seeds: tuple[Address, ...], now: float) -> None:
        """Look for other nodes at these addresses from now on."""
        self._contacts.seek(seeds, self._clock(now))

    def leave(self, now: float) -> None:
        """Announce that this node stops; `departed` tells when the others have it."""
        now = self._clock(now)
        if self.state.own.status is not Status.LEFT:
            self._learn(self.state.own.become(Status.LEFT), now)
            self._end_turn(now)
            ask = pack_section(AskSettling(self.state.live.digest, [self._convergence.entry(ROOT)]))
            for address in self._some_addresses(self.config.fanout):
                self._outbox.add(address, ask)
                self._outbox.open(address)

    @property
    def departed(self) -> bool:
        """Whether every node held alive is known to hold that this one has left."""
        return self.state.own.status is Status.LEFT and self._convergence.is_settled(ROOT)

    @property
    def answered(self) -> bool:
        """Whether a seed or another contact has answered."""
        return self._contacts.answered

    @property
    def joined(self) -> bool:
        """Whether the state was equal to that of a node that answered."""
        return self._contacts.joined

    @property
    def seeds(self) -> tuple[Address, ...]:
        """The addresses given to `seek` last."""
        return self._contacts.seeds

    @property
    def alone(self) -> bool:
        """Whether there is nobody to wait for: every seed is this node itself or a closed port."""
        return self._contacts.hopeless

    @property
    def idle(self) -> bool:
        """Whether every operation submitted so far was accepted or refused."""
        return self._operations.idle

    # Input.

    def receive(self, datagram_untrusted: bytes, address: Address, now: float) -> None:
        """Take in a datagram: it is processed, or counted and dropped."""
        now = self._clock(now)
        self.stats.received += 1
        self.stats.received_bytes += len(datagram_untrusted)
        try:
            message = unpack_message(self._outbox.seal.open(datagram_untrusted))
            if message.sender == self.node_id:
                raise BadPacket("own datagram")
            registers = _registers(message)
        except BadPacket as error:
            self.stats.refused[error.reason] += 1
            return
        for register, age, repaired in registers:
            self._hear(register, message.sender, age, repaired, now)
        for section in message.sections:
            handler = _HANDLERS.get(type(section))
            if handler is not None:
                handler(self, message, address, section, now)
        if message.sender in self.state.live:
            self._members_heard.add(address)

    def refused(self, address: Address, now: float) -> None:
        """The kernel reports that nobody listens at an address that was sent to."""
        now = self._clock(now)
        self._detector.on_refused(address, now)
        self._contacts.on_refused(address)

    def tick(self, now: float) -> None:
        """Do what is due, and draw the conclusions of all that was received."""
        now = self._clock(now)
        self._detector.tick(now)
        for register in self.state.tombstones.expired(now):
            self._forget(register)
        self._end_turn(now)

    # Output.

    def datagrams(self, now: float) -> list[tuple[bytes, Address]]:
        """What is to be sent now."""
        now = self._clock(now)
        self._contact(now)
        self._detector.flush()
        self._reconciler.flush()
        self._settle(now)
        for address in self._members_heard:
            if address in self._outbox:
                self._outbox.open(address)
        self._members_heard.clear()
        self._gossip(now)
        sent = self._outbox.drain(self._rumours_for)
        self.stats.sent += len(sent)
        self.stats.sent_bytes += sum(len(datagram) for datagram, _ in sent)
        return sent

    def events(self) -> list[Event]:
        """What happened since the last call, in order."""
        events, self.state.events = self.state.events, []
        return events

    def outcomes(self) -> list[Outcome]:
        """What became of submitted operations since the last call."""
        outcomes, self._operations.outcomes = self._operations.outcomes, []
        return outcomes

    def next_deadline(self) -> float:
        """When `tick` must be called even if no datagram comes; infinity when nothing is ever due."""
        times = (
            self._detector.deadline(self._now),
            self._convergence.deadline,
            self._contacts.deadline,
            self._reports.deadline,
            self.state.tombstones.deadline,
            self._gossip_deadline(),
        )
        due = min((at for at in times if at is not None), default=None)
        self._awaited = None if due is None else max(due, self._now) + self._stalled
        return float("inf") if self._awaited is None else self._awaited

    # Time.

    def _clock(self, now: float) -> float:
        """The node's own clock: `now` less the time that the process was stalled."""
        if self._awaited is not None:
            late = now - self._awaited
            if late > self.config.stall_tolerance:
                self._stalled += late
                self.stats.stalls += 1
                if late > self.config.probe_timeout:
                    self._detector.awareness.note(awareness.STALLED)
            self._awaited = None
        self._now = max(self._now, now - self._stalled)
        return self._now

    # Learning.

    def _hear(self, register: Register, sender: NodeId, age: float, repaired: bool, now: float) -> None:
        if isinstance(register, NodeRegister) and register.node_id == self.node_id:
            if register.rank > self.state.own.rank:
                self._refute(register.incarnation, now)
            return
        # What a joiner is given, the others have.
        tell = not repaired or self.joined
        if self._learn(register, now, age=age, tell=tell, repaired=repaired):
            self._news_from.add(sender)

    def _learn(
        self,
        register: Register,
        now: float,
        *,
        tell: bool = True,
        age: float = 0.0,
        repaired: bool = False,
    ) -> bool:
        if self.state.merge(register, now, age) is None:
            return False
        self._last_change = now
        if isinstance(register, NodeRegister):
            if register.node_id != self.node_id:
                self._detector.status_changed(register, now)
                self._contacts.status_changed(register.node_id, register.status, now)
        elif isinstance(register, GroupRegister):
            self._convergence.add(register.group)
        if tell:
            # The neighbours of a repaired node mostly know: it tells them once.
            limit = retransmit_limit(self.config.retransmit_multiplier, len(self.state.live))
            self._rumours.add(register, max(0, limit - self.config.fanout) if repaired else 0)
        else:
            self._rumours.drop(register.key)
        return True

    def _refute(self, incarnation: int, now: float) -> None:
        own = self.state.own
        if own.status is not Status.LEFT:
            self.stats.refutations += 1
            self._detector.awareness.note(awareness.REFUTED)
            self._learn(own.become(Status.ALIVE, min(incarnation + 1, MAX_COUNTER)), now)

    def _forget(self, register: Register) -> None:
        if register.key != self.state.own.key and self.state.forget(register):
            self._rumours.drop(register.key)
            if isinstance(register, NodeRegister):
                self._contacts.forget(register.node_id)
            elif isinstance(register, GroupRegister):
                self._convergence.forget(register.group)
                self._reports.forget(register.group)

    # Conclusions.

    def _end_turn(self, now: float) -> None:
        self._operations.run()
        self._compare_views(now)
        # Once the root was told, groups that waited for it may be told too.
        while settled := self._convergence.settled(self._reports.waits_for_root):
            for scope in settled:
                self._report(scope, converged=True)
                self._rumours.settled(scope)
        for scope in self._reports.overdue(now):
            self._report(scope, converged=False)
        for scope in sorted(self._operations.awaited.difference(self._reports.pending), key=str):
            # Changed and changed back within the turn: there is nothing to report.
            self._operations.reported(scope, converged=True)
        self._contacts.turn_ended()

    def _compare_views(self, now: float) -> None:
        """Start to settle what has changed since the last comparison."""
        state, convergence = self.state, self._convergence
        epochs, version = self._root_seen
        if state.epochs_digest != epochs and convergence.update(ROOT, state.epochs_digest, now):
            self._reports.changed(ROOT, now)
        if state.live.version != version:
            self._reports.changed(ROOT, now)
            convergence.live_changed(self._reports.pending, now)
        self._root_seen = (state.epochs_digest, state.live.version)
        for group, members in state.views.touched.items():
            self._reports.shown(group, members)
            if convergence.update(group, state.views.digests.get(group, 0), now):
                self._reports.changed(group, now)
        state.changed_groups.update(state.views.touched)
        state.views.touched.clear()

    def _report(self, scope: int | str, converged: bool) -> None:
        if self._reports.report(scope, converged):
            self._operations.reported(scope, converged)
        self.state.events += self._reports.events
        self._reports.events.clear()

    # Sending.

    def _contact(self, now: float) -> None:
        for address, number in self._contacts.due(now):
            ping = Ping(number, ANYBODY, self.state.replica.digest, self._detector.order.clock(now))
            self._outbox.add(address, pack_section(ping))
            if not self.joined:
                self._outbox.add(address, self._reconciler.request())
                self._outbox.add(address, pack_section(Rumours([self.state.own.packed])))

    def _settle(self, now: float) -> None:
        due = ((Settling, self._convergence.pushes(now)), (AskSettling, self._convergence.asks(now)))
        for shape, targets in due:
            for target, entries in targets:
                address = self.state.replica.nodes[target].address
                self._send_entries(shape, address, entries)
                self._outbox.open(address)
        if self._farewells and self._convergence.is_settled(ROOT):
            for address in self._farewells:
                self._send_entries(Settling, address, [self._convergence.entry(ROOT)])
            self._farewells.clear()

    def _send_entries(
        self, shape: type[Settling | AskSettling], address: Address, entries: list[Entry]
    ) -> None:
        for some in split_entries(entries):
            self._outbox.add(address, pack_section(shape(self.state.live.digest, some)))

    def _gossip(self, now: float) -> None:
        """News goes on at once, within its budget; what is not new is told again each interval."""
        if not self._has_news():
            return
        news = self._rumours.fresh and self._news_budget.spend(self.config.fanout, now)
        if news or self._gossip_at <= now:
            self._gossip_at = now + self.config.gossip_interval
            for address in self._some_addresses(self.config.fanout, self._news_from if news else ()):
                self._outbox.open(address)
            self._news_from.clear()

    def _rumours_for(self, room: int) -> list[bytes]:
        if not self._rumours:
            return []
        limit = retransmit_limit(self.config.retransmit_multiplier, len(self.state.live))
        return self._rumours.take(room, limit, self._age)

    def _age(self, register: Register) -> int:
        return self.state.tombstones.age(register, self._now)

    def _gossip_deadline(self) -> float | None:
        if not self._has_news():
            return None
        if self._rumours.fresh:
            return min(self._gossip_at, self._news_budget.ready_at(self.config.fanout, self._now))
        return self._gossip_at

    def _has_news(self) -> bool:
        """Whether there is something to tell, and somebody to tell it to."""
        others = len(self.state.live) - self.state.own.status.live
        return bool(self._rumours) and others > 0

    def _some_addresses(self, count: int, but: Iterable[NodeId] = ()) -> list[Address]:
        """Up to so many addresses of live nodes, drawn at random."""
        excluded = {self.node_id, *but}
        others = [node_id for node_id in self.state.live.ids if node_id not in excluded]
        chosen = []
        for _ in range(min(count, len(others))):
            place = self._random.randrange(len(others))
            others[place], others[-1] = others[-1], others[place]
            chosen.append(self.state.replica.nodes[others.pop()].address)
        return chosen

    # Handlers.

    def _on_ping(self, message: Message, address: Address, section: Ping, now: float) -> None:
        self._detector.on_ping(address, section, now)
        self._tell_if_dead(message.sender, address)
        if section.digest != self.state.replica.digest:
            self._differs(message, address, now)

    def _on_ack(self, message: Message, address: Address, section: Ack, now: float) -> None:
        self._detector.on_ack(message.sender, section)
        self._contacts.on_ack(section)
        self._tell_if_dead(message.sender, address)
        if section.digest != self.state.replica.digest:
            self._differs(message, address, now)

    def _tell_if_dead(self, sender: NodeId, address: Address) -> None:
        """A node that is held dead may not know, and only it can clear itself."""
        register = self.state.replica.nodes.get(sender)
        if register is not None and register.status is Status.DEAD:
            self._outbox.add(address, pack_section(Rumours([register.packed])))

    def _on_accusations(self, message: Message, address: Address, section: Accusations, now: float) -> None:
        for accusation in section.accusations:
            if accusation.subject != self.node_id:
                self._detector.on_accusation(accusation, now)
            elif accusation.incarnation >= self.state.own.incarnation:
                self._refute(accusation.incarnation, now)

    def _on_settling(
        self, message: Message, address: Address, section: Settling | AskSettling, now: float
    ) -> None:
        self._compare_views(now)
        asked = isinstance(section, AskSettling)
        answers = []
        for entry in section.entries:
            more = self._convergence.hear(section.live, entry, now)
            if more is None:
                if asked:
                    self._differs(message, address, now)
            elif more and (asked or entry.stamp < self._convergence[entry.scope].stamp):
                answers.append(self._convergence.entry(entry.scope))
        self._send_entries(Settling, address, answers)
        if asked and message.sender not in self.state.live and len(self._farewells) < FAREWELLS:
            self._farewells[address] = None

    def _differs(self, message: Message, address: Address, now: float) -> None:
        """A node holds another state: repair, unless news is still on its way or it has begun already."""
        calm = now - self._last_change >= self.config.gossip_interval
        due = now - self._last_repair >= CALM * self.config.probe_period
        begun = any(isinstance(section, Buckets) for section in message.sections)
        leaving = self.state.own.status is Status.LEFT
        if (calm or due) and not begun and not leaving and self._reconciler.start(address, now):
            self._last_repair = now


def _registers(message: Message) -> list[tuple[Register, float, bool]]:
    """The registers of a message, each with age and whether it repairs. May raise `BadPacket`."""
    registers: list[tuple[Register | None, float, bool]] = []
    for section in message.sections:
        if isinstance(section, Rumours):
            registers += [(decode_register(packed), 0.0, False) for packed in section.registers]
        elif isinstance(section, Repair):
            ages = section.ages or [0] * len(section.registers)
            if len(ages) != len(section.registers):
                raise BadPacket("ages")
            registers += [
                (decode_register(packed), age, True)
                for packed, age in zip(section.registers, ages, strict=True)
            ]
    # Registers of a kind that only a later version knows are left alone.
    return [(register, age, repaired) for register, age, repaired in registers if register is not None]


Handler = Callable[[Node, Message, Address, Any, float], None]
_HANDLERS: dict[type[Any], Handler] = {
    Ping: Node._on_ping,
    Ack: Node._on_ack,
    PingReq: lambda node, message, address, section, now: node._detector.on_ping_req(address, section, now),
    Nack: lambda node, message, address, section, now: node._detector.on_nack(message.sender, section),
    NotMe: lambda node, message, address, section, now: node._detector.on_not_me(address, section, now),
    Accusations: Node._on_accusations,
    Settling: Node._on_settling,
    AskSettling: Node._on_settling,
    Buckets: lambda node, message, address, section, now: node._reconciler.on_buckets(address, section),
    Hashes: lambda node, message, address, section, now: node._reconciler.on_hashes(address, section),
    Want: lambda node, message, address, section, now: node._reconciler.on_want(address, section),
}
"""What is done with each kind of section; registers are learnt before any of them."""
