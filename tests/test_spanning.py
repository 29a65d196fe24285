"""Trees over the live nodes: everybody's bits go up to the root and all come down; news goes both ways."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.spanning import BRANCHES, SpanningTree


@st.composite
def trees(draw: st.DrawFn) -> tuple[SpanningTree, int, int]:
    """A tree with its size and those that are excused, at least one of whom is not."""
    size = draw(st.integers(1, 700))
    excused = 0
    for place in draw(st.lists(st.integers(0, size - 1), max_size=40)):
        excused |= 1 << place
    if excused == (1 << size) - 1:
        excused = 0
    return SpanningTree(draw(st.integers(0, 2**64 - 1)), size, excused), size, excused


def _required(size: int, excused: int) -> list[int]:
    return [place for place in range(size) if not excused >> place & 1]


@given(trees())
def test_one_has_no_parent_and_all_that_are_required_are_below_it(
    given_tree: tuple[SpanningTree, int, int],
) -> None:
    tree, size, excused = given_tree
    required = _required(size, excused)
    (root,) = [place for place in required if tree.parent(place) is None]
    assert tree.below(root) == sum(1 << place for place in required)


@given(trees())
def test_parents_and_children_are_two_views_of_one_tree(given_tree: tuple[SpanningTree, int, int]) -> None:
    tree, size, excused = given_tree
    required = _required(size, excused)
    children = {place: list(tree.children(place)) for place in required}
    assert {child: place for place, those in children.items() for child in those} == {
        place: parent for place in required if (parent := tree.parent(place)) is not None
    }
    for place, those in children.items():
        below = 1 << place
        for child in those:
            assert not below & tree.below(child), "nobody is below two"
            below |= tree.below(child)
        assert tree.below(place) == below


@given(trees())
def test_news_from_anywhere_comes_to_all_whether_the_excused_pass_it_on_or_not(
    given_tree: tuple[SpanningTree, int, int],
) -> None:
    tree, size, excused = given_tree
    begin = _required(size, excused)[-1]
    told, waiting = {begin}, [begin]
    while waiting:
        place = waiting.pop()
        if not excused >> place & 1:
            new = set(tree.neighbours(place)) - told
            told |= new
            waiting += new
    assert told == set(range(size))


@given(st.integers(1, 700), st.integers(0, 2**64 - 1))
def test_neighbours_are_mutual_and_no_more_than_a_tree_needs(size: int, digest: int) -> None:
    tree = SpanningTree(digest, size, 0)
    pairs = {(place, other) for place in range(size) for other in tree.neighbours(place)}
    assert pairs == {(other, place) for place, other in pairs}
    assert len(pairs) == 2 * (size - 1)


@pytest.mark.parametrize(("size", "hops"), [(1, 0), (2, 1), (17, 1), (18, 2), (273, 2), (274, 3), (4369, 3)])
def test_the_tree_is_as_deep_as_it_must_be(size: int, hops: int) -> None:
    tree = SpanningTree(5, size, 0)
    deepest = 0
    for place in range(size):
        above, depth = place, 0
        while (parent := tree.parent(above)) is not None:
            above, depth = parent, depth + 1
        deepest = max(deepest, depth)
    assert deepest == hops


def test_each_view_burdens_another_root() -> None:
    size = 100
    roots = {
        next(place for place in range(size) if SpanningTree(digest, size, 0).parent(place) is None)
        for digest in range(0, 7 * size, 7)
    }
    assert len(roots) == size


def test_nobody_has_more_children_than_branches_when_all_are_well() -> None:
    tree = SpanningTree(0, 500, 0)
    counts = [len(list(tree.children(place))) for place in range(500)]
    assert max(counts) == BRANCHES
    assert sum(counts) == 499
    assert sum(1 for count in counts if count) == ceil(499 / BRANCHES)


def test_when_all_are_excused_the_tree_still_ends() -> None:
    tree = SpanningTree(2, 5, 0b11111)
    assert [tree.parent(place) for place in range(5)] == [None] * 5
    assert tree.below(2) == 0
    assert list(tree.children(2)) == []
