"""Watches: each change once, whatever callbacks raise."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
import tooz
from tooz import coordination

import gossipgroups as gg
from tests.tooz.site import GROUP, Site, Told, ignore, names
from tests.waiting import LIMIT


def test_a_callback_that_raises_repeats_nothing_and_takes_nothing_from_others(site: Site) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    told = Told()

    def fail(event: Any) -> None:
        told(event)
        raise RuntimeError("the application's own")

    groups = (b"one", b"two")
    for group in groups:
        coordinator.create_group(group).get(LIMIT)
        coordinator.watch_join_group(group, fail)
        coordinator.watch_join_group(group, told)
        other.join_group(group).get(LIMIT)
    with pytest.raises(RuntimeError, match="the application's own"):
        coordinator.run_watchers()
    assert sorted(event.group_id for event in told) == [b"one", b"one", b"two", b"two"]
    assert coordinator.run_watchers() == []
    other.leave_group(b"one").get(LIMIT)
    assert coordinator.run_watchers() == []
    assert len(told) == 4


def test_a_watch_begins_with_the_members_that_are_there(site: Site) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    other.join_group_create(GROUP)
    told = Told()
    coordinator.watch_join_group(GROUP, told)
    coordinator.watch_leave_group(GROUP, told)
    assert coordinator.run_watchers() == []
    other.leave_group(GROUP).get(LIMIT)
    other.join_group(GROUP).get(LIMIT)
    assert coordinator.run_watchers(timeout=5) == [None, None]
    assert names(told) == [("MemberLeftGroup", b"b"), ("MemberJoinedGroup", b"b")]
    with pytest.raises(coordination.WatchCallbackNotFound):
        coordinator.unwatch_join_group(GROUP, ignore)
    coordinator.unwatch_join_group(GROUP, told)
    coordinator.unwatch_leave_group(GROUP, told)
    other.leave_group(GROUP).get(LIMIT)
    assert coordinator.run_watchers() == []


def test_ids_given_as_str_and_as_bytes_are_one_id(site: Site) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    coordinator.create_group(GROUP).get(LIMIT)
    told = Told()
    as_str, as_bytes = cast(bytes, GROUP.decode()), GROUP
    for watch, unwatch in (
        (coordinator.watch_join_group, coordinator.unwatch_join_group),
        (coordinator.watch_leave_group, coordinator.unwatch_leave_group),
    ):
        for one, same in ((as_str, as_bytes), (as_bytes, as_str)):
            watch(one, told)
            unwatch(same, told)
    other.join_group(as_str).get(LIMIT)
    other.leave_group(as_bytes).get(LIMIT)
    assert coordinator.run_watchers() == []
    with pytest.raises(tooz.ToozError, match="group id"):
        coordinator.unwatch_join_group(cast(bytes, None), told)


def test_what_callbacks_raise_is_not_translated(site: Site) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    coordinator.create_group(GROUP).get(LIMIT)

    def fail(event: Any) -> None:
        raise gg.CoordinatorClosed("another coordinator, the application's own")

    coordinator.watch_join_group(GROUP, fail)
    other.join_group(GROUP).get(LIMIT)
    with pytest.raises(gg.CoordinatorClosed, match="the application's own"):
        coordinator.run_watchers()


def test_a_watch_that_begins_while_another_thread_stops_is_a_tooz_error(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator = site.started(b"a")
    coordinator.create_group(GROUP).get(LIMIT)
    read = coordinator.get_members
    gossip = coordinator._coordinator

    def read_and_end(group_id: bytes) -> Any:
        held = read(group_id)
        held.get(LIMIT)
        gossip._link.stop().result(LIMIT)
        return held

    monkeypatch.setattr(coordinator, "get_members", read_and_end)
    with pytest.raises(tooz.ToozError, match="stopped"):
        coordinator.watch_join_group(GROUP, ignore)
    assert not coordinator._hooks_join_group


def test_a_group_that_is_not_there_cannot_be_watched(site: Site) -> None:
    coordinator = site.started(b"a")
    for watch in (coordinator.watch_join_group, coordinator.watch_leave_group):
        with pytest.raises(coordination.GroupNotCreated):
            watch(b"none", ignore)
    assert not coordinator._hooks_join_group
    assert not coordinator._hooks_leave_group


def test_watches_go_on_after_a_stop_and_a_start(site: Site) -> None:
    coordinator, other, third = site.started(b"a"), site.started(b"b"), site.started(b"c")
    other.join_group_create(GROUP)
    told = Told()
    coordinator.watch_join_group(GROUP, told)
    coordinator.watch_leave_group(GROUP, told)
    coordinator.stop()
    assert coordinator.run_watchers() == []
    other.leave_group(GROUP).get(LIMIT)
    third.join_group(GROUP).get(LIMIT)
    coordinator.start()
    coordinator.run_watchers()
    assert names(told) == [("MemberLeftGroup", b"b"), ("MemberJoinedGroup", b"c")]


def test_a_watch_that_begins_after_a_start_misses_nothing(site: Site) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    other.join_group_create(GROUP)
    old, new = Told(), Told()
    coordinator.watch_leave_group(GROUP, old)
    for _ in range(2):
        coordinator.stop()
        coordinator.start()
    coordinator._coordinator.settle(GROUP).get(LIMIT)
    for watch in (coordinator.watch_join_group, coordinator.watch_leave_group):
        watch(GROUP, new)
    other.leave_group(GROUP).get(LIMIT)
    other.join_group(GROUP).get(LIMIT)
    coordinator.run_watchers()
    assert names(new) == [("MemberLeftGroup", b"b"), ("MemberJoinedGroup", b"b")]
    assert names(old) == [("MemberLeftGroup", b"b")]


def test_what_changed_and_changed_back_over_two_starts_is_not_told(site: Site) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    other.join_group_create(GROUP)
    told = Told()
    coordinator.watch_leave_group(GROUP, told)
    coordinator.stop()
    other.leave_group(GROUP).get(LIMIT)
    coordinator.start()
    coordinator.stop()
    other.join_group(GROUP).get(LIMIT)
    coordinator.start()
    coordinator.run_watchers()
    assert told == []


@pytest.mark.parametrize("where", ["in the callback", "in another thread"])
def test_a_start_while_a_callback_is_at_work_lets_no_old_event_out(site: Site, where: str) -> None:
    coordinator, other, third = site.started(b"a"), site.started(b"b"), site.started(b"c")
    coordinator.create_group(GROUP).get(LIMIT)
    for _ in range(10):  # numbers of the old run that are above those of the new one
        other.join_group(GROUP).get(LIMIT)
        other.leave_group(GROUP).get(LIMIT)
    told = Told()
    at_work, over = threading.Event(), threading.Event()

    def restart() -> None:
        coordinator.stop()
        third.leave_group(GROUP).get(LIMIT)
        coordinator.start()

    def on_join(event: coordination.MemberJoinedGroup) -> None:
        told(event)
        if len(told) > 1:
            return
        if where == "in the callback":
            restart()
        else:
            at_work.set()
            assert over.wait(LIMIT)

    coordinator.watch_join_group(GROUP, on_join)
    coordinator.watch_leave_group(GROUP, told)
    for each in (other, third):
        each.join_group(GROUP).get(LIMIT)
    coordinator._coordinator.settle(GROUP).get(LIMIT)
    thread = threading.Thread(target=coordinator.run_watchers)
    thread.start()
    if where == "in another thread":
        assert at_work.wait(LIMIT)
        restart()
        over.set()
    thread.join(LIMIT)
    coordinator.run_watchers()
    assert names(told) == [("MemberJoinedGroup", b"b")], "who left in between was never told"
    third.join_group(GROUP).get(LIMIT)
    other.leave_group(GROUP).get(LIMIT)
    coordinator.run_watchers()
    assert sorted(names(told[1:])) == [("MemberJoinedGroup", b"c"), ("MemberLeftGroup", b"b")]
