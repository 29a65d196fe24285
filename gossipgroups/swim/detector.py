"""The failure detector: probes, relays and suspicions of one node, and what it answers to others'.

Law: a status is changed on evidence only: an ack missing after direct and indirect probes, the kernel's word
that a port is closed, a stranger on the address, a suspicion that nobody refuted in time, or a node's own
farewell. All of it goes through `learn`, as registers; nothing here edits the replica.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import inf
from typing import Protocol

from gossipgroups.config import Config
from gossipgroups.groups.replica import Replica
from gossipgroups.ids import Address, NodeId, Peer, Random
from gossipgroups.registers import NodeRegister, hash_bytes
from gossipgroups.status import Status
from gossipgroups.swim import awareness as evidence_of
from gossipgroups.swim.awareness import Awareness
from gossipgroups.swim.dissemination import RumourQueue
from gossipgroups.swim.hearing import Hearing
from gossipgroups.swim.live import LiveSet
from gossipgroups.swim.order import ProbeOrder
from gossipgroups.swim.parts import Part
from gossipgroups.swim.probe import Numbers, Probe, Purpose, Relay, Stage
from gossipgroups.swim.relays import NACK_AFTER, Relays
from gossipgroups.swim.round_trips import RoundTrips
from gossipgroups.swim.shuffled import ShuffledOrder
from gossipgroups.swim.suspicion import Suspicions
from gossipgroups.wire.codec import pack_section
from gossipgroups.wire.messages import (
    REFUSED,
    SILENT,
    Accusation,
    Accusations,
    Ack,
    Cookie,
    Nack,
    NotMe,
    Ping,
    PingReq,
    Proof,
    Rumours,
)
from gossipgroups.wire.outbox import Outbox

INDIRECT_WAITS = 3
"""A probe has failed after so many waits for an ack: one for the ping, two for the way over a relay."""
SPARE_CORROBORATORS = 2
"""Nodes that corroborate, beyond the confirmations needed: one may be the accuser, one be gone."""


class Learn(Protocol):
    """Merges a register into the node's state."""

    def __call__(self, register: NodeRegister, now: float, *, tell: bool = True) -> bool:
        """Merge; whether it was news. `tell` spreads it as a rumour."""
        ...


