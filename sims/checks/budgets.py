"""Budgets, held to their law from outside.

Law: what is spent is counted here, whatever the budget says of itself.
"""

from __future__ import annotations

from gossipgroups.budget import Budget
from gossipgroups.node import Node
from sims.checks.broken import Broken

ROUNDING = 1e-3


class Meter(Budget):
    """In a budget's place: over any t seconds at most `burst + rate · t` may be spent, or it raises."""

    __slots__ = ("_level", "_metered_at", "_what")

    def __init__(self, budget: Budget, what: str) -> None:
        super().__init__(budget.rate, budget.burst)
        self._what = what
        self._level = 0.0
        self._metered_at = 0.0

    def spend(self, amount: float, now: float) -> bool:
        """Take the amount if it is there, and count it."""
        if not super().spend(amount, now):
            return False
        self._level = max(0.0, self._level - (now - self._metered_at) * self.rate) + amount
        self._metered_at = now
        if self._level > self.burst + ROUNDING:
            raise Broken(
                "limit", f"{self._what}: {self._level:.1f} spent at once, of a burst of {self.burst:g}"
            )
        return True


def meter(node: Node, name: str) -> None:
    """Put meters in the place of a node's budgets."""
    gossip, reconciler = node._gossip, node._reconciler
    gossip._news = Meter(gossip._news, f"{name}: the budget of news")
    gossip._chatter = Meter(gossip._chatter, f"{name}: the budget of chatter")
    reconciler._budget = Meter(reconciler._budget, f"{name}: the budget of repairs")
