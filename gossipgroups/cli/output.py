"""Lines to standard output that a reader may take slowly, or not at all.

Law: whoever prints never waits; lines come out whole, in order, each as soon as it can. What waits is
bounded: lines that find no room are counted. A reader that reads no more keeps no process from ending.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from select import select

import trio

MOST_LINES = 65_536
"""Lines that may wait."""
PATIENCE = 1.0
"""Seconds that the last lines are waited for."""
STDOUT = 1


class Output:
    """The lines that wait for the reader of standard output. Used from one trio run."""

    def __init__(self) -> None:
        self.over = trio.Event()
        """Set when nothing can be written any more."""
        self.failure: OSError | None = None
        """Why, unless nobody reads it."""
        self.lost: Callable[[int], str | None] = lambda count: None
        """Words that so many lines were lost."""
        self._closed = sys.stdout is None  # its descriptor may be another file's
        self._lines: deque[str] = deque()
        self._lost = 0
        self._arrived = trio.Event()
        self._idle = trio.Event()

    def put(self, line: str) -> None:
        """Print a line, soon."""
        if self._closed or self.over.is_set():
            return
        if len(self._lines) >= MOST_LINES:
            self._lost += 1
            return
        self._lines.append(line)
        self._arrived.set()
        if self._idle.is_set():
            self._idle = trio.Event()

    async def run(self) -> None:
        """Write what is put, for as long as it can be."""
        while not self.over.is_set():
            self._arrived = trio.Event()
            if not self._lines:
                self._idle.set()
                await self._arrived.wait()
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if self._lost:
                told, self._lost = self.lost(self._lost), 0
                lines += [] if told is None else [told]
            data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
            try:
                # A thread that may be left behind, and no lock of sys.stdout that it could hold when we end.
                await trio.to_thread.run_sync(_write, data, abandon_on_cancel=True)
            except OSError as error:
                self.failure = None if isinstance(error, BrokenPipeError) else error
                self.over.set()
        self._idle.set()

    async def finish(self) -> None:
        """Wait for what was put to be written, a moment only."""
        with trio.move_on_after(PATIENCE, shield=True):
            await self._idle.wait()


def _write(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(STDOUT, data) :]
        except BlockingIOError:
            select([], [STDOUT], [])
