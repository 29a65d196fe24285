"""Watches: callbacks for the joins and leaves of a group.

Law: a watch starts from the members that `get_members` shows when it is set, and then gets exactly the
changes: for one member joins and leaves alternate, whatever was on its way when the watch was set.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from gossipgroups.errors import WatchCallbackNotFound
from gossipgroups.events import Event, MemberJoinedGroup, MemberLeftGroup
from gossipgroups.snapshot import Snapshot

Callback = Callable[[Any], Any]
Kind = type[MemberJoinedGroup] | type[MemberLeftGroup]
KINDS: tuple[Kind, ...] = (MemberJoinedGroup, MemberLeftGroup)


class Watch:
    """One callback on one group, for joins or for leaves."""

    __slots__ = ("_known", "_since", "callback", "group", "kind")

    def __init__(self, kind: Kind, group: str, callback: Callback, snapshot: Snapshot) -> None:
        self.kind = kind
        self.group = group
        self.callback = callback
        self._since = snapshot.sequence
        self._known = set(snapshot.views.get(group, ()))

    def wants(self, event: MemberJoinedGroup | MemberLeftGroup, sequence: int) -> bool:
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

    def catch_up(self, snapshot: Snapshot) -> list[Event]:
        """Start again from a snapshot, as events were lost; the events that lead there."""
        known, now = self._known, set(snapshot.views.get(self.group, ()))
        self._since, self._known = snapshot.sequence, now
        if self.kind is MemberJoinedGroup:
            return [MemberJoinedGroup(self.group, False, member) for member in sorted(now - known)]
        return [MemberLeftGroup(self.group, False, member, "unknown") for member in sorted(known - now)]


class WatchTable:
    """The watches of one coordinator. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[tuple[Kind, str], list[Watch]] = {}

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
            self._watches.clear()

    def remove(self, kind: Kind, group: str, callback: Callback) -> Watch:
        """End the oldest watch of a callback. Raises `WatchCallbackNotFound`."""
        with self._lock:
            watches = self._watches.get((kind, group), [])
            for watch in watches:
                if watch.callback == callback:
                    watches.remove(watch)
                    if not watches:
                        del self._watches[kind, group]
                    return watch
        raise WatchCallbackNotFound(group, callback)

    def matching(self, event: Event, sequence: int) -> list[Watch]:
        """The watches whose callbacks an event is for."""
        if not isinstance(event, MemberJoinedGroup | MemberLeftGroup):
            return []
        with self._lock:
            watches = [watch for kind in KINDS for watch in self._watches.get((kind, event.group_id), ())]
            return [watch for watch in watches if watch.wants(event, sequence)]

    def catch_up(self, snapshot: Snapshot) -> list[tuple[Watch, Event]]:
        """Start all watches again from a snapshot; what is to be told for it, leaves before joins."""
        with self._lock:
            return [
                (watch, event)
                for kind in reversed(KINDS)
                for (each, _), watches in self._watches.items()
                if each is kind
                for watch in watches
                for event in watch.catch_up(snapshot)
            ]
