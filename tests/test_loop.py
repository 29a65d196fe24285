"""The gossip thread's loop: who gets a turn when, and what crosses its border."""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import MockClock

import gossipgroups
from gossipgroups import CoordinatorClosed
from gossipgroups.node import Node
from gossipgroups.transport.kernel_datagrams import KernelDatagrams
from gossipgroups.transport.loop import (
    FAR,
    MOST_QUEUED,
    NO_STALL,
    Loop,
    SharedTurns,
    call_in,
    entry_here,
    host,
    loop_here,
    turns_of,
)

TOLERANCE = 0.0125
LIMIT = 10.0
"""Seconds after which a test that hangs fails."""


def hosted(main: Callable[[Loop], Awaitable[None]]) -> None:
    """Run a function in a loop of its own, in this thread."""

    async def limited() -> None:
        loop = loop_here.get()
        assert loop is not None
        with trio.fail_after(LIMIT):
            await main(loop)

    host(limited)


def bound() -> KernelDatagrams:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return KernelDatagrams(sock)


@given(st.floats(1.0, 1e7))
@example(505365.36000000004)
def test_a_turn_with_others_is_not_before_it_is_due_and_not_long_after(due: float) -> None:
    async def main() -> None:
        loop, datagrams = Loop(), bound()
        node = SharedTurns(loop, datagrams, lambda: inf, 1.0)
        loop._nodes, loop._round_at = 2, due - 2 * FAR
        node.due = due
        loop.expect(node)
        assert due <= loop._next_due() <= due + node.together
        loop.run(lambda: True)  # closes it
        datagrams.close()

    trio.run(main)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.one_of(st.just(inf), st.integers(0, 9).map(float))), max_size=30
    ),
    st.lists(st.integers(0, 9), min_size=1, max_size=4).map(sorted),
)
def test_a_node_is_due_at_its_last_time_whatever_it_was_before(
    changes: list[tuple[int, float]], looks: list[int]
) -> None:
    async def main() -> None:
        loop, datagrams = Loop(), bound()
        nodes = [SharedTurns(loop, datagrams, lambda: inf, TOLERANCE) for _ in range(4)]
        for step, look in enumerate(looks):
            for number, due in changes[step :: len(looks)]:
                nodes[number].due = due
                loop.expect(nodes[number])
            expected = {id(node) for node in nodes if node.due <= look}
            found = loop._due(look)
            assert {id(node) for node in found} == expected
            assert len(found) == len(expected)
            for node in found:
                node.due = inf
        loop.run(lambda: True)  # closes it
        datagrams.close()

    trio.run(main)


@pytest.mark.parametrize("far", [86_400.0, inf])
def test_a_node_that_is_due_soon_over_and_over_and_then_far_ahead_leaves_little_behind(far: float) -> None:
    async def main() -> None:
        loop, datagrams = Loop(), bound()
        node, other = (SharedTurns(loop, datagrams, lambda: inf, TOLERANCE) for _ in range(2))
        other.due = 1e6
        loop.expect(other)
        for step in range(1000):
            node.due = float(step)
            loop.expect(node)
            if step % 2:
                assert loop._due(node.due) == [node]
            node.due = far
            loop.expect(node)
            loop._next_due()
        assert len(loop._queue) <= MOST_QUEUED + 1
        assert loop._due(2e6) == ([node, other] if far < inf else [other])
        loop.run(lambda: True)
        datagrams.close()

    trio.run(main)


def test_a_socket_that_is_never_empty_takes_no_turn_from_a_node_that_is_due() -> None:
    turns: list[str] = []

    async def main(loop: Loop) -> None:
        flooded, other = bound(), bound()
        other.send(b"never read", flooded.address)

        def flooded_turn() -> float:
            turns.append("flooded")
            if len(turns) >= 200:
                first.end()
                second.end()
            return inf

        def other_turn() -> float:
            turns.append("other")
            return trio.current_time()

        first, second = turns_of(flooded, flooded_turn, TOLERANCE), turns_of(other, other_turn, TOLERANCE)
        assert isinstance(first, SharedTurns)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.run)
            nursery.start_soon(second.run)
        flooded.close()
        other.close()

    hosted(main)
    assert abs(turns.count("flooded") - turns.count("other")) <= 3


async def test_what_is_due_far_ahead_waits_for_others_if_there_are_any(autojump_clock: MockClock) -> None:
    loop, sockets = Loop(), [bound(), bound()]
    one, other = (SharedTurns(loop, each, lambda: inf, TOLERANCE) for each in sockets)
    now = loop._round_at = trio.current_time()
    one.due, other.due = now + FAR + 0.0513, now + FAR + 0.0514
    loop.add(one)
    assert loop._next_due() == one.due
    loop.add(other)
    one.queued = one.queued_for = inf
    loop.expect(one)
    meeting = loop._next_due()
    assert one.due < meeting == other.queued == one.queued < one.due + NO_STALL * TOLERANCE
    loop._round_at = one.due - FAR / 2
    loop.expect(one)
    assert one.queued == meeting, "it does not give up waiting as the time draws near"
    one.due = now + FAR / 2
    loop.expect(one)
    assert loop._next_due() == one.due
    loop.remove(one)
    loop.remove(other)
    assert loop._next_due() == inf
    loop.run(lambda: True)
    for each in sockets:
        each.close()


