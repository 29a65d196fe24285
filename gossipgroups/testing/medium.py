"""The medium between simulated hosts: what becomes of each datagram.

Law: the medium decides and keeps no datagram. `carry` says at which times a datagram arrives: never, once or
twice. A datagram passes three lines, each with its own conditions: the egress of its sender, the line between
the two hosts, and the ingress of its receiver. Cuts and sides are held against both; what is lost is counted
by the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from gossipgroups.errors import InvalidValue
from gossipgroups.ids import Address
from gossipgroups.testing.latency import Chance, Constant, Latency, Uniform

HEADER_BYTES = 28
"""IPv4 and UDP headers, which count against bandwidth and MTU."""
BOOKKEEPING_BYTES = 768
"""What a kernel counts in a receive buffer for each datagram besides its bytes."""
REFUSAL_BYTES = 56
"""An ICMP "port unreachable" with the head of the datagram that it is about."""
NOWHERE: tuple[float, ...] = ()
CALM = Uniform(0.0002, 0.002)
"""The latency of a quiet local network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Conditions of a line. Use `.but(field=value)` for a copy."""

    latency: Latency = CALM
    """Time under way, seconds; what varies lets datagrams overtake."""
    loss: float = 0.0
    """Share of the datagrams that are lost."""
    duplication: float = 0.0
    """Share of the datagrams that arrive twice."""
    reordering: float = 0.0
    """Share of the datagrams that are held back, for up to `held_back`."""
    held_back: float = 0.1
    """Longest time that a reordered datagram is held back, seconds."""
    bandwidth: float = float("inf")
    """Bytes a second, headers included; what is more waits in the queue."""
    queue: int = 65_536
    """Bytes that may wait for bandwidth; what comes then is lost."""
    mtu: int = 65_535
    """Bytes of the largest packet, headers included; larger ones are lost, as with fragments filtered."""

    def __post_init__(self) -> None:
        if not callable(getattr(self.latency, "draw", None)):
            raise InvalidValue(
                f"Line.latency is {self.latency!r}: it must be a distribution, such as Constant(0.05)"
            )
        for name in ("loss", "duplication", "reordering"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise InvalidValue(f"Line.{name} is {share!r}: it must be a share, 0 to 1")
        for name in ("held_back", "bandwidth", "queue", "mtu"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise InvalidValue(f"Line.{name} is {value!r}: it must be a number over 0")

    def but(self, **changes: Any) -> Self:
        """A copy with some conditions changed. Raises `InvalidValue` on an unknown name or a bad value."""
        unknown = set(changes) - {field.name for field in fields(self)}
        if unknown:
            raise InvalidValue(f"Line has no condition {', '.join(sorted(unknown))}")
        return replace(self, **changes)


CLEAR = Line(latency=Constant(0.0))
"""Adds nothing: what the egress and ingress of a host begin from."""


class Medium:
    """All lines of a simulated network. `chance` is its randomness; times are the caller's, in seconds."""

    def __init__(self, chance: Chance, line: Line = Line()) -> None:
        self.line = line
        """Between all hosts that have no line of their own."""
        self.tally: Counter[str] = Counter()
        """What became of datagrams: lost, cut, too large, no room, duplicated, reordered."""
        self.cuts: set[tuple[str, str]] = set()
        """Pairs (from, to) of hosts between which nothing passes."""
        self.sides: dict[str, int] = {}
        """The side of a partition on which a host is; hosts without one are on side 0."""
        self.egress: dict[str, Line] = {}
        """Conditions of all that a host sends."""
        self.ingress: dict[str, Line] = {}
        """Conditions of all that a host is sent."""
        self.between: dict[tuple[str, str], Line] = {}
        """Lines (from, to) with conditions of their own."""
        self._chance = chance
        self._queues: dict[object, tuple[float, float]] = {}

    def cut(self, source: str, target: str, *, both: bool = True) -> None:
        """Let nothing pass from one host to another; nor back, if `both`."""
        self.cuts.add((source, target))
        if both:
            self.cuts.add((target, source))

    def partition(self, *sides: Iterable[str]) -> None:
        """Let nothing pass between these sets of hosts; all others make up a side of their own."""
        self.sides = {host: number for number, hosts in enumerate(sides, 1) for host in hosts}

    def mend(self) -> None:
        """Undo all cuts and partitions; conditions stay."""
        self.cuts.clear()
        self.sides.clear()

    def clear(self) -> None:
        """Undo all cuts, partitions and conditions but those of `line`."""
        self.mend()
        self.egress.clear()
        self.ingress.clear()
        self.between.clear()

    def passes(self, source: str, target: str) -> bool:
        """Whether no cut and no partition lies between."""
        if self.cuts and (source, target) in self.cuts:
            return False
        return not self.sides or self.sides.get(source, 0) == self.sides.get(target, 0)

    def carry(
        self, source: Address, target: Address, size: int, now: float, chance: Chance | None = None
    ) -> tuple[float, ...]:
        """The times at which a datagram of so many bytes, sent now, arrives.

        With a `chance` of its own for each sender, one sender's fortune does not depend on what others send.
        """
        chance = chance or self._chance
        sender, receiver = source.host, target.host
        if not self.passes(sender, receiver):
            self.tally["cut"] += 1
            return NOWHERE
        line = self.between.get((sender, receiver), self.line) if self.between else self.line
        # Most hosts have no conditions of their own: two look-ups spare two passes.
        if sender in self.egress:
            times = self._over(self.egress[sender], (sender, None), size, now, chance)
            times = self._all_over(line, (sender, receiver), size, times, chance)
        else:
            times = self._over(line, (sender, receiver), size, now, chance)
        if receiver in self.ingress:
            times = self._all_over(self.ingress[receiver], (None, receiver), size, times, chance)
        return times

    def _all_over(
        self, line: Line, key: object, size: int, times: tuple[float, ...], chance: Chance
    ) -> tuple[float, ...]:
        return tuple(arrival for time in times for arrival in self._over(line, key, size, time, chance))

    def _over(self, line: Line, key: object, size: int, now: float, chance: Chance) -> tuple[float, ...]:
        tally = self.tally
        if line.loss and chance.random() < line.loss:
            tally["lost"] += 1
            return NOWHERE
        if size + HEADER_BYTES > line.mtu:
            tally["too large"] += 1
            return NOWHERE
        at = now
        if line.bandwidth != float("inf"):
            waits = self._queued(line, key, size + HEADER_BYTES, now)
            if waits is None:
                tally["no room"] += 1
                return NOWHERE
            at += waits
        at += line.latency.draw(chance)
        if line.reordering and chance.random() < line.reordering:
            tally["reordered"] += 1
            at += line.held_back * chance.random()
        if line.duplication and chance.random() < line.duplication:
            tally["duplicated"] += 1
            return at, at + line.held_back * chance.random()
        return (at,)

    def _queued(self, line: Line, key: object, size: int, now: float) -> float | None:
        """How long a packet waits in a line's queue and passes, seconds; `None` when there is no room.

        The queue is kept in bytes, not as a time at which it is free: what comes here was sent in order, but
        need not arrive so, and an early one must not wait for what is still under way behind it.
        """
        queued, since = self._queues.get(key, (0.0, now))
        if now > since:
            queued, since = max(0.0, queued - (now - since) * line.bandwidth), now
        if queued + size > line.queue:
            self._queues[key] = (queued, since)
            return None
        self._queues[key] = (queued + size, since)
        return (queued + size) / line.bandwidth
