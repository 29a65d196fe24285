"""The shortest part of a failing schedule that fails alike: the same promise, or the same error of the code.

Law: every step of the result is needed, unless the attempts ran out first. Steps go in halves, quarters, …,
one by one; then places that nothing names any more.
"""

from __future__ import annotations

from dataclasses import replace

from gossipgroups.errors import InvalidValue
from sims.checks import Broken
from sims.schedules.schedule import Schedule, failure

ATTEMPTS = 600


def kind_of(error: Exception | None) -> str | None:
    """What makes two failures alike."""
    if error is None:
        return None
    return error.promise if isinstance(error, Broken) else type(error).__name__


class _Search:
    def __init__(self, schedule: Schedule, attempts: int) -> None:
        self.best = schedule
        self._kind = kind_of(failure(schedule))
        self._left = attempts

    @property
    def may_go_on(self) -> bool:
        return self._kind is not None and self._left > 0

    def fails(self, schedule: Schedule) -> bool:
        """Whether a smaller schedule fails alike, and so is the best now."""
        self._left -= 1
        if not self.may_go_on or kind_of(failure(schedule)) != self._kind:
            return False
        self.best = schedule
        return True


def shrink(schedule: Schedule, attempts: int = ATTEMPTS) -> Schedule:
    """The smallest failing part found with so many runs; the schedule itself when it does not fail."""
    search = _Search(schedule, attempts)
    before = None
    while before != search.best and search.may_go_on:
        before = search.best
        _fewer_steps(search)
        _fewer_places(search)
    return search.best


def _fewer_steps(search: _Search) -> None:
    size = len(search.best.steps)
    while size:
        at = 0
        while at < len(search.best.steps) and search.may_go_on:
            steps = search.best.steps
            if not search.fails(replace(search.best, steps=steps[:at] + steps[at + size :])):
                at += size
        size //= 2


def _fewer_places(search: _Search) -> None:
    nodes = search.best.nodes
    for fewer in dict.fromkeys((2, 3, nodes // 2, nodes - 1)):
        if 1 < fewer < search.best.nodes:
            try:
                smaller = replace(search.best, nodes=fewer, up=min(search.best.up, fewer))
            except InvalidValue:
                continue  # a step names a place that would be gone
            if search.fails(smaller):
                return
