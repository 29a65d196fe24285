"""Bits heard before their time: joined as nodes of one view join theirs, and kept for a while."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.early import MOST, EarlyBits, View, joined
from gossipgroups.wire.messages import ROOT

VIEW: View = ("g", 5, 7)
held = st.tuples(st.integers(0, 3), st.integers(0, 15))


@given(held, held, held)
def test_what_is_held_together_is_the_same_in_any_order(
    one: tuple[int, int], two: tuple[int, int], three: tuple[int, int]
) -> None:
    assert joined(*one, *one) == one
    assert joined(*one, *two) == joined(*two, *one)
    assert joined(*joined(*one, *two), *three) == joined(*one, *joined(*two, *three))


@given(st.lists(held, min_size=1))
def test_what_is_kept_of_a_view_is_all_that_was_heard_of_it(heard: list[tuple[int, int]]) -> None:
    early = EarlyBits(1.0)
    expected = heard[0]
    for stamp, bits in heard:
        early.keep(VIEW, stamp, bits, 0.0)
        expected = joined(*expected, stamp, bits)
    assert len(early) == 1
    assert early.take(VIEW, 0.5) == expected
    assert early.take(VIEW, 0.5) is None


def test_each_view_is_kept_by_itself() -> None:
    early = EarlyBits(1.0)
    views: list[View] = [VIEW, (ROOT, 5, 7), ("g", 6, 7), ("g", 5, 8)]
    for place, view in enumerate(views):
        early.keep(view, place, 1, 0.0)
    assert [early.take(view, 0.0) for view in views] == [(place, 1) for place in range(4)]


def test_nothing_is_kept_for_longer_than_it_is_waited_for() -> None:
    early = EarlyBits(1.0)
    early.keep(VIEW, 9, 0b01, 0.0)
    assert early.take(VIEW, 1.0) is None
    early.keep(VIEW, 9, 0b01, 2.0)
    early.keep(VIEW, 8, 0b10, 3.0)
    assert early.take(VIEW, 3.0) == (8, 0b10), "what is outdated counts no more"
    early.keep(VIEW, 9, 0b01, 4.0)
    early.keep(VIEW, 9, 0b10, 4.9)
    assert early.take(VIEW, 5.5) == (9, 0b11), "who was heard last still waits"


def test_there_is_room_for_a_few_and_the_oldest_goes() -> None:
    early = EarlyBits(1.0)
    for number in range(MOST + 3):
        early.keep(("g", number, 7), 1, 1, 0.0)
        assert len(early) <= MOST
    assert [early.take(("g", number, 7), 0.0) is None for number in range(5)] == [True] * 3 + [False] * 2


def test_what_is_outdated_makes_room() -> None:
    early = EarlyBits(1.0)
    for number in range(4):
        early.keep(("g", number, 7), 1, 1, float(number))
    assert len(early) <= 2
