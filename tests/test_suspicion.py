"""Suspicion: its time-out shrinks with independent confirmations and with refused ports, and never grows."""

from __future__ import annotations

from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.config import Config
from gossipgroups.ids import NodeId
from gossipgroups.swim.suspicion import Suspicion, Suspicions
from gossipgroups.wire.messages import REFUSED, SILENT
from tests.nodes import an_id

CONFIG = Config.lan()
START = 1000.0
PATIENT = CONFIG.but(silent_timeout=1e6)
"""Nobody is found by silence before the patient time is over."""
SHORTEST = CONFIG.suspicion_multiplier * CONFIG.probe_period
LONGEST = SHORTEST * CONFIG.suspicion_max_factor


def _suspicion(*accused: tuple[int, int], config: Config = PATIENT) -> Suspicion:
    suspicion = Suspicion(0, config, START)
    for accuser, evidence in accused:
        suspicion.confirm(an_id(accuser), evidence, START)
    return suspicion


def _wait(suspicion: Suspicion, live: int = 8, healthy: int | None = None) -> float:
    return suspicion.deadline(live, live - 2 if healthy is None else healthy) - START


def test_nobody_confirms_and_the_suspect_has_the_longest_time() -> None:
    assert _wait(_suspicion()) == LONGEST
    assert _wait(_suspicion((1, SILENT))) == LONGEST


def test_each_confirmation_shortens_it_down_to_the_shortest() -> None:
    suspicion = _suspicion((1, SILENT))
    times = []
    for accuser in (2, 3, 4):
        suspicion.confirm(an_id(accuser), SILENT, START)
        times.append(_wait(suspicion))
    # One of two confirmations: log 2 / log 3 of the way down.
    assert times == [pytest.approx(LONGEST - (LONGEST - SHORTEST) * 0.6309, rel=1e-4), SHORTEST, SHORTEST]


def test_the_same_accuser_counts_once() -> None:
    suspicion = _suspicion()
    assert suspicion.confirm(an_id(1), SILENT, START)
    assert not suspicion.confirm(an_id(1), SILENT, START)
    assert _wait(suspicion) == LONGEST


def test_confirmations_are_worth_telling_until_there_are_enough() -> None:
    suspicion = _suspicion()
    assert [suspicion.confirm(an_id(number), SILENT, START) for number in range(6)] == [True] * 3 + [
        False
    ] * 3


def test_two_refused_ports_leave_just_time_to_refute() -> None:
    suspicion = _suspicion((1, SILENT))
    assert suspicion.confirm(an_id(1), REFUSED, START)
    assert _wait(suspicion) == LONGEST
    assert suspicion.confirm(an_id(2), REFUSED, START)
    assert _wait(suspicion) == pytest.approx(CONFIG.refused_timeout)
    assert not suspicion.confirm(an_id(3), REFUSED, START)
    assert not suspicion.confirm(an_id(1), SILENT, START)


def test_the_time_to_refute_begins_when_the_port_is_known_to_be_refused() -> None:
    suspicion = _suspicion((1, SILENT), config=CONFIG)
    suspicion.confirm(an_id(1), REFUSED, START + 0.3)
    suspicion.confirm(an_id(2), REFUSED, START + 0.5)
    suspicion.confirm(an_id(3), REFUSED, START + 0.7)
    assert _wait(suspicion) == pytest.approx(0.5 + CONFIG.refused_timeout)


def test_when_fewer_can_confirm_a_refusal_leaves_time_to_refute_too() -> None:
    suspicions = Suspicions(CONFIG)
    suspicions.begin(an_id(0), 0, START)
    suspicions.confirm(an_id(0), an_id(1), REFUSED, START)
    assert suspicions.over(8, 6, True, START) == []
    late = START + 1
    assert suspicions.over(8, 0, True, late) == [], "one refusal is enough now"
    assert suspicions.over(8, 0, True, late + CONFIG.refused_timeout) == [an_id(0)]


def test_others_that_become_suspects_do_not_keep_a_closed_port_alive() -> None:
    suspicions = Suspicions(CONFIG)
    suspicions.begin(an_id(0), 0, START)
    for accuser in (1, 2):
        suspicions.confirm(an_id(0), an_id(accuser), REFUSED, START)
    now = START
    over: list[NodeId] = []
    while not over:
        for healthy in (2, 1):
            over += suspicions.over(8, healthy, True, now)
        now += CONFIG.refused_timeout / 8
    assert now <= START + 2 * CONFIG.refused_timeout
    now, over = START, []
    suspicions.begin(an_id(9), 0, START)
    for accuser in (1, 2):
        suspicions.confirm(an_id(9), an_id(accuser), REFUSED, START)
    while an_id(9) not in over:
        for healthy in (1, 0):
            over += suspicions.over(8, healthy, True, now)
        now += CONFIG.refused_timeout / 8
    assert now <= START + 2 * CONFIG.refused_timeout


@pytest.mark.parametrize(("healthy", "needed"), [(0, 1), (1, 2), (2, 2), (98, 2)])
def test_refusals_that_are_needed_in_small_clusters(healthy: int, needed: int) -> None:
    suspicion = _suspicion()
    for number in range(needed):
        assert _wait(suspicion, healthy + 2, healthy) > CONFIG.refused_timeout + 0.1
        suspicion.confirm(an_id(number), REFUSED, START)
    assert _wait(suspicion, healthy + 2, healthy) == pytest.approx(CONFIG.refused_timeout)


