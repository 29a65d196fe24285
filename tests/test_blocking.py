"""The door for programs without trio: order, errors at `.get()`, threads, callbacks, restart, fork, exit."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import gossipgroups as gg
from gossipgroups import BlockingCoordinator, get_coordinator
from gossipgroups.node import Node
from gossipgroups.transport import thread
from tests.waiting import LIMIT, address_of, wait_until


@contextmanager
def cluster(count: int, name: str = "blocking") -> Iterator[list[BlockingCoordinator]]:
    """Started coordinators "host-0", "host-1", … that know each other."""
    with ExitStack() as stack:
        coordinators: list[BlockingCoordinator] = []
        for number in range(count):
            seeds = address_of(coordinators[0]) if coordinators else "127.0.0.1:1"
            url = f"gossip://{seeds}/{name}?preset=local"
            if not coordinators:
                url = f"gossip:///{name}?preset=local"  # nobody else uses that cluster in this directory
            coordinators.append(stack.enter_context(get_coordinator(url, f"host-{number}")))
        yield coordinators


def test_all_operations() -> None:
    with cluster(2) as (a, b):
        assert a.create_group("workers").get(LIMIT) is True
        assert b.get_groups().get(LIMIT) == {"workers"}
        assert a.join_group("workers", {"slots": 4}).get(LIMIT) is True
        assert b.join_group(b"workers").get(LIMIT) is True
        assert a.get_members("workers").get(LIMIT) == {"host-0", "host-1"}
        assert b.get_member_capabilities("workers", "host-0").get(LIMIT) == {"slots": 4}
        info = b.get_member_info("workers", b"host-0").get(LIMIT)
        assert (info.node_name, info.address) == ("host-0", address_of(a))
        assert a.update_capabilities("workers", 2).get(LIMIT) is True
        assert b.get_member_capabilities("workers", "host-0").get(LIMIT) == 2
        assert b.leave_group("workers").get(LIMIT) is True
        assert b.leave_group("workers", "host-0").get(LIMIT) is True
        assert a.get_members("workers").get(LIMIT) == frozenset()
        assert b.delete_group("workers").get(LIMIT) is True
        assert a.get_groups().get(LIMIT) == frozenset()
        assert b.join_group("workers", create=True).get(LIMIT) is True
        assert [node.name for node in a.nodes()] == ["host-0", "host-1"]
        assert a.stats()["sent"] > 0
        assert a.member_id == "host-0"


def test_members_are_shown_with_their_capabilities() -> None:
    with cluster(2) as (a, b):
        a.join_group("workers", {"slots": 4}, create=True)
        assert a.get_members_with_capabilities("workers").get(LIMIT) == {"host-0": {"slots": 4}}
        assert a.settle().get(LIMIT) is True
        assert b.join_group(b"workers").get(LIMIT) is True
        expected = {"host-0": {"slots": 4}, "host-1": None}
        assert a.get_members_with_capabilities(b"workers").get(LIMIT) == expected
        with pytest.raises(gg.GroupNotCreated):
            a.get_members_with_capabilities("none").get(LIMIT)
        with pytest.raises(gg.LimitExceeded):
            a.get_members_with_capabilities("x" * 256)


def test_what_has_settled_waits_for_a_poll() -> None:
    with cluster(1) as (a,):
        url = f"gossip://{address_of(a)}/blocking?preset=local"
        with get_coordinator(url, "host-1", polled=True) as b:
            told: list[object] = []
            b.watch_join_group("workers", told.append)
            b.watch_leave_group("workers", told.append)
            assert b.settle().get(LIMIT) is True
            for round_ in range(5):
                told.clear()
                assert a.join_group("workers", create=True).get(LIMIT) is True
                assert b.settle().get(LIMIT) is True
                b.run_callbacks()
                assert told == [gg.MemberJoinedGroup("workers", True, "host-0")], round_
                assert a.leave_group("workers").get(LIMIT) is True
                assert b.settle("workers").get(LIMIT) is True
                b.run_callbacks()
                assert told[1:] == [gg.MemberLeftGroup("workers", True, "host-0", "left")], round_
            with pytest.raises(gg.InvalidValue):
                b.settle("")
    with pytest.raises(gg.CoordinatorClosed, match="start"):
        b.settle()


def test_settling_comes_after_the_operations_called_before() -> None:
    told: list[object] = []
    with cluster(1) as (a,):
        a.watch_join_group("workers", told.append)
        requests = [a.create_group("workers"), a.join_group("workers"), a.settle("workers"), a.settle()]
        assert [request.get(LIMIT) for request in reversed(requests)] == [True] * 4
        wait_until(lambda: told, "the callback")


def test_a_member_whose_lease_lapses_leaves_until_it_joins_again() -> None:
    leaves: list[gg.MemberLeftGroup] = []
    with cluster(1) as (a,):
        a.watch_leave_group("workers", leaves.append)
        url = f"gossip://{address_of(a)}/blocking?preset=local"
        with get_coordinator(url, "host-1", lease=0.5) as b:
            for round_ in (1, 2):
                assert b.join_group("workers", create=True).get(LIMIT) is True
                b.renew_lease()
                wait_until(lambda: not a.get_members("workers").get(LIMIT), "its lease has lapsed")
                assert b.get_members("workers").get(LIMIT) == frozenset()
                wait_until(lambda: len(leaves) == round_, leaves)  # noqa: B023
            assert {node.name for node in a.nodes() if node.status is gg.Status.ALIVE} == {"host-0", "host-1"}
    assert {(event.member_id, event.reason) for event in leaves} == {("host-1", "left")}
    with pytest.raises(gg.CoordinatorClosed):
        b.renew_lease()


def test_a_lease_that_is_renewed_from_another_thread_does_not_lapse() -> None:
    over = threading.Event()
    with cluster(1) as (a,):
        url = f"gossip://{address_of(a)}/blocking?preset=local"
        with get_coordinator(url, "host-1", lease=3.0) as b:

            def renew() -> None:
                while not over.wait(0.05):
                    b.renew_lease()

            thread = threading.Thread(target=renew)
            thread.start()
            b.join_group("workers", create=True).get(LIMIT)
            # Nothing comes to wait for: an end of the lease is what would be seen here.
            assert not over.wait(4.0)
            assert a.get_members("workers").get(LIMIT) == {"host-1"}
            over.set()
            thread.join(LIMIT)


def test_a_lease_of_a_coordinator_that_does_not_run_is_not_renewed() -> None:
    coordinator = get_coordinator("gossip:///lease?preset=local", "host-0", lease=1.0)
    with pytest.raises(gg.CoordinatorClosed):
        coordinator.renew_lease()
    with coordinator:
        coordinator.renew_lease()
    with pytest.raises(gg.CoordinatorClosed):
        coordinator.renew_lease()


@pytest.mark.parametrize("lease", [0, -1, float("nan"), float("inf"), 1e300, "x", True, [1]])
def test_a_lease_that_is_no_time_is_refused(lease: Any) -> None:
    with pytest.raises(gg.InvalidValue, match="lease"):
        get_coordinator("gossip://", "host-0", lease=lease)


def test_operations_apply_in_call_order_without_waiting() -> None:
    with cluster(2) as (a, b):
        requests: list[gg.Request[Any]] = []
        for number in range(20):
            requests += [
                a.create_group("workers"),
                a.join_group("workers", number),
                a.update_capabilities("workers", number + 1),
            ]
            shown = a.get_member_capabilities("workers", "host-0")
            requests += [a.leave_group("workers"), a.delete_group("workers")]
            assert shown.get(LIMIT) == number + 1, (
                "a getter sees what was called before it, and nothing later"
            )
        last = a.join_group("workers", "last", create=True)
        assert last.get(LIMIT) is True
        assert all(request.done() for request in requests), "all done, as one after the other"
        assert [request.get() for request in requests] == [True] * len(requests)
        assert b.get_member_capabilities("workers", "host-0").get(LIMIT) == "last"


def test_errors_surface_at_get() -> None:
    with cluster(1) as (a,):
        join = a.join_group("none")
        twice = [a.create_group("workers"), a.create_group("workers")]
        member = a.get_member_capabilities("workers", "x")
        group = a.get_members("none")
        assert twice[0].get(LIMIT) is True
        for request, error in (
            (join, gg.GroupNotCreated),
            (twice[1], gg.GroupAlreadyExists),
            (member, gg.MemberNotJoined),
            (group, gg.GroupNotCreated),
            (a.update_capabilities("workers", 1), gg.MemberNotJoined),
            (a.leave_group("workers"), gg.MemberNotJoined),
            (a.delete_group("none"), gg.GroupNotCreated),
            (a.get_member_info("none", "x"), gg.GroupNotCreated),
        ):
            for _ in range(2):
                with pytest.raises(error):
                    request.get(LIMIT)
        a.join_group("workers").get(LIMIT)
        with pytest.raises(gg.GroupNotEmpty):
            a.delete_group("workers").get(LIMIT)
        with pytest.raises(gg.MemberAlreadyJoined):
            a.join_group("workers").get(LIMIT)


def test_errors_of_an_argument_surface_at_the_call() -> None:
    with cluster(1) as (a,):
        calls: list[Callable[[], object]] = [
            lambda: a.create_group(""),
            lambda: a.join_group("g", object()),
            lambda: a.get_members("x" * 256),
            lambda: a.watch_join_group("g", "not callable"),  # type: ignore[arg-type]
        ]
        for call in calls:
            with pytest.raises((gg.InvalidValue, gg.LimitExceeded)):
                call()
    for url in ("http://127.0.0.1", "gossip://127.0.0.1:0", "gossip://?preset=moon", 7):
        with pytest.raises(gg.InvalidValue):
            get_coordinator(url, "host-0")  # type: ignore[arg-type]
    with pytest.raises(gg.LimitExceeded):
        get_coordinator("gossip://", b"x" * 256)


@pytest.mark.parametrize("query", ["bnid=127.0.0.1:0", "bind=", "join-timeout=3", "advertise"])
def test_an_option_that_says_nothing_is_refused(query: str) -> None:
    with pytest.raises(gg.InvalidValue, match=re.escape(f"{query.split('=', maxsplit=1)[0]} is no option")):
        get_coordinator(f"gossip://?{query}", "host-0")


def test_running_out_of_time_does_not_undo() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        seed = f"127.0.0.1:{sock.getsockname()[1]}"
        coordinator = get_coordinator(f"gossip://{seed}/silent?preset=local&join_timeout=0.2", "host-0")
        with pytest.raises(gg.SeedsUnreachable, match=seed):
            coordinator.start()
        assert not coordinator.is_started
        with pytest.raises(gg.CoordinatorClosed):
            coordinator.create_group("workers")
    with cluster(2) as (a, b):
        gate = threading.Event()
        a._link.query(lambda snapshot: gate.wait(LIMIT))  # the gossip loop stands still
        request = a.create_group("workers")
        with pytest.raises(TimeoutError):
            request.get(timeout=0)
        gate.set()
        assert request.get(LIMIT) is True
        assert request.done()
        assert b.get_groups().get(LIMIT) == {"workers"}


def test_callbacks_run_on_one_thread_of_their_own() -> None:
    calls: list[tuple[int, gg.GroupEvent]] = []

    def note(event: gg.GroupEvent) -> None:
        calls.append((threading.get_ident(), event))

    with cluster(2) as (a, b):
        a.join_group("one", create=True).get(LIMIT)
        for group in ("one", "two"):
            b.watch_join_group(group, note)
            b.watch_leave_group(group, note)
        b.join_group("one").get(LIMIT)
        wait_until(lambda: len(calls) == 1, calls)
        a.leave_group("one").get(LIMIT)
        wait_until(lambda: len(calls) == 2, calls)
        a.join_group("two", create=True).get(LIMIT)
        wait_until(lambda: len(calls) == 3, calls)
        b.unwatch_join_group("two", note)
        b.join_group("two").get(LIMIT)
        a.leave_group("two").get(LIMIT)
        wait_until(lambda: len(calls) == 4, calls)
        with pytest.raises(gg.WatchCallbackNotFound):
            b.unwatch_join_group("two", note)
    assert [event for _, event in calls] == [
        gg.MemberJoinedGroup("one", True, "host-1"),
        gg.MemberLeftGroup("one", True, "host-0", "left"),
        gg.MemberJoinedGroup("two", True, "host-0"),
        gg.MemberLeftGroup("two", True, "host-0", "left"),
    ]
    threads = {ident for ident, _ in calls}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_a_callback_may_call_and_wait() -> None:
    with cluster(2) as (a, b):
        seen: list[Any] = []

        def on_join(event: gg.MemberJoinedGroup) -> None:
            seen.append(b.get_members(event.group_id).get(LIMIT))
            seen.append(b.join_group("echo", event.member_id, create=True).get(LIMIT))
            b.unwatch_join_group("workers", on_join)
            b.watch_leave_group("workers", seen.append)
            seen.append("done")

        b.watch_join_group("workers", on_join)
        a.join_group("workers", create=True).get(LIMIT)
        wait_until(lambda: seen[-1:] == ["done"], seen)
        assert seen == [{"host-0"}, True, "done"]
        assert a.get_member_capabilities("echo", "host-1").get(LIMIT) == "host-0"
        a.leave_group("workers").get(LIMIT)
        wait_until(lambda: len(seen) == 4, seen)
        assert seen[-1] == gg.MemberLeftGroup("workers", True, "host-0", "left")


def test_a_callback_that_raises_is_logged_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    fine: list[object] = []

    def bad(event: object) -> None:
        raise LookupError("a defect of the application")

    with cluster(2) as (a, b):
        b.watch_join_group("workers", bad)
        b.watch_join_group("workers", fine.append)
        a.join_group("workers", create=True).get(LIMIT)
        wait_until(lambda: len(fine) == 1, "the other callback")
        b.join_group("workers").get(LIMIT)
        wait_until(lambda: len(fine) == 2, "and again")
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.exc_info and record.exc_info[0] for record in errors] == [LookupError, LookupError]


def test_a_callback_that_wants_to_exit_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []

    def leave(event: object) -> None:
        raise SystemExit(3)

    with cluster(1) as (a,):
        a.watch_join_group("workers", leave)
        a.watch_join_group("workers", told.append)
        a.join_group("workers", create=True).get(LIMIT)
        wait_until(lambda: told, "the other callback")
    (error,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert error.exc_info is not None
    assert error.exc_info[0] is SystemExit


def test_an_async_callback_is_an_error_on_the_log(caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []

    async def never_awaited(event: object) -> None:
        told.append("async")

    with cluster(1) as (a,):
        a.watch_join_group("workers", never_awaited)
        a.watch_join_group("workers", told.append)
        a.join_group("workers", create=True).get(LIMIT)
        wait_until(lambda: told, "the other callback")
    assert told == [gg.MemberJoinedGroup("workers", True, "host-0")]
    (error,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "never_awaited" in error.getMessage()
    assert "plain functions" in error.getMessage()


def test_a_callback_that_blocks_does_not_hold_up_the_gossip() -> None:
    release = threading.Event()
    with cluster(2) as (a, b):
        b.watch_join_group("workers", lambda event: release.wait(LIMIT))
        a.join_group("workers", create=True).get(LIMIT)
        assert b.join_group("workers").get(LIMIT) is True
        assert a.get_members("workers").get(LIMIT) == {"host-0", "host-1"}
        release.set()


def test_several_threads_may_use_one_coordinator() -> None:
    failures: list[str] = []

    def work(number: int) -> None:
        try:
            for round_ in range(5):
                group = f"{number}/{round_}"
                assert coordinator.create_group(group).get(LIMIT) is True
                coordinator.watch_join_group(group, lambda event: None)
                assert coordinator.join_group(group, number).get(LIMIT) is True
                assert coordinator.get_member_capabilities(group, "host-0").get(LIMIT) == number
        except BaseException:
            failures.append(traceback.format_exc())

    with cluster(2) as (coordinator, other):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert failures == []
        assert len(other.get_groups().get(LIMIT)) == 30


def test_start_and_stop_say_when_they_cannot_be() -> None:
    coordinator = get_coordinator("gossip:///start?preset=local", "host-0")
    for call in (coordinator.stop, lambda: coordinator.create_group("g"), coordinator.get_groups):
        with pytest.raises(gg.CoordinatorClosed, match="start"):
            call()
    coordinator.start()
    assert coordinator.is_started
    with pytest.raises(gg.CoordinatorClosed, match="already"):
        coordinator.start()
    coordinator.stop()
    with pytest.raises(gg.CoordinatorClosed):
        coordinator.stop()


def test_a_stopped_coordinator_may_be_started_again() -> None:
    with cluster(1) as (a,):
        b = get_coordinator(f"gossip://{address_of(a)}/blocking?preset=local", "host-1")
        for number in range(3):
            with b:
                joins: list[object] = []
                b.watch_join_group("workers", joins.append)
                assert b.join_group("workers", number, create=True).get(LIMIT) is True
                assert a.get_member_capabilities("workers", "host-1").get(LIMIT) == number
                wait_until(lambda: joins, "the join")  # noqa: B023
                assert joins == [gg.MemberJoinedGroup("workers", True, "host-1")]
            assert a.get_members("workers").get(LIMIT) == frozenset(), "it has left when stop returns"
        ended = [node.node_id for node in a.nodes() if node.name == "host-1"]
        assert len(set(ended)) == 3, "each start is a new node"


def test_a_stop_ends_all_watches() -> None:
    told: list[object] = []
    with cluster(1) as (a,):
        b = get_coordinator(f"gossip://{address_of(a)}/blocking?preset=local", "host-1")
        b.start()
        b.watch_join_group("workers", told.append)
        b.stop()
        with b:
            later: list[object] = []
            b.watch_join_group("workers", later.append)
            a.join_group("workers", create=True).get(LIMIT)
            wait_until(lambda: later, "the join")
            with pytest.raises(gg.WatchCallbackNotFound):
                b.unwatch_join_group("workers", told.append)
    assert told == []


def test_events_before_a_stop_are_not_told_to_watches_after_it() -> None:
    entered, release = threading.Event(), threading.Event()
    told: list[object] = []
    with cluster(1) as (a,):

        def block(event: object) -> None:
            entered.set()
            assert release.wait(LIMIT)

        a.watch_join_group("workers", block)
        a.join_group("workers", create=True).get(LIMIT)
        assert entered.wait(LIMIT)
        for _ in range(3):
            a.leave_group("workers").get(LIMIT)
            a.join_group("workers").get(LIMIT)
        (old,) = _callback_threads()
        a.stop()
        a.start()
        a.watch_join_group("workers", told.append)
        a.watch_leave_group("workers", told.append)
        release.set()
        old.join(LIMIT)
        assert not old.is_alive()
        assert told == []


def _callback_threads() -> list[threading.Thread]:
    wait_until(lambda: len(_threads("gossipgroups-callbacks")) == 1, "those of earlier tests have ended")
    return _threads("gossipgroups-callbacks")


def _threads(name: str) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == name]


def test_a_getter_that_waits_at_a_stop_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    # As behind a join whose member id is challenged for longer than the stop takes.
    monkeypatch.setattr(Node, "idle", property(lambda node: False))
    with cluster(1) as (a,):
        request = a.get_groups()
    with pytest.raises(gg.CoordinatorClosed):
        request.get(2.0)


def test_a_request_of_a_stopped_coordinator_ends() -> None:
    with cluster(2) as (a, b):
        seeds = address_of(b)
        third = get_coordinator(f"gossip://{seeds}/blocking?preset=local", "host-2")
        third.start()
        requests = [third.create_group(f"group-{number}") for number in range(50)]
        third.stop()
        for request in requests:
            with suppress(gg.CoordinatorClosed):
                assert request.get(LIMIT) is True
        assert len(a.get_groups().get(LIMIT)) <= 50


FORK = """
import os, sys, threading
import gossipgroups as gg

