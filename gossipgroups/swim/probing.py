"""Probing: what one node asks of others, and what it answers to them.

Law: an ack counts for the node that was pinged under its number, or asked to ping for us, while that ping is
under way. Which probe was answered and which has failed is said to whoever asks, and nothing is concluded
from it here: no status changes, and suspicions are only read, to be told to the suspect.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import inf

from gossipgroups.config import Config
from gossipgroups.groups.replica import Replica
from gossipgroups.ids import Address, NodeId, Peer, Random
from gossipgroups.registers import NodeRegister
from gossipgroups.status import Status
from gossipgroups.swim import awareness as evidence_of
from gossipgroups.swim.awareness import Awareness
from gossipgroups.swim.live import LiveSet
from gossipgroups.swim.order import ProbeOrder
from gossipgroups.swim.parts import Part
from gossipgroups.swim.probe import Numbers, Probe, Purpose, Relay, Stage
from gossipgroups.swim.relays import NACK_AFTER, Relays
from gossipgroups.swim.round_trips import RoundTrips
from gossipgroups.swim.shuffled import ShuffledOrder
from gossipgroups.swim.suspicion import Suspicion
from gossipgroups.wire.codec import pack_section
from gossipgroups.wire.messages import (
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
)
from gossipgroups.wire.outbox import Outbox

INDIRECT_WAITS = 3
"""A probe has failed after so many waits for an ack: one for the ping, two for the way over a relay."""


class Prober:
    """The pings of one node and those of others to it. Times are on the node's clock, in seconds."""

    def __init__(
        self,
        me: NodeId,
        replica: Replica,
        live: LiveSet,
        suspicions: Mapping[NodeId, Suspicion],
        outbox: Outbox,
        config: Config,
        random: Random,
    ) -> None:
        self._me = me
        self._replica = replica
        self._live = live
        self._suspicions = suspicions
        self._outbox = outbox
        self._config = config
        self._random = random
        self._omit: frozenset[Part] = frozenset()
        self._acks: list[tuple[Peer, int]] = []
        self._probes: dict[int, Probe] = {}
        self._late: dict[int, Probe] = {}
        """Probes begun within the last period that have failed: an ack of theirs is still a round trip."""
        self._round_trips = RoundTrips(config)
        self.relays = Relays(outbox)
        self.numbers = Numbers(random)
        self.awareness = Awareness(config.awareness_limit)
        self.order: ProbeOrder | ShuffledOrder = ProbeOrder(me, config.probe_period)

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

    def on_ping_req(self, peer: Peer, request: PingReq, now: float) -> None:
        """Ping a node for another."""
        register = self._replica.nodes.get(request.target)
        if register is None or request.target == self._me or not self.relays.has_room(peer, request):
            return
        number = self.numbers.draw()
        nack_at = now + NACK_AFTER * self._round_trips.timeout
        self.relays.begin(number, register.address, peer, request, nack_at, now + self._config.probe_period)
        self._ping(register, number, now)

    def probe(self, register: NodeRegister, purpose: Purpose, now: float) -> None:
        """Start a probe."""
        wait = self._round_trips.timeout
        until = min(INDIRECT_WAITS * wait, self._config.probe_period)
        stretch = self.awareness.stretch
        number, target, address = self.numbers.draw(), register.node_id, register.address
        self._probes[number] = Probe(
            number, target, address, purpose, now, now + wait * stretch, now + until * stretch
        )
        self._ping(register, number, now)

    def ask_others(self, probe: Probe) -> bool:
        """Let others ping for us; whether there was anybody to ask."""
        probe.stage, probe.deadline = Stage.INDIRECT, probe.until
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
        return bool(probe.asked)

    def drop(self, probe: Probe) -> bool:
        """Await no answer any more; whether one was awaited."""
        return self._probes.pop(probe.number, None) is not None

    def on_ack(self, sender: NodeId, ack: Ack, now: float) -> Probe | None:
        """A target, or a relay on its behalf, has answered; the probe of ours that this ends, if any."""
        number = ack.number
        probe = self._probes.get(number)
        if probe is not None and (sender == probe.target or sender in probe.asked):
            del self._probes[number]
            if sender == probe.target:
                self._round_trips.note(now - probe.begun)
            if probe.purpose is Purpose.ROUND:
                self.awareness.note(evidence_of.PROBE_ANSWERED)
                self.order.resume(self._live, probe.begun)
            return probe
        late = self._late.get(number)
        if late is not None and sender == late.target:
            del self._late[number]
            self._round_trips.note(now - late.begun)
        self.relays.on_ack(sender, number, self._replica.digest)
        return None

    def on_nack(self, sender: NodeId, nack: Nack) -> None:
        """A relay is there, but has no ack either."""
        probe = self._probes.get(nack.number)
        if probe is not None and sender in probe.asked:
            probe.nacked.add(sender)

    def on_cookie(self, sender: NodeId, cookie: Cookie, now: float) -> bool:
        """A node that was pinged asks for proof: ping it again with it. Whether it was pinged."""
        register = self._replica.nodes.get(sender)
        if register is None or self.pinged(sender, cookie.number) is None:
            return False
        self._outbox.add(register.peer, pack_section(Proof(cookie.cookie)))
        self._ping(register, cookie.number, now)
        return True

    def awaits(self, number: int) -> bool:
        """Whether the ping of this number is under way."""
        return number in self._probes or self.relays.get(number) is not None

    def expects(self, sender: NodeId, number: int) -> bool:
        """Whether this node was pinged under this number, or asked to ping for us."""
        probe = self._probes.get(number)
        asked = probe is not None and sender in probe.asked
        return asked or self.pinged(sender, number) is not None

    def pinged(self, sender: NodeId, number: int) -> Address | None:
        """Where the ping of this number went, if it is under way and went to this node."""
        under_way = self._probes.get(number) or self.relays.get(number)
        return under_way.address if under_way is not None and under_way.target == sender else None

    def probes_of(self, target: NodeId) -> list[Probe]:
        """Our probes of a node that are under way."""
        return [each for each in self._probes.values() if each.target == target]

    def probes_for(self, target: NodeId, purpose: Purpose) -> bool:
        """Whether a probe of a node with this purpose is under way."""
        return any(probe.purpose is purpose for probe in self.probes_of(target))

    def sent_to(self, address: Address) -> list[Probe | Relay]:
        """Our probes, and our pings for others, that are under way to an address."""
        under_way: list[Probe | Relay] = [*self._probes.values(), *self.relays.values()]
        return [each for each in under_way if each.address == address]

    def turn(self, now: float) -> NodeId | None:
        """Whose turn it is to be probed, if it is somebody's by now; it is then over."""
        due = self.order.next(self._live, now)
        if due is None or due[1] > now:
            return None
        self.order.done(self._live, self.awareness.stretch, now)
        return due[0]

    def tick(self, now: float) -> Iterator[Probe]:
        """Do what is due. Yields each probe that has failed, to be judged before the next is looked at.

        Whoever is a suspect then is not asked about the next.
        """
        for probe in list(self._probes.values()):
            if probe.deadline > now or probe.number not in self._probes:
                continue  # ... any more: what was concluded from the one before may have ended this
            if probe.stage is Stage.DIRECT and probe.purpose is not Purpose.DOUBT:
                self.ask_others(probe)
                continue
            if probe.purpose is Purpose.ROUND and probe.evidence is SILENT:
                missed = len(probe.asked) - len(probe.nacked)
                unanswered = evidence_of.PROBE_UNANSWERED
                self.awareness.note(missed * evidence_of.NACK_MISSED if probe.asked else unanswered)
            self._late[probe.number] = probe
            yield probe
        if self._late:
            since = now - self._config.probe_period
            self._late = {number: late for number, late in self._late.items() if late.begun > since}
        if self.relays:
            self.relays.tick(now)

    def deadline(self, now: float) -> float:
        """When something is due next; infinity when nothing is."""
        following = self.order.next(self._live, now)
        due = inf if following is None else following[1]
        for probe in self._probes.values():
            due = min(due, probe.deadline)
        if self.relays:
            due = min(due, *(relay.deadline for relay in self.relays.values()))
        return due

    def _ping(self, register: NodeRegister, number: int, now: float) -> None:
        target, peer = register.node_id, register.peer
        ping = Ping(number, self._replica.digest, self.order.clock(now))
        self._outbox.add(peer, pack_section(ping))
        if register.status.live:
            self._outbox.open(peer)
        if register.status is Status.SUSPECT and Part.BUDDY not in self._omit:
            # Buddy (Lifeguard, section IV.C): the suspect hears of it first, with the probe itself.
            accusers = self._suspicions[target].accusers if target in self._suspicions else {}
            accuser, evidence = next(iter(accusers.items()), (self._me, SILENT))
            charge = Accusation(target, register.incarnation, accuser, evidence)
            self._outbox.add(peer, pack_section(Accusations([charge])))
