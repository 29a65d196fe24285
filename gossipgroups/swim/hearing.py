"""Whether this node hears others: whoever does not may be the one that is cut off.

Law: a node hears others if it has heard one lately, and was deaf at no time for as long before as it would
now believe in the silence of another. So a stall or a partition that ends, or begins, condemns nobody.
"""

from __future__ import annotations

from math import inf

LATELY = 0.75
"""Share of the silent time-out."""


class Hearing:
    """When other live nodes were heard. Times are on the node's clock, in seconds."""

    __slots__ = ("_at", "_since", "_timeout")

    def __init__(self, silent_timeout: float) -> None:
        self._timeout = silent_timeout
        self._at = -inf
        self._since = inf

    def note(self, now: float) -> None:
        """A live node was heard."""
        if now - self._at > self._timeout:
            self._since = now
        self._at = now

    def is_steady(self, now: float) -> bool:
        """Whether others are heard, and were for as long as the silent time-out."""
        return now - self._at <= LATELY * self._timeout and now - self._since >= self._timeout
