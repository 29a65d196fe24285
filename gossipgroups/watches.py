"""Watches: callbacks for the joins and leaves of a group.

Law: a watch starts from the members that `get_members` shows when it is set, and then gets exactly the
changes: for one member joins and leaves alternate, whatever was on its way when the watch was set. Where
events were lost, it gets the difference.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import Any

from gossipgroups.errors import WatchCallbackNotFound
from gossipgroups.events import Event, MemberJoinedGroup, MemberLeftGroup
from gossipgroups.snapshot import Snapshot

Callback = Callable[[Any], Any]
Kind = type[MemberJoinedGroup] | type[MemberLeftGroup]
KINDS: tuple[Kind, ...] = (MemberJoinedGroup, MemberLeftGroup)
Change = MemberJoinedGroup | MemberLeftGroup


class Watch:
    """One callback on one group, for joins or for leaves."""

    __slots__ = ("_known", "_since", "callback", "ended", "group", "kind")

    def __init__(self, kind: Kind, group: str, callback: Callback, snapshot: Snapshot) -> None:
        self.kind = kind
        self.group = group
        self.callback = callback
        self.ended = False
        self._since = snapshot.sequence
        self._known = set(snapshot.views.get(group, ()))

    def wants(self, event: Change, sequence: int) -> bool:
        """Whether the callback is to be called; must be asked about every event of the group, in order."""
        if sequence < self._since:
            return False
        member = event.member_id
        if isinstance(event, MemberJoinedGroup):
            changes = member not in self._known
            self._known.add(member)
        else:
            changes = member in self._known
            self._known.discard(member)
        return changes and isinstance(event, self.kind)

    def catch_up(self, snapshot: Snapshot) -> list[Change]:
        """Start again from a snapshot, as events were lost; the changes that lead there, leaves first.

        They are no more than that: `wants` must be asked about each, as about every event.
        """
        known, now = self._known, set(snapshot.views.get(self.group, ()))
        self._since = snapshot.sequence
        return [
            *(MemberLeftGroup(self.group, False, member, "unknown") for member in sorted(known - now)),
            *(MemberJoinedGroup(self.group, False, member) for member in sorted(now - known)),
        ]


class WatchTable:
    """The watches of one coordinator. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[tuple[Kind, str], list[Watch]] = {}
        self.due: deque[tuple[Watch, Change, int]] = deque()
        """What `watching` and `catch_up` gave and no watch was asked about yet; for whoever calls back."""

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._watches.values()))

    def begin(self, kind: Kind, group: str, callback: Callback, read: Callable[[], Snapshot]) -> Watch:
        """Watch from the snapshot on that `read` gives."""
        with self._lock:
            # Read in here: an event told meanwhile is in that snapshot, or still to be matched.
            watch = Watch(kind, group, callback, read())
            self._watches.setdefault((kind, group), []).append(watch)
        return watch

    def clear(self) -> None:
        """End all watches."""
        with self._lock:
            for watches in self._watches.values():
                for watch in watches:
                    watch.ended = True
            self._watches.clear()
            self.due.clear()

    def remove(self, kind: Kind, group: str, callback: Callback) -> Watch:
        """End the oldest watch of a callback. Raises `WatchCallbackNotFound`."""
        with self._lock:
            watches = self._watches.get((kind, group), [])
            for watch in watches:
                if watch.callback == callback:
                    watches.remove(watch)
                    watch.ended = True
                    if not watches:
                        del self._watches[kind, group]
                    return watch
        raise WatchCallbackNotFound(group, callback)

    def matching(self, event: Event, sequence: int) -> list[Watch]:
        """The watches whose callbacks an event is for."""
        if not isinstance(event, Change):
            return []
        with self._lock:
            return [watch for watch in self._of(event.group_id) if watch.wants(event, sequence)]

    def watching(self, event: Change) -> list[Watch]:
        """The watches of an event's group: each is still to be asked whether it wants the event."""
        with self._lock:
            return self._of(event.group_id)

    def all(self) -> list[Watch]:
        """Every watch."""
        with self._lock:
            return [watch for watches in self._watches.values() for watch in watches]

    def catch_up(
        self, read: Callable[[], Snapshot], some: list[Watch] | None = None
    ) -> list[tuple[Watch, Change, int]]:
        """Start some watches, or all, again from the snapshot that `read` gives; the changes that lead there.

        Leaves before joins, each with its watch, which is still to be asked whether it wants it.
        """
        with self._lock:
            snapshot = read()  # in here: a watch that begins meanwhile starts from a later one
            watches = chain.from_iterable(self._watches.values()) if some is None else some
            changes = [
                (watch, change, snapshot.sequence) for watch in watches for change in watch.catch_up(snapshot)
            ]
        return sorted(changes, key=lambda each: isinstance(each[1], MemberJoinedGroup))

    def _of(self, group: str) -> list[Watch]:
        return [watch for kind in KINDS for watch in self._watches.get((kind, group), ())]
