"""Whom to probe next, and when: everybody once per period, at even gaps, from nodes that never meet.

Law: in round r the node at place i probes the one at place i + s(r), where s runs through 1 … n-1 in an order
that all nodes compute alike. So with equal live sets and clocks every node is probed by exactly one other in
each round, and all pairs meet within n-1 rounds. The moment within the round depends on the target alone, so
its probes are one period apart, and a crash waits half a period for its first probe on average, one at worst.

With unequal live sets or clocks this degrades to probing at random, as in SWIM. Clocks agree by taking the
highest one heard, so that all keep the pace of the fastest; a clock only decides whom to probe when, never
whether a probe has failed. However it jumps, nobody puts off a probe that is due, or makes more than
`FASTEST` start in a period, and one more at once.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from math import floor, gcd, inf

from gossipgroups.ids import NodeId
from gossipgroups.registers import MAX_COUNTER
from gossipgroups.swim.live import LiveSet

CLOCK_STEPS = 256
"""Steps of the probe clock in one period, as carried in pings."""

HIGHEST_HEARD = (MAX_COUNTER + 1) // 2
"""Clocks from here on are not taken over: they would soon begin anew, and nobody's has counted so far."""

FASTEST = 2
"""Probes that one node starts in a period of its own, when others' clocks run faster."""
CLOSE = 0.5
"""Periods that it may be ahead of that: the last probe of a round and the first of the next may meet."""


def skip(round_: int, nodes: int) -> int:
    """s(r): how many places further on the probed node lies, 1 … nodes-1."""
    cycle, step = divmod(round_, nodes - 1)
    first, stride = _course(cycle, nodes)
    return 1 + (first + stride * step) % (nodes - 1)


@lru_cache(maxsize=16)
def _course(cycle: int, nodes: int) -> tuple[int, int]:
    """Where s(r) begins in a cycle of nodes-1 rounds, and its stride."""
    seed = blake2b(cycle.to_bytes(8, "big") + nodes.to_bytes(4, "big"), digest_size=8).digest()
    stride = int.from_bytes(seed[:4], "big") % (nodes - 1) or 1
    while gcd(stride, nodes - 1) != 1:
        stride += 1
    return int.from_bytes(seed[4:], "big"), stride


def phase(target: NodeId) -> float:
    """The moment within a round at which a node is probed, 0 … 1."""
    return int.from_bytes(target[:4], "big") / 2**32


class ProbeOrder:
    """The probe clock of one node (in periods), and the next probe that it is due to start."""

    __slots__ = ("_ahead", "_begun", "_even_at", "_latest", "_me", "_next", "_period", "_round", "_version")

    def __init__(self, me: NodeId, period: float) -> None:
        self._me = me
        self._period = period
        self._ahead = 0.0
        self._round = 0
        self._begun = -1
        self._version = -1
        self._next: tuple[NodeId, float] | None = None
        self._latest = inf
        """When the next probe was due before a clock was taken over."""
        self._even_at = -inf
        """When the next would be due if all were as close as they may be, and even."""

    def clock(self, now: float) -> int:
        """The probe clock as carried in pings."""
        return int((now / self._period + self._ahead) * CLOCK_STEPS) & MAX_COUNTER

    def hear(self, clock_untrusted: int, now: float) -> None:
        """Take over a clock that is ahead of ours."""
        if clock_untrusted >= HIGHEST_HEARD:
            return
        ahead = clock_untrusted / CLOCK_STEPS - now / self._period
        if ahead > self._ahead + 1 / CLOCK_STEPS:
            self._ahead = ahead
            self._version = -1
            if self._next is not None:
                self._latest = min(self._latest, self._next[1])

    def next(self, live: LiveSet, now: float) -> tuple[NodeId, float] | None:
        """The next target and when it is due (seconds); `None` when there is nobody else."""
        if self._version != live.version:
            self._version = live.version
            self._round = max(self._round, floor(now / self._period + self._ahead))
            self._choose(live)
        return self._next

    def done(self, live: LiveSet, stretch: int, now: float) -> None:
        """The next probe was started: go on to the round after it, `stretch` rounds on."""
        self._even_at = max(self._even_at, now) + self._period / FASTEST
        self._latest = inf
        self._begun = self._round
        self._round += stretch
        self._choose(live)

    def resume(self, live: LiveSet, begun: float) -> None:
        """The probe begun then was answered: the next one need not wait longer than a round."""
        following = max(floor(begun / self._period + self._ahead), self._begun) + 1
        if following < self._round:
            self._round = following
            self._choose(live)

    def _choose(self, live: LiveSet) -> None:
        place = live.place(self._me)
        if place is None or len(live) < 2:
            self._next = None
            return
        target = live.ids[(place + skip(self._round, len(live))) % len(live)]
        due = (self._round + phase(target) - self._ahead) * self._period
        self._next = (target, max(min(due, self._latest), self._even_at - CLOSE * self._period))
