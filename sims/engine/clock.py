"""The clock that a process reads: it starts anywhere, may run too fast or too slow, and may jump.

Law: `when` is the inverse of `read` until the next jump, and never too early, so a process sleeps until its
own clock says so.
"""

from __future__ import annotations

from math import inf, nextafter


class Clock:
    """Reads `offset + rate · (time − since)` at a true time, in seconds."""

    __slots__ = ("_offset", "_since", "rate")

    def __init__(self, offset: float = 0.0, rate: float = 1.0, since: float = 0.0) -> None:
        self._offset = offset
        self._since = since
        self.rate = rate

    def read(self, time: float) -> float:
        """What the clock shows."""
        return self._offset + self.rate * (time - self._since)

    def when(self, reading: float) -> float:
        """The true time at which the clock will show this."""
        at = self._since + (reading - self._offset) / self.rate
        # Rounded down it would be just before: a process would wake, find nothing due, and wait no time.
        while self.read(at) < reading:
            at = nextafter(at, inf)
        return at

    def jump(self, seconds: float) -> None:
        """Show so much more from now on; less, when negative."""
        self._offset += seconds

    def run(self, rate: float, time: float) -> None:
        """Run so many times as fast from now on."""
        self._offset, self._since, self.rate = self.read(time), time, rate