parent = gg.get_coordinator("gossip:///fork?preset=local", "parent")
parent.start()
parent.create_group("workers").get(10)
pending = parent.join_group("workers")
child = os.fork()
if child == 0:
    try:
        for call in (
            lambda: parent.create_group("other"),
            lambda: parent.get_groups(),
            lambda: parent.watch_join_group("workers", print),
            lambda: parent.stop(),
            lambda: parent.start(),
        ):
            try:
                call()
            except gg.CoordinatorClosed as error:
                assert "fork" in str(error) and "make a new one" in str(error), error
            else:
                raise AssertionError(f"no error from {call}")
        with gg.get_coordinator("gossip:///fork?preset=local", "child") as own:
            assert own.join_group("workers").get(10) is True
            assert "child" in own.get_members("workers").get(10)
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
assert pending.get(10) is True
assert parent.get_members("workers").get(10) == {"parent"}
parent.stop()
print("well")
"""


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=3 * LIMIT, check=False
    )


FORK_IN_A_BLOCK = """
import os
import gossipgroups as gg
child = 0
try:
    with gg.get_coordinator("gossip:///fork-block?preset=local", "parent"):
        child = os.fork()
        if child == 0:
            raise LookupError("of the block itself")
except LookupError:
    os._exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
print("well")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_end_of_a_block_in_a_fork_leaves_its_own_error() -> None:
    result = run_script(FORK_IN_A_BLOCK)
    assert (result.returncode, result.stdout) == (0, "well\n"), result.stderr


