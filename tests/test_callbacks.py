"""Callbacks of the blocking door: in order, whatever they do; the difference to whoever comes too late.

Law: nothing here opens a socket but where a whole coordinator is said to run, and no wait is without an end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gossipgroups as gg
from gossipgroups import get_coordinator
from gossipgroups.callbacks import Callbacks, call_each
from gossipgroups.events import Event, GroupCreated, MemberJoinedGroup, MemberLeftGroup
from gossipgroups.snapshot import Snapshot
from gossipgroups.watches import KINDS, Kind, WatchTable
from tests.nodes import a_presence
from tests.waiting import LIMIT, address_of, wait_until

JOINS, LEAVES = KINDS


def joined(member: str) -> MemberJoinedGroup:
    return MemberJoinedGroup("g", True, member)


def left(member: str) -> MemberLeftGroup:
    return MemberLeftGroup("g", True, member, "left")


def joined_unseen(member: str) -> MemberJoinedGroup:
    return MemberJoinedGroup("g", False, member)


def left_unseen(member: str) -> MemberLeftGroup:
    return MemberLeftGroup("g", False, member, "unknown")


class Source:
    """A coordinator's side: its view changes, the changes are told later, and its snapshot is kept right."""

    def __init__(self, limit: int = 100) -> None:
        self.callbacks = Callbacks(limit)
        self.members: set[str] = set()
        self.armed: list[str] = []
        """What the next callbacks do, besides noting what they are told."""
        self.restart()

    def restart(self) -> None:
        """Go on with the same watches, as after a stop and a start: what was not told, is told no more."""
        self._untold: list[Event] = []
        self._sequence = 0
        self.callbacks.resume(self.snapshot)

    def snapshot(self) -> Snapshot:
        view = {member: a_presence("g", member, 1) for member in self.members}
        return Snapshot({"g": view}, {}, self._sequence)

    def change(self, *members: str) -> None:
        """Let those join that are out, and leave that are in."""
        for member in members:
            self._untold.append(left(member) if member in self.members else joined(member))
            self.members ^= {member}

    def deliver(self, count: int | None = None) -> None:
        """Tell the oldest changes, all in one batch."""
        count = len(self._untold) if count is None else count
        batch, self._untold = self._untold[:count], self._untold[count:]
        first = self._sequence
        self._sequence += len(batch)
        self.callbacks.deliver(batch, first)

    def run(self) -> list[Any]:
        return self.callbacks.run()

    def watch(self, kind: Kind, callback: Callable[[Any], Any]) -> None:
        self.callbacks.watches.begin(kind, "g", callback, self.snapshot)


