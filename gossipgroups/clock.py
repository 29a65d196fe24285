"""The node's own clock, which stands still while its process is stalled.

Law: own time never goes back, and a stall takes no own time: a node that was stopped finds the acks that wait
for it before its timers accuse anybody, and one that is starved runs slower instead of accusing more.
"""

from __future__ import annotations

from math import inf, nextafter


class StallClock:
    """Own time, in seconds, from the time of the caller and the wake-ups that were asked of it."""

    __slots__ = ("_awaited", "_stalled", "_tolerance", "now", "read_at")

    def __init__(self, now: float, tolerance: float) -> None:
        self.now = now
        self.read_at = now
        """The caller's time at the last reading: asked again at the same, the clock shows the same."""
        self._tolerance = tolerance
        self._stalled = 0.0
        self._awaited = inf

    def read(self, now: float) -> float:
        """Let own time pass up to the caller's; returns the stall that this ended, in seconds, or 0."""
        self.read_at = now
        late = now - self._awaited
        if late > 0.0:
            # Until the next wake-up is asked for, this one stands: a stall may follow on a call as on a turn.
            self._awaited = now
        if late <= self._tolerance:
            late = 0.0
        self._stalled += late
        self.now = max(self.now, now - self._stalled)
        return late

    def await_until(self, due: float) -> float:
        """The caller's time at which to wake up for own time `due`; infinity when nothing is due."""
        at = max(due, self.now) + self._stalled
        # Rounded down it would be just before `due`: nothing would be done, and the same time be asked again.
        while at - self._stalled < due < inf:
            at = nextafter(at, inf)
        self._awaited = at
        return at
