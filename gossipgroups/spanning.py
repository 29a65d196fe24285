"""Who passes what on to whom: trees over the live nodes, which all that hold them alive compute alike.

Law: a digest names the root, so each view and each register burdens another node. What all must hear takes
n - 1 datagrams along a tree, and twice as many hops as it is deep; what all must know of all takes twice as
many datagrams. Who is excused is passed over, in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator

from gossipgroups.swim.live import LiveSet

BRANCHES = 16
"""Children of a node. More: fewer hops, and more datagrams at once at the nodes that have children."""


def tree_of(live: LiveSet, digest: int) -> SpanningTree:
    """The tree over the live nodes that a digest names; suspects are excused."""
    return SpanningTree(digest, len(live), live.suspect_mask())


class SpanningTree:
    """The tree of one digest over the places 0 … `size` - 1; `excused` is a bitmap of places."""

    __slots__ = ("_excused", "_root", "_size")

    def __init__(self, digest: int, size: int, excused: int) -> None:
        root = digest % size
        for _ in range(size):
            if not excused >> root & 1:
                break
            root = (root + 1) % size
        self._root = root
        self._size = size
        self._excused = excused

    def parent(self, place: int) -> int | None:
        """Where bits go up to; `None` from the root."""
        return next((above for above in self._next_above(place) if not self._excused >> above & 1), None)

    def children(self, place: int) -> Iterator[int]:
        """Where bits come down to: the next ones that are not excused."""
        return (below for below in self._next_below(place) if not self._excused >> below & 1)

    def neighbours(self, place: int) -> Iterator[int]:
        """Where news goes on to: up and down; to those excused too, and past them."""
        yield from self._next_above(place)
        yield from self._next_below(place)

    def _next_above(self, place: int) -> Iterator[int]:
        rank = self._rank(place)
        while rank:
            rank = (rank - 1) // BRANCHES
            above = self._place(rank)
            yield above
            if not self._excused >> above & 1:
                return

    def _next_below(self, place: int) -> Iterator[int]:
        first = self._rank(place) * BRANCHES + 1
        for each in range(first, min(first + BRANCHES, self._size)):
            below = self._place(each)
            yield below
            if self._excused >> below & 1:
                yield from self._next_below(below)

    def below(self, place: int) -> int:
        """A bitmap of this place and all below it that is not excused."""
        first = last = self._rank(place)
        mask = 0
        while first < self._size:
            last = min(last, self._size - 1)
            mask |= (1 << last + 1) - (1 << first)
            first, last = first * BRANCHES + 1, last * BRANCHES + BRANCHES
        mask <<= self._root
        return (mask | mask >> self._size) & ((1 << self._size) - 1) & ~self._excused

    def _rank(self, place: int) -> int:
        """The number of a place in the order of the tree, level by level: that of the root is 0."""
        return (place - self._root) % self._size

    def _place(self, rank: int) -> int:
        return (rank + self._root) % self._size
