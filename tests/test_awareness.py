"""Local health: the score stays within its bounds and stretches by one plus itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.swim.awareness import (
    NACK_MISSED,
    PROBE_ANSWERED,
    PROBE_UNANSWERED,
    REFUTED,
    STALLED,
    Awareness,
)


@given(st.integers(1, 20), st.lists(st.integers(-3, 3)))
def test_the_score_stays_within_its_bounds(limit: int, deltas: list[int]) -> None:
    awareness = Awareness(limit)
    expected = 0
    for delta in deltas:
        awareness.note(delta)
        expected = sorted((0, expected + delta, limit))[1]
        assert awareness.score == expected
        assert awareness.stretch == 1 + expected


def test_answers_lower_the_score_and_signs_of_slowness_raise_it() -> None:
    assert PROBE_ANSWERED < 0 < min(PROBE_UNANSWERED, NACK_MISSED, REFUTED, STALLED)
    awareness = Awareness(8)
    awareness.note(PROBE_ANSWERED)
    assert awareness.stretch == 1
