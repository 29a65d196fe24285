"""`gossipgroups node`: one coordinator until it is interrupted, its events on standard output.

Law: the first line names the node, every later one is something that happened. SIGINT, SIGTERM and the end of
`--stdin` leave gracefully and end with status 0.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import trio

from gossipgroups.cli.connection import Connection
from gossipgroups.cli.held import group_rows, node_rows
from gossipgroups.cli.lines import Printer
from gossipgroups.cli.operations import Operation, carry_out, carry_out_line
from gossipgroups.cli.output import Output
from gossipgroups.cli.running import reader_gone
from gossipgroups.coordinator import Coordinator
from gossipgroups.events import MemberJoinedGroup, MemberLeftGroup
from gossipgroups.streams import EventStream

BUFFER = 65_536
"""Events that may wait while nobody reads our output."""
READ_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a node is to do."""

    member_id: str
    groups: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    capabilities: Any = None
    stdin: bool = False


async def run_node(plan: Plan, connection: Connection, as_json: bool) -> int:
    """Run a node to its end; the exit status. Raises as `open_coordinator` and `join_group` do."""
    began = time.monotonic()
    output = Output()
    printer = Printer(as_json, output)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            life = trio.CancelScope()
            nursery.start_soon(_end_on_signal, signals, printer, life)
            nursery.start_soon(output.run)
            nursery.start_soon(_end_with_output, output, life)
            with life:
                async with connection.open(plan.member_id) as coordinator:
                    await _live(coordinator, plan, connection.cluster, began, printer)
            printer.say("Stopped")
            await output.finish()
            nursery.cancel_scope.cancel()
    if output.failure is not None:
        raise output.failure
    return reader_gone() if output.over.is_set() else 0


async def _end_on_signal(signals: AsyncIterator[int], printer: Printer, scope: trio.CancelScope) -> None:
    async for number in signals:  # to the end: another signal must not break off the leave
        if not scope.cancel_called:
            printer.say("Stopping", cause=signal.Signals(number).name)
            scope.cancel()


async def _end_with_output(output: Output, scope: trio.CancelScope) -> None:
    await output.over.wait()
    scope.cancel()


async def _live(coordinator: Coordinator, plan: Plan, cluster: str, began: float, printer: Printer) -> None:
    async with coordinator.events(buffer=BUFFER) as events, trio.open_nursery() as nursery:
        # Nothing awaits between here and the watches: what `Started` shows is what they begin from.
        node = coordinator.node
        printer.say(
            "Started",
            member_id=plan.member_id,
            node_id=node.node_id,
            address=node.address,
            cluster=cluster,
            pid=os.getpid(),
            seconds=time.monotonic() - began,
            nodes={row["node_id"]: row["name"] for row in node_rows(coordinator) if row["live"]},
            groups={row["group_id"]: row["member_ids"] for row in group_rows(coordinator)},
        )
        for group in plan.watched:
            coordinator.watch_join_group(group, printer.tell)
            coordinator.watch_leave_group(group, printer.tell)
        nursery.start_soon(_print_events, events, frozenset(plan.watched), printer)
        for group in plan.groups:
            await carry_out(coordinator, Operation("join", group, plan.capabilities), printer)
        if not plan.stdin:
            await trio.sleep_forever()
        await _obey_input(coordinator, printer)
        printer.say("Stopping", cause="end of input")
        nursery.cancel_scope.cancel()


async def _print_events(events: EventStream, watched: frozenset[str], printer: Printer) -> None:
    async for event in events:
        membership = isinstance(event, MemberJoinedGroup | MemberLeftGroup)
        # Of watched groups the callbacks print these, and of others nobody asked for them.
        if not (watched and membership):
            printer.tell(event)


async def _obey_input(coordinator: Coordinator, printer: Printer) -> None:
    waiting = b""
    while True:
        # A thread that may be left behind, and no lock of sys.stdin that it could hold when we end.
        received = await trio.to_thread.run_sync(os.read, 0, READ_BYTES, abandon_on_cancel=True)
        *lines, waiting = (waiting + received).split(b"\n")
        if not received:
            lines, waiting = [waiting], b""
        for line in lines:
            if line.strip():
                await carry_out_line(coordinator, line.decode("utf-8", "surrogateescape"), printer)
        if not received:
            return
