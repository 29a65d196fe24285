"""The whole protocol as one object: datagrams, time and commands in; datagrams, events and a deadline out.

Law: a node touches no socket, no clock and no chance but its arguments. A turn is: `receive` every datagram
that waits, `tick`, send what `datagrams` returns, hand out `events`, sleep until `next_deadline`.
"""

from __future__ import annotations

from collections.abc import Collection

from gossipgroups.admission import Admission
from gossipgroups.answers import Answers
from gossipgroups.clock import StallClock
from gossipgroups.config import Config
from gossipgroups.contacts import Contacts
from gossipgroups.convergence import Convergence
from gossipgroups.errors import CoordinatorClosed, InvalidValue
from gossipgroups.events import Event
from gossipgroups.gossip import Gossip
from gossipgroups.groups.limits import LIMITS, Limits
from gossipgroups.groups.rules import Command, Rules
from gossipgroups.ids import ANYBODY, NODE_ID_BYTES, Address, NodeId, Random
from gossipgroups.keys import KeyRing
from gossipgroups.learning import Learning
from gossipgroups.operations import Operations, Outcome
from gossipgroups.ports import ClosedPorts
from gossipgroups.reception import Addressees, Reception
from gossipgroups.reconcile import Reconciler
from gossipgroups.registers import NodeRegister, Register, successor
from gossipgroups.reports import Reports
from gossipgroups.settling import Settler
from gossipgroups.state import State
from gossipgroups.stats import Stats
from gossipgroups.status import Status
from gossipgroups.swim import awareness
from gossipgroups.swim.detector import Detector
from gossipgroups.swim.dissemination import RumourQueue
from gossipgroups.swim.parts import Part
from gossipgroups.swim.probe import Purpose
from gossipgroups.wire.codec import pack_section
from gossipgroups.wire.header import Message
from gossipgroups.wire.messages import ROOT, Ping, Proof, Rumours
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.seal import KeyedSeal, Seal


