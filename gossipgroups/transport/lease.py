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
        self._until = 0.0
        self._renewed = trio.Event()

    def renew(self) -> None:
        """Let it run anew from now on."""
        if self._seconds is not None:
            self._until = trio.current_time() + self._seconds
            self._renewed.set()

    async def keep(self) -> None:
        """Call `lapse` whenever it lapses."""
        await self._renewal()
        while True:
            with trio.move_on_at(self._until) as scope:
                await self._renewal()
            if scope.cancelled_caught:
                self._lapse()
                await self._renewal()

    async def _renewal(self) -> None:
        await self._renewed.wait()
        self._renewed = trio.Event()
