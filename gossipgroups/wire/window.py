"""Which numbers of one sender were seen: a window that slides with the highest.

Law: no number is accepted twice. One that lies `WINDOW` or more below the highest is not accepted at all, so
what is remembered is one number and `WINDOW` bits (as in IPsec, RFC 4303, section 3.4.3). No clock is asked.
"""

from __future__ import annotations

WINDOW = 1024
"""How far a datagram may be overtaken by others of its sender, to whomever they went."""
_MASK = (1 << WINDOW) - 1


class Window:
    """The numbers seen of one sender: none so far."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 1

    @property
    def highest(self) -> int:
        """The highest number seen; 0 for none."""
        return self._highest

    def begin_at(self, number: int) -> None:
        """Count all that is below a number as seen."""
        self._highest, self._seen = number - 1, _MASK

    def has_seen(self, number: int) -> bool:
        """Whether a number was seen, or is too far behind to tell."""
        behind = self._highest - number
        return behind >= 0 and (behind >= WINDOW or bool(self._seen >> behind & 1))

    def accept(self, number: int) -> bool:
        """Whether a number is seen for the first time; it is seen from then on."""
        ahead = number - self._highest
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & _MASK if ahead < WINDOW else 1
            self._highest = number
            return True
        if self.has_seen(number):
            return False
        self._seen |= 1 << -ahead
        return True
