"""Own time: what a wake-up was asked for is due when it comes, however floats are rounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.clock import StallClock

times = st.floats(0.0, 1e6)


@given(times, times, times)
def test_a_wake_up_at_its_time_finds_its_work_due(start: float, stall: float, later: float) -> None:
    clock = StallClock(start, tolerance=0.05)
    clock.read(clock.await_until(start + 1.0) + stall)
    due = clock.now + later
    clock.read(clock.await_until(due))
    assert clock.now >= due
