"""The trio door: every method, every error, watches, streams, cancellation, joining and leaving, on loopback.

Each test runs with the gossip thread and in the caller's own loop, unless it is about one of the two.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import pytest
import trio

import gossipgroups as gg
from gossipgroups import Config, Coordinator, calling, open_coordinator
from gossipgroups.groups.rules import Command
from gossipgroups.node import Node
from gossipgroups.transport import thread
from tests.waiting import LIMIT, address_of, eventually, free_port

Isolation = Literal["thread", "task"]
LOCAL = Config.local()

has_ipv6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6")


@pytest.fixture(params=["thread", "task"])
def isolation(request: pytest.FixtureRequest) -> Isolation:
    value: Isolation = request.param
    return value


@pytest.fixture(autouse=True)
async def bounded() -> AsyncIterator[None]:
    with trio.fail_after(3 * LIMIT):
        yield


@asynccontextmanager
async def cluster(count: int, isolation: Isolation, **settings: Any) -> AsyncIterator[list[Coordinator]]:
    """Coordinators "host-0", "host-1", … that know each other."""
    settings = {"config": LOCAL, "isolation": isolation} | settings
    async with AsyncExitStack() as stack:
        coordinators: list[Coordinator] = []
        for number in range(count):
            seeds = [str(address_of(each)) for each in coordinators[:1]]
            opening = open_coordinator(f"host-{number}", seeds=seeds, **settings)
            coordinators.append(await stack.enter_async_context(opening))
        await eventually(lambda: all(len(each.nodes()) == count for each in coordinators), "all see all")
        yield coordinators


class Notebook:
    """A callback that notes what it is called with."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)

    async def later(self, event: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.events.append(event)

    @property
    def members(self) -> list[str]:
        return [event.member_id for event in self.events]


async def read(events: gg.EventStream, count: int) -> list[gg.Event]:
    with trio.fail_after(LIMIT):
        return [await anext(events) for _ in range(count)]


# Every method.


async def test_each_operation_has_converged_when_it_returns(isolation: Isolation) -> None:
    async with cluster(3, isolation) as (a, b, c):
        assert a.get_groups() == frozenset()
        assert await a.create_group("workers") is True
        assert [each.get_groups() for each in (a, b, c)] == [frozenset({"workers"})] * 3
        assert b.get_members("workers") == frozenset()
        assert await b.join_group("workers", capabilities={"slots": 4}) is True
        assert [each.get_members("workers") for each in (a, b, c)] == [frozenset({"host-1"})] * 3
        assert c.get_member_capabilities("workers", "host-1") == {"slots": 4}
        assert await c.join_group("workers") is True
        assert a.get_member_capabilities("workers", "host-2") is None
        assert await b.update_capabilities("workers", [1, "two", b"three", None]) is True
        assert a.get_member_capabilities("workers", "host-1") == [1, "two", b"three", None]
        assert await b.leave_group("workers") is True
        assert [each.get_members("workers") for each in (a, b, c)] == [frozenset({"host-2"})] * 3
        assert await a.leave_group("workers", "host-2") is True, "another may leave for a member"
        assert c.get_members("workers") == frozenset()
        assert await b.delete_group("workers") is True
        assert [each.get_groups() for each in (a, b, c)] == [frozenset()] * 3
        assert await c.create_group("workers") is True
        assert a.get_members("workers") == frozenset(), "a group made again starts empty"


async def test_a_missing_group_is_made_by_the_join_that_asks_for_it(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        assert await a.join_group("workers", create=True)
        assert await b.join_group("workers", create=True)
        assert a.get_members("workers") == b.get_members("workers") == {"host-0", "host-1"}


async def test_without_waiting_an_operation_returns_once_applied_here(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        assert await a.create_group("workers", wait=False) is True
        assert a.get_groups() == {"workers"}
        assert await a.join_group("workers", 1, wait=False) is True
        assert a.get_member_capabilities("workers", "host-0") == 1
        assert await a.update_capabilities("workers", 2, wait=False) is True
        assert a.get_member_capabilities("workers", "host-0") == 2
        assert await a.leave_group("workers", wait=False) is True
        assert a.get_members("workers") == frozenset()
        assert await a.delete_group("workers", wait=False) is True
        assert a.get_groups() == frozenset()
        with pytest.raises(gg.GroupNotCreated):
            await a.delete_group("workers", wait=False)
        await a.create_group("other")
        assert b.get_groups() == {"other"}


async def test_a_member_is_shown_with_its_node(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        await a.join_group("workers", {"slots": 4}, create=True)
        node = a.node
        info = b.get_member_info("workers", "host-0")
        assert info == gg.MemberInfo("workers", "host-0", {"slots": 4}, node.node_id, "host-0", address_of(a))
        info.capabilities["slots"] = 0
        assert b.get_member_capabilities("workers", "host-0") == {"slots": 4}, "each caller gets its own copy"


async def test_members_are_shown_with_their_capabilities(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        await a.join_group("workers", {"slots": [4]}, create=True)
        await b.join_group("workers")
        shown = b.get_members_with_capabilities(b"workers")
        assert shown == {"host-0": {"slots": [4]}, "host-1": None}
        shown["host-0"]["slots"].append(5)
        shown.clear()
        assert b.get_members_with_capabilities("workers") == {"host-0": {"slots": [4]}, "host-1": None}
        await a.leave_group("workers")
        assert await b.settle()
        assert b.get_members_with_capabilities("workers") == {"host-1": None}
        await a.create_group("empty")
        assert b.get_members_with_capabilities("empty") == {}


async def test_settling_waits_for_one_group_or_for_all(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b), b.events() as events:
        await a.join_group("workers", create=True, wait=False)
        await eventually(lambda: b.get_groups() and b.get_members("workers"), "b has heard")
        assert await b.settle() is True
        with trio.fail_after(LIMIT):
            assert [await anext(events) for _ in range(2)] == [
                gg.GroupCreated("workers", True),
                gg.MemberJoinedGroup("workers", True, "host-0"),
            ]
        for group in ("workers", b"none", None):
            assert await a.settle(group) is True, "there is nothing to wait for"


async def test_nodes_are_shown_as_frozen_values(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        assert [(node.name, node.status) for node in a.nodes()] == [
            ("host-0", gg.Status.ALIVE),
            ("host-1", gg.Status.ALIVE),
        ]
        assert a.nodes() == b.nodes()
        assert len({node.node_id for node in a.nodes()}) == 2
        assert a.node.incarnation == 0
        with pytest.raises(AttributeError):
            a.nodes()[0].status = gg.Status.DEAD  # type: ignore[misc]


async def test_datagrams_are_counted(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        await a.create_group("workers")
        stats = a.stats()
        assert stats["sent"] > 0
        assert stats["received"] > 0
        assert stats["sent_bytes"] > stats["sent"]
        assert stats["refused"] == {}
        assert stats["over_limit"] == stats["disbelieved"] == {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"not of this protocol", address_of(a))
            stranger.sendto(b"", address_of(a))
        await eventually(lambda: sum(a.stats()["refused"].values()) == 2, "both counted")
        await b.join_group("workers")
        assert a.get_members("workers") == {"host-1"}


# Every error.

Operation = Callable[[Coordinator, Coordinator], Awaitable[object]]

REFUSED: list[tuple[str, Operation, type[gg.GossipError], dict[str, str]]] = [
    ("create again", lambda a, b: b.create_group("full"), gg.GroupAlreadyExists, {"group_id": "full"}),
    ("join nothing", lambda a, b: a.join_group("none"), gg.GroupNotCreated, {"group_id": "none"}),
    ("leave nothing", lambda a, b: a.leave_group("none"), gg.GroupNotCreated, {"group_id": "none"}),
    (
        "update nothing",
        lambda a, b: a.update_capabilities("none", 1),
        gg.GroupNotCreated,
        {"group_id": "none"},
    ),
    ("delete nothing", lambda a, b: a.delete_group("none"), gg.GroupNotCreated, {"group_id": "none"}),
    ("delete full", lambda a, b: b.delete_group("full"), gg.GroupNotEmpty, {"group_id": "full"}),
    ("join twice", lambda a, b: a.join_group("full"), gg.MemberAlreadyJoined, {"member_id": "host-0"}),
    ("leave unjoined", lambda a, b: b.leave_group("full"), gg.MemberNotJoined, {"member_id": "host-1"}),
    ("leave for nobody", lambda a, b: a.leave_group("full", "x"), gg.MemberNotJoined, {"member_id": "x"}),
    (
        "update unjoined",
        lambda a, b: b.update_capabilities("full", 1),
        gg.MemberNotJoined,
        {"group_id": "full"},
    ),
]


@pytest.mark.parametrize("wait", [True, False])
async def test_an_operation_that_cannot_be_says_why(isolation: Isolation, wait: bool) -> None:
    async with cluster(2, isolation) as (a, b):
        await a.join_group("full", create=True)
        before = a.get_groups(), a.get_members("full")
        for name, operation, error, attributes in REFUSED:
            with pytest.raises(error) as caught:
                await operation(a, b)
            assert isinstance(caught.value, gg.GossipError), name
            assert {key: getattr(caught.value, key) for key in attributes} == attributes, name
            for value in attributes.values():
                assert repr(value) in str(caught.value), name
            assert re.search(r": \w+", str(caught.value)), f"{name}: what to do is missing in {caught.value}"
        with pytest.raises(gg.MemberAlreadyJoined):
            await a.join_group("full", wait=wait)
        assert (a.get_groups(), a.get_members("full")) == before


async def test_a_member_id_held_by_a_live_node_is_refused_to_another(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        await a.join_group("workers", 1, create=True)
        seeds = [str(address_of(b))]
        async with open_coordinator("host-0", seeds=seeds, config=LOCAL, isolation=isolation) as twin:
            with pytest.raises(gg.MemberAlreadyJoined, match=r"'host-0'.*another member id"):
                await twin.join_group("workers", 2)
            assert b.get_member_capabilities("workers", "host-0") == 1
            with pytest.raises(gg.MemberNotJoined):
                await twin.update_capabilities("workers", 3)
            assert await twin.leave_group("workers"), "it may leave for its namesake"
            assert await twin.join_group("workers", 2)
            assert a.get_member_capabilities("workers", "host-0") == 2


async def test_getters_say_what_is_missing(isolation: Isolation) -> None:
    async with cluster(1, isolation) as (a,):
        await a.create_group("empty")
        for whole in (a.get_members, a.get_members_with_capabilities):
            with pytest.raises(gg.GroupNotCreated):
                whole("none")
        for getter in (a.get_member_capabilities, a.get_member_info):
            with pytest.raises(gg.GroupNotCreated):
                getter("none", "x")
            with pytest.raises(gg.MemberNotJoined):
                getter("empty", "x")


async def test_what_does_not_watch_cannot_be_unwatched(isolation: Isolation) -> None:
    async with cluster(1, isolation) as (a,):
        notebook = Notebook()
        a.watch_join_group("workers", notebook)
        with pytest.raises(gg.WatchCallbackNotFound, match="'workers'"):
            a.unwatch_leave_group("workers", notebook)
        with pytest.raises(gg.WatchCallbackNotFound, match="'other'"):
            a.unwatch_join_group("other", notebook)
        a.unwatch_join_group("workers", notebook)
        with pytest.raises(gg.WatchCallbackNotFound):
            a.unwatch_join_group("workers", notebook)


LONG = "x" * 256


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda a: a.create_group(""), gg.InvalidValue),
        (lambda a: a.create_group(7), gg.InvalidValue),
        (lambda a: a.create_group("\ud800"), gg.InvalidValue),
        (lambda a: a.create_group(LONG), gg.LimitExceeded),
        (lambda a: a.join_group(LONG), gg.LimitExceeded),
        (lambda a: a.join_group("g", "x" * 513), gg.LimitExceeded),
        (lambda a: a.join_group("g", object()), gg.InvalidValue),
        (lambda a: a.join_group("g", 1 << 70), gg.InvalidValue),
        (lambda a: a.leave_group("g", LONG), gg.LimitExceeded),
        (lambda a: a.update_capabilities("g", {"x": "y" * 512}), gg.LimitExceeded),
        (lambda a: a.delete_group(b"\xff" * 256), gg.LimitExceeded),
        (lambda a: a.get_members(None), gg.InvalidValue),
        (lambda a: a.get_members_with_capabilities(LONG), gg.LimitExceeded),
        (lambda a: a.settle(""), gg.InvalidValue),
        (lambda a: a.get_member_info("g", LONG), gg.LimitExceeded),
        (lambda a: a.watch_join_group("g", "not callable"), gg.InvalidValue),
        (lambda a: a.watch_leave_group(LONG, print), gg.LimitExceeded),
        (lambda a: a.events("").__aenter__(), gg.InvalidValue),
        (lambda a: a.events(buffer=0).__aenter__(), gg.InvalidValue),
        (lambda a: a.events(buffer="many").__aenter__(), gg.InvalidValue),
    ],
)
async def test_arguments_that_cannot_be_right_are_refused(
    call: Callable[[Coordinator], Any], error: type[gg.GossipError]
) -> None:
    async with cluster(1, "task") as (a,):
        with pytest.raises(error):
            await call(a)
        assert await a.create_group("still works")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"member_id": ""}, gg.InvalidValue),
        ({"member_id": LONG}, gg.LimitExceeded),
        ({"cluster": LONG}, gg.LimitExceeded),
        ({"bind": "nonsense"}, gg.InvalidValue),
        ({"bind": "127.0.0.1:99999"}, gg.InvalidValue),
        ({"advertise": "0.0.0.0:1"}, gg.InvalidValue),
        ({"advertise": "[::1"}, gg.InvalidValue),
        ({"seeds": "127.0.0.1:7946"}, gg.InvalidValue),
        ({"seeds": ["127.0.0.1:0"]}, gg.InvalidValue),
        ({"seeds": 5}, gg.InvalidValue),
        ({"config": {"probe_period": 1.0}}, gg.InvalidValue),
        ({"join_timeout": 0}, gg.InvalidValue),
        ({"join_timeout": 1e300}, gg.InvalidValue),
        ({"lease": 0}, gg.InvalidValue),
        ({"lease": -1.0}, gg.InvalidValue),
        ({"lease": float("nan")}, gg.InvalidValue),
        ({"lease": float("inf")}, gg.InvalidValue),
        ({"lease": "x"}, gg.InvalidValue),
        ({"lease": True}, gg.InvalidValue),
        ({"isolation": "process"}, gg.InvalidValue),
        ({"bind": "192.0.2.1:0"}, OSError),
    ],
)
async def test_settings_that_cannot_be_right_are_refused(
    settings: dict[str, Any], error: type[Exception]
) -> None:
    given: dict[str, Any] = {"member_id": "host-0", "seeds": (), "config": LOCAL}
    with pytest.raises(error):
        async with open_coordinator(**given | settings):
            pytest.fail("it opened")
    async with open_coordinator("host-0", seeds=(), config=LOCAL) as coordinator:
        assert await coordinator.create_group("workers")


async def test_an_address_in_use_is_named(isolation: Isolation) -> None:
    async with cluster(1, isolation) as (a,):
        bind = str(address_of(a))
        with pytest.raises(OSError, match=re.escape(bind)):
            async with open_coordinator("host-1", bind=bind, seeds=(), isolation=isolation):
                pytest.fail("it opened")


async def test_after_its_block_a_coordinator_is_closed(isolation: Isolation) -> None:
    async with cluster(1, isolation) as (a,):
        await a.create_group("workers")
    for call in (
        lambda: a.create_group("more"),
        lambda: a.join_group("workers"),
        lambda: a.leave_group("workers", wait=False),
        lambda: a.events().__aenter__(),
    ):
        with pytest.raises(gg.CoordinatorClosed):
            await call()
    with pytest.raises(gg.CoordinatorClosed):
        a.watch_join_group("workers", print)
    with pytest.raises(gg.CoordinatorClosed):
        await a.settle()
    with pytest.raises(gg.CoordinatorClosed):
        a.renew_lease()


async def test_an_application_that_hangs_with_a_lease_leaves_its_groups() -> None:
    async with cluster(1, "task") as (a,):
        told = Notebook()
        a.watch_leave_group("workers", told)
        seeds = [str(address_of(a))]
        hung, over = threading.Event(), threading.Event()

        async def hang() -> None:
            async with open_coordinator("host-1", seeds=seeds, config=LOCAL, lease=0.5) as b:
                await b.join_group("workers", create=True)
                hung.set()
                over.wait(LIMIT)  # its loop does nothing any more

        thread = threading.Thread(target=trio.run, args=(hang,))
        thread.start()
        try:
            await eventually(hung.is_set, "it has joined")
            await eventually(lambda: not a.get_members("workers"), "its lease has lapsed")
            await eventually(lambda: told.events, "the callback")
        finally:
            over.set()
            await trio.to_thread.run_sync(thread.join, LIMIT)
        assert not thread.is_alive()
        (event,) = told.events
        assert (event.member_id, event.reason) == ("host-1", "left")


# Watches.


@pytest.mark.parametrize("style", ["plain", "async"])
async def test_a_watch_reports_exactly_the_changes_from_now_on(isolation: Isolation, style: str) -> None:
    async with cluster(3, isolation) as (a, b, c):
        await a.join_group("workers", create=True)
        notebooks = {}
        for each in (a, b, c):  # a member, one that becomes one, and one that never is
            joins, leaves = notebooks[each] = Notebook(), Notebook()
            each.watch_join_group("workers", joins if style == "plain" else joins.later)
            each.watch_leave_group("workers", leaves if style == "plain" else leaves.later)
        for operation, joined, left in (
            (b.join_group, 1, 0),
            (a.leave_group, 1, 1),
            (a.join_group, 2, 1),
            (b.leave_group, 2, 2),
        ):
            await operation("workers")
            # A watcher that has not settled in between is told the sum of two changes: so one at a time.
            for joins, leaves in notebooks.values():
                await eventually(
                    lambda: (len(joins.events), len(leaves.events)) == (joined, left),  # noqa: B023
                    f"{operation} told",
                )
        for joins, leaves in notebooks.values():
            assert joins.events == [
                gg.MemberJoinedGroup("workers", True, "host-1"),
                gg.MemberJoinedGroup("workers", True, "host-0"),
            ]
            assert leaves.events == [
                gg.MemberLeftGroup("workers", True, "host-0", "left"),
                gg.MemberLeftGroup("workers", True, "host-1", "left"),
            ]


async def test_a_watch_may_be_set_before_the_group_exists(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        notebook = Notebook()
        b.watch_join_group("workers", notebook)
        await a.join_group("workers", create=True)
        await a.join_group("other", create=True)
        await eventually(lambda: notebook.events, "the join")
        assert notebook.members == ["host-0"]


async def test_an_unwatched_callback_is_called_no_more(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        ended, going = Notebook(), Notebook()
        for each in (ended, ended, going):
            b.watch_join_group("workers", each)
        b.unwatch_join_group("workers", ended)
        await a.join_group("workers", create=True)
        await eventually(lambda: ended.events and going.events, "one watch of two is left")
        b.unwatch_join_group("workers", ended)
        left = Notebook()
        b.watch_leave_group("workers", left)
        await a.leave_group("workers")
        await eventually(lambda: left.events, "the leave")
        await a.join_group("workers")
        await eventually(lambda: len(going.events) == 2, "the watch that goes on")
        assert len(ended.events) == 1


async def test_what_is_on_its_way_when_a_watch_is_set_is_told_once(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        await a.create_group("workers")
        for round_ in range(10):
            joins, leaves = Notebook(), Notebook()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(a.join_group if round_ % 2 == 0 else a.leave_group, "workers")
                for _ in range(round_):
                    await trio.lowlevel.checkpoint()
                before = set(b.get_members("workers"))
                b.watch_join_group("workers", joins)
                b.watch_leave_group("workers", leaves)
            await b.join_group("workers")
            await eventually(lambda: "host-1" in joins.members, "later than all of it")  # noqa: B023
            told = (before | set(joins.members)) - set(leaves.members)
            assert told == b.get_members("workers"), f"round {round_}"
            assert len(joins.events) + len(leaves.events) <= 2, f"round {round_}"
            b.unwatch_join_group("workers", joins)
            b.unwatch_leave_group("workers", leaves)
            await b.leave_group("workers")


@pytest.mark.parametrize("style", ["plain", "async"])
async def test_a_callback_that_raises_is_logged_and_harms_nothing(
    isolation: Isolation, style: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(2, isolation) as (a, b):
        fine = Notebook()
        calls = []

        def bad(event: gg.Event) -> None:
            calls.append(event)
            raise LookupError("a defect of the application")

        async def bad_later(event: gg.Event) -> None:
            bad(event)

        b.watch_join_group("workers", bad if style == "plain" else bad_later)
        b.watch_join_group("workers", fine)
        await a.join_group("workers", create=True)
        await b.join_group("workers")
        await eventually(lambda: len(fine.events) == 2 and len(calls) == 2, "both called twice")
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.levelname for record in records] == ["ERROR", "ERROR"]
    assert all("bad" in record.getMessage() and "host-" in record.getMessage() for record in records)
    assert all(record.exc_info and record.exc_info[0] is LookupError for record in records)


async def test_plain_callbacks_are_called_in_the_order_of_the_events_whatever_they_watch(
    isolation: Isolation,
) -> None:
    async with cluster(1, isolation) as (a,):
        await a.join_group("workers", create=True)
        notebook, later = Notebook(), Notebook()
        a.watch_join_group("workers", notebook)
        a.watch_leave_group("workers", notebook)
        a.watch_leave_group("workers", later.later)
        # As a take-over of the member id is told, several times within one turn.
        told: list[gg.Event] = [
            gg.MemberLeftGroup("workers", True, "host-0", "failed"),
            gg.MemberJoinedGroup("workers", True, "host-0"),
        ] * 4
        a.publish(told, 1 << 40)
        await eventually(lambda: len(notebook.events) == 8 and len(later.events) == 4, "all are told")
        assert notebook.events == told
        assert later.events == told[::2]


async def test_a_callback_that_never_returns_starves_only_itself(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        fine = Notebook()
        stuck = []

        async def never(event: gg.Event) -> None:
            stuck.append(event)
            await trio.sleep_forever()

        b.watch_join_group("workers", never)
        b.watch_join_group("workers", fine)
        await a.join_group("workers", create=True)
        await b.join_group("workers")
        await eventually(lambda: len(fine.events) == 2, "the other callback goes on")
        assert len(stuck) == 1
        b.unwatch_join_group("workers", never)
        with trio.fail_after(LIMIT):
            await b.leave_group("workers")


class Later:
    """A callback that is no async function, and has to be awaited all the same."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.at_work = self.most = 0
        self.events: list[Any] = []

    async def __call__(self, event: gg.Event) -> None:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        await self.gate.wait()
        self.events.append(event)
        self.at_work -= 1


async def test_what_plain_callbacks_return_is_awaited_one_after_the_other_and_bounded(
    isolation: Isolation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calling, "EVENTS_WAITING", 4)
    async with cluster(1, isolation) as (a,):
        later, fine = Later(), Notebook()
        a.watch_join_group("workers", later)
        a.watch_join_group("workers", fine)
        await a.create_group("workers")
        for number in range(8):
            await a.join_group("workers")
            await eventually(lambda: len(fine.events) == number + 1, "the other goes on")  # noqa: B023
            await a.leave_group("workers")
        assert "too far behind: it was not awaited" in caplog.text
        later.gate.set()
        await eventually(lambda: len(later.events) == 5, "what waited is told")
        assert later.most == 1
        assert later.events == fine.events[:5]
        await a.join_group("workers")
        await eventually(lambda: len(later.events) == 6, "it goes on")


async def test_callbacks_end_with_the_block_without_a_word(
    isolation: Isolation, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(1, isolation) as (a,):
        called = trio.Event()

        async def on_join(event: gg.MemberJoinedGroup) -> None:
            called.set()
            while True:
                await a.update_capabilities("workers", 1)

        a.watch_join_group("workers", on_join)
        await a.join_group("workers", create=True)
        await called.wait()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_any_method_may_be_called_inside_a_callback(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        seen: list[Any] = []
        more, left = Notebook(), Notebook()

        async def on_join(event: gg.MemberJoinedGroup) -> None:
            seen.append(b.get_members(event.group_id))
            b.watch_join_group("echo", more)
            b.watch_leave_group("workers", left)
            await b.join_group("echo", create=True)
            await b.update_capabilities("echo", event.member_id)
            seen.append(b.get_member_capabilities("echo", "host-1"))
            await b.leave_group(event.group_id, event.member_id)
            async with b.events() as events:
                await b.leave_group("echo")
                seen.append(await anext(events))
            await b.delete_group("echo")
            seen.append("done")

        b.watch_join_group("workers", on_join)
        await a.join_group("workers", create=True)
        await eventually(lambda: seen[-1:] == ["done"], lambda: seen)
        assert seen == [{"host-0"}, "host-0", gg.MemberLeftGroup("echo", True, "host-1", "left"), "done"]
        assert more.members == ["host-1"]
        assert left.members == ["host-0"]


async def test_a_callback_may_end_its_own_watch_and_goes_on(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        seen: list[object] = []

        async def once(event: gg.MemberJoinedGroup) -> None:
            b.unwatch_join_group("workers", once)
            await b.join_group("workers")
            seen.append(event.member_id)

        b.watch_join_group("workers", once)
        await a.join_group("workers", create=True)
        await eventually(lambda: seen, "the callback runs to its end")
        await a.leave_group("workers")
        await a.join_group("workers")
        assert seen == ["host-0"]


async def test_a_snapshot_includes_what_a_callback_or_event_tells(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        held: list[bool] = []
        b.watch_join_group("workers", lambda event: held.append(event.member_id in b.get_members("workers")))
        b.watch_leave_group(
            "workers", lambda event: held.append(event.member_id not in b.get_members("workers"))
        )
        async with b.events() as events:
            await a.create_group("workers")
            (created,) = await read(events, 1)
            assert created == gg.GroupCreated("workers", True)
            assert b.get_groups() == {"workers"}
            await a.join_group("workers")
            await eventually(lambda: len(held) == 1, "the join")
            await a.leave_group("workers")
            await eventually(lambda: len(held) == 2, "the leave")
        assert held == [True, True]


# Streams.


async def test_a_stream_tells_everything_in_order(isolation: Isolation) -> None:
    async with cluster(1, isolation) as (a,), a.events() as events:
        seeds = [str(address_of(a))]
        async with open_coordinator("host-1", seeds=seeds, config=LOCAL, isolation=isolation) as b:
            identity = (b.node.node_id, "host-1", address_of(b))
            assert await read(events, 1) == [gg.NodeJoined(*identity)]
            await b.create_group("workers")
            assert await read(events, 1) == [gg.GroupCreated("workers", True)]
            await b.join_group("workers")
            assert await read(events, 1) == [gg.MemberJoinedGroup("workers", True, "host-1")]
            await b.update_capabilities("workers", 1)
            assert await read(events, 1) == [gg.MemberCapabilitiesUpdated("workers", True, "host-1")]
            await b.leave_group("workers")
            assert await read(events, 1) == [gg.MemberLeftGroup("workers", True, "host-1", "left")]
            await b.delete_group("workers")
            assert await read(events, 1) == [gg.GroupDeleted("workers", True)]
            await b.join_group("workers", create=True)
            assert await read(events, 2) == [
                gg.GroupCreated("workers", True),
                gg.MemberJoinedGroup("workers", True, "host-1"),
            ]
        assert await read(events, 2) == [
            gg.NodeLeft(*identity),
            gg.MemberLeftGroup("workers", True, "host-1", "left"),
        ]


async def test_a_stream_may_be_about_one_group(isolation: Isolation) -> None:
    async with cluster(1, isolation) as (a,), a.events(group=b"two") as events:
        for group in ("one", "two", "three"):
            await a.join_group(group, create=True)
        assert await read(events, 2) == [
            gg.GroupCreated("two", True),
            gg.MemberJoinedGroup("two", True, "host-0"),
        ]
        with trio.move_on_after(0) as scope:
            await anext(events)
        assert scope.cancelled_caught, "there is no more"


async def test_a_slow_reader_is_told_how_much_it_lost(isolation: Isolation) -> None:
    async with cluster(1, isolation) as (a,), a.events(buffer=3) as slow, a.events() as quick:
        for number in range(5):
            await a.create_group(f"group-{number}")
        names = [event.group_id for event in await read(quick, 5) if isinstance(event, gg.GroupCreated)]
        assert names == [f"group-{number}" for number in range(5)]
        told = await read(slow, 4)
        assert [event.group_id for event in told[:3] if isinstance(event, gg.GroupCreated)] == names[:3]
        assert told[3] == gg.EventsLost(2)
        await a.create_group("after")
        assert await read(slow, 1) == [gg.GroupCreated("after", True)]


async def test_a_loss_is_told_at_its_place(isolation: Isolation) -> None:
    async with cluster(1, isolation) as (a,), a.events(buffer=2) as slow, a.events() as quick:
        for name in ("one", "two", "lost"):
            await a.create_group(name)
        await read(quick, 3)
        assert await read(slow, 1) == [gg.GroupCreated("one", True)]
        await a.create_group("four")
        await read(quick, 1)
        assert await read(slow, 3) == [
            gg.GroupCreated("two", True),
            gg.EventsLost(1),
            gg.GroupCreated("four", True),
        ]


async def test_a_stream_ends_with_its_coordinator(isolation: Isolation) -> None:
    told = []

    async def reader(coordinator: Coordinator, task_status: trio.TaskStatus[None]) -> None:
        async with coordinator.events() as events:
            task_status.started()
            told.extend([event async for event in events])

    async with trio.open_nursery() as nursery, cluster(1, isolation) as (a,):
        await nursery.start(reader, a)
        await a.create_group("workers")
    assert told == [gg.GroupCreated("workers", True)]


# Cancellation and exceptions.


async def test_cancelling_an_operation_does_not_undo_it(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        with trio.CancelScope() as scope:
            scope.cancel()
            await a.create_group("workers")
        assert scope.cancelled_caught
        await eventually(lambda: b.get_groups() == {"workers"}, "the group came into being")
        with trio.CancelScope() as scope:
            scope.cancel()
            await a.join_group("workers")
        assert scope.cancelled_caught
        await eventually(lambda: b.get_members("workers") == {"host-0"}, "the join took place")
        await a.leave_group("workers")


async def test_an_exception_of_the_block_leaves_as_it_was_raised(isolation: Isolation) -> None:
    mine = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        async with cluster(1, isolation):
            raise mine
    assert caught.value is mine
    group = ExceptionGroup("mine", [mine])
    with pytest.raises(ExceptionGroup) as caught_group:
        async with open_coordinator("host-0", seeds=(), config=LOCAL, isolation=isolation):
            raise group
    assert caught_group.value is group


async def test_an_exception_of_the_block_keeps_its_context(isolation: Isolation) -> None:
    def fail() -> None:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904

    with pytest.raises(ValueError, match="second") as caught:
        async with cluster(1, isolation):
            fail()
    assert isinstance(caught.value.__context__, KeyError)
    assert caught.value.__cause__ is None
    shown = "".join(traceback.format_exception(caught.value))
    assert "During handling" in shown
    assert "ExceptionGroup" not in shown


async def test_a_cancelled_block_still_leaves_gracefully(isolation: Isolation) -> None:
    async with cluster(1, isolation) as (a,):
        seeds = [str(address_of(a))]
        with trio.CancelScope() as scope:
            async with open_coordinator("host-1", seeds=seeds, config=LOCAL, isolation=isolation) as b:
                await b.join_group("workers", create=True)
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert a.get_members("workers") == frozenset()
        assert {node.name: node.status for node in a.nodes()}["host-1"] is gg.Status.LEFT


async def test_opening_can_be_cancelled(isolation: Isolation) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        seed = f"127.0.0.1:{silent.getsockname()[1]}"
        with trio.move_on_after(0.05) as scope:
            async with open_coordinator("host-0", seeds=[seed], config=LOCAL, isolation=isolation):
                pytest.fail("it opened")
        assert scope.cancelled_caught


# Joining.


async def test_seeds_that_do_not_answer_are_named(isolation: Isolation) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        seeds = [f"127.0.0.1:{silent.getsockname()[1]}", "127.0.0.1:1"]
        with pytest.raises(gg.SeedsUnreachable) as caught:
            async with open_coordinator(
                "host-0", seeds=seeds, config=LOCAL, join_timeout=0.2, isolation=isolation
            ):
                pytest.fail("it opened")
    assert caught.value.seeds == tuple(seeds)
    assert caught.value.seconds == 0.2
    assert all(seed in str(caught.value) for seed in seeds)


async def test_one_seed_that_answers_is_enough(isolation: Isolation) -> None:
    async with cluster(1, isolation) as (a,):
        seeds = ["127.0.0.1:1", str(address_of(a))]
        async with open_coordinator("host-1", seeds=seeds, config=LOCAL, isolation=isolation) as b:
            assert len(b.nodes()) == 2


async def test_another_cluster_on_the_same_port_is_another_world(isolation: Isolation) -> None:
    async with cluster(1, isolation, cluster="blue") as (a,):
        seeds = [str(address_of(a))]
        with pytest.raises(gg.SeedsUnreachable):
            async with open_coordinator(
                "host-1", seeds=seeds, cluster="green", config=LOCAL, join_timeout=0.2, isolation=isolation
            ):
                pytest.fail("it opened")
        assert len(a.nodes()) == 1


async def test_a_coordinator_may_be_its_own_seed(isolation: Isolation) -> None:
    first, second = (f"127.0.0.1:{free_port()}" for _ in range(2))
    seeds = [first, second]  # one list for all, as in a config file
    async with open_coordinator("host-0", bind=first, seeds=seeds, config=LOCAL, isolation=isolation) as a:
        assert len(a.nodes()) == 1
        await a.create_group("workers")
        async with open_coordinator(
            "host-1", bind=second, seeds=seeds, config=LOCAL, isolation=isolation
        ) as b:
            assert b.get_groups() == {"workers"}


@pytest.mark.skipif(not os.path.exists("/proc"), reason="127.0.0.2 is no address of this machine")
async def test_a_coordinator_may_be_its_own_seed_under_another_address(isolation: Isolation) -> None:
    port = free_port()
    async with open_coordinator(
        "host-0",
        bind=f"127.0.0.1:{port}",
        advertise=f"127.0.0.2:{port}",
        seeds=[f"127.0.0.1:{port}"],
        config=LOCAL,
        join_timeout=2.0,
        isolation=isolation,
    ) as a:
        assert [str(each.address) for each in a.nodes()] == [f"127.0.0.2:{port}"]


async def test_a_coordinator_bound_to_loopback_is_told_why_no_other_machine_answers(
    isolation: Isolation,
) -> None:
    for seed, hint in (("192.0.2.1:7946", True), ("127.0.0.1:1", False)):
        with pytest.raises(gg.SeedsUnreachable) as caught:
            # From loopback the kernel lets nothing out to a test network: no datagram leaves.
            async with open_coordinator(
                "host-0", seeds=[seed], config=LOCAL, join_timeout=0.2, isolation=isolation
            ):
                pytest.fail("it opened")
        assert ("which reaches only this machine: bind='0.0.0.0:0'" in str(caught.value)) is hint


async def test_without_seeds_those_of_this_user_find_each_other(isolation: Isolation) -> None:
    settings: dict[str, Any] = {"config": LOCAL, "isolation": isolation, "cluster": f"found-{isolation}"}
    async with open_coordinator("host-0", **settings) as a:
        await a.create_group("workers")
        async with (
            open_coordinator("host-1", **settings) as b,
            open_coordinator("host-2", **settings | {"cluster": "elsewhere"}) as c,
        ):
            assert b.get_groups() == {"workers"}, "it has joined when it is open"
            assert len(c.nodes()) == 1
    async with open_coordinator("host-3", **settings) as late:
        assert len(late.nodes()) == 1, "who has stopped is not looked for"


async def test_all_that_there_is_is_known_when_it_opens(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        for number in range(40):
            await a.join_group(f"group-{number}", {"number": number}, create=True, wait=False)
        await a.create_group("last")
        seeds = [str(address_of(b))]
        async with open_coordinator("host-2", seeds=seeds, config=LOCAL, isolation=isolation) as c:
            assert c.get_groups() == a.get_groups()
            assert len(c.get_groups()) == 41
            assert c.get_member_capabilities("group-7", "host-0") == {"number": 7}
            assert len(c.nodes()) == 3


async def test_ids_may_be_any_bytes(isolation: Isolation) -> None:
    member, group = b"host-\xff\xfe", b"gr\xc3\xbcn \x80"
    as_text = [each.decode("utf-8", "surrogateescape") for each in (member, group)]
    async with cluster(1, isolation) as (a,):
        seeds = [str(address_of(a))]
        async with open_coordinator(member, seeds=seeds, config=LOCAL, isolation=isolation) as b:
            assert b.member_id == as_text[0]
            notebook = Notebook()
            a.watch_join_group(group, notebook)
            await b.join_group(group, 1, create=True)
            assert a.get_groups() == {as_text[1]}
            assert a.get_members(group) == a.get_members(as_text[1]) == {as_text[0]}
            assert a.get_member_capabilities(as_text[1], member) == 1
            await eventually(lambda: notebook.events, "the join")
            assert notebook.events == [gg.MemberJoinedGroup(as_text[1], True, as_text[0])]
            a.unwatch_join_group(as_text[1], notebook)


@pytest.mark.skipif(not has_ipv6, reason="no IPv6 here")
async def test_ipv6(isolation: Isolation) -> None:
    async with cluster(2, isolation, bind="[::1]:0") as (a, b):
        assert address_of(a).host == "::1"
        assert str(address_of(b)).startswith("[::1]:")
        await a.join_group("workers", create=True)
        assert b.get_members("workers") == {"host-0"}


async def test_others_are_told_the_advertised_address(isolation: Isolation) -> None:
    port = free_port()
    settings: dict[str, Any] = {"bind": f"0.0.0.0:{port}", "advertise": f"127.0.0.1:{port}", "config": LOCAL}
    async with cluster(1, isolation) as (a,):
        seeds = [str(address_of(a))]
        async with open_coordinator("host-1", seeds=seeds, isolation=isolation, **settings) as b:
            told = {node.name: node.address for node in a.nodes()}
            assert told["host-1"] == address_of(b) == gg.Address("127.0.0.1", port)
            await b.join_group("workers", create=True)
            await a.join_group("workers")
            assert b.get_members("workers") == {"host-0", "host-1"}


# Leaving.


async def test_leaving_the_block_leaves_all_groups(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        joins, leaves = Notebook(), Notebook()
        seeds = [str(address_of(b))]
        async with open_coordinator("host-2", seeds=seeds, config=LOCAL, isolation=isolation) as c:
            for group in ("one", "two"):
                a.watch_join_group(group, joins)
                a.watch_leave_group(group, leaves)
                await c.join_group(group, create=True)
            await eventually(lambda: len(joins.events) == 2, "both joins")
        for group in ("one", "two"):
            assert a.get_members(group) == b.get_members(group) == frozenset(), "known when the block ends"
        await eventually(lambda: len(leaves.events) == 2, "both leaves")
        assert set(leaves.events) == {
            gg.MemberLeftGroup(group, True, "host-2", "left") for group in ("one", "two")
        }
        assert {node.name: node.status for node in b.nodes()}["host-2"] is gg.Status.LEFT


async def test_a_stopped_member_id_can_be_used_again_at_once(isolation: Isolation) -> None:
    async with cluster(2, isolation) as (a, b):
        seeds = [str(address_of(a))]
        for number in range(3):
            async with open_coordinator("host-2", seeds=seeds, config=LOCAL, isolation=isolation) as c:
                await c.join_group("workers", number, create=True)
                assert b.get_member_capabilities("workers", "host-2") == number


# The gossip thread.


def gossip_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "gossipgroups"]


async def test_all_coordinators_share_one_thread_that_ends_with_them() -> None:
    await eventually(lambda: not gossip_threads(), "no thread of an earlier test is left")
    async with cluster(3, "thread"):
        assert len(gossip_threads()) == 1
        assert gossip_threads()[0].daemon
    await eventually(lambda: not gossip_threads(), "the thread ends")
    async with cluster(1, "thread") as (a,):
        assert await a.create_group("workers"), "and another is started when it is needed"


async def test_a_defect_ends_its_own_coordinator_and_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    submit = Node.submit

    def fail(self: Node, command: Command, now: float) -> int:
        if self.state.own.name == "host-1":
            raise LookupError("a defect of ours")
        return submit(self, command, now)

    async with cluster(2, "thread") as (a, b):
        (thread,) = gossip_threads()
        monkeypatch.setattr(Node, "submit", fail)
        async with b.events() as events:
            for _ in range(2):
                with pytest.raises(gg.CoordinatorClosed), trio.fail_after(LIMIT):
                    await b.create_group("workers")
            with trio.fail_after(LIMIT):
                assert [event async for event in events] == [], "nobody waits for events any more"
        assert await a.create_group("workers")
        assert gossip_threads() == [thread]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "host-1" in record.getMessage()


async def test_without_a_gossip_thread_there_is_a_plain_error(monkeypatch: pytest.MonkeyPatch) -> None:
    await eventually(lambda: not gossip_threads(), "no thread of an earlier test is left")

    def fail(main: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(thread, "host", fail)
    with pytest.raises(OSError, match="Too many open files"):
        async with open_coordinator("a", seeds=()):
            pytest.fail("it opened")


async def test_what_a_callback_could_not_do_elsewhere_is_on_the_log(
    isolation: Isolation, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(1, isolation) as (a,):
        async with open_coordinator("other", seeds=(), config=LOCAL) as other:
            pass

        async def join_there(event: gg.MemberJoinedGroup) -> None:
            await other.join_group("workers")

        await a.create_group("workers")
        a.watch_join_group("workers", join_there)
        await a.join_group("workers")
        await eventually(lambda: "has stopped" in caplog.text, lambda: caplog.text)


async def test_with_task_isolation_there_is_no_thread() -> None:
    await eventually(lambda: not gossip_threads(), "no thread of an earlier test is left")
    async with cluster(2, "task"):
        assert not gossip_threads()
