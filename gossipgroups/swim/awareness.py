"""Local health: how much this node doubts itself (Lifeguard, section IV.A).

Law: the score stays in 0 … limit; evidence that others answer lowers it, evidence that we are slow raises it;
every interval and time-out of this node's own probes is stretched by `1 + score`.
"""

from __future__ import annotations

PROBE_ANSWERED = -1
PROBE_UNANSWERED = 1
NACK_MISSED = 1
REFUTED = 1
STALLED = 1
"""What each piece of evidence adds to the score."""


class Awareness:
    """The local health score."""

    __slots__ = ("_limit", "score")

    def __init__(self, limit: int) -> None:
        self.score = 0
        self._limit = limit

    def note(self, delta: int) -> None:
        """Take a piece of evidence into account."""
        self.score = min(self._limit, max(0, self.score + delta))

    @property
    def stretch(self) -> int:
        """The factor on this node's own intervals."""
        return 1 + self.score
