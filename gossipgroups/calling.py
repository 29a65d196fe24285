"""Callbacks of the trio door: called by tasks in the coordinator's nursery.

Law: plain callbacks are called by one task, in the order of the events, so that a join and a leave watch see
a leave and a join that were told together in that order. An async one may take its time, so each has a task
of its own, and so has each plain one that returns what is to be awaited. What a callback raises is logged,
and affects nothing else; what waits for one is bounded.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

import trio

from gossipgroups.errors import CoordinatorClosed
from gossipgroups.events import Event, EventsLost
from gossipgroups.streams import EVENTS_WAITING, Backlog
from gossipgroups.watches import Watch

logger = logging.getLogger("gossipgroups")


class Caller:
    """Calls what watches, until the nursery is cancelled."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.ending = False
        """Whether the coordinator stops, so that what callbacks ask of it fails."""
        self._waiting: dict[Watch, Backlog] = {}
        self._turns: deque[Watch] = deque()
        """For each event that waits for a plain callback, its watch."""
        self._turn_came = trio.Event()
        self._begun: dict[Watch, deque[tuple[Event, Awaitable[Any]]]] = {}
        """What a plain callback has returned that is still to be awaited."""
        nursery.start_soon(self._call_plain)

    def begin(self, watch: Watch) -> None:
        """Call this watch from now on."""
        self._waiting[watch] = Backlog(EVENTS_WAITING)
        if inspect.iscoroutinefunction(watch.callback):
            self._nursery.start_soon(self._call, watch, self._waiting[watch])

    def cease(self, watch: Watch) -> None:
        """Call it no more, not even with what waits."""
        self._waiting.pop(watch).close(drop=True)
        _drop(self._begun.get(watch, deque()))

    def tell(self, watch: Watch, event: Event) -> None:
        """Call it with an event, soon."""
        if not self._waiting[watch].put(event):
            logger.error("callback %r is too far behind: %r was not told to it", watch.callback, event)
        elif not inspect.iscoroutinefunction(watch.callback):
            self._turns.append(watch)
            self._turn_came.set()

    async def _call(self, watch: Watch, backlog: Backlog) -> None:
        """Call a watch's async callback with its events."""
        while (event := await _next(backlog)) is not None:
            with self._logged(watch, event):
                await watch.callback(event)

    async def _call_plain(self) -> None:
        """Call plain callbacks in the order of the events; what they return to be awaited, waits apart."""
        while True:
            await trio.lowlevel.checkpoint()
            while not self._turns:
                self._turn_came = trio.Event()
                await self._turn_came.wait()
            watch = self._turns.popleft()
            backlog = self._waiting.get(watch)  # None: unwatched meanwhile
            event = None if backlog is None else await _next(backlog)
            if event is not None:
                with self._logged(watch, event):
                    result = watch.callback(event)
                    if inspect.isawaitable(result):
                        self._await_later(watch, event, result)

    def _await_later(self, watch: Watch, event: Event, result: Awaitable[Any]) -> None:
        if watch not in self._begun:
            self._begun[watch] = deque()
            self._nursery.start_soon(self._finish, watch)
        begun = self._begun[watch]
        begun.append((event, result))
        if len(begun) > EVENTS_WAITING:
            logger.error("callback %r is too far behind: it was not awaited for %r", watch.callback, event)
            _drop(deque([begun.pop()]))

    async def _finish(self, watch: Watch) -> None:
        """Await what a plain callback has returned, one after the other."""
        begun = self._begun[watch]
        try:
            while begun:
                event, result = begun.popleft()
                with self._logged(watch, event):
                    await result
        finally:
            _drop(begun)
            del self._begun[watch]

    @contextmanager
    def _logged(self, watch: Watch, event: Event) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self.ending and isinstance(error, CoordinatorClosed):
                logger.debug("callback %r was at work when its coordinator stopped", watch.callback)
            else:
                logger.exception("callback %r failed on %r", watch.callback, event)


def _drop(begun: deque[tuple[Event, Awaitable[Any]]]) -> None:
    """Await these no more: a coroutine that is only forgotten would be complained about."""
    while begun:
        _, result = begun.popleft()
        if inspect.iscoroutine(result):
            result.close()


async def _next(backlog: Backlog) -> Event | None:
    while isinstance(event := await backlog.get(), EventsLost):
        pass
    return event
