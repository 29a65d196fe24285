"""The wait for an ack: it follows the round trips, and stays within its bounds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.config import Config
from gossipgroups.swim.round_trips import RoundTrips

CONFIG = Config.wan().but(probe_timeout_min=0.01)
configs = st.sampled_from([Config.lan(), Config.local(), Config.wan(), CONFIG])


def _after(*seconds: float, config: Config = CONFIG) -> float:
    round_trips = RoundTrips(config)
    for each in seconds:
        round_trips.note(each)
    return round_trips.timeout


def test_before_any_is_measured_it_is_the_longest() -> None:
    assert _after() == CONFIG.probe_timeout


def test_alike_round_trips_bring_it_near_to_them() -> None:
    assert _after(0.1) == pytest.approx(0.4)
    assert _after(*[0.1] * 500) == pytest.approx(0.1, rel=0.01)


@given(st.lists(st.floats(0, 1e6), max_size=50), configs)
def test_it_stays_within_its_bounds(seconds: list[float], config: Config) -> None:
    assert config.probe_timeout_min <= _after(*seconds, config=config) <= config.probe_timeout


@pytest.mark.parametrize("far", [2, 5, 20])
def test_among_nodes_near_and_far_a_far_one_has_time_until_its_probe_fails(far: int) -> None:
    """One in so many is 250 ms away, the others 1 ms."""
    chance = random.Random(far)
    round_trips = RoundTrips(CONFIG)
    late = 0
    for place in range(3000):
        seconds = 0.25 if chance.randrange(far) == 0 else 0.001
        late += place > 100 and seconds > 3 * round_trips.timeout
        round_trips.note(seconds)
    print(far, late)
    assert late < 3000 / far * 0.05


def test_equal_bounds_leave_nothing_to_measure() -> None:
    fixed = CONFIG.but(probe_timeout=0.3, probe_timeout_min=0.3)
    assert _after(0.001, 2.0, config=fixed) == 0.3
