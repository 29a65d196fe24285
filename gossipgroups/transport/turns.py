"""Turns: when one node has its own, in a task of its own.

Law: a node takes a turn when its socket has something, and when it is due. A turn that fails ends that node
and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import trio

from gossipgroups.transport.datagrams import Datagrams


class Turns:
    """The turns of one node.

    `turn` takes one, and returns when the next is due on trio's clock, infinity for never.
    """

    def __init__(self, datagrams: Datagrams, turn: Callable[[], float]) -> None:
        self.due = inf
        self.ended = trio.Event()
        self._datagrams = datagrams
        self._turn = turn
        self._sleep = trio.CancelScope()
        self._defect: Exception | None = None

    async def run(self) -> None:
        """Take turns, the first at once, until `end`. Raises what a turn has raised."""
        self.take()
        await self.wait()
        if self._defect is not None:
            raise self._defect

    async def wait(self) -> None:
        """Take the turns after the first."""
        while not self.ended.is_set():
            # One scope for many turns: moving its deadline costs less than a new one each time.
            with trio.CancelScope() as self._sleep:
                while not self.ended.is_set():
                    self.moved()
                    await self._datagrams.readable()
                    self.take()
            if self._sleep.cancelled_caught:
                self.take()

    def take(self) -> None:
        """Take a turn; should it fail, it is the last."""
        if self.ended.is_set():
            return
        try:
            self.due = self._turn()
        except Exception as error:
            self.end(error)

    def act(self) -> None:
        """Take a turn for a call that came in between. Raises what it raises."""
        self.due = self._turn()
        self.moved()

    def moved(self) -> None:
        """The next turn is due at another time."""
        if self.due != self._sleep.deadline:
            self._sleep.deadline = self.due

    def end(self, defect: Exception | None = None) -> None:
        """Take no more turns; `run` raises the defect, if there is one."""
        self._defect = self._defect or defect
        self.ended.set()
        self._sleep.cancel()
