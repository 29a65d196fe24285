"""The driver: tooz's `CoordinationDriver` over a blocking coordinator whose callbacks are polled.

Law: nothing is opened before `start`; operations take effect in call order, also without `.get()`; a watcher
is told each change once, whatever the callbacks raise; what this library cannot promise is `NotImplemented`.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import tooz
from tooz import coordination, locking, partitioner
from tooz.coordination import Characteristics, CoordAsyncResult, EventCallback

from gossipgroups.blocking import BlockingCoordinator
from gossipgroups.events import MemberJoinedGroup, MemberLeftGroup
from gossipgroups.ids import check_name, encode_name
from gossipgroups.snapshot import MemberInfo
from gossipgroups.tooz.election import PREFIX, Election
from gossipgroups.tooz.leaders import Leaders
from gossipgroups.tooz.options import read_options
from gossipgroups.tooz.partitions import ToldPartitioner
from gossipgroups.tooz.results import Result, group_name, operation, seconds_until, settle_by, translated

BEAT_SECONDS = 10.0
"""What `heartbeat` returns when there is no lease to renew."""


@dataclass(frozen=True, slots=True)
class _Told:
    """A watch's callback, called with tooz's event in place of ours."""

    callback: EventCallback[Any]
    event: type[coordination.MemberJoinedGroup | coordination.MemberLeftGroup]

    def __call__(self, event: MemberJoinedGroup | MemberLeftGroup) -> Any:
        return self.callback(self.event(encode_name(event.group_id), encode_name(event.member_id)))


class GossipDriver(Leaders):
    """Coordinators of `gossip://` URLs. Made by `tooz.coordination.get_coordinator`."""

    CHARACTERISTICS = (
        # Coordinators share nothing but the network: two in one thread are as far apart as two on two hosts.
        Characteristics.DISTRIBUTED_ACROSS_THREADS,
        Characteristics.DISTRIBUTED_ACROSS_PROCESSES,
        Characteristics.DISTRIBUTED_ACROSS_HOSTS,
        # Not NON_TIMEOUT_BASED: failures are found by time-outs, as in every asynchronous network.
        # Not CAUSAL: two changes of one member that were not waited for may be seen in either order.
        # Not LINEARIZABLE, SEQUENTIAL, SERIALIZABLE, SAME_VIEW_*: both sides of a partition go on working.
    )

    def __init__(self, member_id: bytes | str, parsed_url: Any, options: dict[str, Any]) -> None:
        with translated():
            name = encode_name(check_name("member id", member_id))
        super().__init__(name, parsed_url, options)
        self._life = threading.RLock()
        self._stopping = False
        self._pid = os.getpid()
        self._options = read_options(parsed_url, options)
        self._make()

    def _make(self) -> None:
        with translated():
            self._coordinator = self._options.coordinator(self._member_id)
        self._election = Election(self._coordinator) if self._options.leader else None

    # Life.

    def start(self, start_heart: bool = False) -> None:
        """Join the cluster. Raises `ToozConnectionError` when no seed answers."""
        with self._life:
            super().start(start_heart)

    def _start(self) -> None:
        with translated():
            self._coordinator.start()
        self._pid = os.getpid()
        if self._election is not None:
            self._election = Election(self._coordinator)

    def stop(self) -> None:
        """Leave all groups and the cluster. Watches go on after the next start."""
        with self._life:
            self._stopping = True
            try:
                super().stop()
            finally:
                self._stopping = False

    def _stop(self) -> None:
        if os.getpid() != self._pid:
            # Started in the process that this one was forked from, where it goes on: here, a new one may.
            self._make()
            for hooks in (self._hooks_join_group, self._hooks_leave_group, self._hooks_elected_leader):
                hooks.clear()
        elif self._coordinator.is_started:  # else an earlier stop was given up
            with translated():
                self._coordinator.stop()

    def heartbeat(self) -> float:
        """Renew the lease (option `timeout`); the seconds in which to call again."""
        if self._stopping:
            # tooz's heart tries again for as long as this raises, and the stop waits for the heart.
            return BEAT_SECONDS
        with translated():
            self._running.renew_lease()
        return self._options.lease or BEAT_SECONDS

    @property
    def _running(self) -> BlockingCoordinator:
        # Not `_started`: tooz starts the heart before it sets that.
        if not self._coordinator.is_started:
            raise tooz.ToozError("the coordinator is not started: call start() first")
        return self._coordinator

    # Groups and members.

    def create_group(self, group_id: bytes) -> CoordAsyncResult[None]:
        """Create a group. `.get()` raises `GroupAlreadyExist`."""
        with translated():
            return operation(self._running.create_group(group_id))

    def delete_group(self, group_id: bytes) -> CoordAsyncResult[None]:
        """Delete an empty group. `.get()` raises `GroupNotCreated`, `GroupNotEmpty`."""
        with translated():
            return operation(self._running.delete_group(group_id))

    def get_groups(self) -> CoordAsyncResult[list[bytes]]:
        """The groups that exist."""
        with translated():
            return Result(
                self._running.get_groups(),
                lambda groups: [encode_name(each) for each in sorted(groups) if not each.startswith(PREFIX)],
            )

    def join_group(
        self, group_id: bytes, capabilities: coordination.Capabilities | None = None
    ) -> CoordAsyncResult[None]:
        """Join a group. `.get()` raises `GroupNotCreated`, `MemberAlreadyExist`."""
        with translated():
            return operation(self._running.join_group(group_id, capabilities))

    def join_group_create(
        self, group_id: bytes, capabilities: coordination.Capabilities | None = None
    ) -> None:
        """Join a group, which is created if it is missing; returns once that has converged."""
        with translated():
            request = self._running.join_group(group_id, capabilities, create=True)
        operation(request).get()

    def leave_group(self, group_id: bytes) -> CoordAsyncResult[None]:
        """Take this member id out of a group, also if another process joined with it.

        `.get()` raises `GroupNotCreated`, `MemberNotJoined`.
        """
        with translated():
            return operation(self._running.leave_group(group_id))

    def get_members(self, group_id: bytes) -> CoordAsyncResult[set[bytes]]:
        """The members of a group. `.get()` raises `GroupNotCreated`."""
        with translated():
            return Result(
                self._running.get_members(group_id), lambda members: {encode_name(each) for each in members}
            )

    def get_member_capabilities(
        self, group_id: bytes, member_id: bytes
    ) -> CoordAsyncResult[coordination.Capabilities | None]:
        """A member's capabilities. `.get()` raises `GroupNotCreated`, `MemberNotJoined`."""
        with translated():
            return Result(self._running.get_member_capabilities(group_id, member_id), lambda held: held)

    def get_members_with_capabilities(
        self, group_id: bytes
    ) -> CoordAsyncResult[dict[bytes, coordination.Capabilities | None]]:
        """The members of a group with their capabilities, all of one moment. `.get()`: `GroupNotCreated`."""
        with translated():
            return Result(
                self._running.get_members_with_capabilities(group_id),
                lambda members: {encode_name(member): each for member, each in members.items()},
            )

    def get_member_info(self, group_id: bytes, member_id: bytes) -> CoordAsyncResult[dict[str, Any]]:
        """A member's `capabilities`, with the `node_id` (hex), `node_name` and `address` that it lives on."""
        with translated():
            return Result(self._running.get_member_info(group_id, member_id), _info)

    def update_capabilities(
        self, group_id: bytes, capabilities: coordination.Capabilities
    ) -> CoordAsyncResult[None]:
        """Change this member's capabilities. `.get()` raises `GroupNotCreated`, `MemberNotJoined`."""
        with translated():
            return operation(self._running.update_capabilities(group_id, capabilities))

    def join_partitioned_group(
        self,
        group_id: bytes,
        weight: int = 1,
        partitions: int = partitioner.Partitioner.DEFAULT_PARTITION_NUMBER,
    ) -> partitioner.Partitioner:
        """Join a group, and share objects with its members by a ring that `run_watchers` keeps up to date."""
        self.join_group_create(group_id, {"weight": weight})
        return ToldPartitioner(self, group_id, partitions)

    # Watches.

    def watch_join_group(
        self, group_id: bytes, callback: EventCallback[coordination.MemberJoinedGroup]
    ) -> None:
        """Call a function in `run_watchers` for each join from now on. Raises `GroupNotCreated`."""
        self.get_members(group_id).get()
        with translated():
            self._running.watch_join_group(group_id, _Told(callback, coordination.MemberJoinedGroup))
        super().watch_join_group(group_name(group_id), callback)

    def unwatch_join_group(
        self, group_id: bytes, callback: EventCallback[coordination.MemberJoinedGroup]
    ) -> None:
        """End a watch. Raises `WatchCallbackNotFound`."""
        super().unwatch_join_group(group_name(group_id), callback)
        with translated():
            self._coordinator.unwatch_join_group(group_id, _Told(callback, coordination.MemberJoinedGroup))

    def watch_leave_group(
        self, group_id: bytes, callback: EventCallback[coordination.MemberLeftGroup]
    ) -> None:
        """Call a function in `run_watchers` for each leave from now on. Raises `GroupNotCreated`."""
        self.get_members(group_id).get()
        with translated():
            self._running.watch_leave_group(group_id, _Told(callback, coordination.MemberLeftGroup))
        super().watch_leave_group(group_name(group_id), callback)

    def unwatch_leave_group(
        self, group_id: bytes, callback: EventCallback[coordination.MemberLeftGroup]
    ) -> None:
        """End a watch. Raises `WatchCallbackNotFound`."""
        super().unwatch_leave_group(group_name(group_id), callback)
        with translated():
            self._coordinator.unwatch_leave_group(group_id, _Told(callback, coordination.MemberLeftGroup))

    def run_watchers(self, timeout: float | None = None) -> list[Any]:
        """Call the callbacks of all that was told since the last time; what they returned.

        What is about to converge is waited for, `timeout` seconds and `SETTLE_SECONDS` at most. When
        callbacks raise, all others are called first; nothing is told twice.
        """
        if not self._started:
            return []
        until = settle_by(timeout)
        with translated():  # but not what callbacks raise
            callbacks = self._coordinator.polled_callbacks()
            groups = {*self._hooks_join_group, *self._hooks_leave_group}
            requests = [self._coordinator.settle(group) for group in groups]
            for request in requests:
                with suppress(TimeoutError):
                    request.get(seconds_until(until))
            elected = self._elected(until)
        return callbacks.run(elected)

    # What an available, partition-tolerant system cannot offer.

    def get_lock(self, name: bytes) -> locking.Lock:
        """Not there: a lock that both sides of a partition can take protects nothing."""
        raise tooz.NotImplemented(
            "no locks: both sides of a partition could hold one; use a driver with a server for them"
        )


def _info(info: MemberInfo) -> dict[str, Any]:
    return {
        "capabilities": info.capabilities,
        "node_id": info.node_id.hex(),
        "node_name": info.node_name,
        "address": str(info.address),
    }
