"""The part of the driver that is about leaders: `NotImplemented`, unless `?leader=advisory` asks for it.

Law: who asks for nothing gets no leader: tooz's own methods would take a watch and never call it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tooz
from tooz import coordination
from tooz.coordination import CoordAsyncResult, EventCallback

from gossipgroups.blocking import BlockingCoordinator
from gossipgroups.callbacks import call_each
from gossipgroups.ids import check_name, decode_name, encode_name
from gossipgroups.tooz.election import PREFIX, Election, leader
from gossipgroups.tooz.results import Result, group_name, settle_by, translated


class _Leader(Result[Any]):
    """Who leads; a group for which nobody ever stood has no leader."""

    def get(self, timeout: float | None = None) -> Any:
        try:
            return super().get(timeout)
        except coordination.GroupNotCreated:
            return None


class Leaders(coordination.CoordinationDriver):
    """Election of advisory leaders."""

    _election: Election | None

    @property
    def _running(self) -> BlockingCoordinator:
        raise NotImplementedError

    def watch_elected_as_leader(
        self, group_id: bytes, callback: EventCallback[coordination.LeaderElected]
    ) -> None:
        """Stand for a group from the next `run_watchers` on, which calls the function when elected.

        Raises `tooz.ToozError` for a group id of more than 243 bytes.
        """
        self._advisory()
        name = group_name(group_id)
        with translated():
            check_name("group of candidates", encode_name(PREFIX) + name)
        super().watch_elected_as_leader(name, callback)

    def unwatch_elected_as_leader(
        self, group_id: bytes, callback: EventCallback[coordination.LeaderElected]
    ) -> None:
        """End a watch; with the last one of a group, stand for it no more. `WatchCallbackNotFound`."""
        election = self._advisory()
        name = group_name(group_id)
        super().unwatch_elected_as_leader(name, callback)
        if name not in self._hooks_elected_leader and self._started:
            with translated():
                election.withdraw(decode_name(name))

    def run_elect_coordinator(self) -> None:
        """Stand for the groups watched, and call the callbacks of those that this member now leads."""
        self._advisory()
        self._running  # noqa: B018  (raises unless started)
        call_each(self._elected(settle_by()))

    def get_leader(self, group_id: bytes) -> CoordAsyncResult[bytes]:
        """Who leads a group, as held here; `None` if nobody stands. Two sides of a partition may differ."""
        self._advisory()
        with translated():
            name = PREFIX + check_name("group id", group_id)
            return _Leader(self._running.get_members_with_capabilities(name), _leader)

    def stand_down_group_leader(self, group_id: bytes) -> bool:
        """Stop to lead a group, until the next election; whether this member led it."""
        election = self._advisory()
        self._running  # noqa: B018  (raises unless started)
        with translated():
            return election.withdraw(check_name("group id", group_id))

    def _advisory(self) -> Election:
        if self._election is None:
            raise tooz.NotImplemented(
                "no leader election: two sides of a partition would each elect one; where that does no harm, "
                "ask for it with ?leader=advisory"
            )
        return self._election

    def _elected(self, until: float) -> Iterable[tuple[EventCallback[Any], coordination.LeaderElected]]:
        """Hold the elections that are watched; the callbacks to call."""
        if self._election is None:
            return ()
        # A copy: another thread may begin or end a watch.
        hooks = self._hooks_elected_leader.copy()
        watched = {decode_name(group): tuple(callbacks) for group, callbacks in hooks.items() if callbacks}
        with translated():
            return self._election.run(watched, until)


def _leader(candidates: dict[str, Any]) -> bytes | None:
    member = leader(candidates)
    return None if member is None else encode_name(member)
