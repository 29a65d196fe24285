"""The failure detector of one node, without the rest of it."""

from __future__ import annotations

import random

from gossipgroups.config import Config
from gossipgroups.registers import NodeRegister
from gossipgroups.state import State
from gossipgroups.status import Status
from gossipgroups.swim.detector import Detector
from gossipgroups.swim.dissemination import RumourQueue
from gossipgroups.swim.probe import Purpose
from gossipgroups.wire.codec import pack_payload, unpack_payload
from gossipgroups.wire.messages import SILENT, Accusation, Accusations, Ping, PingReq, Section
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.seal import TaggedSeal
from tests.nodes import CLUSTER, a_node, a_peer, an_address, an_id, opened

CONFIG = Config.lan()
TIMEOUT, PERIOD = CONFIG.probe_timeout, CONFIG.probe_period
SHORTEST = CONFIG.suspicion_multiplier * PERIOD
ME = 0
TARGET = 1


class Rig:
    """The prober and the detector of one node among n.

    The round is put off, so that only the probes of a test run.
    """

    def __init__(self, nodes: int, *, me: int = ME, config: Config = CONFIG, rounds: bool = False) -> None:
        self.state = State(an_id(me), config.forget_after)
        self.rumours = RumourQueue()
        self.outbox = Outbox(an_id(me), TaggedSeal(CLUSTER))
        self.told: list[NodeRegister] = []
        self.detector = Detector(
            an_id(me),
            self.state.replica,
            self.state.live,
            self.rumours,
            self.outbox,
            config,
            random.Random(3),
            self.learn,
        )
        self.prober = self.detector.prober
        for number in (me, *range(nodes)):
            self.learn(a_node(number), 0.0)
        self.told.clear()
        if not rounds:
            self.prober.order.done(self.state.live, 10**6, 0.0)

    def learn(self, register: NodeRegister, now: float, *, tell: bool = True) -> bool:
        if self.state.merge(register, now) is None:
            return False
        if register.node_id != self.state.own.node_id:
            self.detector.status_changed(register, now)
        if tell:
            self.told.append(register)
        return True

    def status(self, number: int = TARGET) -> Status:
        return self.state.replica.nodes[an_id(number)].status

    def sent(self) -> list[tuple[int, Section]]:
        """What was sent since the last look, with the number of the node it went to."""
        self.prober.flush()
        numbers = {an_address(number): number for number in range(1000)}
        return [
            (numbers[address], section)
            for datagram, address in self.outbox.drain(lambda room: [], lambda peer: b"")
            for section in opened(datagram).sections
        ]

    def probe(self, purpose: Purpose = Purpose.ROUND, now: float = 0.0) -> Ping:
        self.detector.probe(an_id(TARGET), purpose, now)
        ((number, ping),) = self.sent()
        assert number == TARGET
        assert isinstance(ping, Ping)
        return ping

    def ping_for_another(self, origin: int = 2, number: int = 50, target: int = TARGET) -> int:
        """Let another ask for a ping; the number of that ping."""
        self.prober.on_ping_req(a_peer(origin), PingReq(number, an_id(target)), 0.0)
        ((to, ping),) = self.sent()
        assert to == target
        assert isinstance(ping, Ping)
        return ping.number

    def relays(self, now: float) -> dict[int, PingReq]:
        """Let the time-out pass; whom was asked to ping the target."""
        self.detector.tick(now)
        return {number: section for number, section in self.sent() if isinstance(section, PingReq)}

    def deadline(self, now: float) -> float:
        return min(self.prober.deadline(now), self.detector.deadline)

    def accusations(self) -> list[Accusation]:
        packed = self.rumours.take(1300, 1, lambda register: 0)
        return [
            accusation
            for section in unpack_payload(pack_payload(packed))
            if isinstance(section, Accusations)
            for accusation in section.accusations
        ]


def a_charge(accuser: int, incarnation: int = 0, evidence: int = SILENT, subject: int = TARGET) -> Accusation:
    return Accusation(an_id(subject), incarnation, an_id(accuser), evidence)
