"""Node status: one ordered type, so that precedence at equal incarnation is a comparison.

Law: alive < suspect < dead < left (SWIM, DSN 2002, section 4.2; `left` is ours). Only a higher
incarnation, which only the node itself can raise, goes back.
"""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """What an observer holds of a node. The order is the precedence at equal incarnation."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3

    def __str__(self) -> str:
        """Its name in lower case, as on the command line."""
        return self.name.lower()

    @property
    def live(self) -> bool:
        """Whether a node of this status is counted in the live set: alive, or only suspected."""
        return self < Status.DEAD
