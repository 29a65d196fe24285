"""The trio API: `open_coordinator` and what it gives.

Law: every awaited operation returns once its change has converged, and says so; getters read the snapshot and
never wait; callbacks and events come in the caller's own trio run, and none of them can hold up the gossip
loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal

import trio

from gossipgroups.calling import Caller
from gossipgroups.config import Config
from gossipgroups.door import JOINS, LEAVES, Door, Keys, Name, check_settings
from gossipgroups.errors import InvalidValue
from gossipgroups.events import Event, EventsLost
from gossipgroups.ids import check_name
from gossipgroups.keys import Key
from gossipgroups.snapshot import MemberInfo
from gossipgroups.streams import EventStream
from gossipgroups.transport import thread
from gossipgroups.transport.crossing import Crossing
from gossipgroups.transport.driver import Driver
from gossipgroups.transport.link import Link, Ticket, outcome
from gossipgroups.transport.network import KERNEL, current_network
from gossipgroups.watches import Callback, Kind, WatchTable

STREAM_BUFFER = 1_024
"""Events that wait for one reader of `events`, unless it asks for another number."""


class Coordinator(Door):
    """One coordinator, in the trio run that opened it. Made by `open_coordinator`."""

    def __init__(self, link: Link, nursery: trio.Nursery) -> None:
        super().__init__(link, WatchTable())
        self._streams: set[EventStream] = set()
        self._caller = Caller(nursery)

    async def create_group(self, group_id: Name, *, wait: bool = True) -> bool:
        """Create a group. Raises `GroupAlreadyExists`.

        Returns once the change has converged (true), or was told unconverged at its deadline (false); with
        `wait=False` once it is applied here (true). Cancelling does not undo it. The same holds for the next
        four.
        """
        return await _awaited(self._create(group_id), wait)

    async def delete_group(self, group_id: Name, *, wait: bool = True) -> bool:
        """Delete an empty group. Raises `GroupNotCreated`, `GroupNotEmpty`."""
        return await _awaited(self._delete(group_id), wait)

    async def join_group(
        self, group_id: Name, capabilities: object = None, *, create: bool = False, wait: bool = True
    ) -> bool:
        """Join a group as this coordinator's member; `create` makes the group if it is missing.

        Capabilities are anything that msgpack encodes in 512 bytes. Raises `GroupNotCreated`,
        `MemberAlreadyJoined`, `LimitExceeded`.
        """
        return await _awaited(self._join(group_id, capabilities, create), wait)

    async def leave_group(self, group_id: Name, member_id: Name | None = None, *, wait: bool = True) -> bool:
        """Leave a group, or take out another member by its id.

        Raises `GroupNotCreated`, `MemberNotJoined`.
        """
        return await _awaited(self._leave(group_id, member_id), wait)

    async def update_capabilities(self, group_id: Name, capabilities: object, *, wait: bool = True) -> bool:
        """Change this member's capabilities. Raises `GroupNotCreated`, `MemberNotJoined`, `LimitExceeded`."""
        return await _awaited(self._update(group_id, capabilities), wait)

    def renew_lease(self) -> None:
        """Say that the application is well: without it for `lease` seconds, its member leaves all groups.

        A start and a join renew the lease too. Does nothing for a coordinator without one. Raises
        `CoordinatorClosed`.
        """
        self._link.renew()

    async def settle(self, group_id: Name | None = None) -> bool:
        """Wait until all changes that are held here now, or those of one group's members, were told.

        Returns whether they had converged; false means that a deadline passed first. Of what getters show
        now, streams hold the events then, and callbacks are called next.
        """
        return await _awaited(self._settle(group_id), wait=True)

    async def add_key(self, key: Key) -> None:
        """Open datagrams sealed with one more key from now on. The first step of a rotation.

        Raises `InvalidValue` without keys, `LimitExceeded` over `MAX_KEYS`. `nodes` shows who holds which.
        """
        await outcome(self._add_key(key))

    async def use_key(self, key_id: str, *, force: bool = False) -> None:
        """Seal with a key of the ring from now on.

        Raises `UnknownKey`, and `KeyNotHeld` when a live node does not hold it, unless `force` is set.
        """
        await outcome(self._use_key(key_id, force))

    async def remove_key(self, key_id: str, *, force: bool = False) -> None:
        """Refuse datagrams sealed with a key from now on. The last step of a rotation.

        Raises `UnknownKey`, and `KeyInUse` when this node seals with it, or a live one does and `force` is
        not set.
        """
        await outcome(self._remove_key(key_id, force))

    def get_groups(self) -> frozenset[str]:
        """The groups that exist, as held here now."""
        return self._link.snapshot.groups()

    def get_members(self, group_id: Name) -> frozenset[str]:
        """The members of a group, as held here now. Raises `GroupNotCreated`."""
        return frozenset(self._link.snapshot.view(check_name("group id", group_id)))

    def get_member_capabilities(self, group_id: Name, member_id: Name) -> Any:
        """A member's capabilities. Raises `GroupNotCreated`, `MemberNotJoined`."""
        return self._link.snapshot.capabilities(*_member(group_id, member_id))

    def get_members_with_capabilities(self, group_id: Name) -> dict[str, Any]:
        """The members of a group with their capabilities, as held here now. Raises `GroupNotCreated`."""
        return self._link.snapshot.members(check_name("group id", group_id))

    def get_member_info(self, group_id: Name, member_id: Name) -> MemberInfo:
        """A member with its node and capabilities. Raises `GroupNotCreated`, `MemberNotJoined`."""
        return self._link.snapshot.member(*_member(group_id, member_id))

    def watch_join_group(self, group_id: Name, callback: Callback) -> None:
        """Call a plain or async function with each `MemberJoinedGroup` of a group from now on."""
        self._caller.begin(self._watch(JOINS, group_id, callback))

    def watch_leave_group(self, group_id: Name, callback: Callback) -> None:
        """Call a plain or async function with each `MemberLeftGroup` of a group from now on."""
        self._caller.begin(self._watch(LEAVES, group_id, callback))

    def unwatch_join_group(self, group_id: Name, callback: Callback) -> None:
        """End a watch. Raises `WatchCallbackNotFound`."""
        self._cease(JOINS, group_id, callback)

    def unwatch_leave_group(self, group_id: Name, callback: Callback) -> None:
        """End a watch. Raises `WatchCallbackNotFound`."""
        self._cease(LEAVES, group_id, callback)

    @asynccontextmanager
    async def events(
        self, group: Name | None = None, *, buffer: int = STREAM_BUFFER
    ) -> AsyncIterator[EventStream]:
        """Every event from now on, or those of one group.

        `buffer` events may wait for the reader; what comes when it is full is counted in an `EventsLost`.
        """
        self._link.check_running()
        if isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 1:
            raise InvalidValue(f"buffer is {buffer!r}: it must be a whole number of events, at least 1")
        name = None if group is None else check_name("group id", group)
        stream = EventStream(name, buffer, self._link.snapshot.sequence)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            stream.close()

    def publish(self, events: list[Event], sequence: int) -> None:
        """Hand events to streams and callbacks; called in this coordinator's own trio run."""
        for number, event in enumerate(events, sequence):
            for stream in self._streams:
                stream.offer(event, number)
            for watch in self._watches.matching(event, number):
                self._caller.tell(watch, event)
            if isinstance(event, EventsLost):
                self._watches_catch_up()

    def _watches_catch_up(self) -> None:
        for watch, change, number in self._watches.catch_up(lambda: self._link.snapshot):
            if watch.wants(change, number):
                self._caller.tell(watch, change)

    def ending(self) -> None:
        """The block is over: callbacks that are at work may fail for that."""
        self._caller.ending = True

    def end_streams(self) -> None:
        """Let the readers of `events` end: the coordinator has stopped."""
        for stream in self._streams:
            stream.close()

    def _cease(self, kind: Kind, group_id: Name, callback: Callback) -> None:
        self._caller.cease(self._unwatch(kind, group_id, callback))


