"""Bits that are heard before their time: of a view that is not ours, and may be in a moment.

Law: what is kept and taken later is as good as a datagram that was longer under way. Without this, who hears
news after those below it in the tree has lost their bits, and must ask for them.
"""

from __future__ import annotations

from gossipgroups.wire.messages import Scope

MOST = 16
"""Views of which bits are kept; the oldest makes room."""

View = tuple[Scope, int, int]
"""A scope, and the digests of its view and of the live set."""


def joined(stamp: int, bits: int, other_stamp: int, other_bits: int) -> tuple[int, int]:
    """What two nodes of one view hold together: the bits of the higher stamp, or both at the same."""
    if stamp == other_stamp:
        return stamp, bits | other_bits
    return (stamp, bits) if stamp > other_stamp else (other_stamp, other_bits)


class EarlyBits:
    """What was heard of views that are not ours, for so many seconds each."""

    __slots__ = ("_kept", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: dict[View, tuple[float, int, int]] = {}
        """Until when, the stamp and its bits, in the order of the first."""

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, view: View, stamp: int, bits: int, now: float) -> None:
        """Keep these for a while, with what is kept of the same view already."""
        if kept := self.take(view, now):
            stamp, bits = joined(stamp, bits, *kept)
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) < MOST and self._kept[oldest][0] > now:
                break
            del self._kept[oldest]
        self._kept[view] = (now + self._seconds, stamp, bits)

    def take(self, view: View, now: float) -> tuple[int, int] | None:
        """The stamp and bits that are kept of a view, which is ours now; `None` without any."""
        kept = self._kept.pop(view, None)
        return None if kept is None or kept[0] <= now else kept[1:]
