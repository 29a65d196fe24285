"""The application's lease: its word that it is well, good for some seconds.

Law: a lease lapses once, when it was not renewed in time, and runs again from the next renewal. Time that the
process stood still counts: its application said nothing either.
"""

from __future__ import annotations

from collections.abc import Callable

import trio


class Lease:
    """The lease of one coordinator, in the gossip loop. Without `seconds` it never lapses."""

    def __init__(self, seconds: float | None, lapse: Callable[[], None]) -> None:
        self._seconds = seconds
        self._lapse = lapse
        self._until = float("inf")
        self._renewed = trio.Event()

    def renew(self) -> None:
        """Let it run anew from now on; when it has lapsed, and nobody has noticed yet, it lapses first."""
        if self._seconds is not None:
            self._end_if_over()
            self._until = trio.current_time() + self._seconds
            self._renewed.set()

    async def keep(self) -> None:
        """Call `lapse` whenever it lapses."""
        while True:
            with trio.move_on_at(self._until):
                await self._renewed.wait()
                self._renewed = trio.Event()
            self._end_if_over()

    def _end_if_over(self) -> None:
        if trio.current_time() >= self._until:
            self._until = float("inf")
            self._lapse()
