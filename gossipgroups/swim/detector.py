"""The failure detector: what one node concludes from its probes, and from the word of others.

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
from gossipgroups.ids import Address, NodeId, Random
from gossipgroups.registers import NodeRegister, hash_bytes
from gossipgroups.status import Status
from gossipgroups.swim.dissemination import RumourQueue
from gossipgroups.swim.hearing import Hearing
from gossipgroups.swim.live import LiveSet
from gossipgroups.swim.parts import Part
from gossipgroups.swim.probe import Probe, Purpose, Relay, Stage
from gossipgroups.swim.probing import Prober
from gossipgroups.swim.suspicion import Suspicions
from gossipgroups.wire.codec import pack_section
from gossipgroups.wire.messages import REFUSED, SILENT, Accusation, Ack, NotMe, Rumours
from gossipgroups.wire.outbox import Outbox

SPARE_CORROBORATORS = 2
"""Nodes that corroborate, beyond the confirmations needed: one may be the accuser, one be gone."""


class Learn(Protocol):
    """Merges a register into the node's state."""

    def __call__(self, register: NodeRegister, now: float, *, tell: bool = True) -> bool:
        """Merge; whether it was news. `tell` spreads it as a rumour."""
        ...


class Detector:
    """The judge of one node's probes, and of all suspicions. Times are on the node's clock, in seconds."""

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
        self._learn = learn
        self._omit: frozenset[Part] = frozenset()
        self._doubts: dict[NodeId, NodeRegister] = {}
        self.suspicions = Suspicions(config)
        self.prober = Prober(me, replica, live, self.suspicions, outbox, config, random)
        self.hearing = Hearing(config.silent_timeout)
        self.on_challenged: Callable[[NodeId, bool], None] = lambda target, alive: None

    def leave_out(self, parts: Collection[Part]) -> None:
        """Do without some parts, from the start."""
        self._omit = frozenset(parts)
        self.prober.leave_out(parts)

    def probe(self, target: NodeId, purpose: Purpose, now: float) -> None:
        """Start a probe. A node at our own address needs none: the address is ours now, so it is gone."""
        register = self._replica.nodes[target]
        if register.address != self._replica.nodes[self._me].address:
            # One that is under way for the same reason answers both; rounds are paced by their order.
            if purpose is Purpose.ROUND or not self.prober.probes_for(target, purpose):
                self.prober.probe(register, purpose, now)
            return
        self._learn(register.become(Status.DEAD), now)
        if purpose is Purpose.CHALLENGE:
            self.on_challenged(target, False)

    def on_ack(self, sender: NodeId, ack: Ack, now: float) -> None:
        """A target, or a relay on its behalf, has answered."""
        probe = self.prober.on_ack(sender, ack, now)
        if probe is None or probe.purpose is Purpose.ROUND:
            return
        if probe.purpose is Purpose.DOUBT:
            self._doubts.pop(probe.target, None)
        elif probe.purpose is Purpose.CHALLENGE:
            self.on_challenged(probe.target, True)

    def on_not_me(self, address: Address, section: NotMe, now: float) -> None:
        """Another process answers on the target's address: the target is gone."""
        if self.prober.pinged(section.target, section.number) != address:
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
        under_way = self.prober.sent_to(address)
        probed = {each.target for each in under_way}
        for node_id in self._live.ids:
            known = node_id in probed or self._has_accused(node_id, REFUSED)
            if not known and self._replica.nodes[node_id].address == address:
                self.probe(node_id, Purpose.CORROBORATE, now)
        for probe in under_way:
            if isinstance(probe, Relay):
                self._accuse(probe.target, REFUSED, now)
                self.prober.relays.nack(probe)
            elif probe.purpose is Purpose.DOUBT:
                self._fail(probe, now)
            elif probe.evidence is SILENT:
                probe.evidence = REFUSED
                self._accuse(probe.target, REFUSED, now)
                direct = probe.stage is Stage.DIRECT and self.prober.awaits(probe.number)
                if direct and not self.prober.ask_others(probe):
                    self._fail(probe, now)
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

    def status_changed(self, register: NodeRegister, now: float) -> None:
        """A register of another node was merged: begin or end its suspicion, end the probes of one gone."""
        doubted = self._doubts.get(register.node_id)
        if doubted is not None and (
            register.status is not Status.SUSPECT or register.incarnation > doubted.incarnation
        ):
            self._drop_doubt(register.node_id)
        if not register.status.live:
            for probe in self.prober.probes_of(register.node_id):
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
        """Do what is due, the prober's part first."""
        target = self.prober.turn(now)
        if target is not None:
            self.probe(target, Purpose.ROUND, now)
        for probe in self.prober.tick(now):
            self._fail(probe, now)
        if self.suspicions:
            hears = self.hearing.is_steady(now)
            for node_id in self.suspicions.over(len(self._live), self._healthy(), hears, now):
                self._learn(self._replica.nodes[node_id].become(Status.DEAD), now)

    @property
    def deadline(self) -> float:
        """When the first suspect is dead; infinity without any. The prober has a deadline of its own."""
        return self.suspicions.deadline(len(self._live), self._healthy()) if self.suspicions else inf

    def _healthy(self) -> int:
        """How many others could confirm a suspicion: live, and not suspects themselves."""
        return len(self._live) - len(self._live.suspects) - 1

    def _has_accused(self, target: NodeId, evidence: int) -> bool:
        suspicion = self.suspicions.get(target)
        return suspicion is not None and suspicion.accusers.get(self._me) == evidence

    def _drop_doubt(self, node_id: NodeId) -> None:
        """Forget a doubt with its probe: the next one has a time-out of its own."""
        del self._doubts[node_id]
        for probe in self.prober.probes_of(node_id):
            if probe.purpose is Purpose.DOUBT:
                self.prober.drop(probe)

    def _fail(self, probe: Probe, now: float) -> None:
        self._give_up(probe)
        if probe.purpose is Purpose.DOUBT:
            # One ping is enough to believe what others found, and too little to accuse.
            doubted = self._doubts.pop(probe.target, None)
            if doubted is not None:
                self._learn(doubted, now)
            return
        self._accuse(probe.target, probe.evidence, now)

    def _give_up(self, probe: Probe) -> None:
        if self.prober.drop(probe) and probe.purpose is Purpose.CHALLENGE:
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
