"""The failure detector: what it believes on which evidence, and what it tells of it."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.ids import NodeId
from gossipgroups.registers import NodeRegister
from gossipgroups.status import Status
from gossipgroups.swim.detector import SPARE_CORROBORATORS
from gossipgroups.swim.probe import Purpose
from gossipgroups.wire.messages import REFUSED, Ack, Nack, NotMe, Ping, PingReq
from tests.nodes import a_node, a_peer, an_address, an_id
from tests.rig import CONFIG, ME, PERIOD, SHORTEST, TARGET, TIMEOUT, Rig, a_charge

# Challenges.


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


# Not me.


def test_another_process_on_the_address_settles_the_old_nodes_fate() -> None:
    rig = Rig(4)
    ping = rig.probe()
    rig.detector.on_not_me(an_address(TARGET), NotMe(ping.number, an_id(TARGET)), 0.1)
    assert rig.status() is Status.DEAD
    assert rig.told == [a_node(TARGET, 0, Status.DEAD)]


def test_a_relay_hears_it_too() -> None:
    rig = Rig(4)
    number = rig.ping_for_another()
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
    assert rig.prober.awareness.score == 0


# Doubts.


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
        rig.detector.on_accusation(a_charge(5), 0.0)
    assert rig.detector.doubts(a_node(TARGET, 0, Status.DEAD), 0.0)
    if not accused_first:
        rig.detector.on_accusation(a_charge(5), 0.0)
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


# Our own address.


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
    assert rig.accusations() == [a_charge(ME, evidence=REFUSED)]
    requests = [section for _, section in rig.sent() if isinstance(section, PingReq)]
    assert requests == [PingReq(ping.number, an_id(TARGET))] * 3
    rig.detector.on_refused(an_address(TARGET), 0.02)
    assert rig.sent() == []
    rig.detector.tick(PERIOD)
    assert rig.prober.awareness.score == 0


def test_two_refusals_leave_just_the_time_to_refute() -> None:
    rig = Rig(8)
    rig.probe()
    rig.detector.on_refused(an_address(TARGET), 0.0)
    rig.detector.tick(CONFIG.refused_timeout)
    assert rig.status() is Status.SUSPECT
    second = CONFIG.refused_timeout + 0.05
    rig.detector.on_accusation(a_charge(5, evidence=REFUSED), second)
    rig.detector.tick(second + CONFIG.refused_timeout - 0.01)
    assert rig.status() is Status.SUSPECT
    rig.detector.tick(second + CONFIG.refused_timeout)
    assert rig.status() is Status.DEAD
    assert rig.told == [a_node(TARGET, 0, Status.DEAD)]


def test_with_nobody_to_ask_a_refused_probe_is_over() -> None:
    rig = Rig(2)
    ping = rig.probe()
    rig.detector.on_refused(an_address(TARGET), 0.0)
    assert rig.status() is Status.SUSPECT
    assert rig.deadline(0.0) == CONFIG.refused_timeout
    rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), 0.0)
    rig.detector.tick(0.0)
    rig.detector.tick(CONFIG.refused_timeout)
    assert rig.status() is Status.DEAD
    assert rig.prober.awareness.score == 0


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


def test_one_probe_of_a_node_serves_all_that_have_the_same_reason() -> None:
    rig = Rig(8)
    ends: list[bool] = []
    rig.detector.on_challenged = lambda target, alive: ends.append(alive)
    for purpose in (Purpose.CORROBORATE, Purpose.CHALLENGE, Purpose.DOUBT):
        for _ in range(5):
            rig.detector.probe(an_id(TARGET), purpose, 0.0)
    pings = [section for _, section in rig.sent() if isinstance(section, Ping)]
    assert len(pings) == 3
    for ping in pings:
        rig.detector.on_ack(an_id(TARGET), Ack(ping.number, 0), 0.1)
    assert ends == [True]
    rig.detector.probe(an_id(TARGET), Purpose.CHALLENGE, 0.2)
    assert len(rig.sent()) == 1, "the one before has ended"


def test_nobody_is_asked_about_a_node_that_is_gone_since_another_probe_ended() -> None:
    rig = Rig(8)
    rig.detector.doubts(a_node(TARGET, 0, Status.DEAD), 0.0)
    rig.detector.probe(an_id(TARGET), Purpose.ROUND, 0.0)
    rig.sent()
    rig.detector.tick(TIMEOUT)
    assert rig.status() is Status.DEAD
    assert [section for _, section in rig.sent() if isinstance(section, PingReq)] == []


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
    rig.ping_for_another()
    rig.detector.on_refused(an_address(TARGET), 0.0)
    assert rig.status() is Status.SUSPECT
    assert rig.sent() == [(2, Nack(50))]
    assert rig.accusations() == [a_charge(ME, evidence=REFUSED)]


# Suspicions.


def test_an_accusation_makes_a_suspect_and_is_passed_on() -> None:
    rig = Rig(8)
    rig.detector.on_accusation(a_charge(5), 0.0)
    assert rig.status() is Status.SUSPECT
    assert rig.accusations() == [a_charge(5)]
    assert rig.told == []
    rig.detector.on_accusation(a_charge(5), 0.0)
    assert rig.accusations() == []


@pytest.mark.parametrize("incarnation", [0, 2])
def test_an_accusation_of_another_incarnation_or_of_a_stranger_is_ignored(incarnation: int) -> None:
    rig = Rig(4)
    rig.learn(a_node(TARGET, 1), 0.0)
    rig.detector.on_accusation(a_charge(3, incarnation), 0.0)
    rig.detector.on_accusation(a_charge(3, subject=77), 0.0)
    assert rig.status() is Status.ALIVE
    assert rig.accusations() == []


@pytest.mark.parametrize("status", [None, Status.DEAD, Status.LEFT])
def test_only_live_nodes_confirm_a_suspicion(status: Status | None) -> None:
    rig = Rig(8)
    if status is not None:
        rig.learn(a_node(20, 0, status), 0.0)
    rig.detector.on_accusation(a_charge(3), 0.0)
    rig.detector.on_accusation(a_charge(20), 0.0)
    assert set(rig.detector.suspicions[an_id(TARGET)].accusers) == {an_id(3)}
    assert rig.accusations() == [a_charge(3)]


def test_the_dead_are_not_accused() -> None:
    rig = Rig(4)
    rig.learn(a_node(TARGET, 0, Status.DEAD), 0.0)
    rig.detector.on_accusation(a_charge(3), 0.0)
    rig.probe()
    rig.detector.tick(TIMEOUT)
    rig.detector.tick(PERIOD)
    assert rig.accusations() == []
    assert rig.status() is Status.DEAD


def test_confirmations_shorten_the_suspicion_and_only_as_many_are_told() -> None:
    rig = Rig(10)
    rig.detector.on_accusation(a_charge(3), 0.0)
    assert rig.deadline(0.0) < inf
    rig.detector.tick(SHORTEST)
    assert rig.status() is Status.SUSPECT
    for accuser in (4, 5, 6, 7):
        rig.detector.on_accusation(a_charge(accuser), 0.0)
    assert {each.accuser for each in rig.accusations()} == {an_id(number) for number in (3, 4, 5)}
    rig.detector.tick(SHORTEST)
    assert rig.status() is Status.DEAD
    assert rig.told == [a_node(TARGET, 0, Status.DEAD)]


def test_an_unconfirmed_suspect_has_the_longest_time() -> None:
    rig = Rig(8)
    rig.detector.on_accusation(a_charge(3), 0.0)
    longest = SHORTEST * CONFIG.suspicion_max_factor
    rig.detector.tick(longest - 0.1)
    assert rig.status() is Status.SUSPECT
    rig.detector.tick(longest)
    assert rig.status() is Status.DEAD


def test_who_refutes_is_cleared_and_its_accusers_are_told_no_more() -> None:
    rig = Rig(8)
    rig.detector.on_accusation(a_charge(3), 0.0)
    rig.detector.on_accusation(a_charge(4), 0.0)
    rig.learn(a_node(TARGET, 1), 1.0)
    assert rig.detector.suspicions == {}
    assert rig.accusations() == []
    rig.detector.tick(1000.0)
    assert rig.status() is Status.ALIVE


def test_a_new_accusation_after_a_refutation_starts_anew() -> None:
    rig = Rig(8)
    for accuser in (3, 4, 5):
        rig.detector.on_accusation(a_charge(accuser), 0.0)
    rig.learn(a_node(TARGET, 1, Status.SUSPECT), SHORTEST - 1)
    assert rig.detector.suspicions[an_id(TARGET)].accusers == {}
    rig.detector.tick(SHORTEST)
    assert rig.status() is Status.SUSPECT


def test_a_suspect_heard_of_as_a_register_is_timed_too() -> None:
    rig = Rig(8)
    rig.learn(a_node(TARGET, 0, Status.SUSPECT), 0.0)
    rig.detector.tick(SHORTEST * CONFIG.suspicion_max_factor)
    assert rig.status() is Status.DEAD


@pytest.mark.parametrize("incarnation", range(4))
def test_a_few_chosen_alike_by_all_probe_a_suspect_on_hearing_of_it(incarnation: int) -> None:
    probing = []
    for me in range(12):
        if me == TARGET:
            continue
        rig = Rig(12, me=me)
        rig.learn(a_node(TARGET, incarnation), 0.0)
        first, second = [number for number in range(12) if number not in (me, TARGET)][:2]
        rig.detector.on_accusation(a_charge(first, incarnation), 0.0)
        probing += [me for to, section in rig.sent() if to == TARGET and isinstance(section, Ping)]
        rig.detector.on_accusation(a_charge(second, incarnation), 0.0)
        assert rig.sent() == []
    chosen = CONFIG.confirmations + SPARE_CORROBORATORS
    assert chosen - 1 <= len(probing) == len(set(probing)) <= chosen


def test_an_accuser_that_is_not_live_here_is_not_heard() -> None:
    rig = Rig(8)
    rig.detector.on_accusation(a_charge(20), 0.0)
    assert rig.status() is Status.ALIVE


def test_one_who_is_not_live_itself_corroborates_nothing() -> None:
    rig = Rig(3)
    rig.learn(a_node(ME, 0, Status.LEFT), 0.0)
    rig.detector.on_accusation(a_charge(2), 0.0)
    assert rig.status() is Status.SUSPECT
    assert rig.sent() == []


def test_what_was_said_of_an_earlier_incarnation_of_a_suspect_is_told_no_more() -> None:
    rig = Rig(6)
    for accuser in (2, 3):
        rig.detector.on_accusation(a_charge(accuser), 0.0)
    rig.learn(a_node(TARGET, 1, Status.SUSPECT), 0.5)
    rig.detector.on_accusation(a_charge(4, 1), 0.5)
    assert rig.accusations() == [a_charge(4, 1)]


def _accused(rig: Rig) -> None:
    for accuser in (2, 3, 4):
        rig.detector.on_accusation(a_charge(accuser), 0.0)
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
        due = rig.deadline(now)
        assert due > now
    rig.detector.tick(SHORTEST)
    assert rig.status() is Status.DEAD


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
                rig.detector.on_accusation(a_charge(9, register.incarnation, subject=number), now)
            case "refused":
                rig.detector.on_refused(an_address(number), now)
            case "refute":
                rig.learn(a_node(number, register.incarnation + 1), now)
            case "not me":
                rig.detector.on_not_me(an_address(number), NotMe(pings[number][-1], an_id(number)), now)
            case "ask":
                rig.prober.on_ping_req(a_peer(2), PingReq(9, an_id(number)), now)
        for to, section in rig.sent():
            if isinstance(section, Ping):
                pings[to].append(section.number)
        suspects = {
            node_id for node_id, held in rig.state.replica.nodes.items() if held.status is Status.SUSPECT
        }
        assert set(rig.detector.suspicions) == suspects == rig.state.live.suspects
        for node_id, suspicion in rig.detector.suspicions.items():
            assert suspicion.incarnation == rig.state.replica.nodes[node_id].incarnation
        due = rig.deadline(now)
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
