"""Streams of events to readers that may be slow.

Law: the publisher never waits, a reader costs bounded memory, and what was dropped is told in its place.
"""

from __future__ import annotations

from collections import deque

import trio

from gossipgroups.events import Event, EventsLost, GroupEvent

EVENTS_WAITING = 65_536
"""Events that may wait for the application's loop, and for one callback: later ones are lost, and counted."""


class Backlog:
    """A bounded queue between a publisher that never waits and one reader that does."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Event] = deque()
        self._count = 0
        self._arrived = trio.Event()
        self._closed = False

    def put(self, event: Event) -> bool:
        """Add an event; false when the reader is too far behind: then `EventsLost` stands in its place."""
        kept = self._count < self._limit and not isinstance(event, EventsLost)
        if kept:
            self._waiting.append(event)
            self._count += 1
        else:
            lost = event.count if isinstance(event, EventsLost) else 1
            last = self._waiting[-1] if self._waiting else None
            if isinstance(last, EventsLost):
                self._waiting[-1] = EventsLost(last.count + lost)
            else:
                self._waiting.append(EventsLost(lost))
        self._arrived.set()
        return kept

    def close(self, *, drop: bool) -> None:
        """Let the reader end, after what waits or without it."""
        if drop:
            self._waiting.clear()
        self._closed = True
        self._arrived.set()

    async def get(self) -> Event | None:
        """The next event; `None` once closed."""
        while not self._waiting and not self._closed:
            if self._arrived.is_set():  # several readers wait for the same one
                self._arrived = trio.Event()
            await self._arrived.wait()
        if not self._waiting:
            return None
        event = self._waiting.popleft()
        self._count -= not isinstance(event, EventsLost)
        return event


class EventStream:
    """The events of a coordinator from now on, one after the other: `async for event in stream`."""

    def __init__(self, group: str | None, buffer: int, since: int) -> None:
        self._group = group
        self._since = since
        self._backlog = Backlog(buffer)

    def offer(self, event: Event, sequence: int) -> None:
        """Take an event that this stream is about, unless it was on its way when the stream began."""
        if sequence < self._since:
            return
        everything = self._group is None or isinstance(event, EventsLost)
        if everything or (isinstance(event, GroupEvent) and event.group_id == self._group):
            self._backlog.put(event)

    def close(self) -> None:
        """End the iteration, after what waits."""
        self._backlog.close(drop=False)

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint()
        event = await self._backlog.get()
        if event is None:
            raise StopAsyncIteration
        return event
