"""Probing: what a node asks and answers, how long it waits, and what it takes for an answer."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest

from gossipgroups.status import Status
from gossipgroups.swim.probe import Numbers, Purpose
from gossipgroups.swim.relays import NACK_AFTER, RELAYS, RELAYS_EACH
from gossipgroups.wire.messages import Accusations, Ack, Nack, NotMe, Ping, PingReq
from tests.nodes import a_node, a_peer, an_address, an_id
from tests.rig import CONFIG, ME, PERIOD, TARGET, TIMEOUT, Rig, a_charge

# Direct probes.


def test_an_answered_probe_changes_nothing() -> None:
    rig = Rig(5)
    rig.prober.awareness.note(2)
    ping = rig.probe()
    assert ping.digest == rig.state.replica.digest
    rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), 0.0)
    assert rig.prober.awareness.score == 1
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
        due = rig.deadline(float(round_))
        assert due == pytest.approx(round_ * PERIOD, abs=0.01)
        rig.detector.tick(due)
        ((number, ping),) = rig.sent()
        assert isinstance(ping, Ping)
        targets.append(number)
        rig.detector.on_ack(an_id(number), Ack(ping.number, 0), 0.0)
    assert sorted(targets[:3]) == sorted(targets[3:]) == [1, 2, 3]


def test_an_answered_probe_does_not_put_off_the_next_one() -> None:
    rig = Rig(8)
    rig.prober.awareness.note(8)
    ping = rig.probe()
    later = rig.deadline(0.0)
    rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), 0.0)
    due = rig.prober.order.next(rig.state.live, 0.0)
    assert due is not None
    assert due[1] < later
    assert due[1] <= 2 * PERIOD


def test_nothing_is_due_when_alone() -> None:
    rig = Rig(1, rounds=True)
    assert rig.deadline(0.0) == inf
    rig.detector.tick(100.0)
    assert rig.sent() == []


def test_numbers_cannot_be_foreseen_and_stay_in_range() -> None:
    numbers = Numbers(random.Random(1))
    drawn = [numbers.draw() for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert all(0 < number < 2**32 for number in drawn)
    assert max(drawn) > 2**31 > min(drawn)
    assert len({second - first for first, second in pairwise(drawn)}) == 999


def test_a_suspect_is_told_first_with_the_probe_itself() -> None:
    rig = Rig(8)
    rig.detector.on_accusation(a_charge(5), 0.0)
    rig.sent()
    rig.detector.probe(an_id(TARGET), Purpose.ROUND, 0.0)
    (ping, charge) = rig.sent()
    assert isinstance(ping[1], Ping)
    assert charge == (TARGET, Accusations([a_charge(5)]))


def test_a_suspect_without_known_accusers_is_told_by_us() -> None:
    rig = Rig(8)
    rig.learn(a_node(TARGET, 0, Status.SUSPECT), 0.0)
    rig.detector.probe(an_id(TARGET), Purpose.ROUND, 0.0)
    assert (TARGET, Accusations([a_charge(ME)])) in rig.sent()


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
    assert rig.accusations() == [a_charge(ME)]
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
        rig.prober.on_nack(an_id(helper), Nack(ping.number))
    rig.prober.on_nack(an_id(TARGET), Nack(ping.number))
    rig.prober.on_nack(an_id(asked[0]), Nack(ping.number + 9))
    rig.detector.tick(PERIOD)
    assert rig.prober.awareness.score == score


def test_with_nobody_to_ask_a_failed_probe_counts_once() -> None:
    rig = Rig(2)
    rig.probe()
    assert rig.relays(TIMEOUT) == {}
    rig.detector.tick(PERIOD)
    assert rig.prober.awareness.score == 1
    assert rig.status() is Status.SUSPECT


def test_a_node_in_trouble_takes_its_time() -> None:
    rig = Rig(8)
    rig.prober.awareness.note(2)
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
    rig.prober.awareness.note(1)
    rig.detector.on_ack(an_id(TARGET), Ack(rig.probe(purpose).number, 0), 0.0)
    assert rig.prober.awareness.score == 1
    rig.probe(purpose)
    rig.detector.tick(2 * TIMEOUT)
    rig.detector.tick(2 * PERIOD)
    assert rig.prober.awareness.score == 1
    assert rig.status() is Status.SUSPECT


def test_whoever_has_just_become_a_suspect_is_not_asked_about_the_next() -> None:
    rig = Rig(4)
    rig.probe()
    rig.relays(TIMEOUT)
    rig.detector.probe(an_id(2), Purpose.ROUND, PERIOD - TIMEOUT)
    rig.sent()
    asked = rig.relays(PERIOD)
    assert rig.status() is Status.SUSPECT
    assert asked == {3: PingReq(asked[3].number, an_id(2))}


def test_a_probe_that_has_failed_is_named_and_changes_no_status_by_itself() -> None:
    rig = Rig(4)
    ping = rig.probe()
    assert list(rig.prober.tick(TIMEOUT)) == []
    (failed,) = rig.prober.tick(PERIOD)
    assert (failed.number, failed.target) == (ping.number, an_id(TARGET))
    assert rig.status() is Status.ALIVE


# Round trips.


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
        rig.prober.on_nack(an_id(relay), Nack(request.number))
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


# Answering others.


def test_pings_for_us_are_answered_when_the_turn_has_been_read() -> None:
    rig = Rig(3)
    rig.prober.on_ping(a_peer(2), Ping(5, 0, 0), 0.0)
    rig.prober.on_ping(a_peer(1), Ping(6, 0, 0), 0.0)
    rig.learn(a_node(9), 0.0)
    digest = rig.state.replica.digest
    assert rig.sent() == [(2, Ack(5, digest)), (1, Ack(6, digest))]
    assert rig.sent() == []


def test_a_ping_for_another_is_answered_not_me() -> None:
    rig = Rig(3)
    rig.prober.on_stray(a_peer(2), an_id(77), Ping(5, 0, 0))
    assert rig.sent() == [(2, NotMe(5, an_id(77)))]


def test_a_ping_for_another_that_is_elsewhere_is_not_answered() -> None:
    rig = Rig(3)
    rig.prober.on_stray(a_peer(2), an_id(1), Ping(5, 0, 0))
    assert rig.sent() == []
    rig.learn(replace(a_node(77), address=an_address(ME)), 0.0)
    rig.prober.on_stray(a_peer(2), an_id(77), Ping(5, 0, 0))
    assert rig.sent() == [(2, NotMe(5, an_id(77)))]


def test_the_probe_clock_of_others_is_taken_over() -> None:
    rig = Rig(3)
    rig.prober.on_ping(a_peer(2), Ping(5, 0, 99 * 256), 0.0)
    assert rig.prober.order.clock(0.0) == 99 * 256


def test_a_relay_pings_under_its_own_number_and_passes_the_ack_on() -> None:
    rig = Rig(4)
    number = rig.ping_for_another()
    rig.detector.on_ack(an_id(3), Ack(number, 0), 0.0)
    assert rig.sent() == []
    rig.detector.on_ack(an_id(TARGET), Ack(number, 0), 0.0)
    assert rig.sent() == [(2, Ack(50, rig.state.replica.digest))]
    rig.detector.on_ack(an_id(TARGET), Ack(number, 0), 0.0)
    rig.detector.tick(PERIOD)
    assert rig.sent() == []


def test_a_relay_without_an_ack_says_so_once_and_still_passes_a_late_one_on() -> None:
    rig = Rig(4)
    number = rig.ping_for_another()
    assert rig.deadline(0.0) == NACK_AFTER * TIMEOUT
    rig.detector.tick(NACK_AFTER * TIMEOUT)
    rig.detector.tick(TIMEOUT)
    assert rig.sent() == [(2, Nack(50))]
    rig.detector.on_ack(an_id(TARGET), Ack(number, 0), 0.0)
    assert rig.sent() == [(2, Ack(50, rig.state.replica.digest))]


def test_a_relay_is_forgotten_after_a_period() -> None:
    rig = Rig(4)
    number = rig.ping_for_another()
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
        rig.prober.on_ping_req(a_peer(2 + number % 8), PingReq(number, an_id(TARGET)), 0.0)
    assert len(rig.sent()) == RELAYS
    rig.detector.tick(NACK_AFTER * TIMEOUT)
    rig.detector.tick(PERIOD)
    rig.sent()
    rig.ping_for_another()


def test_one_asker_does_not_take_the_relays_of_all_others() -> None:
    rig = Rig(4)
    for number in range(RELAYS):
        rig.prober.on_ping_req(a_peer(2), PingReq(number, an_id(TARGET)), 0.0)
    assert len(rig.sent()) == RELAYS_EACH
    rig.prober.on_ping_req(a_peer(3), PingReq(1, an_id(TARGET)), 0.0)
    assert len(rig.sent()) == 1
    rig.prober.on_ping_req(a_peer(3), PingReq(1, an_id(TARGET)), 0.0)
    assert rig.sent() == [], "the request was repeated"


@pytest.mark.parametrize("target", [ME, 77])
def test_nobody_is_pinged_for_a_request_about_us_or_a_stranger(target: int) -> None:
    rig = Rig(4)
    rig.prober.on_ping_req(a_peer(2), PingReq(1, an_id(target)), 0.0)
    assert rig.sent() == []
