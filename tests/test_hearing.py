"""Whether others are heard: not in a stall, not just after one, and not with the first word after a cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.swim.hearing import LATELY, Hearing

TIMEOUT = 1.0


def _heard(*times: float) -> Hearing:
    hearing = Hearing(TIMEOUT)
    for at in times:
        hearing.note(at)
    return hearing


def test_nobody_is_heard_at_the_start() -> None:
    assert not _heard().is_steady(5.0)


def test_the_first_word_is_not_enough() -> None:
    assert not _heard(5.0).is_steady(5.0)
    assert not _heard(5.0, 5.9).is_steady(5.9)
    assert _heard(5.0, 5.9).is_steady(6.0)


def test_others_must_have_been_heard_lately() -> None:
    hearing = _heard(5.0, 5.9, 6.8)
    assert hearing.is_steady(6.8 + LATELY * TIMEOUT)
    assert not hearing.is_steady(6.8 + LATELY * TIMEOUT + 0.001)


@pytest.mark.parametrize(("gap", "steady"), [(0.9, True), (1.1, False)])
def test_after_a_time_of_deafness_the_time_begins_anew(gap: float, steady: bool) -> None:
    assert _heard(5.0, 5.9, 6.8, 6.8 + gap).is_steady(6.8 + gap) == steady


@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=30))
def test_steady_means_without_a_gap_and_for_long_enough(gaps: list[float]) -> None:
    hearing, now, since = Hearing(TIMEOUT), 10.0, 10.0
    hearing.note(now)
    for gap in gaps:
        now += gap
        if gap > TIMEOUT:
            since = now
        hearing.note(now)
    assert hearing.is_steady(now) == (now - since >= TIMEOUT)
