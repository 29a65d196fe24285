"""The blocking API, for programs without trio: start, stop, and requests with `.get()`.

Law: operations of one coordinator apply in call order even without `.get()`; errors of an operation surface
at `.get()`, errors of an argument at the call. All callbacks of a coordinator run on its one dispatcher
thread, or in `run_callbacks` where that is asked for; none of its threads keeps the interpreter alive.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from gossipgroups.callbacks import Callbacks
from gossipgroups.config import PRESETS
from gossipgroups.door import JOINS, LEAVES, Door, Name, check_settings
from gossipgroups.errors import CoordinatorClosed, InvalidValue
from gossipgroups.events import Event
from gossipgroups.ids import check_name
from gossipgroups.keys import Key
from gossipgroups.snapshot import MemberInfo
from gossipgroups.transport import thread
from gossipgroups.transport.driver import Driver
from gossipgroups.transport.link import Link, Settings
from gossipgroups.transport.network import KERNEL, current_network
from gossipgroups.url import GossipUrl, parse_url
from gossipgroups.watches import Callback, WatchTable

T = TypeVar("T")
START_MARGIN = 10.0
"""Seconds over what a start or a stop may take, after which one that says nothing is given up."""


class Request(Generic[T]):
    """Something that was asked for, and is on its way."""

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    def get(self, timeout: float | None = None) -> T:
        """Wait for the result, at most `timeout` seconds. Raises the operation's error, or `TimeoutError`.

        For an operation on a group the result is whether it had converged; false means that the deadline
        passed. Running out of time does not undo the operation.
        """
        return self._future.result(timeout)

    def done(self) -> bool:
        """Whether `get` would return at once."""
        return self._future.done()


class BlockingCoordinator(Door):
    """A coordinator for threads. It may be started again after a stop, and used from several threads."""

    def __init__(self, settings: Settings, *, polled: bool = False) -> None:
        self._settings = settings
        self._polled = polled
        self._lock = threading.RLock()
        self._started = False
        self._callbacks = Callbacks()
        super().__init__(*self._fresh())

    @property
    def is_started(self) -> bool:
        """Whether `start` was called and `stop` was not."""
        return self._started

    def start(self) -> None:
        """Join the cluster.

        Raises `SeedsUnreachable`, `OSError`, `CoordinatorClosed` if it runs already, or `InvalidValue` when
        its key file cannot be read any more, or on a simulated network.
        """
        if current_network.get() is not KERNEL:
            raise InvalidValue(
                "the blocking API runs in threads and in real time, not on a simulated network: use "
                "open_coordinator there, or start this one outside of its block"
            )
        with self._lock:
            if self._started:
                self._link.check_process()
                raise CoordinatorClosed("the coordinator is started already: stop it first")
            self._link.deliver = _nobody  # should the last run not have ended
            link, self._watches = self._fresh()
            driver = Driver(link, KERNEL)
            self._link = link
            thread.spawn(driver.run)
            try:
                link.ready.result(self._settings.join_timeout + START_MARGIN)
                # In this order: an event that nobody took is in the snapshot that the run begins with.
                link.deliver = self._callbacks.deliver
                self._callbacks.resume(lambda: link.snapshot)
                if not self._polled:
                    serve = self._callbacks.serve
                    thread.start(threading.Thread(target=serve, name="gossipgroups-callbacks", daemon=True))
                self._started = True
            except BaseException:
                link.stop().result(self._settings.config.leave_timeout + START_MARGIN)
                raise

    def stop(self) -> None:
        """Leave all groups and the cluster, and end all watches.

        Returns once others have it, or after `Config.leave_timeout`. The watches of a polled coordinator go
        on after its next start: `run_callbacks` then tells what has changed since it was run last.

        Raises `CoordinatorClosed` if it is not started.
        """
        with self._lock:
            self._check_started()
            self._link.check_process()
            self._callbacks.stopping = True
            self._started = False
            try:
                self._link.stop().result(self._settings.config.leave_timeout + START_MARGIN)
            finally:
                if not self._polled:
                    self._callbacks.close()

    def __enter__(self) -> BlockingCoordinator:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._started and not self._link.elsewhere:
            self.stop()

    def create_group(self, group_id: Name) -> Request[bool]:
        """Create a group. `.get()` raises `GroupAlreadyExists`."""
        self._check_started()
        return Request(self._create(group_id).done)

    def delete_group(self, group_id: Name) -> Request[bool]:
        """Delete an empty group. `.get()` raises `GroupNotCreated`, `GroupNotEmpty`."""
        self._check_started()
        return Request(self._delete(group_id).done)

    def join_group(
        self, group_id: Name, capabilities: object = None, *, create: bool = False
    ) -> Request[bool]:
        """Join a group. `.get()` raises `GroupNotCreated`, `MemberAlreadyJoined`."""
        self._check_started()
        return Request(self._join(group_id, capabilities, create).done)

    def leave_group(self, group_id: Name, member_id: Name | None = None) -> Request[bool]:
        """Leave a group, or take out another member. `.get()` raises `GroupNotCreated`, `MemberNotJoined`."""
        self._check_started()
        return Request(self._leave(group_id, member_id).done)

    def update_capabilities(self, group_id: Name, capabilities: object) -> Request[bool]:
        """Change this member's capabilities. `.get()` raises `GroupNotCreated`, `MemberNotJoined`."""
        self._check_started()
        return Request(self._update(group_id, capabilities).done)

    def add_key(self, key: Key) -> Request[None]:
        """Open datagrams sealed with one more key from now on. The first step of a rotation.

        `.get()` raises `InvalidValue` without keys, `LimitExceeded` over `MAX_KEYS`. `nodes` shows who holds
        which.
        """
        self._check_started()
        return Request(self._add_key(key))

    def use_key(self, key_id: str, *, force: bool = False) -> Request[None]:
        """Seal with a key of the ring from now on.

        `.get()` raises `UnknownKey`, and `KeyNotHeld` when a live node does not hold it, unless `force` is
        set.
        """
        self._check_started()
        return Request(self._use_key(key_id, force))

    def remove_key(self, key_id: str, *, force: bool = False) -> Request[None]:
        """Refuse datagrams sealed with a key from now on. The last step of a rotation.

        `.get()` raises `UnknownKey`, and `KeyInUse` when this node seals with it, or a live one does and
        `force` is not set.
        """
        self._check_started()
        return Request(self._remove_key(key_id, force))

    def renew_lease(self) -> None:
        """Say that the application is well: without it for `lease` seconds, its member leaves all groups.

        A start and a join renew the lease too. Does nothing for a coordinator without one. Raises
        `CoordinatorClosed`.
        """
        self._check_started()
        self._link.renew()

    def settle(self, group_id: Name | None = None) -> Request[bool]:
        """Done when all changes that are held here now, or those of one group's members, were told.

        What getters show then has reached the callbacks, or waits for `run_callbacks`. The result is whether
        all had converged.
        """
        self._check_started()
        return Request(self._settle(group_id).done)

    def run_callbacks(self) -> list[Any]:
        """Call the callbacks of all that was told since the last time, in this thread; what they returned.

        For a coordinator made with `polled=True`. When callbacks raise, the others are called all the same;
        then the first error is raised, and further ones are logged. Raises `CoordinatorClosed`, and
        `InvalidValue` if the dispatcher thread calls the callbacks.
        """
        return self.polled_callbacks().run()

    def polled_callbacks(self) -> Callbacks:
        """The callbacks, to run them apart from the checks, which raise as those of `run_callbacks`."""
        self._check_started()
        if not self._polled:
            raise InvalidValue(
                "a thread calls the callbacks of this coordinator: make it with polled=True to call them"
            )
        self._link.check_process()
        return self._callbacks

    def get_groups(self) -> Request[frozenset[str]]:
        """The groups that exist, after all operations called before."""
        self._check_started()
        return Request(self._link.query(lambda snapshot: snapshot.groups()))

    def get_members(self, group_id: Name) -> Request[frozenset[str]]:
        """The members of a group. `.get()` raises `GroupNotCreated`."""
        self._check_started()
        group = check_name("group id", group_id)
        return Request(self._link.query(lambda snapshot: frozenset(snapshot.view(group))))

    def get_member_capabilities(self, group_id: Name, member_id: Name) -> Request[Any]:
        """A member's capabilities. `.get()` raises `GroupNotCreated`, `MemberNotJoined`."""
        self._check_started()
        group, member = check_name("group id", group_id), check_name("member id", member_id)
        return Request(self._link.query(lambda snapshot: snapshot.capabilities(group, member)))

    def get_members_with_capabilities(self, group_id: Name) -> Request[dict[str, Any]]:
        """The members of a group with their capabilities. `.get()` raises `GroupNotCreated`."""
        self._check_started()
        group = check_name("group id", group_id)
        return Request(self._link.query(lambda snapshot: snapshot.members(group)))

    def get_member_info(self, group_id: Name, member_id: Name) -> Request[MemberInfo]:
        """A member with its node. `.get()` raises `GroupNotCreated`, `MemberNotJoined`."""
        self._check_started()
        group, member = check_name("group id", group_id), check_name("member id", member_id)
        return Request(self._link.query(lambda snapshot: snapshot.member(group, member)))

    def watch_join_group(self, group_id: Name, callback: Callback) -> None:
        """Call a function with each `MemberJoinedGroup` of a group from now on, on the dispatcher thread."""
        self._check_started()
        self._watch(JOINS, group_id, callback)

    def watch_leave_group(self, group_id: Name, callback: Callback) -> None:
        """Call a function with each `MemberLeftGroup` of a group from now on, on the dispatcher thread."""
        self._check_started()
        self._watch(LEAVES, group_id, callback)

    def unwatch_join_group(self, group_id: Name, callback: Callback) -> None:
        """End a watch. Raises `WatchCallbackNotFound`."""
        self._unwatch(JOINS, group_id, callback)

    def unwatch_leave_group(self, group_id: Name, callback: Callback) -> None:
        """End a watch. Raises `WatchCallbackNotFound`."""
        self._unwatch(LEAVES, group_id, callback)

    def _check_started(self) -> None:
        if not self._started:
            raise CoordinatorClosed("the coordinator is not started: call start() first")

    def _fresh(self) -> tuple[Link, WatchTable]:
        """What one run needs. Polled callbacks go on, as may one that is at work; others wait for no run."""
        if not self._polled:
            self._callbacks = Callbacks()
        return Link(self._settings, _nobody), self._callbacks.watches