@pytest.mark.parametrize(("live", "healthy"), [(0, -1), (1, 0), (2, 0), (3, 1), (50, 1), (50, 0)])
def test_with_nobody_to_confirm_nobody_waits_for_it(live: int, healthy: int) -> None:
    assert _wait(_suspicion(), live, healthy) == pytest.approx(SHORTEST * max(1.0, log10(max(1, live))))


def test_large_clusters_wait_longer() -> None:
    confirmed = _suspicion((1, SILENT), (2, SILENT), (3, SILENT))
    for live in (10, 100, 1000):
        assert _wait(confirmed, live) == pytest.approx(SHORTEST * log10(live))


def _met(at: float = START, config: Config = CONFIG) -> Suspicion:
    """A suspicion of which the last accuser that is needed came at this time."""
    suspicion = _suspicion(*((number, SILENT) for number in range(config.confirmations)), config=config)
    assert suspicion.confirm(an_id(9), SILENT, at)
    return suspicion


def test_silence_met_by_enough_leaves_just_time_to_refute_from_then_on() -> None:
    suspicion = _suspicion((1, SILENT), (2, SILENT), config=CONFIG)
    assert _wait(suspicion) > SHORTEST
    suspicion.confirm(an_id(3), SILENT, START + 1)
    assert _wait(suspicion) == pytest.approx(1 + CONFIG.silent_timeout)
    suspicion.confirm(an_id(4), SILENT, START + 1.5)
    suspicion.confirm(an_id(1), REFUSED, START + 1.5)
    assert _wait(suspicion) == pytest.approx(1 + CONFIG.silent_timeout)


@pytest.mark.parametrize(("healthy", "needed"), [(0, 1), (1, 2), (2, 3), (98, 3)])
def test_accusers_that_are_needed_in_small_clusters(healthy: int, needed: int) -> None:
    suspicion = _suspicion(config=CONFIG)
    for number in range(needed):
        assert _wait(suspicion, healthy + 2, healthy) >= SHORTEST
        suspicion.confirm(an_id(number), SILENT, START)
    assert _wait(suspicion, healthy + 2, healthy) == pytest.approx(CONFIG.silent_timeout)


def test_who_still_hears_others_concludes() -> None:
    suspicion, wait = _met(), CONFIG.silent_timeout
    assert not suspicion.concludes(8, 6, True, START + wait - 0.01)
    assert suspicion.concludes(8, 6, True, START + wait)


def test_who_hears_nobody_waits_again_and_at_last_concludes_all_the_same() -> None:
    config = CONFIG.but(silent_timeout=0.9)
    suspicion = _met(config=config)
    for waits in range(1, 5):
        now = suspicion.deadline(8, 6)
        assert now == pytest.approx(START + 0.9 * waits)
        assert not suspicion.concludes(8, 6, False, now)
    assert suspicion.deadline(8, 6) == START + SHORTEST
    assert suspicion.concludes(8, 6, False, START + SHORTEST)


def test_when_fewer_can_confirm_nobody_is_dead_at_once_for_that() -> None:
    suspicions = Suspicions(CONFIG)
    suspicions.begin(an_id(0), 0, START)
    suspicions.confirm(an_id(0), an_id(1), SILENT, START)
    assert suspicions.over(8, 6, True, START) == []
    late = START + SHORTEST + 1
    assert suspicions.over(8, 0, True, late) == [], "it could be dead since the shortest time"
    assert suspicions.deadline(8, 0) == late + CONFIG.silent_timeout
    assert suspicions.over(8, 0, True, late + CONFIG.silent_timeout) == [an_id(0)]


def test_suspicions_that_wait_again_are_due_again() -> None:
    suspicions = Suspicions(CONFIG)
    suspicions.begin(an_id(0), 0, START)
    for number in (1, 2, 3):
        suspicions.confirm(an_id(0), an_id(number), SILENT, START)
    due = suspicions.deadline(8, 6)
    assert due == START + CONFIG.silent_timeout
    assert suspicions.over(8, 6, False, due) == []
    assert suspicions.deadline(8, 6) == due + CONFIG.silent_timeout
    assert suspicions.over(8, 6, True, due + CONFIG.silent_timeout / 2) == []
    assert suspicions.over(8, 6, True, due + CONFIG.silent_timeout) == [an_id(0)]


accusers = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([SILENT, REFUSED])), max_size=20)
configs = st.sampled_from(
    [Config.lan(), Config.local(), Config.wan(), PATIENT, PATIENT.but(refused_timeout=60)]
)


@given(st.integers(2, 2000), st.integers(0, 2000), accusers, configs)
def test_the_time_never_grows_with_accusers_and_only_news_shortens_it(
    live: int, healthy: int, confirmed: list[tuple[int, int]], config: Config
) -> None:
    healthy = min(healthy, live - 2)
    suspicion = _suspicion(config=config)
    seen: dict[int, int] = {}
    for number, evidence in confirmed:
        before = suspicion.deadline(live, healthy)
        suspicion.confirm(an_id(number), evidence, START)
        assert suspicion.deadline(live, healthy) <= before
        if seen.get(number, -1) >= evidence:
            assert suspicion.deadline(live, healthy) == before
        seen[number] = max(evidence, seen.get(number, -1))
        assert suspicion.accusers == {an_id(each): worst for each, worst in seen.items()}
    shortest = min(
        config.refused_timeout, config.silent_timeout, config.suspicion_multiplier * config.probe_period
    )
    assert suspicion.deadline(live, healthy) >= START + shortest
