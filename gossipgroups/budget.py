"""A budget per second that may be saved up to a burst: every storm of ours is bounded by one.

Law: over any span of t seconds at most `burst + rate · t` is spent.
"""

from __future__ import annotations

_ROUNDING = 1e-6
"""Waiting until `ready_at` must be enough, whatever floating point makes of it."""


class Budget:
    """A token bucket; the clock is an argument (seconds)."""

    __slots__ = ("_at", "_left", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._left = burst
        self._at = 0.0

    def spend(self, amount: float, now: float) -> bool:
        """Take the amount if it is there."""
        self._refill(now)
        if self._left < amount - _ROUNDING:
            return False
        self._left -= amount
        return True

    def has(self, amount: float, now: float) -> bool:
        """Whether the amount is there."""
        if self._left < amount - _ROUNDING:
            self._refill(now)
        return self._left >= amount - _ROUNDING

    def ready_at(self, amount: float, now: float) -> float:
        """When the amount will be there."""
        self._refill(now)
        return now if self._left >= amount - _ROUNDING else now + (amount - self._left) / self.rate

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._left = min(self.burst, self._left + (now - self._at) * self.rate)
            self._at = now
