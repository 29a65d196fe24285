"""`gossipgroups demo`: processes find each other, form a group, and see one of them killed and one stopped.

Law: a step is owed to its observers before its cause is made, and has ended before the next begins, or the
demo ends. What it shows comes from the lines of the processes; it has no opinion of its own on who is there.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import trio

from gossipgroups.cli.children import Child
from gossipgroups.cli.ledger import KNOWN, Ledger, Step, Told
from gossipgroups.cli.screen import Screen, open_screen

GROUP = "demo"
START_SECONDS = 20.0
"""How long the processes may take to start, and a second more for each: small machines start them slowly."""
STEP_SECONDS = 10.0
"""How long one change may take to reach everybody."""
FINISH_SECONDS = 4.0
"""How long a process may take to leave at the end, before it is killed."""
PAUSES = 4.5
"""Seconds of standing still between steps, over the whole demo, where somebody watches."""

Line = dict[str, Any]


class Failed(Exception):
    """The demo cannot go on."""


async def run_demo(size: int, preset: str, as_json: bool) -> int:
    """Run the demo with so many processes; its exit status."""
    ledger = Ledger()
    cast: dict[str, Child] = {}
    screen = open_screen(as_json, ledger, cast, size)
    interrupted: list[int] = []
    began = time.monotonic()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            demo = Demo(size, preset, ledger, cast, screen, nursery)
            scope = trio.CancelScope()
            nursery.start_soon(_interrupt, signals, scope, interrupted)
            nursery.start_soon(_draw, screen)
            try:
                with screen, scope:
                    await demo.run()
            except Failed as failure:
                ledger.faults.insert(0, str(failure))
            finally:
                with trio.CancelScope(shield=True):
                    await demo.clean_up()
            nursery.cancel_scope.cancel()
    if interrupted:
        screen.interrupted()
        return 128 + interrupted[0]
    faults = ledger.close()
    screen.verdict(faults, time.monotonic() - began)
    return 1 if faults else 0


class Demo:
    """The course of the demo, and what it hears from its processes."""

    def __init__(
        self,
        size: int,
        preset: str,
        ledger: Ledger,
        cast: dict[str, Child],
        screen: Screen,
        nursery: trio.Nursery,
    ) -> None:
        self._names = [f"node-{number}" for number in range(1, size + 1)]
        self._preset = preset
        self._cluster = f"demo-{secrets.token_hex(4)}"
        self._ledger = ledger
        self._cast = cast
        self._screen = screen
        self._nursery = nursery
        self._all: list[Child] = []
        self._changed = trio.Event()
        self._failure: str | None = None
        self._over = False

    async def run(self) -> None:
        """All steps. Raises `Failed`."""
        first, last = self._names[0], self._names[-1]
        await self._gather()
        await self._order("group created", first, f"create {GROUP}", Told("GroupCreated"))
        for name in self._names:
            await self._order(f"{name} joined", name, f"join {GROUP}", Told("MemberJoinedGroup", name))
        await self._kill(first)
        self._screen.act(f"start {first} again, under the same member id, with {self._names[1]} as its seed")
        await self._start(first, seed=self._names[1])
        await self._wait(lambda: self._knows_all(first), START_SECONDS, f"for {first} to be back")
        await self._order(f"{first} joined again", first, f"join {GROUP}", Told("MemberJoinedGroup", first))
        await self._stop(last)

    async def clean_up(self) -> None:
        """End every process that was started; takes a bounded time."""
        self._over = True
        async with trio.open_nursery() as nursery:
            for child in self._all:
                nursery.start_soon(child.finish, FINISH_SECONDS)

    # The steps.

    async def _gather(self) -> None:
        first, *others = self._names
        self._ledger.owe("all found each other", Told(KNOWN), self._names)
        self._screen.act(f"start {first}, alone, on a port that it draws")
        await self._start(first, seed=None)
        await self._wait(lambda: self._knows_all(first, 1), START_SECONDS, f"for {first} to start")
        self._screen.act(f"start {others[0]} to {others[-1]}, with {first} as their seed")
        for name in others:
            await self._start(name, seed=first)
        await self._wait(
            lambda: all(child.state == "running" for child in self._cast.values()),
            START_SECONDS + len(others),
            "for all processes to start",
        )
        step = self._ledger.steps[0]
        step.origin = max(child.opened_at for child in self._cast.values())
        await self._finish(step)

    async def _order(self, title: str, name: str, operation: str, owed: Told) -> None:
        self._screen.act(f"{name}: {operation}")
        step = self._ledger.owe(title, owed, list(self._cast))
        try:
            await self._cast[name].order(operation)
        except trio.BrokenResourceError:
            raise Failed(f"{name} takes no orders any more") from None
        await self._finish(step)

    async def _kill(self, name: str) -> None:
        child = self._cast[name]
        self._screen.act(f"kill -9 {name}, the seed of all others (process {child.process.pid})")
        step = self._owe_leave(f"{name} killed (kill -9)", name, "failed")
        child.kill()
        await self._finish(step)

    async def _stop(self, name: str) -> None:
        child = self._cast[name]
        self._screen.act(f"stop {name} (SIGTERM to process {child.process.pid}): it leaves gracefully")
        step = self._owe_leave(f"{name} stopped (SIGTERM)", name, "left")
        child.stop()
        await self._finish(step)
        await self._wait(lambda: child.status is not None, STEP_SECONDS, f"for {name} to end")
        if child.status != 0:
            raise Failed(f"{name} ended with status {child.status} instead of 0{_why(child)}")

    def _owe_leave(self, title: str, name: str, reason: str) -> Step:
        others = [each for each in self._cast if each != name]
        return self._ledger.owe(title, Told("MemberLeftGroup", name, reason), others, time.monotonic())

    async def _finish(self, step: Step) -> None:
        await self._wait(lambda: step.complete, STEP_SECONDS, f"for everybody to be told: {step.title}")
        await self._screen.pause(PAUSES / (len(self._names) + 5))

    async def _wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        with trio.move_on_after(seconds):
            while not condition():
                if self._failure is not None:
                    raise Failed(self._failure)
                await self._changed.wait()
            return
        raise Failed(f"waited {seconds:g} s {what}")

    # The processes.

    async def _start(self, name: str, seed: str | None) -> None:
        whom = ["--alone"] if seed is None else ["--seeds", self._cast[seed].address]
        child = Child(name, self._hear)
        arguments = ["--member-id", name, "--cluster", self._cluster, "--preset", self._preset]
        await child.start([*arguments, "--bind", "127.0.0.1:0", "--watch", GROUP, *whom], self._nursery)
        self._all.append(child)
        self._cast[name] = child

    def _knows_all(self, name: str, count: int | None = None) -> bool:
        return len(self._cast[name].nodes) == (count or len(self._names))

    def _hear(self, child: Child, line: Line | None) -> None:
        if self._over:
            return
        if line is not None:
            child.note(line, GROUP)
            self._judge(child, line)
        elif child.state in ("starting", "running"):
            child.state = "ended"
            self._failure = f"{child.member_id} ended by itself with status {child.status}{_why(child)}"
        self._screen.refresh()
        self._changed.set()
        self._changed = trio.Event()

    def _judge(self, child: Child, line: Line) -> None:
        observer, at, steps = child.member_id, line["monotonic"], self._ledger.steps
        match line["event"]:
            case "Started" | "NodeJoined" if len(steps) == 1 and observer in steps[0].missing:
                if self._knows_all(observer):
                    self._ledger.tell(observer, Told(KNOWN), at)
            case "OperationStarted":
                steps[-1].origin = at
            case "OperationFailed":
                self._failure = f"{observer} could not {line['operation']}: {line['message']}"
            case "GroupCreated" if any(step.owed.event == "GroupCreated" for step in steps):
                # One that came later may be told of what was there, or not: it is owed nothing.
                if child is self._all[self._names.index(observer)]:
                    self._ledger.tell(observer, Told("GroupCreated"), at, line["converged"])
            case ("MemberJoinedGroup" | "MemberLeftGroup") as event:
                told = Told(event, line["member_id"], line.get("reason"))
                self._ledger.tell(observer, told, at, line["converged"])


async def _interrupt(signals: AsyncIterator[int], scope: trio.CancelScope, interrupted: list[int]) -> None:
    async for number in signals:
        interrupted.append(number)
        scope.cancel()


async def _draw(screen: Screen) -> None:
    while True:
        screen.draw()
        await trio.sleep(0.1)


def _why(child: Child) -> str:
    return f" ({child.complaints[-1]})" if child.complaints else ""