def _nobody(events: list[Event], sequence: int) -> None:
    """Takes the events of a run that has no watches yet, or no more."""


def get_coordinator(
    url: str, member_id: Name, *, polled: bool = False, lease: float | None = None
) -> BlockingCoordinator:
    """A coordinator for the cluster of a URL; nothing is opened before `start`.

    `gossip://seed1:7946,seed2:7946/cluster?bind=0.0.0.0:0&advertise=host:port&preset=lan&keys=file`;
    `gossip://` alone finds the coordinators of this user on this machine. `polled`: callbacks run in
    `run_callbacks`, not on a thread of their own. `lease`: the member leaves all groups when `renew_lease` is
    not called for so many seconds. Raises `InvalidValue`, `LimitExceeded`.
    """
    parts = parse_url(url)
    if parts.options:
        raise InvalidValue(
            f"URL {url!r}: {', '.join(sorted(parts.options))} is no option, or has no value: "
            "there are bind, advertise, preset, join_timeout and keys"
        )
    return make_coordinator(parts, member_id, polled=polled, lease=lease)


def make_coordinator(
    url: GossipUrl, member_id: Name, *, polled: bool, lease: float | None
) -> BlockingCoordinator:
    """A coordinator of a URL's parts. Raises `InvalidValue`, `LimitExceeded`."""
    settings = check_settings(
        member_id,
        bind=url.bind,
        advertise=url.advertise,
        seeds=url.seeds,
        cluster=url.cluster,
        config=PRESETS[url.preset](),
        join_timeout=url.join_timeout,
        lease=lease,
        keys=url.keys,
    )
    return BlockingCoordinator(settings, polled=polled)
