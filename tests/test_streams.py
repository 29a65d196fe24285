"""Backlogs: what a slow reader lost is counted at its place, and any number of readers is woken."""

from __future__ import annotations

import trio
import trio.testing

from gossipgroups.events import Event, EventsLost, GroupCreated
from gossipgroups.streams import Backlog
from tests.waiting import LIMIT

ONE, TWO, THREE = (GroupCreated(name, True) for name in ("one", "two", "three"))


async def test_a_loss_that_is_put_is_counted_and_takes_no_place() -> None:
    backlog = Backlog(2)
    for _ in range(3):
        assert not backlog.put(EventsLost(9)), "a loss is not kept as an event, and an empty backlog bears it"
        assert await backlog.get() == EventsLost(9)
    assert backlog.put(ONE)
    assert backlog.put(TWO)
    assert not backlog.put(EventsLost(4))
    assert not backlog.put(THREE)
    assert not backlog.put(EventsLost(2))
    assert [await backlog.get() for _ in range(3)] == [ONE, TWO, EventsLost(7)]


async def test_two_readers_share_what_comes_and_both_end() -> None:
    backlog = Backlog(8)
    taken: list[Event] = []

    async def read() -> None:
        while (event := await backlog.get()) is not None:
            taken.append(event)

    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            for event in (ONE, TWO):
                backlog.put(event)
            await trio.testing.wait_all_tasks_blocked()
            backlog.close(drop=False)
    assert taken == [ONE, TWO]