def test_a_block_may_stop_its_coordinator_itself() -> None:
    with cluster(1) as (a,):
        a.stop()
        assert not a.is_started


def test_a_start_without_a_descriptor_or_thread_left_says_so_and_the_next_one_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait_until(
        lambda: "gossipgroups" not in {each.name for each in threading.enumerate()}, "no thread is left"
    )

    def fail(main: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    coordinator = get_coordinator("gossip:///blocking-fd?preset=local", "a")
    with monkeypatch.context() as patch:
        patch.setattr(thread, "host", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="Too many open files"):
                coordinator.start()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        with pytest.raises(OSError, match=r"thread 'gossipgroups' cannot be started.*end other threads"):
            coordinator.start()
    with coordinator:
        assert coordinator.create_group("workers").get(LIMIT) is True


def _no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_start_without_a_thread_for_callbacks_leaves_no_node_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with cluster(1) as (a,):
        b = get_coordinator(f"gossip://{address_of(a)}/blocking?preset=local", "b")
        start = threading.Thread.start

        def fail(self: threading.Thread) -> None:
            if self.name == "gossipgroups-callbacks":
                _no_thread(self)
            start(self)

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(OSError, match="thread 'gossipgroups-callbacks' cannot be started"):
                b.start()
        assert not b.is_started
        wait_until(lambda: [node.name for node in a.nodes() if node.status.live] == ["host-0"], a.nodes)
        with b:
            assert b.create_group("workers").get(LIMIT) is True


def test_a_stop_that_is_interrupted_ends_the_callbacks_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def dispatchers() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "gossipgroups-callbacks"]

    with cluster(1) as (a,):
        assert dispatchers()
        interrupted: Future[bool] = Future()
        interrupted.set_exception(KeyboardInterrupt())
        link = a._link
        with monkeypatch.context() as patch:
            patch.setattr(link, "stop", lambda: interrupted)
            with pytest.raises(KeyboardInterrupt):
                a.stop()
        wait_until(lambda: not dispatchers(), dispatchers)
        assert link.stop().result(LIMIT) is True