def test_a_turn_that_fails_ends_its_node_and_no_other() -> None:
    async def main(loop: Loop) -> None:
        broken, sound = bound(), bound()
        taken: list[float] = []

        def fail() -> float:
            if broken.receive():
                raise ZeroDivisionError
            return inf

        def go_on() -> float:
            taken.append(trio.current_time())
            sound.receive()
            return inf

        first, second = turns_of(broken, fail, TOLERANCE), turns_of(sound, go_on, TOLERANCE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(second.run)
            sound.send(b"", broken.address)
            with pytest.raises(ZeroDivisionError):
                await first.run()
            before = len(taken)
            broken.send(b"", sound.address)
            while len(taken) == before:
                await trio.sleep(0.001)
            second.end()
        broken.close()
        sound.close()

    hosted(main)


def test_calls_from_all_threads_are_made_in_their_order_and_none_is_lost() -> None:
    made: list[tuple[int, int]] = []

    async def main(loop: Loop) -> None:
        def ordered(thread: int) -> None:
            for number in range(300):
                loop.call(lambda number=number: made.append((thread, number)))  # type: ignore[misc]

        threads = [threading.Thread(target=ordered, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()
        while len(made) < 900:
            await trio.sleep(0.001)
        for thread in threads:
            thread.join()

    hosted(main)
    for thread in range(3):
        assert [number for which, number in made if which == thread] == list(range(300))


def test_after_its_end_a_loop_says_that_it_calls_nothing_more() -> None:
    loops: list[Loop] = []

    async def main(loop: Loop) -> None:
        loops.append(loop)

    hosted(main)
    with pytest.raises(trio.RunFinishedError):
        loops[0].call(lambda: None)


def test_what_one_round_has_for_another_run_wakes_it_once() -> None:
    class Token:
        def __init__(self) -> None:
            self.wakings = 0
            self.called: list[int] = []

        def run_sync_soon(self, function: Callable[..., object], *args: Any) -> None:
            self.wakings += 1
            function(*args)

    token: Any = Token()

    async def main(loop: Loop) -> None:
        done = trio.Event()

        def round_of_many() -> None:
            for number in range(5):
                call_in(token, lambda number=number: token.called.append(number))  # type: ignore[misc]
            assert token.called == []
            done.set()

        entry_here()(round_of_many)
        await done.wait()
        while not token.wakings:
            await trio.sleep(0.001)

    hosted(main)
    assert (token.wakings, token.called) == (1, [0, 1, 2, 3, 4])


async def test_a_call_into_the_own_run_is_made_at_once_and_into_a_finished_one_never() -> None:
    called: list[str] = []
    call_in(trio.lowlevel.current_trio_token(), lambda: called.append("here"))
    assert called == ["here"]

    async def token() -> trio.lowlevel.TrioToken:
        return trio.lowlevel.current_trio_token()

    finished = await trio.to_thread.run_sync(trio.run, token)
    call_in(finished, lambda: called.append("there"))
    assert called == ["here"]


async def test_a_defect_of_one_coordinator_leaves_the_others_of_its_thread_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tick, broken = Node.tick, False

    def sometimes(self: Node, now: float) -> None:
        if broken and self.state.own.name == "one":
            raise ZeroDivisionError("a defect")
        tick(self, now)

    monkeypatch.setattr(Node, "tick", sometimes)
    with trio.fail_after(LIMIT):
        async with (
            gossipgroups.open_coordinator("one", seeds=()) as one,
            gossipgroups.open_coordinator("two", seeds=()) as two,
        ):
            await two.create_group("g")
            broken = True
            with pytest.raises(CoordinatorClosed):
                await one.create_group("h")
            assert await two.join_group("g")
            assert two.get_members("g") == {"two"}
    assert "one" in caplog.text


async def test_coordinators_come_and_go_while_others_of_their_thread_are_at_work() -> None:
    with trio.fail_after(6 * LIMIT):
        async with gossipgroups.open_coordinator("stays", seeds=()) as stays:
            seed = str(stays.nodes()[0].address)
            await stays.create_group("g")

            async def work(until: trio.Event) -> None:
                while not until.is_set():
                    await stays.join_group("g")
                    await stays.leave_group("g")

            async def visit(number: int) -> None:
                name = f"guest-{number}"
                async with gossipgroups.open_coordinator(name, seeds=[seed]) as guest:
                    await guest.join_group("g", create=True)
                    assert name in guest.get_members("g")

            done = trio.Event()
            async with trio.open_nursery() as working:
                working.start_soon(work, done)
                for first in range(0, 9, 3):
                    async with trio.open_nursery() as nursery:
                        for number in range(first, first + 3):
                            nursery.start_soon(visit, number)
                done.set()
            assert await stays.settle()
            assert stays.get_members("g") == frozenset()