class Watcher:
    """A join and a leave watch, and the view that they sum up to."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.members = set(source.members)
        self.told: list[Event] = []
        self.wrong: list[Event] = []
        for kind in KINDS:
            source.watch(kind, self)

    def __call__(self, event: MemberJoinedGroup | MemberLeftGroup) -> None:
        self.told.append(event)
        if isinstance(event, MemberJoinedGroup) == (event.member_id in self.members):
            self.wrong.append(event)
        self.members ^= {event.member_id}
        match self._source.armed.pop() if self._source.armed else "":
            case "run":
                self._source.run()
            case "restart":
                self._source.restart()
            case "fail":
                raise LookupError("a defect of the application")
            case "interrupt":
                raise KeyboardInterrupt


# Calling each.


def test_each_is_called_though_others_raise_and_the_first_error_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    called: list[int] = []

    def fail(number: int) -> None:
        called.append(number)
        raise LookupError(number)

    with pytest.raises(LookupError, match="2"):
        call_each([(called.append, 1), (fail, 2), (called.append, 3), (fail, 4), (fail, 5), (abs, 6)])
    assert called == [1, 2, 3, 4, 5]
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records] == ["4", "5"]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_what_each_returned_is_returned() -> None:
    assert call_each([(abs, -1), (str, 2)]) == [1, "2"]
    assert call_each([]) == []


def test_an_interrupt_is_raised_at_once() -> None:
    called: list[int] = []

    def interrupt(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call_each([(called.append, 1), (interrupt, 2), (called.append, 3)])
    assert called == [1]


# The law.

STEPS = st.one_of(
    st.tuples(st.just("change"), st.sampled_from("abc")),
    st.tuples(st.just("deliver"), st.integers(0, 5)),
    st.tuples(st.just("arm"), st.sampled_from(["run", "restart", "fail", "interrupt", ""])),
    st.tuples(st.sampled_from(["run", "watch", "restart"]), st.none()),
)


@given(st.lists(STEPS, max_size=60), st.integers(1, 5))
def test_what_a_watch_is_told_alternates_and_sums_up_to_the_view(
    steps: list[tuple[str, Any]], limit: int
) -> None:
    source = Source(limit)
    watchers = [Watcher(source), Watcher(source)]
    for what, argument in steps:
        match what:
            case "change":
                source.change(argument)
            case "deliver":
                source.deliver(argument)
            case "arm":
                source.armed.append(argument)
            case "run":
                with suppress(LookupError, KeyboardInterrupt):
                    source.run()
            case "watch":
                watchers.append(Watcher(source))
            case "restart":
                source.restart()
    source.armed.clear()
    source.deliver()
    source.run()
    for watcher in watchers:
        assert watcher.wrong == [], watcher.told
        assert watcher.members == source.members, watcher.told
    assert source.run() == []


# In order, and none lost.


def test_changes_are_told_in_their_order_and_other_events_are_not() -> None:
    source = Source()
    watcher = Watcher(source)
    source.callbacks.deliver([GroupCreated("g", True), joined("a"), left("a"), joined("a")], 0)
    source.callbacks.deliver([joined("b"), MemberJoinedGroup("h", True, "a")], 4)
    assert source.run() == [None] * 4
    assert watcher.told == [joined("a"), left("a"), joined("a"), joined("b")]
    assert source.run() == []


def test_what_comes_while_callbacks_run_waits_for_the_next_time() -> None:
    source = Source()
    told: list[Event] = []

    def answer(event: MemberJoinedGroup) -> None:
        told.append(event)
        source.change(f"{event.member_id}x")
        source.deliver()

    source.watch(JOINS, answer)
    source.change("a", "b")
    source.deliver()
    for count in (2, 4, 6):
        source.run()
        assert len(told) == count, "a run ends, whatever it causes"


def test_an_interrupt_loses_no_later_event_and_no_other_callback_its_own() -> None:
    source = Source()
    first, second = Watcher(source), Watcher(source)
    source.change("a", "b", "a")
    source.deliver()
    source.armed = ["interrupt"]
    with pytest.raises(KeyboardInterrupt):
        source.run()
    assert (first.told, second.told) == ([joined("a")], [])
    source.run()
    assert first.told == second.told == [joined("a"), joined("b"), left("a")]


def test_an_interrupt_loses_nothing_of_a_difference() -> None:
    source = Source(limit=2)
    first, second = Watcher(source), Watcher(source)
    source.change("a", "b", "c")
    source.deliver()
    source.armed = ["interrupt"]
    with pytest.raises(KeyboardInterrupt):
        source.run()
    assert len(first.told + second.told) == 1
    source.run()
    assert first.told == second.told == [joined_unseen(member) for member in "abc"]


def test_what_an_interrupt_left_is_told_after_a_restart() -> None:
    source = Source()
    first, second = Watcher(source), Watcher(source)
    source.change("a", "b")
    source.deliver()
    source.armed = ["interrupt"]
    with pytest.raises(KeyboardInterrupt):
        source.run()
    source.restart()
    source.run()
    assert first.told == [joined("a"), joined_unseen("b")]
    assert second.told == [joined("a"), joined_unseen("b")]


def test_what_an_interrupt_left_and_is_not_so_any_more_is_told_as_both_after_a_restart() -> None:
    source = Source()
    first, second = Watcher(source), Watcher(source)
    source.change("a", "a")
    source.deliver(1)
    source.armed = ["interrupt"]
    with pytest.raises(KeyboardInterrupt):
        source.run()
    source.restart()
    source.run()
    assert first.told == second.told == [joined("a"), left_unseen("a")]


def test_a_callback_that_runs_the_callbacks_changes_no_order() -> None:
    source = Source()
    first, second = Watcher(source), Watcher(source)
    source.change("a", "a", "b")
    source.deliver()
    source.armed = ["run"]
    source.run()
    assert first.told == second.told == [joined("a"), left("a"), joined("b")]


def test_a_callback_that_runs_the_callbacks_changes_no_order_of_a_difference() -> None:
    source = Source(limit=3)
    first, second = Watcher(source), Watcher(source)
    source.change("a", "b", "c", "d")
    source.deliver()
    source.change("a")
    source.deliver()
    source.armed = ["run"]
    source.run()
    assert first.told == second.told == [joined_unseen(member) for member in "bcd"]


def test_a_callback_that_unwatches_is_called_no_more() -> None:
    source = Source()
    told: list[Event] = []

    def once(event: MemberJoinedGroup) -> None:
        told.append(event)
        source.callbacks.watches.remove(JOINS, "g", once)

    later = Watcher(source)
    source.watch(JOINS, once)
    source.change("a", "b")
    source.deliver()
    source.run()
    assert told == [joined("a")]
    assert later.told == [joined("a"), joined("b")]


@pytest.mark.parametrize("limit", [1, 100])
def test_a_callback_that_another_has_unwatched_is_not_called_for_the_same_change(limit: int) -> None:
    source = Source(limit)
    told: list[Event] = []

    def end_both(event: MemberJoinedGroup) -> None:
        for callback in (end_both, told.append):
            source.callbacks.watches.remove(JOINS, "g", callback)

    source.watch(JOINS, end_both)
    source.watch(JOINS, told.append)
    source.change("a", "b")
    source.deliver()
    source.run()
    assert told == []


def test_a_callback_may_begin_a_watch() -> None:
    source = Source()
    watchers: list[Watcher] = []
    source.watch(JOINS, lambda event: watchers.append(Watcher(source)))
    source.change("a")
    source.deliver()
    source.change("b", "a")
    source.run()
    source.deliver()
    source.run()
    first, second = watchers
    assert first.told == second.told == [], "they began with b, and without a"
    assert first.members == second.members == {"b"}


# Too far behind.


def test_whoever_comes_too_late_is_told_the_difference(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(limit=3)
    source.change("a", "b")
    source.deliver()
    watcher = Watcher(source)
    source.run()
    for _ in range(5):
        source.change("a", "b", "c", "c", "d")
        source.deliver()
    source.run()
    assert watcher.told == [
        left_unseen("a"),
        left_unseen("b"),
        joined_unseen("d"),
    ], "leaves before joins, and nothing of who is there again, or gone again"
    (record,) = caplog.records
    assert (record.levelno, "3 events behind" in record.getMessage()) == (logging.WARNING, True)
    source.change("d")
    source.deliver()
    source.run()
    assert watcher.told[3:] == [left("d")], "and each change again from then on"


def test_exactly_as_many_as_the_limit_may_wait() -> None:
    source = Source(limit=3)
    watcher = Watcher(source)
    source.change("a", "b", "a")
    source.deliver()
    source.run()
    assert watcher.told == [joined("a"), joined("b"), left("a")]


def test_what_is_on_its_way_when_the_difference_is_told_is_not_told_again() -> None:
    source = Source(limit=1)
    watcher = Watcher(source)
    source.change("a", "b", "c")
    source.deliver(2)
    source.run()
    assert watcher.members == {"a", "b", "c"}, "a view runs ahead of its events"
    source.deliver()
    source.run()
    assert len(watcher.told) == 3


# The thread.


@contextmanager
def serving(source: Source) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=source.callbacks.serve)
    thread.start()
    try:
        yield thread
    finally:
        source.callbacks.close()
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_the_thread_calls_what_comes_and_ends_when_closed() -> None:
    source = Source()
    watcher = Watcher(source)
    with serving(source):
        source.change("a")
        source.deliver()
        wait_until(lambda: watcher.told == [joined("a")], lambda: watcher.told)
        source.change("a", "b")
        source.deliver()
        wait_until(lambda: len(watcher.told) == 3, lambda: watcher.told)
    source.change("c")
    source.deliver()
    assert watcher.told == [joined("a"), left("a"), joined("b")]


def test_a_thread_too_far_behind_tells_the_difference() -> None:
    source = Source(limit=3)
    entered, release = threading.Event(), threading.Event()

    def block(event: Event) -> None:
        entered.set()
        assert release.wait(LIMIT)

    source.watch(JOINS, block)
    watcher = Watcher(source)
    with serving(source):
        source.change("a")
        source.deliver()
        assert entered.wait(LIMIT)
        for _ in range(4):
            source.change("b", "c", "b", "c")
            source.deliver()
        source.change("d", "a")
        release.set()
        source.deliver()
        wait_until(lambda: watcher.members == {"d"}, lambda: watcher.told)
    assert watcher.wrong == []
    assert not [event for event in watcher.told[1:] if event in (joined("b"), joined("c"))]


def test_a_thread_that_is_closed_within_a_callback_calls_no_other() -> None:
    source = Source()
    told: list[Event] = []
    source.watch(JOINS, lambda event: source.callbacks.close())
    source.watch(JOINS, told.append)
    with serving(source) as thread:
        source.change("a", "b")
        source.deliver()
        thread.join(LIMIT)
    assert told == []


# A watch begins at one moment.


@pytest.mark.parametrize("ask", [WatchTable.matching, WatchTable.watching])
def test_a_watch_begins_before_or_after_an_event_and_never_in_between(
    ask: Callable[..., list[Any]],
) -> None:
    table = WatchTable()
    matched: list[list[Any]] = []
    done = threading.Event()

    def match() -> None:
        matched.append(ask(table, joined("a"), 0) if ask is WatchTable.matching else ask(table, joined("a")))
        done.set()

    def read() -> Snapshot:
        threading.Thread(target=match).start()
        assert not done.wait(0.1), "an event was matched while a watch began"
        return Snapshot({"g": {}}, {}, 0)

    watch = table.begin(JOINS, "g", print, read)
    assert done.wait(LIMIT)
    assert matched == [[watch]], "the event is not in the snapshot, so it is for the watch"


def test_the_difference_starts_no_watch_from_an_older_snapshot_than_its_own() -> None:
    table = WatchTable()
    began = threading.Event()
    told: list[Any] = []

    def begin() -> None:
        table.begin(JOINS, "g", told.append, lambda: Snapshot({"g": {}}, {}, 2))
        began.set()

    def read() -> Snapshot:
        threading.Thread(target=begin).start()
        assert not began.wait(0.1), "a watch began while the difference was told"
        return Snapshot({"g": {"a": a_presence("g", "a", 1)}}, {}, 1)

    assert table.catch_up(read) == []
    assert began.wait(LIMIT)


# Whole coordinators.


def polled(**settings: Any) -> gg.BlockingCoordinator:
    return get_coordinator("gossip:///polled?preset=local", "host-0", polled=True, **settings)


def test_polled_callbacks_run_in_the_callers_thread() -> None:
    calls: list[tuple[int, Event]] = []

    def note(event: Event) -> str:
        calls.append((threading.get_ident(), event))
        return type(event).__name__

    with polled() as a:
        threads = {each.name for each in threading.enumerate()}
        assert a.run_callbacks() == []
        a.watch_join_group("workers", note)
        a.watch_leave_group("workers", note)
        a.join_group("workers", create=True).get(LIMIT)
        a.leave_group("workers").get(LIMIT)
        assert calls == []
        assert a.run_callbacks() == ["MemberJoinedGroup", "MemberLeftGroup"]
        assert a.run_callbacks() == []
    assert "gossipgroups-callbacks" not in threads
    assert calls == [
        (threading.get_ident(), gg.MemberJoinedGroup("workers", True, "host-0")),
        (threading.get_ident(), gg.MemberLeftGroup("workers", True, "host-0", "left")),
    ]


def test_what_comes_before_the_first_poll_is_told_as_it_was() -> None:
    told: list[Event] = []
    with polled() as a:
        a.watch_join_group("workers", told.append)
        a.watch_leave_group("workers", told.append)
        for _ in range(2):
            a.join_group("workers", create=True).get(LIMIT)
            a.leave_group("workers").get(LIMIT)
        a.run_callbacks()
    assert (
        told
        == [
            gg.MemberJoinedGroup("workers", True, "host-0"),
            gg.MemberLeftGroup("workers", True, "host-0", "left"),
        ]
        * 2
    )


def test_polled_callbacks_may_raise_and_wait() -> None:
    seen: list[Any] = []
    with polled() as a:

        def fail(event: gg.MemberJoinedGroup) -> None:
            raise LookupError("a defect of the application")

        def work(event: gg.MemberJoinedGroup) -> None:
            seen.append(a.get_members("workers").get(LIMIT))
            a.leave_group("workers").get(LIMIT)
            seen.append(a.run_callbacks())

        a.watch_join_group("workers", fail)
        a.watch_join_group("workers", work)
        a.watch_leave_group("workers", lambda event: event.reason)
        a.join_group("workers", create=True).get(LIMIT)
        with pytest.raises(LookupError, match="a defect"):
            a.run_callbacks()
    assert seen == [{"host-0"}, ["left"]]


def test_callbacks_that_a_thread_calls_are_not_for_polling() -> None:
    with (
        get_coordinator("gossip:///polled?preset=local", "host-0") as a,
        pytest.raises(gg.InvalidValue, match="polled=True"),
    ):
        a.run_callbacks()


def test_callbacks_of_a_coordinator_that_does_not_run_are_not_run() -> None:
    a = polled()
    with pytest.raises(gg.CoordinatorClosed, match="start"):
        a.run_callbacks()
    with a:
        a.run_callbacks()
    with pytest.raises(gg.CoordinatorClosed, match="start"):
        a.run_callbacks()


def test_a_restart_of_a_polled_coordinator_tells_the_difference() -> None:
    told: list[Event] = []
    with get_coordinator("gossip:///restarted?preset=local", "host-1") as b:
        url = f"gossip://{address_of(b)}/restarted?preset=local"
        a = get_coordinator(url, "host-0", polled=True)
        with a:
            a.watch_join_group("workers", told.append)
            a.watch_leave_group("workers", told.append)
            for each in (a, b):
                assert each.join_group("workers", create=True).get(LIMIT)
            assert a.settle().get(LIMIT)
            a.run_callbacks()
        assert told == [gg.MemberJoinedGroup("workers", True, f"host-{number}") for number in (0, 1)]
        with get_coordinator(url, "host-2") as c:
            for operation in (b.leave_group, b.join_group, c.join_group):
                assert operation("workers").get(LIMIT)
            told.clear()
            with a:
                assert told == [], "nothing is told but in a poll"
                a.run_callbacks()
                assert told == [
                    gg.MemberLeftGroup("workers", False, "host-0", "unknown"),
                    gg.MemberJoinedGroup("workers", False, "host-2"),
                ]
                assert a.settle().get(LIMIT)
                assert b.leave_group("workers").get(LIMIT)
                assert a.settle("workers").get(LIMIT)
                a.run_callbacks()
                assert told[2:] == [gg.MemberLeftGroup("workers", True, "host-1", "left")]
                a.unwatch_join_group("workers", told.append)
                a.unwatch_leave_group("workers", told.append)
