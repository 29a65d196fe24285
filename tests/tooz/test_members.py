"""Members and the life of their coordinators, as tooz's own tests leave it open."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import cast

import pytest
import tooz
from tooz import coordination

import gossipgroups as gg
from gossipgroups.config import Config
from tests.tooz.site import GROUP, Site, Told, ignore, names
from tests.waiting import LIMIT, wait_until


def test_names_may_be_str_and_come_back_as_bytes(site: Site) -> None:
    coordinator = site.started("höst")
    coordinator.join_group_create(cast(bytes, "gruppe"), {"a": 1})
    assert coordinator.get_groups().get(LIMIT) == [b"gruppe"]
    assert coordinator.get_members(b"gruppe").get(LIMIT) == {"höst".encode()}
    partitioner = coordinator.join_partitioned_group(b"other")
    assert partitioner.belongs_to_self("anything")


def test_names_may_be_any_bytes(site: Site) -> None:
    coordinator = site.started(b"\xff\x00")
    coordinator.join_group_create(b"\xfe")
    assert coordinator.get_members_with_capabilities(b"\xfe").get(LIMIT) == {b"\xff\x00": None}


def test_a_member_says_where_it_lives(site: Site) -> None:
    coordinator = site.started(b"a")
    coordinator.join_group_create(GROUP, {"slots": 4})
    (node,) = [node for node in site.seed.nodes() if node.name == "a"]
    assert coordinator.get_member_info(GROUP, b"a").get(LIMIT) == {
        "capabilities": {"slots": 4},
        "node_id": node.node_id.hex(),
        "node_name": "a",
        "address": str(node.address),
    }


def test_a_live_duplicate_is_refused_and_a_dead_one_is_taken_over(site: Site) -> None:
    first = site.started(b"a")
    first.join_group_create(GROUP, {"life": 1})
    second = site.started(b"a")
    with pytest.raises(coordination.MemberAlreadyExist):
        second.join_group(GROUP).get(LIMIT)
    first.stop()
    second.join_group(GROUP, {"life": 2}).get(LIMIT)
    assert second.get_member_capabilities(GROUP, b"a").get(LIMIT) == {"life": 2}


def test_who_is_booted_out_stays_out_and_is_told(site: Site) -> None:
    first = site.started(b"a")
    first.join_group_create(GROUP)
    told = Told()
    first.watch_leave_group(GROUP, told)
    site.started(b"a").leave_group(GROUP).get(LIMIT)
    assert first.run_watchers() == [None]
    assert names(told) == [("MemberLeftGroup", b"a")]
    assert first.get_members(GROUP).get(LIMIT) == set()
    with pytest.raises(coordination.MemberNotJoined):
        first.leave_group(GROUP).get(LIMIT)
    first.join_group(GROUP).get(LIMIT)


def test_operations_are_in_order_without_waiting(site: Site) -> None:
    coordinator = site.started(b"a")
    coordinator.create_group(GROUP)
    coordinator.join_group(GROUP, {"n": 1})
    coordinator.update_capabilities(GROUP, {"n": 2})
    held = coordinator.get_member_capabilities(GROUP, b"a")
    coordinator.leave_group(GROUP)
    last = coordinator.delete_group(GROUP)
    assert held.get(LIMIT) == {"n": 2}
    last.get(LIMIT)
    assert last.done()
    assert coordinator.get_groups().get(LIMIT) == []


def test_a_change_that_has_not_converged_is_done_with_a_warning(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = Config.local().but(convergence_deadline=0.001)
    monkeypatch.setitem(gg.config.PRESETS, "local", lambda: hasty)
    coordinator = site.started(b"a")
    for number in range(20):
        coordinator.create_group(b"%d" % number).get(LIMIT)
    assert "not all nodes are known to have it" in caplog.text


def test_the_lease_lapses_unless_it_is_renewed(site: Site) -> None:
    silent, well = site.started(b"silent", timeout=0.4), site.started(b"well", timeout="0.4")
    assert well.heartbeat() == 0.4
    well.heart.start()
    silent.join_group_create(GROUP)
    well.join_group_create(GROUP)
    wait_until(lambda: well.get_members(GROUP).get(LIMIT) == {b"well"}, "the lapse")
    assert silent.get_members(GROUP).get(LIMIT) == {b"well"}
    silent.heartbeat()
    assert silent.get_members(GROUP).get(LIMIT) == {b"well"}, "a late heartbeat brings nobody back"
    silent.join_group(GROUP).get(LIMIT)
    wait_until(lambda: b"silent" not in well.get_members(GROUP).get(LIMIT), "the next lapse")
    assert b"well" in well.get_members(GROUP).get(LIMIT)


def test_a_heart_that_starts_with_the_coordinator_beats_at_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator = site.made(b"a")
    coordinator.start(start_heart=True)
    try:
        wait_until(lambda: coordinator.heart.beats, "a beat")
        assert coordinator.heart.is_alive()
    finally:
        coordinator.stop()
    assert not coordinator.heart.is_alive()
    assert "Unable to" not in caplog.text
    assert "Retrying" not in caplog.text


def test_a_stop_ends_though_the_gossip_loop_has_died_and_the_heart_tries_for_ever(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator = site.made(b"a")  # not by the site, which would stop it as well
    coordinator.start()
    link = coordinator._coordinator._link

    def defect() -> None:
        raise LookupError("a defect of ours")

    link.on_renew = defect
    coordinator.heartbeat()
    link.stopped.result(LIMIT)
    coordinator.heart.start()
    wait_until(lambda: "Retrying" in caplog.text, "a beat that raises")
    stop = threading.Thread(target=coordinator.stop, daemon=True)
    stop.start()
    stop.join(LIMIT)
    assert not stop.is_alive()
    assert not coordinator.is_started
    with pytest.raises(tooz.ToozError, match="start"):
        coordinator.heartbeat()


def test_of_many_stops_at_once_each_is_quiet_or_a_tooz_error_and_watches_survive(site: Site) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    coordinator.create_group(GROUP).get(LIMIT)
    told = Told()
    coordinator.watch_join_group(GROUP, told)
    raised: list[BaseException] = []

    def stop() -> None:
        try:
            coordinator.stop()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert all(isinstance(error, tooz.ToozError) for error in raised), raised
    assert not coordinator.is_started
    other.join_group(GROUP).get(LIMIT)
    coordinator.start()
    coordinator.run_watchers()
    assert names(told) == [("MemberJoinedGroup", b"b")]


def test_a_stop_that_takes_too_long_may_be_repeated_and_watches_survive(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    coordinator.create_group(GROUP).get(LIMIT)
    told = Told()
    coordinator.watch_join_group(GROUP, told)
    gate = threading.Event()
    coordinator._coordinator._link.query(lambda snapshot: gate.wait(LIMIT))  # the gossip loop stands still
    monkeypatch.setattr(gg.blocking, "START_MARGIN", 0.01)
    with pytest.raises(coordination.OperationTimedOut):
        coordinator.stop()
    monkeypatch.undo()
    gate.set()
    coordinator.stop()
    assert not coordinator.is_started
    other.join_group(GROUP).get(LIMIT)
    coordinator.start()
    coordinator.run_watchers()
    assert names(told) == [("MemberJoinedGroup", b"b")]


def test_a_stop_is_known_to_others_and_a_start_begins_anew(site: Site) -> None:
    coordinator, other = site.made(b"a"), site.started(b"b")
    for number in range(3):
        coordinator.start()
        coordinator.join_group_create(GROUP, {"life": number})
        assert other.get_member_capabilities(GROUP, b"a").get(LIMIT) == {"life": number}
        coordinator.stop()
        assert other.get_members(GROUP).get(LIMIT) == set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_may_begin_anew(site: Site) -> None:
    coordinator, unwatched = site.started(b"a"), site.started(b"b")
    coordinator.join_group_create(GROUP)
    coordinator.watch_leave_group(GROUP, ignore)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"broken"
        with suppress(BaseException):
            with pytest.raises(tooz.ToozError):
                coordinator.get_groups()
            with pytest.raises(tooz.ToozError, match="fork"):
                coordinator.run_watchers()
            with pytest.raises(tooz.ToozError, match="fork"):
                unwatched.run_watchers()
            coordinator.stop()
            coordinator.start()
            assert coordinator.get_members(GROUP).get(LIMIT) == {b"a"}
            assert coordinator.run_watchers() == []
            coordinator.stop()
            said = b"well"
        os.write(writer, said)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"well"
    os.waitpid(child, 0)
    assert coordinator.get_members(GROUP).get(LIMIT) == {b"a"}, "the parent's goes on"
