"""The live set: sorted, with a digest that does not depend on order, and places that all nodes agree on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.swim.live import LiveSet
from tests.nodes import a_live_set, an_id

numbers = st.sets(st.integers(0, 2**16 - 1), max_size=20)


@given(numbers, numbers)
def test_equal_sets_are_equal_however_they_came_about(kept: set[int], gone: set[int]) -> None:
    plain = a_live_set(*sorted(kept))
    changed = a_live_set(*sorted(kept | gone, reverse=True))
    for number in gone - kept:
        changed.remove(an_id(number))
    assert plain.ids == changed.ids == sorted(an_id(number) for number in kept)
    assert plain.digest == changed.digest
    assert len(changed) == len(kept)
    assert changed.version == len(kept | gone) + len(gone - kept)


@given(numbers, numbers)
def test_places_count_those_below(members: set[int], asked: set[int]) -> None:
    live = a_live_set(*members)
    for number in asked | members:
        place = sum(1 for each in members if each < number) if number in members else None
        assert live.place(an_id(number)) == place
        assert (an_id(number) in live) == (place is not None)


def test_suspects_are_a_mask_over_places() -> None:
    live = a_live_set(5, 1, 9)
    assert live.suspect_mask() == 0
    live.suspects |= {an_id(9), an_id(1)}
    assert live.suspect_mask() == 0b101
    live.remove(an_id(1))
    assert live.suspects == {an_id(9)}
    assert live.suspect_mask() == 0b10


def test_an_empty_set_has_no_places() -> None:
    live = LiveSet()
    assert (len(live), live.place(an_id(1)), live.digest) == (0, None, 0)
