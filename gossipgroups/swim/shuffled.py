"""Shuffled round-robin, SWIM's probe order (section 4.3): what even probing is measured against.

Law: everybody is probed once before anybody is again; the order is drawn anew for each pass. One probe starts
per period, from a moment of this node's own.
"""

from __future__ import annotations

from gossipgroups.ids import NodeId, Random
from gossipgroups.swim.live import LiveSet


class ShuffledOrder:
    """The pass that this node is in, and the next probe that it is due to start."""

    __slots__ = ("_due", "_me", "_pass", "_period", "_random")

    def __init__(self, me: NodeId, period: float, random: Random) -> None:
        self._me = me
        self._period = period
        self._random = random
        self._pass: list[NodeId] = []
        self._due: float | None = None

    def clock(self, now: float) -> int:
        """There is no common clock: each node probes at its own moments."""
        return 0

    def hear(self, clock_untrusted: int, now: float) -> None:
        """Nobody's clock matters."""

    def next(self, live: LiveSet, now: float) -> tuple[NodeId, float] | None:
        """The next target and when it is due (seconds); `None` when there is nobody else."""
        if self._due is None:
            self._due = now + self._period * self._random.random()
        while self._pass and self._pass[-1] not in live:
            self._pass.pop()
        if not self._pass:
            self._pass = [node_id for node_id in live.ids if node_id != self._me]
            self._random.shuffle(self._pass)
        return (self._pass[-1], self._due) if self._pass else None

    def done(self, live: LiveSet, stretch: int, now: float) -> None:
        """The next probe was started: the one after it is due `stretch` periods on."""
        self._pass.pop()
        if self._due is not None:
            self._due += stretch * self._period

    def resume(self, live: LiveSet, begun: float) -> None:
        """The probe begun then was answered: the next one need not wait longer than a period."""
        if self._due is not None:
            self._due = min(self._due, begun + self._period)
