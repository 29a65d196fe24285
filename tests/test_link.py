"""The link: an exception in a call ends that call and its coordinator, never the loop that all share."""

from __future__ import annotations

import pytest
import trio

from gossipgroups.config import Config
from gossipgroups.errors import CoordinatorClosed
from gossipgroups.groups.rules import Command, Create
from gossipgroups.transport.link import Link, Settings, Ticket, outcome
from tests.waiting import LIMIT

SETTINGS = Settings("host-0", "127.0.0.1:0", None, (), "default", Config.local(), 1.0)


@pytest.mark.parametrize("early", [True, False])
async def test_an_exception_in_a_call_fails_it_and_is_handed_to_the_driver(early: bool) -> None:
    link = Link(SETTINGS, lambda events, sequence: None)
    defects: list[Exception] = []
    defect = LookupError("a defect of ours")

    def fail(command: Command, ticket: Ticket) -> None:
        raise defect

    link.on_command = fail
    link.on_defect = defects.append
    ticket = link.submit(Create("early")) if early else None
    link.opened(trio.lowlevel.current_trio_token().run_sync_soon)
    ticket = ticket or link.submit(Create("late"))
    with trio.fail_after(LIMIT):
        with pytest.raises(CoordinatorClosed, match="a defect of ours"):
            await outcome(ticket.applied)
        with pytest.raises(CoordinatorClosed, match="a defect of ours"):
            await outcome(ticket.done)
    assert defects == [defect]
