"""Lines to standard output that a reader may take slowly, or not at all.

Law: whoever prints never waits; lines come out whole, in order, each as soon as it can. What waits is
bounded: lines that find no room are counted. A reader that reads no more keeps no process from ending.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

import trio

MOST_LINES = 65_536
"""Lines that may wait."""
PATIENCE = 1.0
"""Seconds that the last lines are waited for."""
STDOUT = 1


class Output:
    """The lines that wait for the reader of standard output. Used from one trio run."""

    def __init__(self) -> None:
        self.reader_gone = trio.Event()
        """Set when nobody reads standard output any more."""
        self._lines: deque[str] = deque()
        self._lost = 0
        self._arrived = trio.Event()
        self._idle = trio.Event()

    def put(self, line: str, lost: Callable[[int], str | None]) -> None:
        """Print a line, soon. `lost` words that so many before it were lost."""
        if self.reader_gone.is_set():
            return
        if len(self._lines) >= MOST_LINES:
            self._lost += 1
            return
        if self._lost:
            told, self._lost = lost(self._lost), 0
            if told is not None:
                self._lines.append(told)
        self._lines.append(line)
        self._arrived.set()
        if self._idle.is_set():
            self._idle = trio.Event()

    async def run(self) -> None:
        """Write what is put, until nobody reads any more."""
        while not self.reader_gone.is_set():
            self._arrived = trio.Event()
            if not self._lines:
                self._idle.set()
                await self._arrived.wait()
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
            try:
                # A thread that may be left behind, and no lock of sys.stdout that it could hold when we end.
                await trio.to_thread.run_sync(_write, data, abandon_on_cancel=True)
            except OSError:
                self.reader_gone.set()
        self._idle.set()

    async def finish(self) -> None:
        """Wait for what was put to be written, a moment only."""
        with trio.move_on_after(PATIENCE, shield=True):
            await self._idle.wait()


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(STDOUT, data) :]
