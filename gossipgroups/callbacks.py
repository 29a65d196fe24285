"""Callbacks of the blocking door: called by a thread of their own, or by whoever asks for them.

Law: changes reach the callbacks in the order in which they were told; each counts as told before its callback
runs, and a callback that raises takes nothing from the others. What waits is bounded: whoever comes too late
for it is told the difference instead.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from gossipgroups.errors import CoordinatorClosed
from gossipgroups.events import Event
from gossipgroups.snapshot import Snapshot
from gossipgroups.streams import EVENTS_WAITING
from gossipgroups.watches import Callback, Change, Watch, WatchTable

logger = logging.getLogger("gossipgroups")


class Callbacks:
    """The watches of a coordinator, and the events that wait for them.

    Those of a polled coordinator serve all its runs: one thread at a time calls, also over a restart.
    """

    def __init__(self, limit: int = EVENTS_WAITING) -> None:
        self.watches = WatchTable()
        self._read: Callable[[], Snapshot] = Snapshot
        self._limit = limit
        self._waiting: deque[tuple[Change, int]] = deque()
        self._lost = False
        self._behind: tuple[list[Watch], Snapshot] | None = None
        self._closed = False
        self.stopping = False
        """Whether the coordinator stops, so that what callbacks ask of it fails."""
        self._arrived = threading.Condition()
        self._running = threading.RLock()

    def resume(self, read: Callable[[], Snapshot]) -> None:
        """Go on with a new run, whose snapshot `read` gives; `deliver` is for its events from now on.

        Watches of an earlier run are told the difference to what is held now. What waits of that run is told
        no more: its events are numbered as those of the new run are.
        """
        with self._arrived:
            self.stopping = False
            self._read = read
            self._waiting.clear()
            self._lost = False
            old = self.watches.all()
            self._behind = (old, read()) if old else None

    def deliver(self, events: list[Event], sequence: int) -> None:
        """Take events, the first of them with this number; called in the gossip loop."""
        if not len(self.watches):
            return  # whoever begins to watch now, starts from a snapshot that has all of this
        changes = [
            (event, number) for number, event in enumerate(events, sequence) if isinstance(event, Change)
        ]
        with self._arrived:
            if len(self._waiting) + len(changes) > self._limit:
                if not self._lost:
                    logger.warning("callbacks are %d events behind: told will be the difference", self._limit)
                self._waiting.clear()
                self._lost = True
            else:
                self._waiting.extend(changes)
            self._arrived.notify()

    def close(self) -> None:
        """Call nothing any more."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()
        self.watches.clear()

    def serve(self) -> None:
        """Call callbacks until closed; what they raise is logged."""
        while True:
            with self._arrived:
                while not (self._waiting or self._lost or self._closed):
                    self._arrived.wait()
                if self._closed:
                    return
            for watch, event in self._due():
                try:
                    _call(watch.callback, event)
                except BaseException as error:  # SystemExit too: the thread serves the others as well
                    if (self._closed or self.stopping) and isinstance(error, CoordinatorClosed):
                        logger.debug("callback %r was at work when its coordinator stopped", watch.callback)
                    else:
                        logger.exception("callback %r failed on %r", watch.callback, event)

    def run(self, first: Iterable[tuple[Callback, Any]] = ()) -> list[Any]:
        """Call the callbacks of `first` and then of all that waits, in this thread, as `call_each` does."""
        with self._running:
            return call_each(chain(first, ((watch.callback, event) for watch, event in self._due())))

    def _due(self) -> Iterator[tuple[Watch, Event]]:
        """The callbacks to call now, one by one: each may end or begin watches, call this again, or raise.

        Or start the coordinator again: what is taken next is then of the new run.
        """
        yield from self._wanted()  # left behind by one that was interrupted, or that calls this
        with self._arrived:
            count = (self._behind is not None) + self._lost + len(self._waiting)
        for _ in range(count):
            if not self._take():
                return  # a callback has run the callbacks
            yield from self._wanted()

    def _take(self) -> bool:
        """Let what waits longest be due: a difference, or an event. Whether there was any.

        In one step: the watches asked about an event are those of its run.
        """
        watches = self.watches
        with self._arrived:
            if self._behind is not None:
                (old, snapshot), self._behind = self._behind, None
                watches.due.extend(watches.catch_up(lambda: snapshot, old))
            elif self._lost:
                self._lost = False
                watches.due.extend(watches.catch_up(self._read))
            elif self._waiting:
                event, number = self._waiting.popleft()
                watches.due.extend((watch, event, number) for watch in watches.watching(event))
            else:
                return False
        return True

    def _wanted(self) -> Iterator[tuple[Watch, Event]]:
        # Asked one by one: what a watch was asked about counts as told, the rest is due in a later run.
        due = self.watches.due
        while due:
            watch, event, number = due.popleft()
            if not watch.ended and watch.wants(event, number):
                yield watch, event


def call_each(calls: Iterable[tuple[Callback, Any]]) -> list[Any]:
    """Call each callback with its event, also when others raise; what they returned.

    The first error is raised after all were called; further ones are logged, and so is the first when
    something that is no error (`KeyboardInterrupt`, `SystemExit`) ends the calls.
    """
    results = []
    failure: Exception | None = None
    try:
        for callback, event in calls:
            try:
                results.append(_call(callback, event))
            except Exception as error:
                if failure is not None:
                    logger.exception("callback %r failed on %r", callback, event)
                failure = failure or error
    except BaseException:
        if failure is not None:
            logger.exception("a callback failed before the calls were broken off", exc_info=failure)
        raise
    if failure is not None:
        raise failure
    return results


def _call(callback: Callback, event: Any) -> Any:
    result = callback(event)
    if inspect.iscoroutine(result):
        result.close()
        logger.error("callback %r is async: the blocking API calls plain functions", callback)
        return None
    return result
