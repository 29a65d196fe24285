"""The link between a coordinator's door, in the application's thread, and its driver, in the gossip loop's.

Law: only frozen values and futures cross. Calls go down in order through the gossip loop's entry queue;
events come up through `deliver`, in order; a snapshot is read without crossing. Once a link is closed, or in
a forked child, every call fails with `CoordinatorClosed` and nothing waits for ever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import trio

from gossipgroups.config import Config
from gossipgroups.errors import CoordinatorClosed, GossipError
from gossipgroups.events import Event
from gossipgroups.groups.rules import Command
from gossipgroups.ids import NodeId
from gossipgroups.key_source import KeySource
from gossipgroups.keys import KeyRing
from gossipgroups.snapshot import Snapshot
from gossipgroups.stats import Stats
from gossipgroups.transport.loop import call_in

T = TypeVar("T")
Entry = Callable[[Callable[[], object]], None]
"""Lets the gossip loop call a function soon; from any thread. Raises `trio.RunFinishedError` at its end."""
Delivery = Callable[[list[Event], int], None]
"""Takes events and the sequence number of the first of them; called in the gossip loop, must not block."""
RingChange = Callable[[KeyRing, Snapshot], KeyRing]
"""A new ring from the node's own and what it holds; may raise a `GossipError`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a coordinator was asked to be; checked, and immutable."""

    name: str
    bind: str
    advertise: str | None
    seeds: tuple[str, ...] | None
    cluster: str
    config: Config
    join_timeout: float
    lease: float | None = None
    keys: KeySource | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """The fate of one operation."""

    applied: Future[None] = field(default_factory=Future)
    """Done when the operation is part of this node's state; fails with the error that refused it."""
    done: Future[bool] = field(default_factory=Future)
    """Done when its changes were reported: whether they had converged."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way down. `fail` ends its future when the driver cannot take it."""

    run: Callable[[], object]
    fail: Callable[[BaseException], None]


class Link:
    """One coordinator's crossing point."""

    def __init__(self, settings: Settings, deliver: Delivery) -> None:
        self.settings = settings
        self.deliver = deliver
        self.snapshot = Snapshot()
        self.stats = Stats()
        self.node_id: NodeId | None = None
        """The id of this coordinator's node, from when its socket is open."""
        self.ready: Future[None] = Future()
        """Done when the coordinator has joined; fails with why it could not."""
        self.stopped: Future[bool] = Future()
        """Done when it has stopped: whether others are known to have it."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._enter: Entry | None = None
        self._early: list[Call] = []
        self._closed = False
        self.on_command: Callable[[Command, Ticket], None] | None = None
        self.on_query: Callable[[Call], None] | None = None
        self.on_defect: Callable[[Exception], None] | None = None
        self.on_stop: Callable[[], None] | None = None
        self.on_renew: Callable[[], None] | None = None
        self.on_keys: Callable[[RingChange], None] | None = None

    # From the application's thread.

    def submit(self, command: Command) -> Ticket:
        """Send an operation down."""
        ticket = Ticket()
        self._post(
            lambda: self.on_command and self.on_command(command, ticket),
            lambda error: fail_all([ticket], error),
        )
        return ticket

    def query(self, read: Callable[[Snapshot], T]) -> Future[T]:
        """Read the snapshot after all operations submitted before."""
        future: Future[T] = Future()

        def answer() -> None:
            try:
                settle(future, read(self.snapshot))
            except GossipError as error:
                settle(future, error=error)

        query = Call(answer, lambda error: settle(future, error=error))
        self._post(lambda: self.on_query and self.on_query(query), query.fail)
        return future

    def change_keys(self, change: RingChange) -> Future[None]:
        """Let the node use the ring that `change` makes of its own and of what is held of the nodes."""
        future: Future[None] = Future()

        def carry_out() -> None:
            try:
                if self.on_keys is not None:
                    self.on_keys(change)
                settle(future, None)
            except GossipError as error:
                settle(future, error=error)

        self._post(carry_out, lambda error: settle(future, error=error))
        return future

    def renew(self) -> None:
        """Renew the application's lease. Raises `CoordinatorClosed`."""
        self.check_running()
        self._post(lambda: self.on_renew and self.on_renew(), lambda error: None)

    def stop(self) -> Future[bool]:
        """Ask the driver to leave gracefully and end; harmless when it has ended."""
        self.check_process()
        self._post(lambda: self.on_stop and self.on_stop(), lambda error: None)
        return self.stopped

    @property
    def elsewhere(self) -> bool:
        """Whether this is a forked child: the gossip loop is not here."""
        return os.getpid() != self._pid

    def check_process(self) -> None:
        """Raise `CoordinatorClosed` in a forked child."""
        if self.elsewhere:
            raise CoordinatorClosed(
                f"this coordinator was started in process {self._pid} and does not run in its fork "
                f"{os.getpid()}: make a new one after the fork, and start that"
            )

    def check_running(self) -> None:
        """Raise `CoordinatorClosed` unless the coordinator runs here."""
        self.check_process()
        if self._closed:
            raise CoordinatorClosed("the coordinator has stopped: start a new one")

    def _post(self, run: Callable[[], object], fail: Callable[[BaseException], None]) -> None:
        self.check_process()
        call = Call(run, fail)
        with self._lock:
            if self._enter is None and not self._closed:
                self._early.append(call)
                return
        if self._closed or self._enter is None:
            fail(CoordinatorClosed("the coordinator has stopped: start a new one"))
            return
        try:
            self._enter(partial(self._take, call))
        except trio.RunFinishedError:
            fail(CoordinatorClosed("the gossip loop has ended: start a new coordinator"))

    # In the gossip loop.

    def opened(self, enter: Entry) -> None:
        """The driver takes calls from now on, each as a function to call there."""
        with self._lock:
            self._enter = enter
            early, self._early = self._early, []
        for call in early:
            self._take(call)

    def closed(self, error: BaseException | None, told: bool) -> None:
        """The driver has ended; whatever still waits, fails."""
        with self._lock:
            self._closed = True
            early, self._early = self._early, []
        for call in early:
            call.fail(error or CoordinatorClosed("the coordinator has stopped: start a new one"))
        settle(
            self.ready, error=error or CoordinatorClosed("the coordinator was stopped before it had joined")
        )
        settle(self.stopped, told)

    def _take(self, call: Call) -> None:
        if self._closed:
            call.fail(CoordinatorClosed("the coordinator has stopped: start a new one"))
            return
        try:
            call.run()
        except Exception as error:
            # Raised here, it would end the gossip loop with all its coordinators.
            call.fail(CoordinatorClosed(f"the coordinator has ended on an error of its own: {error!r}"))
            if self.on_defect is not None:
                self.on_defect(error)


def settle(future: Future[T], value: T | None = None, error: BaseException | None = None) -> None:
    """End a future that may have been ended, or cancelled by whoever waited."""
    if future.done() or not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)  # type: ignore[arg-type]


async def outcome(future: Future[T]) -> T:
    """Wait for a future from a trio task. Cancelling the wait leaves the future alone."""
    token = trio.lowlevel.current_trio_token()
    arrived = trio.Event()

    future.add_done_callback(lambda _: call_in(token, arrived.set))
    await arrived.wait()
    return future.result()


def fail_all(tickets: Iterable[Ticket], error: BaseException) -> None:
    """End operations that cannot be carried through any more."""
    for ticket in tickets:
        settle(ticket.applied, error=error)
        settle(ticket.done, error=error)
