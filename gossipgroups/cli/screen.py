"""What the demo shows while it runs and at its end: live in a terminal, line by line elsewhere, or as JSON.

Law: a screen only reads what the demo holds. Without a terminal there is no control code, and all that
somebody was told is a line of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import trio
from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gossipgroups.cli.children import Child
from gossipgroups.cli.console import open_console, table
from gossipgroups.cli.ledger import KNOWN, Ledger, Step

WIDE = 8
"""With more processes than this, a table has no column for each."""
STATES = {"starting": "yellow", "running": "green", "killed": "red", "ended": "red", "stopped": "dim"}


class Screen:
    """Shows nothing while the demo runs, and a JSON object at its end."""

    def __init__(self, ledger: Ledger, cast: Mapping[str, Child], size: int) -> None:
        self._ledger = ledger
        self._cast = cast
        self._size = size

    def act(self, text: str) -> None:
        """The demo is about to do this."""

    def refresh(self) -> None:
        """Something was heard."""

    def draw(self) -> None:
        """Time has passed."""

    async def pause(self, seconds: float) -> None:
        """Let somebody who watches follow."""
        await trio.lowlevel.checkpoint()

    def verdict(self, faults: list[str], seconds: float) -> None:
        """The demo is over."""
        rows = [step.row() for step in self._ledger.steps]
        result = {"ok": not faults, "seconds": round(seconds, 3), "nodes": self._size}
        print(json.dumps({**result, "steps": rows, "faults": faults}, indent=2))

    def interrupted(self) -> None:
        """The demo was ended from outside."""
        print("interrupted: all processes of the demo were ended", file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class PlainScreen(Screen):
    """A line for each thing that is done and for each callback."""

    def __init__(self, ledger: Ledger, cast: Mapping[str, Child], size: int) -> None:
        super().__init__(ledger, cast, size)
        self._console = open_console()
        unicode = self._console.encoding.startswith("utf")
        self._good, self._bad, self._dot = ("✔", "✘", "●") if unicode else ("OK", "FAILED", "*")
        self._began = time.monotonic()
        self._introduced: set[Child] = set()
        self._shown: set[tuple[Step, str]] = set()

    def act(self, text: str) -> None:
        """Say what is done."""
        self.refresh()
        self._say(text)

    def refresh(self) -> None:
        """Say what was told since the last time."""
        for child in self._cast.values():
            if child.state == "running" and child not in self._introduced:
                self._introduced.add(child)
                self._say(f"  {child.member_id} runs: process {child.process.pid}, {child.address}")
        for step in self._ledger.steps:
            for observer, latency in step.latencies().items():
                if (step, observer) not in self._shown:
                    self._shown.add((step, observer))
                    self._say(f"  {observer} was told: {step.owed}, after {_ms(latency)} ms")

    def verdict(self, faults: list[str], seconds: float) -> None:
        """Say who was told what, first and last, and whether that was all."""
        columns = ("event", "told", "first", "ms", "last", "ms ")
        self._console.print()
        self._console.print(table(columns, map(_summary, self._ledger.steps), numbers=("told", "ms", "ms ")))
        self._console.print()
        if not faults:
            changes = [step for step in self._ledger.steps if step.owed.event != KNOWN]
            told = sum(len(step.told) for step in changes)
            text = f"{len(changes)} changes, told {told} times, everything to everybody and in order"
            self._console.print(Text(f"{self._good} {text} ({seconds:.1f} s)", style="bold green"))
            return
        self._console.print(
            Text(f"{self._bad} not everybody was told everything in order:", style="bold red")
        )
        for fault in faults:
            self._console.print(Text(f"  {fault}", style="red"))

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.3f} s  {text}", flush=True)


class LiveScreen(PlainScreen):
    """Two tables that fill as the processes tell: who sees whom, and each callback with its latency."""

    def __init__(self, ledger: Ledger, cast: Mapping[str, Child], size: int) -> None:
        super().__init__(ledger, cast, size)
        self._doing = ""
        self._live = Live(console=self._console, auto_refresh=False, get_renderable=self._render)

    def act(self, text: str) -> None:
        """Show what is done."""
        self._doing = text
        self.draw()

    def refresh(self) -> None:
        """Nothing at once: the next drawing shows it."""

    def draw(self) -> None:
        """Draw what is held now."""
        if self._live.is_started:
            self._live.refresh()

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await trio.sleep(seconds)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._doing = ""
        self._live.stop()

    def _render(self) -> RenderableType:
        title = Text.assemble(
            ("gossipgroups demo", "bold"), f"   {self._size} processes on this machine, no server"
        )
        doing: list[RenderableType] = ["", Text(f"> {self._doing}", "cyan")] if self._doing else []
        return Group(title, "", self._processes(), "", self._callbacks(), *doing)

    def _processes(self) -> Table:
        drawn = _frame()
        names = [f"node-{number}" for number in range(1, self._size + 1)]
        for column in ("process", "pid", "address", "state", "nodes", "sees in the group"):
            drawn.add_column(column, justify="right" if column in ("pid", "nodes") else "left", no_wrap=True)
        for name in names:
            child = self._cast.get(name)
            if child is None:
                drawn.add_row(name, *[""] * 5, style="dim")
                continue
            gone = child.state in ("killed", "ended", "stopped")
            members = Text("") if gone else self._members(names, child)
            drawn.add_row(
                name,
                str(child.process.pid),
                child.address,
                Text(child.state, STATES[child.state]),
                "" if gone else str(len(child.nodes)),
                members,
                style="dim" if gone else "",
            )
        return drawn

    def _members(self, names: list[str], child: Child) -> Text:
        if len(names) > 2 * WIDE:
            return Text(f"{len(child.members)} of {len(names)}")
        dots = ((f"{self._dot} ", "green") if name in child.members else ("· ", "dim") for name in names)
        return Text.assemble(*dots)

    def _callbacks(self) -> Table:
        drawn = _frame()
        drawn.add_column("told after ms", no_wrap=True, min_width=24)
        wide = self._size > WIDE
        names = [f"node-{number}" for number in range(1, self._size + 1)]
        for column in ("told", "first", "last") if wide else names:
            drawn.add_column(column, justify="right", no_wrap=True)
        for step in self._ledger.steps:
            latencies = step.latencies()
            values = list(latencies.values())
            if wide:
                cells = [Text(f"{len(values)} of {len(step.observers)}")]
                cells += [Text(_ms(value), "green") for value in (values[:1] + values[-1:])]
            else:
                cells = [_cell(step, name, latencies) for name in names]
            drawn.add_row(step.title, *cells)
        return drawn


def open_screen(as_json: bool, ledger: Ledger, cast: Mapping[str, Child], size: int) -> Screen:
    """The screen for this standard output."""
    if as_json:
        return Screen(ledger, cast, size)
    console = open_console()
    live = console.is_terminal and not console.is_dumb_terminal
    return (LiveScreen if live else PlainScreen)(ledger, cast, size)


def _frame() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")


def _cell(step: Step, name: str, latencies: Mapping[str, float]) -> Text:
    if name in latencies:
        return Text(_ms(latencies[name]), "green")
    return Text("…", "yellow") if name in step.missing else Text("–", "dim")


def _summary(step: Step) -> tuple[str, ...]:
    told = f"{len(step.told)} of {len(step.observers)}"
    latencies = list(step.latencies().items())
    if not latencies:
        return (step.title, told, "", "", "", "")
    (first, soonest), (last, latest) = latencies[0], latencies[-1]
    return (step.title, told, first, _ms(soonest), last, _ms(latest))


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