class Node:
    """One node of a cluster. `random` is its only chance, `now` in every call its only clock (seconds).

    `seal` is the cluster's.
    `omit` leaves out parts of the failure detector, to measure what each is worth; nothing else uses it.
    `limits` are other than the protocol's only in tests, and alike at all nodes.
    """

    def __init__(
        self,
        *,
        name: str,
        address: Address,
        seal: Seal,
        config: Config,
        random: Random,
        now: float,
        omit: Collection[Part] = (),
        limits: Limits = LIMITS,
    ) -> None:
        self.config = config
        self.stats = Stats()
        self.node_id = NodeId(random.randbytes(NODE_ID_BYTES))
        self.state = state = State(self.node_id, config.forget_after, limits)
        self.stats.over_limit = state.replica.over_limit
        self._random = random
        self._clock = StallClock(now, config.stall_tolerance)
        self._rumours = RumourQueue()
        self._seal = seal
        self._outbox = Outbox(self.node_id, seal)
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
        self._detector.leave_out(omit)
        self._prober = self._detector.prober
        self._ports = ClosedPorts(self.node_id, state.replica, self._outbox, self.stats)
        self._convergence = Convergence(self.node_id, state.live, config, random)
        self._reconciler = Reconciler(state.replica, self._outbox, config, self._age, random, now)
        self._contacts = Contacts(state.replica, state.live, self._prober.numbers, config, random, address)
        self._reports = Reports(state.replica, state.views, config)
        self._operations = Operations(
            Rules(self.node_id, state.replica, state.views),
            lambda register: self._learn(register, self._clock.now),
            lambda holder: self._detector.probe(holder, Purpose.CHALLENGE, self._clock.now),
        )
        self._detector.on_challenged = self._operations.challenged
        self._gossip = Gossip(
            self.node_id, state, self._rumours, self._outbox, config, random, self._age, now
        )
        self._settler = Settler(
            state,
            self._convergence,
            self._reports,
            self._operations,
            self._rumours,
            self._gossip,
            self._outbox,
            config,
        )
        self._admission = Admission(
            self.node_id,
            state.replica,
            self._outbox,
            random,
            Answers(self._prober, self._contacts),
            sealed=seal.ring is not None,
        )
        self._learning = Learning(
            state,
            self._prober.awareness,
            self._detector,
            self._contacts,
            self._admission,
            self._reconciler,
            self._convergence,
            self._reports,
            self._operations,
            self._rumours,
            self._gossip,
            self.stats,
            config,
        )
        addressees = Addressees(
            self._admission,
            self._contacts,
            self._prober,
            self._detector,
            self._reconciler,
            self._settler,
            self._learning,
        )
        self._reception = Reception(state, seal, self.stats, self._outbox, addressees)
        key_ids = b"" if seal.ring is None else seal.ring.packed_ids
        self._learn(NodeRegister(self.node_id, 0, Status.ALIVE, address, name, key_ids=key_ids), now)
        self._end_turn(now)

    def submit(self, command: Command, now: float) -> int:
        """Queue an operation on groups; its outcomes carry the number returned."""
        now = self._time(now)
        number = self._operations.submit(command)
        self._end_turn(now)
        return number

    def seek(self, seeds: tuple[Address, ...], now: float) -> None:
        """Look for other nodes at these addresses from now on."""
        self._contacts.seek(seeds, self._time(now))

    def leave(self, now: float) -> None:
        """Announce that this node stops; `departed` tells when the others have it."""
        now = self._time(now)
        if self.state.own.status is not Status.LEFT:
            self._operations.refuse_all(CoordinatorClosed("the coordinator stopped before this was applied"))
            self._learn(self.state.own.become(Status.LEFT), now)
            self._end_turn(now)
            self._settler.say_farewell()

    @property
    def keys(self) -> KeyRing | None:
        """The keys that datagrams are sealed and opened with; `None` without."""
        return self._seal.ring

    def use_keys(self, ring: KeyRing, now: float) -> None:
        """Seal and open with these keys from now on, and tell the others their ids.

        Raises `InvalidValue` on a node that was started without keys, which nobody could hear any more, and
        `LimitExceeded` when it cannot tell the change, as its incarnation is used up.
        """
        if not isinstance(self._seal, KeyedSeal):
            raise InvalidValue("this node was started without keys: start it with keys to seal its datagrams")
        now = self._time(now)
        if ring != self._seal.ring:
            own = self.state.own
            incarnation = successor(own.incarnation, "the incarnation")
            self._seal.use(ring)
            self._learn(own.become(own.status, incarnation, key_ids=ring.packed_ids), now)
            self._end_turn(now)

    def read(self, datagram_untrusted: bytes) -> Message:
        """What a datagram of this cluster says, without taking it in. Raises `BadPacket`."""
        return self._reception.read(datagram_untrusted)

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
        """Whether the state was equal to that of a node that answered, or has long tried to be."""
        return self._contacts.joined

    @property
    def seeds(self) -> tuple[Address, ...]:
        """The addresses given to `seek` last."""
        return self._contacts.seeds

    @property
    def own_seed(self) -> bool:
        """Whether one of the seeds is this node itself, under whatever address."""
        return self._contacts.own_seed

    @property
    def alone(self) -> bool:
        """Whether there is nobody to wait for: every seed is this node itself or a closed port."""
        return self._contacts.hopeless

    @property
    def idle(self) -> bool:
        """Whether every operation submitted so far was accepted or refused."""
        return self._operations.idle

    def receive(self, datagram_untrusted: bytes, address: Address, now: float) -> str | None:
        """Take in a datagram: it is processed, or counted and dropped for the reason returned."""
        return self._reception.receive(datagram_untrusted, address, self._time(now))

    def refused(self, address: Address, quoted_untrusted: bytes, now: float) -> None:
        """The kernel reports that nobody listens at an address, quoting the head of what was sent there."""
        now = self._time(now)
        receiver = self._ports.receiver(address, quoted_untrusted, now)
        if receiver is None:
            return
        if receiver != ANYBODY:
            self._detector.on_refused(address, now)
        self._contacts.on_refused(address)

    def tick(self, now: float) -> None:
        """Do what is due, and draw the conclusions of all that was received."""
        now = self._time(now)
        self._ports.turn_ended()
        self._detector.tick(now)
        for register in self.state.tombstones.expired(now):
            self._learning.forget(register)
        self._end_turn(now)

    def datagrams(self, now: float) -> list[tuple[bytes, Address]]:
        """What is to be sent now."""
        now = self._time(now)
        self._contact(now)
        self._prober.flush()
        self._reconciler.flush(now)
        self._settler.send(now)
        for peer in self._reception.members_heard():
            if peer in self._outbox and not self._outbox.limited(peer):
                self._outbox.open(peer)
        self._gossip.send(now)
        sent = self._outbox.drain(self._gossip.fill, lambda peer: self._admission.cookie(peer, now))
        for datagram, _ in sent:
            self.stats.sent += 1
            self.stats.sent_bytes += len(datagram)
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
        now = self._clock.now
        due = min(
            self._prober.deadline(now),
            self._detector.deadline,
            self._convergence.deadline,
            self._reconciler.deadline(now),
            self._contacts.deadline,
            self._reports.deadline,
            self.state.tombstones.deadline,
            self._gossip.deadline(now),
        )
        return self._clock.await_until(due)

    def _time(self, now: float) -> float:
        """Own time, once the caller's is `now`."""
        clock = self._clock
        if now != clock.read_at:
            stall = clock.read(now)
            if stall:
                self.stats.stalls += 1
                if stall > self.config.probe_timeout:
                    self._prober.awareness.note(awareness.STALLED)
        return clock.now

    def _learn(self, register: Register, now: float, *, tell: bool = True) -> bool:
        return self._learning.learn(register, now, tell=tell)

    def _end_turn(self, now: float) -> None:
        self._settler.end_turn(now)
        self._contacts.turn_ended()

    def _contact(self, now: float) -> None:
        for peer, number, cookie in self._contacts.due(now):
            ping = Ping(number, self.state.replica.digest, self._prober.order.clock(now))
            self._outbox.add(peer, pack_section(Proof(cookie)))
            self._outbox.add(peer, pack_section(ping))
            if peer.node_id != ANYBODY and not self.joined:
                self._outbox.add(peer, self._reconciler.request())
                self._outbox.add(peer, pack_section(Rumours([self.state.own.packed])))

    def _age(self, register: Register) -> int:
        return self.state.tombstones.age(register, self._clock.now)
