"""The probe order: everybody once a round by one other, at even gaps; random probing when sets differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gossipgroups.ids import NodeId
from gossipgroups.registers import MAX_COUNTER
from gossipgroups.swim.live import LiveSet
from gossipgroups.swim.order import CLOCK_STEPS, CLOSE, FASTEST, HIGHEST_HEARD, ProbeOrder, phase, skip
from tests.nodes import an_id

PERIOD = 0.5


def _spread(count: int) -> LiveSet:
    """Ids that lie anywhere in a round, as random ones do."""
    live = LiveSet()
    for number in range(count):
        live.add(NodeId((number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big")))
    return live


def _probes(live: LiveSet, rounds: int, start: float = 100.0) -> list[tuple[int, NodeId, NodeId, float]]:
    """Round, prober, target and moment of all probes from a start on."""
    probes = []
    for me in live.ids:
        order = ProbeOrder(me, PERIOD)
        for round_ in range(rounds):
            due = order.next(live, start)
            assert due is not None
            probes.append((round_, me, *due))
            order.done(live, 1, due[1])
    return probes


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7, 8, 13, 16, 31, 64])
def test_in_each_round_everybody_is_probed_by_exactly_one_other(count: int) -> None:
    live = _spread(count)
    rounds = defaultdict(list)
    for round_, me, target, _ in _probes(live, 2 * count):
        assert me != target
        rounds[round_].append(target)
    assert all(sorted(targets) == live.ids for targets in rounds.values())


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7, 8, 13, 16, 31, 64])
def test_all_pairs_meet_in_each_cycle(count: int) -> None:
    live = _spread(count)
    cycle = 3
    pairs = Counter(
        (me, target) for _, me, target, _ in _probes(live, count - 1, start=cycle * (count - 1) * PERIOD)
    )
    assert set(pairs.values()) == {1}
    assert len(pairs) == count * (count - 1)


@given(st.integers(0, 10**9), st.integers(2, 300))
def test_skips_of_a_cycle_are_a_permutation(cycle: int, nodes: int) -> None:
    first = cycle * (nodes - 1)
    assert sorted(skip(first + step, nodes) for step in range(nodes - 1)) == list(range(1, nodes))


def test_the_order_changes_from_cycle_to_cycle() -> None:
    cycles = {tuple(skip(cycle * 63 + step, 64) for step in range(63)) for cycle in range(10)}
    assert len(cycles) > 5


def test_probes_of_one_target_are_one_period_apart() -> None:
    live = _spread(9)
    times = defaultdict(list)
    for _, _, target, at in _probes(live, 40):
        times[target].append(at)
    for target, moments in times.items():
        moments.sort()
        gaps = [second - first for first, second in pairwise(moments)]
        assert gaps == pytest.approx([PERIOD] * 39)
        assert moments[0] % PERIOD == pytest.approx(phase(target) * PERIOD)


def test_the_moments_of_all_targets_lie_within_a_round() -> None:
    assert phase(NodeId(bytes(8))) == 0
    assert 0 < phase(NodeId(b"\xff" * 8)) < 1


def test_with_different_live_sets_everybody_still_probes_others_once_a_round() -> None:
    full = _spread(12)
    probed: Counter[NodeId] = Counter()
    rounds = 200
    for place, me in enumerate(full.ids):
        view = _spread(12)
        view.remove(full.ids[(place + 5) % 12])
        order = ProbeOrder(me, PERIOD)
        for round_ in range(rounds):
            due = order.next(view, 0.0)
            assert due is not None
            target, at = due
            assert target in view
            assert target != me
            assert round_ * PERIOD <= at < (round_ + 1) * PERIOD
            probed[target] += 1
            order.done(view, 1, at)
    # Nobody is forgotten: each is probed about once a round, by those that hold it live.
    assert all(0.7 * rounds < count < 1.3 * rounds for count in probed.values())
    assert len(probed) == 12


def test_a_stretched_node_skips_rounds() -> None:
    live = _spread(5)
    order = ProbeOrder(live.ids[0], PERIOD)
    order.next(live, 0.0)
    order.done(live, 3, 0.0)
    due = order.next(live, 0.0)
    assert due is not None
    assert 3 * PERIOD <= due[1] < 4 * PERIOD


def test_there_is_nobody_to_probe_when_alone_or_not_live() -> None:
    live = _spread(1)
    assert ProbeOrder(live.ids[0], PERIOD).next(live, 0.0) is None
    assert ProbeOrder(an_id(77), PERIOD).next(_spread(4), 0.0) is None


def test_after_a_change_of_the_live_set_the_round_is_the_current_one() -> None:
    live = _spread(3)
    order = ProbeOrder(live.ids[1], PERIOD)
    order.next(live, 0.0)
    live.add(an_id(77))
    due = order.next(live, 1000 * PERIOD)
    assert due is not None
    assert 1000 * PERIOD <= due[1] < 1001 * PERIOD


def test_a_round_is_not_probed_twice_when_the_live_set_changes() -> None:
    live = _spread(3)
    order = ProbeOrder(live.ids[1], PERIOD)
    order.next(live, 0.0)
    order.done(live, 1, 0.0)
    live.add(an_id(77))
    due = order.next(live, 0.1 * PERIOD)
    assert due is not None
    assert due[1] >= PERIOD


def test_clocks_agree_on_the_highest_heard() -> None:
    slow, fast = ProbeOrder(an_id(1), PERIOD), ProbeOrder(an_id(2), PERIOD)
    fast.hear(1000 * CLOCK_STEPS, 0.0)
    assert fast.clock(0.0) == 1000 * CLOCK_STEPS
    slow.hear(fast.clock(7.0), 3.0)
    assert abs(slow.clock(3.0) - fast.clock(7.0)) <= 1
    behind = slow.clock(3.0)
    slow.hear(5, 3.0)
    assert slow.clock(3.0) == behind
    assert slow.clock(3.0 + PERIOD) - behind == CLOCK_STEPS


def test_a_clock_heard_moves_the_round_and_its_times() -> None:
    live = _spread(4)
    order = ProbeOrder(live.ids[0], PERIOD)
    order.next(live, 0.0)
    order.hear(50 * CLOCK_STEPS + CLOCK_STEPS // 2, 0.0)
    due = order.next(live, 0.0)
    assert due is not None
    assert due[0] == live.ids[skip(50, 4) % 4]
    assert -0.5 * PERIOD <= due[1] < 0.5 * PERIOD


@given(st.integers(0, MAX_COUNTER), st.floats(0, 1e6), st.integers(2, 40))
def test_no_clock_of_a_stranger_stops_the_probing(clock: int, now: float, count: int) -> None:
    live = _spread(count)
    order = ProbeOrder(live.ids[0], PERIOD)
    order.hear(clock, now)
    assert 0 <= order.clock(now) <= MAX_COUNTER
    due = order.next(live, now)
    assert due is not None
    assert now - PERIOD - 1e-3 <= due[1] <= now + 2 * PERIOD + 1e-3


def _next_whole(clock: int) -> int:
    """A clock that always says that a round begins."""
    return (clock // CLOCK_STEPS + 1) * CLOCK_STEPS


def _ahead(periods: float) -> Callable[[int], int]:
    return lambda clock: clock + int(periods * CLOCK_STEPS)


steps = st.lists(
    st.tuples(
        st.floats(0.001, 0.2),
        st.one_of(st.floats(0, 3).map(_ahead), st.sampled_from([_ahead(0), _next_whole])),
    ),
    min_size=50,
    max_size=400,
)


@given(st.integers(2, 40), steps)
@example(16, [(0.005, _ahead(255 / 256))] * 400)
@example(16, [(0.025, _ahead(1))] * 400)
@example(16, [(0.002, _next_whole)] * 2000)
def test_however_clocks_jump_probes_go_on_and_are_no_more(
    count: int, steps: list[tuple[float, Callable[[int], int]]]
) -> None:
    """Each step: so many seconds pass, then a clock is heard."""
    live = _spread(count)
    order = ProbeOrder(live.ids[0], PERIOD)
    now, started = 0.0, [0.0]
    for seconds, heard in steps:
        due = order.next(live, now)
        assert due is not None
        heard_at = now + seconds
        while due[1] <= heard_at:
            now = max(now, due[1])
            started.append(now)
            order.done(live, 1, now)
            due = order.next(live, now)
            assert due is not None
        now = heard_at
        order.hear(heard(order.clock(now)), now)
    assert all(later - earlier <= 2 * PERIOD + 1e-6 for earlier, later in pairwise([*started, now]))
    for place, since in enumerate(started[1:]):
        within = sum(1 for at in started[1 + place :] if at < since + PERIOD - 1e-6)
        assert within <= FASTEST + FASTEST * CLOSE + 1


def test_a_clock_in_the_upper_half_is_not_taken_over() -> None:
    live = _spread(4)
    order = ProbeOrder(live.ids[0], PERIOD)
    order.hear(HIGHEST_HEARD - 1, 0.0)
    assert order.clock(0.0) == HIGHEST_HEARD - 1
    order.hear(HIGHEST_HEARD, 0.0)
    order.hear(MAX_COUNTER, 0.0)
    assert order.clock(0.0) == HIGHEST_HEARD - 1


def test_a_late_answer_does_not_probe_anybody_again() -> None:
    live = _spread(8)
    order = ProbeOrder(live.ids[0], PERIOD)
    started = []
    for _ in range(4):
        due = order.next(live, 100.0)
        assert due is not None
        started.append(due)
        order.done(live, 3, due[1])
        # The answer to the first of them, which came late.
        order.resume(live, started[0][1])
    rounds = [int(due / PERIOD) for _, due in started]
    assert rounds == list(range(rounds[0], rounds[0] + 4))
