"""The agenda: what is to be done, and when, in virtual time.

Law: things are done in the order of their times; of two at one time, the one asked for first. Time never goes
back, and stands still while something is done.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

Action = tuple[float, int, Callable[..., None], tuple[Any, ...]]
"""Time, place among those of one time, what to do, and with what."""


class Agenda:
    """A queue of actions, and the time. Seconds, from 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self._actions: list[Action] = []
        self._serial = 0

    def at(self, time: float, action: Callable[..., None], *arguments: Any) -> None:
        """Do something at a time; never, if that is infinity."""
        if time < float("inf"):
            self._serial += 1
            heappush(self._actions, (time, self._serial, action, arguments))

    def after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        """Do something in so many seconds."""
        self.at(self.now + seconds, action, *arguments)

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.advance_to(self.now + seconds)

    def advance_to(self, until: float) -> None:
        """Let virtual time pass until then."""
        actions = self._actions
        while actions and actions[0][0] <= until:
            self.now, _, action, arguments = heappop(actions)
            action(*arguments)
        self.now = max(self.now, until)

    def advance_until(self, condition: Callable[[], bool], within: float, every: float = 0.05) -> bool:
        """Let time pass until a condition holds, asked in these steps; whether it came to hold in time."""
        until = self.now + within
        while not condition():
            if self.now >= until:
                return False
            self.advance_to(min(until, self.now + every))
        return True

    def next_of(self, action: Callable[..., None], count: int) -> list[Action]:
        """The next things of this kind to be done, soonest first."""
        return sorted(each for each in self._actions if each[2] == action)[:count]

    def cancel(self, doomed: list[Action]) -> None:
        """Do not do these."""
        self._actions[:] = [each for each in self._actions if each not in doomed]
        heapify(self._actions)
