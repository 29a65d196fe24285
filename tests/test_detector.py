"""The failure detector: what it sends, what it believes on which evidence, and that all of it is bounded."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.config import Config
from gossipgroups.ids import NodeId
from gossipgroups.registers import NodeRegister
from gossipgroups.state import State
from gossipgroups.status import Status
from gossipgroups.swim.detector import SPARE_CORROBORATORS, Detector
from gossipgroups.swim.dissemination import RumourQueue
from gossipgroups.swim.probe import Numbers, Purpose
from gossipgroups.swim.relays import NACK_AFTER, RELAYS
from gossipgroups.wire.codec import pack_payload, unpack_payload
from gossipgroups.wire.messages import (
    REFUSED,
    SILENT,
    Accusation,
    Accusations,
    Ack,
    Nack,
    NotMe,
    Ping,
    PingReq,
    Section,
)
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.seal import TaggedSeal
from tests.nodes import CLUSTER, a_node, a_peer, an_address, an_id, opened

CONFIG = Config.lan()
TIMEOUT, PERIOD = CONFIG.probe_timeout, CONFIG.probe_period
SHORTEST = CONFIG.suspicion_multiplier * PERIOD
ME = 0
TARGET = 1


class Rig:
    """The detector of one node among n. Its round-robin is put off, so that only the probes of a test run."""

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
        for number in (me, *range(nodes)):
            self.learn(a_node(number), 0.0)
        self.told.clear()
        if not rounds:
            self.detector.order.done(self.state.live, 10**6)

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
        self.detector.flush()
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

    def relays(self, now: float) -> dict[int, PingReq]:
        """Let the time-out pass; whom was asked to ping the target."""
        self.detector.tick(now)
        return {number: section for number, section in self.sent() if isinstance(section, PingReq)}

    def accusations(self) -> list[Accusation]:
        packed = self.rumours.take(1300, 1, lambda register: 0)
        return [
            accusation
            for section in unpack_payload(pack_payload(packed))
            if isinstance(section, Accusations)
            for accusation in section.accusations
        ]


def _charge(accuser: int, incarnation: int = 0, evidence: int = SILENT, subject: int = TARGET) -> Accusation:
    return Accusation(an_id(subject), incarnation, an_id(accuser), evidence)


# Direct probes.


def test_an_answered_probe_changes_nothing() -> None:
    rig = Rig(5)
    rig.detector.awareness.note(2)
    ping = rig.probe()
    assert ping.digest == rig.state.replica.digest
    rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), 0.0)
    assert rig.detector.awareness.score == 1
    rig.detector.tick(10 * PERIOD)
    assert rig.sent() == []
    assert rig.status() is Status.ALIVE


@pytest.mark.parametrize(("sender", "off"), [(2, 0), (TARGET, 1)])
def test_an_ack_of_a_stranger_or_of_another_number_does_not_count(sender: int, off: int) -> None:
    rig = Rig(5)
    ping = rig.probe()
    rig.detector.on_ack(an_id(sender), Ack(ping.number + off, 0), 0.0)
    assert len(rig.relays(TIMEOUT)) == 3


def test_every_node_is_probed_in_its_round_and_the_next_is_due_a_period_later() -> None:
    rig = Rig(4, rounds=True)
    targets = []
    for round_ in range(6):
        due = rig.detector.deadline(float(round_))
        assert due == pytest.approx(round_ * PERIOD, abs=0.01)
        rig.detector.tick(due)
        ((number, ping),) = rig.sent()
        assert isinstance(ping, Ping)
        targets.append(number)
        rig.detector.on_ack(an_id(number), Ack(ping.number, 0), 0.0)
    assert sorted(targets[:3]) == sorted(targets[3:]) == [1, 2, 3]


# Indirect probes.


def test_after_the_time_out_others_are_asked_and_after_the_period_it_is_a_suspect() -> None:
    rig = Rig(8)
    ping = rig.probe()
    rig.detector.tick(TIMEOUT - 0.01)
    assert rig.sent() == []
    asked = rig.relays(TIMEOUT)
    assert len(asked) == CONFIG.indirect_probes
    assert not {ME, TARGET} & set(asked)
    assert set(asked.values()) == {PingReq(ping.number, an_id(TARGET))}
    rig.detector.tick(PERIOD - 0.01)
    assert rig.status() is Status.ALIVE
    rig.detector.tick(PERIOD)
    assert rig.status() is Status.SUSPECT
    assert rig.accusations() == [_charge(ME)]
    # The suspicion is told as an accusation, with its accuser, and not as a register besides.
    assert rig.told == []


def test_an_ack_through_a_relay_counts_and_one_through_another_does_not() -> None:
    for helper_is_asked in (True, False):
        rig = Rig(8)
        ping = rig.probe()
        asked = set(rig.relays(TIMEOUT))
        helper = next(number for number in range(2, 8) if (number in asked) == helper_is_asked)
        rig.detector.on_ack(an_id(helper), Ack(ping.number, 0), 0.0)
        rig.detector.tick(PERIOD)
        assert rig.status() is (Status.ALIVE if helper_is_asked else Status.SUSPECT)


def test_suspects_are_not_asked() -> None:
    rig = Rig(5)
    rig.learn(a_node(2, 0, Status.SUSPECT), 0.0)
    rig.learn(a_node(3, 0, Status.DEAD), 0.0)
    rig.probe()
    assert set(rig.relays(TIMEOUT)) == {4}


@pytest.mark.parametrize(("nacks", "score"), [(0, 3), (1, 2), (3, 0)])
def test_missing_nacks_are_a_sign_of_our_own_trouble(nacks: int, score: int) -> None:
    rig = Rig(8)
    ping = rig.probe()
    asked = sorted(rig.relays(TIMEOUT))
    for helper in asked[:nacks] * 2:
        rig.detector.on_nack(an_id(helper), Nack(ping.number))
    rig.detector.on_nack(an_id(TARGET), Nack(ping.number))
    rig.detector.on_nack(an_id(asked[0]), Nack(ping.number + 9))
    rig.detector.tick(PERIOD)
    assert rig.detector.awareness.score == score


def test_with_nobody_to_ask_a_failed_probe_counts_once() -> None:
    rig = Rig(2)
    rig.probe()
    assert rig.relays(TIMEOUT) == {}
    rig.detector.tick(PERIOD)
    assert rig.detector.awareness.score == 1
    assert rig.status() is Status.SUSPECT


def test_a_node_in_trouble_takes_its_time() -> None:
    rig = Rig(8)
    rig.detector.awareness.note(2)
    rig.probe()
    assert rig.relays(3 * TIMEOUT - 0.01) == {}
    assert len(rig.relays(3 * TIMEOUT)) == 3
    rig.detector.tick(3 * PERIOD - 0.01)
    assert rig.status() is Status.ALIVE
    rig.detector.tick(3 * PERIOD)
    assert rig.status() is Status.SUSPECT


@pytest.mark.parametrize("purpose", [Purpose.CORROBORATE, Purpose.CHALLENGE])
def test_probes_out_of_turn_say_nothing_about_our_own_health(purpose: Purpose) -> None:
    rig = Rig(8)
    rig.detector.awareness.note(1)
    rig.detector.on_ack(an_id(TARGET), Ack(rig.probe(purpose).number, 0), 0.0)
    assert rig.detector.awareness.score == 1
    rig.probe(purpose)
    rig.detector.tick(2 * TIMEOUT)
    rig.detector.tick(2 * PERIOD)
    assert rig.detector.awareness.score == 1
    assert rig.status() is Status.SUSPECT


@pytest.mark.parametrize("alive", [True, False])
def test_a_challenge_is_told_how_it_ended(alive: bool) -> None:
    rig = Rig(8)
    ends: list[tuple[NodeId, bool]] = []
    rig.detector.on_challenged = lambda target, verdict: ends.append((target, verdict))
    ping = rig.probe(Purpose.CHALLENGE)
    if alive:
        rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), 0.0)
    rig.detector.tick(TIMEOUT)
    rig.detector.tick(PERIOD)
    rig.detector.tick(5 * PERIOD)
    assert ends == [(an_id(TARGET), alive)]


# Answering others.


def test_pings_for_us_are_answered_when_the_turn_has_been_read() -> None:
    rig = Rig(3)
    rig.detector.on_ping(a_peer(2), Ping(5, 0, 0), 0.0)
    rig.detector.on_ping(a_peer(1), Ping(6, 0, 0), 0.0)
    rig.learn(a_node(9), 0.0)
    digest = rig.state.replica.digest
    assert rig.sent() == [(2, Ack(5, digest)), (1, Ack(6, digest))]
    assert rig.sent() == []


def test_a_ping_for_another_is_answered_not_me() -> None:
    rig = Rig(3)
    rig.detector.on_stray(a_peer(2), an_id(77), Ping(5, 0, 0))
    assert rig.sent() == [(2, NotMe(5, an_id(77)))]


def test_a_ping_for_another_that_is_elsewhere_is_not_answered() -> None:
    rig = Rig(3)
    rig.detector.on_stray(a_peer(2), an_id(1), Ping(5, 0, 0))
    assert rig.sent() == []
    rig.learn(replace(a_node(77), address=an_address(ME)), 0.0)
    rig.detector.on_stray(a_peer(2), an_id(77), Ping(5, 0, 0))
    assert rig.sent() == [(2, NotMe(5, an_id(77)))]


def test_the_probe_clock_of_others_is_taken_over() -> None:
    rig = Rig(3)
    rig.detector.on_ping(a_peer(2), Ping(5, 0, 99 * 256), 0.0)
    assert rig.detector.order.clock(0.0) == 99 * 256


def _relay(rig: Rig, origin: int = 2, number: int = 50, target: int = TARGET) -> int:
    rig.detector.on_ping_req(a_peer(origin), PingReq(number, an_id(target)), 0.0)
    ((to, ping),) = rig.sent()
    assert to == target
    assert isinstance(ping, Ping)
    return ping.number


def test_a_relay_pings_under_its_own_number_and_passes_the_ack_on() -> None:
    rig = Rig(4)
    number = _relay(rig)
    rig.detector.on_ack(an_id(3), Ack(number, 0), 0.0)
    assert rig.sent() == []
    rig.detector.on_ack(an_id(TARGET), Ack(number, 0), 0.0)
    assert rig.sent() == [(2, Ack(50, rig.state.replica.digest))]
    rig.detector.on_ack(an_id(TARGET), Ack(number, 0), 0.0)
    rig.detector.tick(PERIOD)
    assert rig.sent() == []


def test_a_relay_without_an_ack_says_so_once_and_still_passes_a_late_one_on() -> None:
    rig = Rig(4)
    number = _relay(rig)
    assert rig.detector.deadline(0.0) == NACK_AFTER * TIMEOUT
    rig.detector.tick(NACK_AFTER * TIMEOUT)
    rig.detector.tick(TIMEOUT)
    assert rig.sent() == [(2, Nack(50))]
    rig.detector.on_ack(an_id(TARGET), Ack(number, 0), 0.0)
    assert rig.sent() == [(2, Ack(50, rig.state.replica.digest))]


def test_a_relay_is_forgotten_after_a_period() -> None:
    rig = Rig(4)
    number = _relay(rig)
    rig.detector.tick(NACK_AFTER * TIMEOUT)
    rig.detector.tick(PERIOD)
    rig.sent()
    rig.detector.on_ack(an_id(TARGET), Ack(number, 0), 0.0)
    assert rig.sent() == []
    # A relay never accuses for its own part.
    assert rig.status() is Status.ALIVE


def test_relays_are_bounded() -> None:
    rig = Rig(4)
    for number in range(RELAYS + 10):
        rig.detector.on_ping_req(a_peer(2), PingReq(number, an_id(TARGET)), 0.0)
    assert len(rig.sent()) == RELAYS
    rig.detector.tick(NACK_AFTER * TIMEOUT)
    rig.detector.tick(PERIOD)
    rig.sent()
    _relay(rig)


@pytest.mark.parametrize("target", [ME, 77])
def test_nobody_is_pinged_for_a_request_about_us_or_a_stranger(target: int) -> None:
    rig = Rig(4)
    rig.detector.on_ping_req(a_peer(2), PingReq(1, an_id(target)), 0.0)
    assert rig.sent() == []


# Not me.


def test_another_process_on_the_address_settles_the_old_nodes_fate() -> None:
    rig = Rig(4)
    ping = rig.probe()
    rig.detector.on_not_me(an_address(TARGET), NotMe(ping.number, an_id(TARGET)), 0.1)
    assert rig.status() is Status.DEAD
    assert rig.told == [a_node(TARGET, 0, Status.DEAD)]


def test_a_relay_hears_it_too() -> None:
    rig = Rig(4)
    number = _relay(rig)
    rig.detector.on_not_me(an_address(TARGET), NotMe(number, an_id(TARGET)), 0.1)
    assert rig.status() is Status.DEAD


@pytest.mark.parametrize(("off", "target", "address"), [(1, 1, 1), (0, 2, 1), (0, 1, 2)])
def test_a_not_me_that_answers_no_ping_of_ours_is_ignored(off: int, target: int, address: int) -> None:
    rig = Rig(4)
    ping = rig.probe()
    rig.detector.on_not_me(an_address(address), NotMe(ping.number + off, an_id(target)), 0.1)
    assert rig.status(1) is rig.status(2) is Status.ALIVE


def test_a_node_that_has_moved_since_is_not_declared_dead() -> None:
    rig = Rig(4)
    ping = rig.probe()
    rig.learn(NodeRegister(an_id(TARGET), 1, Status.ALIVE, an_address(9), "n1"), 0.05)
    for address in (an_address(TARGET), an_address(9)):
        rig.detector.on_not_me(address, NotMe(ping.number, an_id(TARGET)), 0.1)
    assert rig.status() is Status.ALIVE


def test_the_departed_stay_departed() -> None:
    rig = Rig(4)
    ping = rig.probe()
    rig.learn(a_node(TARGET, 0, Status.LEFT), 0.05)
    rig.detector.on_not_me(an_address(TARGET), NotMe(ping.number, an_id(TARGET)), 0.1)
    assert rig.status() is Status.LEFT


def test_a_probe_ends_with_its_target() -> None:
    rig = Rig(8)
    ping = rig.probe()
    rig.detector.on_not_me(an_address(TARGET), NotMe(ping.number, an_id(TARGET)), 0.1)
    assert rig.relays(TIMEOUT) == {}
    rig.detector.tick(PERIOD)
    assert rig.detector.awareness.score == 0


def test_a_death_of_a_node_held_alive_waits_for_its_ack() -> None:
    rig = Rig(8)
    death = a_node(TARGET, 0, Status.DEAD)
    assert rig.detector.doubts(death, 0.0)
    ping = next(section for number, section in rig.sent() if number == TARGET and isinstance(section, Ping))
    assert rig.detector.doubts(death, 0.1)
    assert rig.sent() == []
    rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), 0.0)
    rig.detector.tick(TIMEOUT)
    assert rig.status() is Status.ALIVE


@pytest.mark.parametrize("believed", ["no ack", "refused"])
def test_a_doubted_death_is_believed(believed: str) -> None:
    rig = Rig(8)
    assert rig.detector.doubts(a_node(TARGET, 0, Status.DEAD), 0.0)
    if believed == "no ack":
        rig.detector.tick(TIMEOUT)
    else:
        rig.detector.on_refused(an_address(TARGET), 0.1)
    assert rig.status() is Status.DEAD
    assert rig.relays(PERIOD) == {}


def test_a_doubt_that_was_refuted_accuses_nobody() -> None:
    rig = Rig(8)
    assert rig.detector.doubts(a_node(TARGET, 0, Status.DEAD), 0.0)
    rig.learn(a_node(TARGET, 1), 0.1)
    rig.detector.tick(TIMEOUT)
    rig.detector.tick(PERIOD)
    assert rig.status() is Status.ALIVE
    assert rig.accusations() == []


def test_a_death_is_not_doubted_when_there_is_no_reason_to() -> None:
    rig = Rig(8)
    assert not rig.detector.doubts(a_node(99, 0, Status.DEAD), 0.0)
    assert not rig.detector.doubts(a_node(TARGET, 0, Status.LEFT), 0.0)
    rig.learn(a_node(TARGET, 1), 0.0)
    assert not rig.detector.doubts(a_node(TARGET, 0, Status.DEAD), 0.0)


@pytest.mark.parametrize("accused_first", [True, False])
def test_a_suspicion_is_no_reason_to_believe_a_death(accused_first: bool) -> None:
    # Both may come from the other side of a partition that has healed.
    rig = Rig(8)
    if accused_first:
        rig.detector.on_accusation(_charge(5), 0.0)
    assert rig.detector.doubts(a_node(TARGET, 0, Status.DEAD), 0.0)
    if not accused_first:
        rig.detector.on_accusation(_charge(5), 0.0)
    assert rig.status() is Status.SUSPECT
    rig.detector.tick(TIMEOUT)
    assert rig.status() is Status.DEAD


def test_a_doubt_ends_when_the_node_refutes_and_is_accused_anew() -> None:
    rig = Rig(8)
    assert rig.detector.doubts(a_node(TARGET, 0, Status.DEAD), 0.0)
    rig.learn(a_node(TARGET, 1, Status.SUSPECT), 0.1)
    rig.detector.tick(TIMEOUT)
    assert rig.status() is Status.SUSPECT


def test_a_doubt_has_a_time_out_of_its_own() -> None:
    rig = Rig(8)
    assert rig.detector.doubts(a_node(TARGET, 0, Status.DEAD), 0.0)
    rig.learn(a_node(TARGET, 1), 0.8 * TIMEOUT)
    assert rig.detector.doubts(a_node(TARGET, 1, Status.DEAD), 0.8 * TIMEOUT)
    rig.detector.tick(TIMEOUT)
    assert rig.status() is Status.ALIVE
    rig.detector.tick(1.8 * TIMEOUT)
    assert rig.status() is Status.DEAD


def test_an_answered_probe_does_not_put_off_the_next_one() -> None:
    rig = Rig(8)
    rig.detector.awareness.note(8)
    ping = rig.probe()
    later = rig.detector.deadline(0.0)
    rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), 0.0)
    due = rig.detector.order.next(rig.state.live, 0.0)
    assert due is not None
    assert due[1] < later
    assert due[1] <= 2 * PERIOD


def test_a_refusal_of_our_own_address_is_meant_for_the_one_before_us() -> None:
    rig = Rig(8)
    rig.detector.on_refused(rig.state.own.address, 0.0)
    assert rig.status(ME) is Status.ALIVE
    assert rig.sent() == []


def test_a_node_at_our_own_address_is_gone() -> None:
    rig = Rig(8)
    own = rig.state.own
    rig.learn(NodeRegister(an_id(TARGET), 1, Status.ALIVE, own.address, "before"), 0.0)
    rig.detector.probe(an_id(TARGET), Purpose.ROUND, 0.1)
    assert rig.status() is Status.DEAD
    assert rig.sent() == []


# The kernel's word.


def test_a_refused_port_is_a_suspicion_at_once_with_indirect_probes_under_way() -> None:
    rig = Rig(8)
    ping = rig.probe()
    rig.detector.on_refused(an_address(TARGET), 0.01)
    assert rig.status() is Status.SUSPECT
    assert rig.accusations() == [_charge(ME, evidence=REFUSED)]
    requests = [section for _, section in rig.sent() if isinstance(section, PingReq)]
    assert requests == [PingReq(ping.number, an_id(TARGET))] * 3
    rig.detector.on_refused(an_address(TARGET), 0.02)
    assert rig.sent() == []
    rig.detector.tick(PERIOD)
    assert rig.detector.awareness.score == 0


def test_two_refusals_leave_just_the_time_to_refute() -> None:
    rig = Rig(8)
    rig.probe()
    rig.detector.on_refused(an_address(TARGET), 0.0)
    rig.detector.tick(CONFIG.refused_timeout)
    assert rig.status() is Status.SUSPECT
    rig.detector.on_accusation(_charge(5, evidence=REFUSED), 0.01)
    rig.detector.tick(CONFIG.refused_timeout - 0.01)
    assert rig.status() is Status.SUSPECT
    rig.detector.tick(CONFIG.refused_timeout)
    assert rig.status() is Status.DEAD
    assert rig.told == [a_node(TARGET, 0, Status.DEAD)]


def test_with_nobody_to_ask_a_refused_probe_is_over() -> None:
    rig = Rig(2)
    ping = rig.probe()
    rig.detector.on_refused(an_address(TARGET), 0.0)
    assert rig.status() is Status.SUSPECT
    assert rig.detector.deadline(0.0) == CONFIG.refused_timeout
    rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), 0.0)
    rig.detector.tick(CONFIG.refused_timeout)
    assert rig.status() is Status.DEAD
    assert rig.detector.awareness.score == 0


def test_a_port_refused_for_a_rumour_is_probed() -> None:
    rig = Rig(4)
    rig.detector.on_refused(an_address(77), 0.0)
    assert rig.sent() == []
    rig.detector.on_refused(an_address(TARGET), 0.0)
    assert rig.status() is Status.ALIVE
    ((to, ping),) = rig.sent()
    assert to == TARGET
    assert isinstance(ping, Ping)
    rig.detector.on_refused(an_address(TARGET), 0.0)
    assert rig.status() is Status.SUSPECT
    assert {to for to, section in rig.sent() if isinstance(section, PingReq)} == {2, 3}
    # What it has said of this suspect already is no reason to probe again.
    rig.detector.tick(TIMEOUT)
    rig.detector.tick(PERIOD)
    rig.detector.on_refused(an_address(TARGET), PERIOD)
    assert rig.sent() == []


def test_a_refused_challenge_is_lost_at_once() -> None:
    rig = Rig(4)
    ends: list[bool] = []
    rig.detector.on_challenged = lambda target, alive: ends.append(alive)
    rig.probe(Purpose.CHALLENGE)
    rig.detector.on_refused(an_address(TARGET), 0.0)
    assert ends == [False]
    assert rig.status() is Status.SUSPECT


def test_a_relay_whose_ping_was_refused_accuses_and_says_so_at_once() -> None:
    rig = Rig(4)
    _relay(rig)
    rig.detector.on_refused(an_address(TARGET), 0.0)
    assert rig.status() is Status.SUSPECT
    assert rig.sent() == [(2, Nack(50))]
    assert rig.accusations() == [_charge(ME, evidence=REFUSED)]


# Suspicions.


def test_an_accusation_makes_a_suspect_and_is_passed_on() -> None:
    rig = Rig(8)
    rig.detector.on_accusation(_charge(5), 0.0)
    assert rig.status() is Status.SUSPECT
    assert rig.accusations() == [_charge(5)]
    assert rig.told == []
    rig.detector.on_accusation(_charge(5), 0.0)
    assert rig.accusations() == []


@pytest.mark.parametrize("incarnation", [0, 2])
def test_an_accusation_of_another_incarnation_or_of_a_stranger_is_ignored(incarnation: int) -> None:
    rig = Rig(4)
    rig.learn(a_node(TARGET, 1), 0.0)
    rig.detector.on_accusation(_charge(3, incarnation), 0.0)
    rig.detector.on_accusation(_charge(3, subject=77), 0.0)
    assert rig.status() is Status.ALIVE
    assert rig.accusations() == []


@pytest.mark.parametrize("status", [None, Status.DEAD, Status.LEFT])
def test_only_live_nodes_confirm_a_suspicion(status: Status | None) -> None:
    rig = Rig(8)
    if status is not None:
        rig.learn(a_node(20, 0, status), 0.0)
    rig.detector.on_accusation(_charge(3), 0.0)
    rig.detector.on_accusation(_charge(20), 0.0)
    assert set(rig.detector.suspicions[an_id(TARGET)].accusers) == {an_id(3)}
    assert rig.accusations() == [_charge(3)]


def test_the_dead_are_not_accused() -> None:
    rig = Rig(4)
    rig.learn(a_node(TARGET, 0, Status.DEAD), 0.0)
    rig.detector.on_accusation(_charge(3), 0.0)
    rig.probe()
    rig.detector.tick(TIMEOUT)
    rig.detector.tick(PERIOD)
    assert rig.accusations() == []
    assert rig.status() is Status.DEAD


def test_confirmations_shorten_the_suspicion_and_only_as_many_are_told() -> None:
    rig = Rig(10)
    rig.detector.on_accusation(_charge(3), 0.0)
    assert rig.detector.deadline(0.0) < inf
    rig.detector.tick(SHORTEST)
    assert rig.status() is Status.SUSPECT
    for accuser in (4, 5, 6, 7):
        rig.detector.on_accusation(_charge(accuser), 0.0)
    assert {each.accuser for each in rig.accusations()} == {an_id(number) for number in (3, 4, 5)}
    rig.detector.tick(SHORTEST)
    assert rig.status() is Status.DEAD
    assert rig.told == [a_node(TARGET, 0, Status.DEAD)]


def test_an_unconfirmed_suspect_has_the_longest_time() -> None:
    rig = Rig(8)
    rig.detector.on_accusation(_charge(3), 0.0)
    longest = SHORTEST * CONFIG.suspicion_max_factor
    rig.detector.tick(longest - 0.1)
    assert rig.status() is Status.SUSPECT
    rig.detector.tick(longest)
    assert rig.status() is Status.DEAD


def test_who_refutes_is_cleared_and_its_accusers_are_told_no_more() -> None:
    rig = Rig(8)
    rig.detector.on_accusation(_charge(3), 0.0)
    rig.detector.on_accusation(_charge(4), 0.0)
    rig.learn(a_node(TARGET, 1), 1.0)
    assert rig.detector.suspicions == {}
    assert rig.accusations() == []
    rig.detector.tick(1000.0)
    assert rig.status() is Status.ALIVE


def test_a_new_accusation_after_a_refutation_starts_anew() -> None:
    rig = Rig(8)
    for accuser in (3, 4, 5):
        rig.detector.on_accusation(_charge(accuser), 0.0)
    rig.learn(a_node(TARGET, 1, Status.SUSPECT), SHORTEST - 1)
    assert rig.detector.suspicions[an_id(TARGET)].accusers == {}
    rig.detector.tick(SHORTEST)
    assert rig.status() is Status.SUSPECT


def test_a_suspect_heard_of_as_a_register_is_timed_too() -> None:
    rig = Rig(8)
    rig.learn(a_node(TARGET, 0, Status.SUSPECT), 0.0)
    rig.detector.tick(SHORTEST * CONFIG.suspicion_max_factor)
    assert rig.status() is Status.DEAD


def test_a_suspect_is_told_first_with_the_probe_itself() -> None:
    rig = Rig(8)
    rig.detector.on_accusation(_charge(5), 0.0)
    rig.sent()
    rig.detector.probe(an_id(TARGET), Purpose.ROUND, 0.0)
    (ping, charge) = rig.sent()
    assert isinstance(ping[1], Ping)
    assert charge == (TARGET, Accusations([_charge(5)]))


def test_a_suspect_without_known_accusers_is_told_by_us() -> None:
    rig = Rig(8)
    rig.learn(a_node(TARGET, 0, Status.SUSPECT), 0.0)
    rig.detector.probe(an_id(TARGET), Purpose.ROUND, 0.0)
    assert (TARGET, Accusations([_charge(ME)])) in rig.sent()


@pytest.mark.parametrize("incarnation", range(4))
def test_a_few_chosen_alike_by_all_probe_a_suspect_on_hearing_of_it(incarnation: int) -> None:
    probing = []
    for me in range(12):
        if me == TARGET:
            continue
        rig = Rig(12, me=me)
        rig.learn(a_node(TARGET, incarnation), 0.0)
        first, second = [number for number in range(12) if number not in (me, TARGET)][:2]
        rig.detector.on_accusation(_charge(first, incarnation), 0.0)
        probing += [me for to, section in rig.sent() if to == TARGET and isinstance(section, Ping)]
        rig.detector.on_accusation(_charge(second, incarnation), 0.0)
        assert rig.sent() == []
    chosen = CONFIG.confirmations + SPARE_CORROBORATORS
    assert chosen - 1 <= len(probing) == len(set(probing)) <= chosen


def test_an_accuser_that_is_not_live_here_is_not_heard() -> None:
    rig = Rig(8)
    rig.detector.on_accusation(_charge(20), 0.0)
    assert rig.status() is Status.ALIVE


def test_one_who_is_not_live_itself_corroborates_nothing() -> None:
    rig = Rig(3)
    rig.learn(a_node(ME, 0, Status.LEFT), 0.0)
    rig.detector.on_accusation(_charge(2), 0.0)
    assert rig.status() is Status.SUSPECT
    assert rig.sent() == []


def test_numbers_cannot_be_foreseen_and_stay_in_range() -> None:
    numbers = Numbers(random.Random(1))
    drawn = [numbers.draw() for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert all(0 < number < 2**32 for number in drawn)
    assert max(drawn) > 2**31 > min(drawn)
    assert len({second - first for first, second in pairwise(drawn)}) == 999


def test_what_was_said_of_an_earlier_incarnation_of_a_suspect_is_told_no_more() -> None:
    rig = Rig(6)
    for accuser in (2, 3):
        rig.detector.on_accusation(_charge(accuser), 0.0)
    rig.learn(a_node(TARGET, 1, Status.SUSPECT), 0.5)
    rig.detector.on_accusation(_charge(4, 1), 0.5)
    assert rig.accusations() == [_charge(4, 1)]


def _measured(rig: Rig, seconds: float = 0.001) -> None:
    """Let the detector measure short round trips, until its wait is the shortest."""
    for _ in range(400):
        rig.detector.on_ack(an_id(TARGET), Ack(rig.probe().number, 0), seconds)


def test_the_wait_for_an_ack_follows_the_round_trips() -> None:
    rig = Rig(6)
    _measured(rig)
    wait = CONFIG.probe_timeout_min
    rig.probe()
    assert rig.relays(wait - 0.001) == {}
    assert len(rig.relays(wait)) == 3
    rig.detector.tick(3 * wait - 0.001)
    assert rig.status() is Status.ALIVE
    rig.detector.tick(3 * wait)
    assert rig.status() is Status.SUSPECT


def _fail(rig: Rig) -> Ping:
    """Let a probe fail after the shortest waits, with enough health left to wait no longer the next time."""
    ping = rig.probe()
    asked = rig.relays(CONFIG.probe_timeout_min)
    for relay, request in asked.items():
        rig.detector.on_nack(an_id(relay), Nack(request.number))
    rig.detector.tick(3 * CONFIG.probe_timeout_min)
    assert rig.status() is Status.SUSPECT
    return ping


def test_an_ack_after_its_probe_has_failed_is_still_a_round_trip() -> None:
    rig = Rig(6)
    _measured(rig)
    ping = _fail(rig)
    rig.detector.on_ack(an_id(2), Ack(ping.number, 0), 0.9)
    rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), 0.9)
    rig.sent()
    rig.detector.probe(an_id(TARGET), Purpose.ROUND, 1.0)
    assert rig.relays(1.0 + CONFIG.probe_timeout - 0.001) == {}
    assert len(rig.relays(1.0 + CONFIG.probe_timeout)) == 3


def test_acks_much_too_late_are_no_round_trips() -> None:
    rig = Rig(6)
    _measured(rig)
    ping = _fail(rig)
    rig.detector.tick(PERIOD + 0.1)
    rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), PERIOD + 0.1)
    rig.sent()
    rig.detector.probe(an_id(TARGET), Purpose.ROUND, 2.0)
    asked = rig.relays(2.0 + CONFIG.probe_timeout_min).values()
    assert an_id(TARGET) in {request.target for request in asked}


def _accused(rig: Rig) -> None:
    for accuser in (2, 3, 4):
        rig.detector.on_accusation(_charge(accuser), 0.0)
    rig.sent()


def test_silence_that_enough_have_met_ends_a_suspicion_soon_where_others_are_heard() -> None:
    rig = Rig(8)
    _accused(rig)
    for tenth in range(9):
        rig.detector.hearing.note(tenth / 8 * CONFIG.silent_timeout)
    rig.detector.tick(CONFIG.silent_timeout - 0.01)
    assert rig.status() is Status.SUSPECT
    rig.detector.tick(CONFIG.silent_timeout)
    assert rig.status() is Status.DEAD


def test_who_hears_nobody_does_not_believe_in_silence_so_soon() -> None:
    rig = Rig(8)
    _accused(rig)
    now = 0.0
    while now + CONFIG.silent_timeout < SHORTEST:
        now += CONFIG.silent_timeout
        rig.detector.tick(now)
        assert rig.status() is Status.SUSPECT
        due = rig.detector.deadline(now)
        assert due > now
    rig.detector.tick(SHORTEST)
    assert rig.status() is Status.DEAD


def test_nothing_is_due_when_alone() -> None:
    rig = Rig(1, rounds=True)
    assert rig.detector.deadline(0.0) == inf
    rig.detector.tick(100.0)
    assert rig.sent() == []


moves = st.lists(
    st.tuples(
        st.sampled_from(["tick", "ack", "accuse", "refused", "refute", "not me", "ask"]),
        st.integers(1, 4),
        st.floats(0, 1.5),
    ),
    max_size=30,
)


@given(moves)
def test_a_suspicion_runs_exactly_while_a_node_is_a_suspect(taken: list[tuple[str, int, float]]) -> None:
    rig = Rig(5, rounds=True)
    now = 0.0
    pings: dict[int, list[int]] = {number: [0] for number in range(5)}
    for move, number, gap in taken:
        now += gap
        register = rig.state.replica.nodes[an_id(number)]
        match move:
            case "tick":
                rig.detector.tick(now)
            case "ack":
                rig.detector.on_ack(an_id(number), Ack(pings[number][-1], 0), 0.0)
            case "accuse":
                rig.detector.on_accusation(_charge(9, register.incarnation, subject=number), now)
            case "refused":
                rig.detector.on_refused(an_address(number), now)
            case "refute":
                rig.learn(a_node(number, register.incarnation + 1), now)
            case "not me":
                rig.detector.on_not_me(an_address(number), NotMe(pings[number][-1], an_id(number)), now)
            case "ask":
                rig.detector.on_ping_req(a_peer(2), PingReq(9, an_id(number)), now)
        for to, section in rig.sent():
            if isinstance(section, Ping):
                pings[to].append(section.number)
        suspects = {
            node_id for node_id, held in rig.state.replica.nodes.items() if held.status is Status.SUSPECT
        }
        assert set(rig.detector.suspicions) == suspects == rig.state.live.suspects
        for node_id, suspicion in rig.detector.suspicions.items():
            assert suspicion.incarnation == rig.state.replica.nodes[node_id].incarnation
        due = rig.detector.deadline(now)
        assert due < inf or len(rig.state.live) < 2
    # Left alone, every suspect is dead in the end, and nobody is who never was one.
    suspects = set(rig.detector.suspicions)
    ever = set(suspects)
    dead = {node_id for node_id, held in rig.state.replica.nodes.items() if held.status is Status.DEAD}
    for _ in range(len(rig.state.replica.nodes)):  # as often as fewer can confirm, they are spared once more
        now += 1000
        rig.detector.tick(now)
        ever |= set(rig.detector.suspicions)
    after = {node_id for node_id, held in rig.state.replica.nodes.items() if held.status is Status.DEAD}
    assert dead | suspects <= after <= dead | ever