def test_callbacks_that_ask_a_coordinator_while_it_stops_fail_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[object] = []
    for _ in range(5):
        with cluster(1) as (a,):
            a.join_group("workers", create=True).get(LIMIT)

            def ask(event: object, a: BlockingCoordinator = a) -> None:
                asked.append(event)
                a.get_members("workers").get(LIMIT)

            a.watch_leave_group("workers", ask)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_what_a_callback_could_not_do_elsewhere_is_on_the_log(caplog: pytest.LogCaptureFixture) -> None:
    other = get_coordinator("gossip:///blocking-other", "other")
    with cluster(1) as (a,):
        a.create_group("workers").get(LIMIT)
        a.watch_join_group("workers", lambda event: other.join_group("workers"))
        a.join_group("workers").get(LIMIT)
        wait_until(lambda: "is not started" in caplog.text, lambda: caplog.text)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_is_told_to_start_its_own() -> None:
    result = run_script(FORK)
    assert (result.returncode, result.stdout) == (0, "well\n"), result.stderr


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise SystemExit(3)", "main.stop()"])
def test_nothing_keeps_the_interpreter_alive(end: str) -> None:
    result = run_script(
        "import sys, gossipgroups as gg\n"
        "main = gg.get_coordinator('gossip:///exit?preset=local', 'host-0')\n"
        "main.start()\n"
        "main.watch_join_group('workers', print)\n"
        "main.join_group('workers', create=True).get(10)\n"
        f"{end}\n"
    )
    assert result.returncode == (3 if "3" in end else 0), result.stderr
    assert result.stderr == ""


