"""The budget: over any span of t seconds at most burst + rate · t is spent, and waiting is enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.budget import Budget


@given(
    st.floats(0.1, 1000),
    st.floats(1, 1000),
    st.lists(st.tuples(st.floats(0, 2), st.floats(0.01, 300)), min_size=1, max_size=40),
)
def test_no_span_spends_more_than_burst_and_rate(
    rate: float, burst: float, asked: list[tuple[float, float]]
) -> None:
    budget = Budget(rate, burst)
    now = 100.0
    spent: list[tuple[float, float]] = []
    for gap, amount in asked:
        now += gap
        if budget.spend(amount, now):
            spent.append((now, amount))
    for first in range(len(spent)):
        total = 0.0
        for at, amount in spent[first:]:
            total += amount
            assert total <= burst + rate * (at - spent[first][0]) + 1e-3


@given(st.floats(0.1, 1000), st.floats(1, 100), st.floats(0.1, 1), st.floats(0, 1e6))
def test_waiting_until_it_is_ready_is_enough(rate: float, burst: float, share: float, now: float) -> None:
    budget = Budget(rate, burst)
    while budget.spend(burst * share, now):
        pass
    ready = budget.ready_at(burst * share, now)
    assert ready >= now
    assert budget.spend(burst * share, ready)


def test_what_is_not_spent_is_saved_up_to_the_burst() -> None:
    budget = Budget(10, 20)
    assert budget.ready_at(20, 0.0) == 0.0
    assert not budget.spend(21, 1e6)
    assert budget.spend(20, 1e6)
    assert not budget.spend(1, 1e6)
    assert budget.ready_at(5, 1e6) == pytest.approx(1e6 + 0.5)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    budget = Budget(10, 20)
    assert budget.spend(20, 50.0)
    assert not budget.spend(1, 40.0)
    assert not budget.spend(1, 50.0)
    assert budget.spend(1, 50.1)