class Detector:
    """Probing and suspicion of one node. Times are on the node's clock."""

    def __init__(
        self,
        me: NodeId,
        replica: Replica,
        live: LiveSet,
        rumours: RumourQueue,
        outbox: Outbox,
        config: Config,
        random: Random,
        learn: Learn,
    ) -> None:
        self._me = me
        self._replica = replica
        self._live = live
        self._rumours = rumours
        self._outbox = outbox
        self._config = config
        self._random = random
        self._learn = learn
        self._omit: frozenset[Part] = frozenset()
        self._acks: list[tuple[Peer, int]] = []
        self._probes: dict[int, Probe] = {}
        self._late: dict[int, Probe] = {}
        """Probes that failed within the last period: an ack of theirs is still a round trip."""
        self._relays = Relays(outbox)
        self._round_trips = RoundTrips(config)
        self.hearing = Hearing(config.silent_timeout)
        self.numbers = Numbers(random)
        self.order: ProbeOrder | ShuffledOrder = ProbeOrder(me, config.probe_period)
        self.awareness = Awareness(config.awareness_limit)
        self.suspicions = Suspicions(config)
        self._doubts: dict[NodeId, NodeRegister] = {}
        self.on_challenged: Callable[[NodeId, bool], None] = lambda target, alive: None

    def leave_out(self, parts: Collection[Part]) -> None:
        """Do without some parts, from the start."""
        self._omit = frozenset(parts)
        if Part.EVEN_PROBES in self._omit:
            self.order = ShuffledOrder(self._me, self._config.probe_period, self._random)

    def on_ping(self, peer: Peer, ping: Ping, now: float) -> None:
        """Answer a ping."""
        self.order.hear(ping.clock, now)
        self._acks.append((peer, ping.number))

    def on_stray(self, peer: Peer, receiver: NodeId, ping: Ping) -> None:
        """A ping for another node: if we have its address, or have never heard of it, say so."""
        register = self._replica.nodes.get(receiver)
        if register is None or register.address == self._replica.nodes[self._me].address:
            self._outbox.answer(peer, pack_section(NotMe(ping.number, receiver)))

    def flush(self) -> None:
        """Send the turn's acks, with the digest of all that the turn brought."""
        for peer, number in self._acks:
            self._outbox.answer(peer, pack_section(Ack(number, self._replica.digest)))
        self._acks.clear()

    def awaits(self, number: int) -> bool:
        """Whether the ping of this number is under way."""
        return number in self._probes or self._relays.get(number) is not None

    def expects(self, sender: NodeId, number: int) -> bool:
        """Whether this node was pinged under this number, or asked to ping for us."""
        probe = self._probes.get(number)
        asked = probe is not None and sender in probe.asked
        return asked or self.pinged(sender, number) is not None

    def pinged(self, sender: NodeId, number: int) -> Address | None:
        """Where the ping of this number went, if it is under way and went to this node."""
        under_way = self._probes.get(number) or self._relays.get(number)
        return under_way.address if under_way is not None and under_way.target == sender else None

    def on_cookie(self, sender: NodeId, cookie: Cookie, now: float) -> bool:
        """A node that was pinged asks for proof: ping it again with it. Whether it was pinged."""
        register = self._replica.nodes.get(sender)
        if register is None or self.pinged(sender, cookie.number) is None:
            return False
        self._outbox.add(register.peer, pack_section(Proof(cookie.cookie)))
        self._ping(register, cookie.number, now)
        return True

    def on_ack(self, sender: NodeId, ack: Ack, now: float) -> None:
        """A target, or a relay on its behalf, has answered."""
        number = ack.number
        probe = self._probes.get(number)
        if probe is not None and (sender == probe.target or sender in probe.asked):
            del self._probes[number]
            if sender == probe.target:
                self._round_trips.note(now - probe.begun)
            if probe.purpose is Purpose.ROUND:
                self.awareness.note(evidence_of.PROBE_ANSWERED)
                self.order.resume(self._live, probe.begun)
            elif probe.purpose is Purpose.DOUBT:
                self._doubts.pop(probe.target, None)
            elif probe.purpose is Purpose.CHALLENGE:
                self.on_challenged(probe.target, True)
            return
        late = self._late.get(number)
        if late is not None and sender == late.target:
            del self._late[number]
            self._round_trips.note(now - late.begun)
        self._relays.on_ack(sender, number, self._replica.digest)

    def on_ping_req(self, peer: Peer, request: PingReq, now: float) -> None:
        """Probe a node for another."""
        register = self._replica.nodes.get(request.target)
        if register is None or request.target == self._me or self._relays.full:
            return
        number = self.numbers.draw()
        nack_at = now + NACK_AFTER * self._round_trips.timeout
        self._relays.begin(number, register.address, peer, request, nack_at, now + self._config.probe_period)
        self._ping(register, number, now)

    def on_nack(self, sender: NodeId, nack: Nack) -> None:
        """A relay is there, but has no ack either."""
        probe = self._probes.get(nack.number)
        if probe is not None and sender in probe.asked:
            probe.nacked.add(sender)

    def on_not_me(self, address: Address, section: NotMe, now: float) -> None:
        """Another process answers on the target's address: the target is gone."""
        under_way = self._probes.get(section.number) or self._relays.get(section.number)
        if under_way is None or (under_way.target, under_way.address) != (section.target, address):
            return
        register = self._replica.nodes.get(section.target)
        if register is not None and register.status.live and register.address == address:
            self._learn(register.become(Status.DEAD), now)

    def on_accusation(self, accusation: Accusation, now: float) -> None:
        """Somebody suspects a node at an incarnation."""
        register = self._replica.nodes.get(accusation.subject)
        if register is None or register.incarnation != accusation.incarnation:
            return
        if accusation.accuser not in self._live:
            return  # whoever is dead or unknown here has no word in it
        if register.status is Status.ALIVE:
            self._learn(register.become(Status.SUSPECT), now, tell=False)
            if accusation.subject in self.suspicions and self._is_corroborator(accusation):
                self.probe(accusation.subject, Purpose.CORROBORATE, now)
        if self.suspicions.confirm(accusation.subject, accusation.accuser, accusation.evidence, now):
            self._tell(accusation)

    def on_refused(self, address: Address, now: float) -> None:
        """The kernel says that nobody listens at an address that we sent to."""
        if address == self._replica.nodes[self._me].address:
            return  # we do: the word is about a datagram of the process that had this port before us
        under_way = [each for each in self._under_way() if each.address == address]
        probed = {each.target for each in under_way}
        for node_id in self._live.ids:
            known = node_id in probed or self._has_accused(node_id, REFUSED)
            if not known and self._replica.nodes[node_id].address == address:
                self.probe(node_id, Purpose.CORROBORATE, now)
        for probe in under_way:
            if isinstance(probe, Relay):
                self._accuse(probe.target, REFUSED, now)
                self._relays.nack(probe)
            elif probe.purpose is Purpose.DOUBT:
                self._fail(probe, now)
            elif probe.evidence is SILENT:
                probe.evidence = REFUSED
                self._accuse(probe.target, REFUSED, now)
                if probe.stage is Stage.DIRECT and probe.number in self._probes:
                    self._ask_others(probe, now)
                if probe.purpose is Purpose.CHALLENGE:
                    self._give_up(probe)

    def doubts(self, register: NodeRegister, now: float) -> bool:
        """Whether a death that was heard of must wait: we hold the node live.

        After a partition each side hears from the other that its own live nodes are dead. They are asked
        first, and told, so that they refute; a death is believed when there is no ack in time. A suspicion
        is no reason to believe it sooner: it may come from the same other side.
        """
        held = self._replica.nodes.get(register.node_id)
        if register.status is not Status.DEAD or held is None or not held.status.live:
            return False
        if register.incarnation < held.incarnation or Part.DOUBT in self._omit:
            return False
        if register.node_id not in self._doubts:
            self._doubts[register.node_id] = register
            self._outbox.add(held.peer, pack_section(Rumours([register.packed])))
            self.probe(register.node_id, Purpose.DOUBT, now)
        return register.node_id in self._doubts

    def probe(self, target: NodeId, purpose: Purpose, now: float) -> None:
        """Start a probe. A node at our own address needs none: the address is ours now, so it is gone."""
        register = self._replica.nodes[target]
        if register.address == self._replica.nodes[self._me].address:
            self._learn(register.become(Status.DEAD), now)
            if purpose is Purpose.CHALLENGE:
                self.on_challenged(target, False)
            return
        wait = self._round_trips.timeout
        until = min(INDIRECT_WAITS * wait, self._config.probe_period)
        stretch = self.awareness.stretch
        number = self.numbers.draw()
        self._probes[number] = Probe(
            number,
            target,
            register.address,
            purpose,
            now,
            now + wait * stretch,
            now + until * stretch,
        )
        self._ping(register, number, now)

    def status_changed(self, register: NodeRegister, now: float) -> None:
        """A register of another node was merged: begin or end its suspicion, end the probes of one gone."""
        doubted = self._doubts.get(register.node_id)
        if doubted is not None and (
            register.status is not Status.SUSPECT or register.incarnation > doubted.incarnation
        ):
            self._drop_doubt(register.node_id)
        if not register.status.live:
            for probe in [each for each in self._probes.values() if each.target == register.node_id]:
                self._give_up(probe)
        suspicion = self.suspicions.get(register.node_id)
        if suspicion is not None and (
            register.status is not Status.SUSPECT or register.incarnation != suspicion.incarnation
        ):
            for accuser in self.suspicions.end(register.node_id):
                self._rumours.drop((register.node_id, accuser))
        if register.status is Status.SUSPECT:
            self.suspicions.begin(register.node_id, register.incarnation, now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        due = self.order.next(self._live, now)
        if due is not None and due[1] <= now:
            self.probe(due[0], Purpose.ROUND, now)
            self.order.done(self._live, self.awareness.stretch)
        for probe in [each for each in self._probes.values() if each.deadline <= now]:
            if probe.stage is Stage.DIRECT and probe.purpose is not Purpose.DOUBT:
                self._ask_others(probe, now)
            else:
                self._fail(probe, now)
                self._late[probe.number] = probe
        if self._late:
            since = now - self._config.probe_period
            self._late = {number: late for number, late in self._late.items() if late.begun > since}
        if self._relays:
            self._relays.tick(now)
        if self.suspicions:
            hears = self.hearing.is_steady(now)
            for node_id in self.suspicions.over(len(self._live), self._healthy(), hears, now):
                self._learn(self._replica.nodes[node_id].become(Status.DEAD), now)

    def deadline(self, now: float) -> float:
        """When something is due next; infinity when nothing is."""
        following = self.order.next(self._live, now)
        due = inf if following is None else following[1]
        for probe in self._probes.values():
            due = min(due, probe.deadline)
        for relay in self._relays.values():
            due = min(due, relay.deadline)
        if self.suspicions:
            due = min(due, self.suspicions.deadline(len(self._live), self._healthy()))
        return due

    def _healthy(self) -> int:
        """How many others could confirm a suspicion: live, and not suspects themselves."""
        return len(self._live) - len(self._live.suspects) - 1

    def _has_accused(self, target: NodeId, evidence: int) -> bool:
        suspicion = self.suspicions.get(target)
        return suspicion is not None and suspicion.accusers.get(self._me) == evidence

    def _under_way(self) -> list[Probe | Relay]:
        return [*self._probes.values(), *self._relays.values()]

    def _ping(self, register: NodeRegister, number: int, now: float) -> None:
        target, peer = register.node_id, register.peer
        ping = Ping(number, self._replica.digest, self.order.clock(now))
        self._outbox.add(peer, pack_section(ping))
        if register.status.live:
            self._outbox.open(peer)
        if register.status is Status.SUSPECT and Part.BUDDY not in self._omit:
            # Buddy (Lifeguard, section IV.C): the suspect hears of it first, with the probe itself.
            accusers = self.suspicions[target].accusers if target in self.suspicions else {}
            accuser, evidence = next(iter(accusers.items()), (self._me, SILENT))
            charge = Accusation(target, register.incarnation, accuser, evidence)
            self._outbox.add(peer, pack_section(Accusations([charge])))

    def _ask_others(self, probe: Probe, now: float) -> None:
        probe.stage = Stage.INDIRECT
        places = [
            node_id
            for node_id in self._live.ids
            if node_id not in (self._me, probe.target) and node_id not in self._live.suspects
        ]
        for _ in range(min(self._config.indirect_probes, len(places))):
            relay = places.pop(self._random.randrange(len(places)))
            probe.asked.add(relay)
            request = PingReq(probe.number, probe.target)
            self._outbox.add(self._replica.nodes[relay].peer, pack_section(request))
        if not probe.asked and probe.evidence is REFUSED:
            self._fail(probe, now)

    def _drop_doubt(self, node_id: NodeId) -> None:
        """Forget a doubt with its probe: the next one has a time-out of its own."""
        del self._doubts[node_id]
        for probe in list(self._probes.values()):
            if probe.target == node_id and probe.purpose is Purpose.DOUBT:
                del self._probes[probe.number]

    def _fail(self, probe: Probe, now: float) -> None:
        self._give_up(probe)
        if probe.purpose is Purpose.DOUBT:
            # One ping is enough to believe what others found, and too little to accuse.
            doubted = self._doubts.pop(probe.target, None)
            if doubted is not None:
                self._learn(doubted, now)
            return
        if probe.purpose is Purpose.ROUND and probe.evidence is SILENT:
            missed = len(probe.asked) - len(probe.nacked)
            unanswered = evidence_of.PROBE_UNANSWERED
            self.awareness.note(missed * evidence_of.NACK_MISSED if probe.asked else unanswered)
        self._accuse(probe.target, probe.evidence, now)

    def _give_up(self, probe: Probe) -> None:
        if self._probes.pop(probe.number, None) and probe.purpose is Purpose.CHALLENGE:
            self.on_challenged(probe.target, False)

    def _accuse(self, target: NodeId, evidence: int, now: float) -> None:
        register = self._replica.nodes.get(target)
        if register is None or not register.status.live:
            return
        if register.status is Status.ALIVE:
            self._learn(register.become(Status.SUSPECT), now, tell=False)
        if self.suspicions.confirm(target, self._me, evidence, now):
            self._tell(Accusation(target, register.incarnation, self._me, evidence))

    def _tell(self, accusation: Accusation) -> None:
        confirms = len(self.suspicions[accusation.subject].accusers) > 1
        self._rumours.accuse(accusation, confirms=confirms and accusation.evidence == SILENT)

    def _is_corroborator(self, accusation: Accusation) -> bool:
        """Whether we are one of the few that probe this suspect on hearing of it."""
        place = self._live.place(self._me)
        if place is None or Part.CORROBORATION in self._omit:
            return False
        seed = accusation.subject + accusation.incarnation.to_bytes(8, "big")
        return (place - hash_bytes(seed)) % len(self._live) < self._config.confirmations + SPARE_CORROBORATORS
