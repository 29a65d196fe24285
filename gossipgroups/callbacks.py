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
from typing import Any

from gossipgroups.errors import CoordinatorClosed
from gossipgroups.events import Event
from gossipgroups.snapshot import Snapshot
from gossipgroups.streams import EVENTS_WAITING
from gossipgroups.watches import Callback, Change, Watch, WatchTable

logger = logging.getLogger("gossipgroups")


class Callbacks:
    """The watches of one run of a coordinator, and the events that wait for them.

    `watches` of an earlier run go on, and are told the difference.
    """

    def __init__(self, watches: WatchTable | None = None, limit: int = EVENTS_WAITING) -> None:
        self.watches = WatchTable() if watches is None else watches
        self.snapshot: Callable[[], Snapshot] = Snapshot
        """Reads what the coordinator holds now."""
        self._limit = limit
        self._waiting: deque[tuple[Change, int]] = deque()
        self._lost = False
        self._behind: tuple[list[Watch], Snapshot] | None = None
        self._closed = False
        self._arrived = threading.Condition()
        self._running = threading.RLock()

    def resume(self) -> None:
        """Let the watches of an earlier run go on from what is held now; those begun later are not behind."""
        self._behind = self.watches.all(), self.snapshot()

    def deliver(self, events: list[Event], sequence: int) -> None:
        """Take events, the first of them with this number; called in the gossip loop."""
        changes = [
            (event, number) for number, event in enumerate(events, sequence) if isinstance(event, Change)
        ]
        if not len(self.watches):
            return  # whoever begins to watch now, starts from a snapshot that has all of this
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
                except CoordinatorClosed:
                    logger.debug("callback %r was at work when its coordinator stopped", watch.callback)
                except BaseException:  # SystemExit too: the thread serves the other callbacks as well
                    logger.exception("callback %r failed on %r", watch.callback, event)

    def run(self) -> list[Any]:
        """Call the callbacks of all that waits, in this thread, as `call_each` does."""
        with self._running:
            return call_each((watch.callback, event) for watch, event in self._due())

    def _due(self) -> Iterator[tuple[Watch, Event]]:
        """The callbacks to call now, one by one: each may end or begin watches, call this again, or raise."""
        yield from self._wanted()  # left behind by one that was interrupted, or that calls this
        with self._arrived:
            count = len(self._waiting)
            lost, self._lost = self._lost, False
        if self._behind is not None:
            (old, snapshot), self._behind = self._behind, None
            self.watches.due.extend(self.watches.catch_up(lambda: snapshot, old))
            yield from self._wanted()
        if lost:
            self.watches.due.extend(self.watches.catch_up(self.snapshot))
            yield from self._wanted()
        for _ in range(count):
            with self._arrived:
                if not self._waiting:  # a callback has run the callbacks
                    return
                event, number = self._waiting.popleft()
            self.watches.due.extend((watch, event, number) for watch in self.watches.watching(event))
            yield from self._wanted()

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