@asynccontextmanager
async def open_coordinator(  # noqa: PLR0913  (one of them is positional)
    member_id: Name,
    *,
    bind: str = "127.0.0.1:0",
    advertise: str | None = None,
    seeds: Iterable[str] | None = None,
    cluster: Name = "default",
    config: Config = Config.lan(),
    join_timeout: float = 5.0,
    lease: float | None = None,
    keys: Keys | None = None,
    isolation: Literal["thread", "task"] = "thread",
) -> AsyncIterator[Coordinator]:
    """Run a coordinator for as long as the block lasts, then leave gracefully.

    `bind` and `advertise` are "host:port", IPv4 or IPv6. `seeds`: "host:port" of other coordinators; `None`
    looks in the per-user directory of this machine, `()` starts alone. `join_timeout`: seconds in which
    names must resolve and a seed must answer. `lease`: seconds without `renew_lease` after which the member
    leaves all groups. `keys` seal all datagrams, and all nodes of the cluster need them: a `KeyRing`, the
    path of a key file, whose changes are followed, or "env:NAME" for an environment variable.
    `isolation`: "thread" runs the protocol in the process's gossip thread, "task" in the caller's loop (for
    virtual time); on a simulated network (`gossipgroups.testing`) it is always the caller's loop.

    Raises `SeedsUnreachable` when seeds were named, none of them answers in time and none is this coordinator
    itself; `InvalidValue` and `LimitExceeded` for bad arguments; `OSError` when the address cannot be bound.
    """
    settings = check_settings(
        member_id,
        bind=bind,
        advertise=advertise,
        seeds=seeds,
        cluster=cluster,
        config=config,
        join_timeout=join_timeout,
        lease=lease,
        keys=keys,
    )
    if isolation not in ("thread", "task"):
        raise InvalidValue(f"isolation is {isolation!r}: it must be 'thread' or 'task'")
    network = current_network.get()
    crossing = Crossing()
    direct = isolation == "task" or network is not KERNEL
    link = Link(settings, crossing.publish if direct else crossing.deliver)
    driver = Driver(link, network)
    body: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            coordinator = Coordinator(link, nursery)
            crossing.receiver = coordinator.publish
            if direct:
                nursery.start_soon(_shielded, driver.run)
            else:
                _run_in_thread(driver, link)
            nursery.start_soon(_end_streams, link, coordinator)
            try:
                await outcome(link.ready)
                yield coordinator
            except BaseException as error:
                # Raised again outside the nursery, so that it leaves as it was raised, and not in a group.
                body = error
            # Callbacks end with the block, before what they call would fail; the driver is shielded.
            coordinator.ending()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await outcome(link.stop())
            coordinator.end_streams()
    except BaseExceptionGroup as group:
        if body is None or group.split(trio.Cancelled)[1] is not None:
            raise
    if body is not None:
        raise body


def _run_in_thread(driver: Driver, link: Link) -> None:
    try:
        thread.spawn(driver.run)
    except OSError as error:
        link.closed(error, told=False)


async def _end_streams(link: Link, coordinator: Coordinator) -> None:
    """Nobody waits for events of a coordinator that has ended, though its block has not."""
    await outcome(link.stopped)
    coordinator.end_streams()


async def _shielded(run: Callable[[], Any]) -> None:
    # The node leaves gracefully also when the caller was cancelled: the door stops it, within its time-out.
    with trio.CancelScope(shield=True):
        await run()


async def _awaited(ticket: Ticket, wait: bool) -> bool:
    if wait:
        return await outcome(ticket.done)
    await outcome(ticket.applied)
    return True


def _member(group_id: Name, member_id: Name) -> tuple[str, str]:
    return check_name("group id", group_id), check_name("member id", member_id)