def test_gossip_alone_finds_those_of_this_user() -> None:
    # Alone in its own per-user directory: conftest gives this test process one.
    with get_coordinator("gossip://", b"host-0") as a, get_coordinator("gossip://", b"host-1") as b:
        a.create_group(b"workers").get(LIMIT)
        b.join_group(b"workers").get(LIMIT)
        assert a.get_members(b"workers").get(LIMIT) == {"host-1"}


def held(*coordinators: BlockingCoordinator) -> set[tuple[str, ...]]:
    """The keys that any of them holds any node to have."""
    return {node.key_ids for each in coordinators for node in each.nodes()}


def test_keys_of_a_url_are_followed_and_changed(tmp_path: Path) -> None:
    old, new = gg.Key(bytes(32)), gg.Key(bytes([1]) * 32)
    path = tmp_path / "cluster.keys"
    gg.KeyFile(path).write(gg.KeyRing([old]))
    with ExitStack() as stack:
        url = f"/sealed?preset=local&keys={path}"
        first = stack.enter_context(get_coordinator(f"gossip://{url}", "first"))
        second = stack.enter_context(get_coordinator(f"gossip://{address_of(first)}{url}", "second"))
        assert first.create_group("workers").get(LIMIT) is True
        assert second.get_groups().get(LIMIT) == {"workers"}
        first.add_key(new).get(LIMIT)
        with pytest.raises(gg.KeyNotHeld, match="second"):
            first.use_key(new.id).get(LIMIT)
        second.add_key(new).get(LIMIT)
        wait_until(lambda: held(first, second) == {(old.id, new.id)})
        first.use_key(new.id).get(LIMIT)
        second.use_key(new.id).get(LIMIT)
        wait_until(lambda: held(first, second) == {(new.id, old.id)})
        for each in (first, second):
            each.remove_key(old.id).get(LIMIT)
        with pytest.raises(gg.UnknownKey):
            first.use_key(old.id).get(LIMIT)
        assert second.join_group("workers").get(LIMIT) is True
        assert first.get_members("workers").get(LIMIT) == {"second"}
        stranger = get_coordinator(f"gossip://{address_of(first)}/sealed?join_timeout=0.3", "third")
        with pytest.raises(gg.SeedsUnreachable):
            stranger.start()


def test_a_start_reads_the_key_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "cluster.keys"
    old, new = gg.Key(bytes(32)), gg.Key(bytes([1]) * 32)
    gg.KeyFile(path).write(gg.KeyRing([old]))
    coordinator = get_coordinator(f"gossip:///anew?preset=local&keys={path}", "host")
    with coordinator:
        assert coordinator.node.key_ids == (old.id,)
    path.unlink()
    with pytest.raises(gg.InvalidValue, match="cannot be read"):
        coordinator.start()
    assert not coordinator.is_started
    gg.KeyFile(path).write(gg.KeyRing([new]))
    with coordinator:
        assert coordinator.node.key_ids == (new.id,)
