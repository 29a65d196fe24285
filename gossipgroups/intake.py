"""Intake: how much of one address is looked at.

Law: from one address at most `SOURCE_RATE` datagrams a second are opened, with a burst of as many; the rest
costs a look into a table, so that who floods from one address does not take the time of the others. The table
is bounded: beyond it, whoever was noted first is noted anew.
"""

from __future__ import annotations

from gossipgroups.budget import Budget
from gossipgroups.ids import Address

SOURCE_RATE = 2000.0
"""Several times what the largest answers of an honest node make."""
SOURCES = 1024
"""Addresses noted."""


class Intake:
    """The budgets of the addresses that datagrams come from. Times are on the node's clock, in seconds."""

    __slots__ = ("_budgets",)

    def __init__(self) -> None:
        self._budgets: dict[Address, Budget] = {}

    def admits(self, source: Address, now: float) -> bool:
        """Whether one more datagram of this address is looked at."""
        budget = self._budgets.get(source)
        if budget is None:
            if len(self._budgets) >= SOURCES:
                del self._budgets[next(iter(self._budgets))]
            budget = self._budgets[source] = Budget(SOURCE_RATE, SOURCE_RATE)
        return budget.spend(1, now)
