"""The report: figures as a table for people, or as one JSON object.

Law: both say the same; the table rounds, the JSON does not.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Mapping
from typing import Any

import gossipgroups
from sims.loopback.figures import (
    Assault,
    Blocked,
    Figure,
    Flood,
    Idle,
    Life,
    Memory,
    Rotation,
    Rounds,
    Skipped,
    Split,
    Start,
    Stopped,
    Strays,
)
from sims.loopback.options import CLUSTER_PHASES, FAULT_PHASES, HOSTILE, ROTATION, Options

Row = tuple[str, str, str]

TITLES = {
    "start": "all see all after a mass start",
    "join": "join → last callback",
    "leave": "leave → last callback",
    "stop": "graceful stop → last callback",
    "join after stop": "join after restart → last callback",
    "kill": "kill -9 → last callback",
    "join after kill": "join of a new process → last callback",
    "memory": "memory per node",
    "strays": "false or doubled callbacks",
}


def as_object(options: Options, figures: Mapping[str, Figure], load: tuple[float, float]) -> dict[str, Any]:
    """Everything that was found, for `json.dumps`."""
    return {
        "version": gossipgroups.__version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": {"before": load[0], "after": load[1]},
        "options": dataclasses.asdict(options),
        "sound": all(figure.sound for figure in figures.values()),
        "figures": {
            name: {"sound": figure.sound} | dataclasses.asdict(figure) for name, figure in figures.items()
        },
    }


def heading(options: Options, load: tuple[float, float]) -> str:
    """What was measured, in a line."""
    parts = []
    if set(options.phases) & set(CLUSTER_PHASES):
        parts.append(f"{options.nodes} nodes in {'one process' if options.in_process else 'a process each'}")
    if set(options.phases) & set(FAULT_PHASES):
        parts.append("faults on 5 processes")
    if ROTATION in options.phases:
        parts.append(f"keys changed on {options.nodes} processes")
    if HOSTILE in options.phases:
        parts.append("attacks on 5 processes")
    return f"{', '.join(parts)}; preset {options.preset}; load {load[0]:.1f} before, {load[1]:.1f} after"


def rows(figures: Mapping[str, Figure]) -> list[Row]:
    """The table: what, how much, and remarks."""
    return [(TITLES.get(name, name), *_cells(figure)) for name, figure in figures.items()]


def table(title: str, lines: list[Row]) -> None:
    """Print a table, with rich where it is installed."""
    try:
        import rich.console  # noqa: PLC0415  (optional)
        import rich.table as rich_table  # noqa: PLC0415
    except ImportError:
        widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
        print(title)
        for what, value, remark in lines:
            print(f"{what:<{widths[0]}}  {value:<{widths[1]}}  {remark}".rstrip())
        return
    shown = rich_table.Table(title=title, show_header=False, title_justify="left")
    for line in lines:
        shown.add_row(*line)
    console = rich.console.Console()
    # A file or pipe has no width: rather one long line a row than wrapped cells.
    console.width = console.width if console.is_terminal else 160
    console.print(shown)


def _cells(figure: Figure) -> tuple[str, str]:
    match figure:
        case Start():
            runs = " ".join(_seconds(each) for each in figure.runs)
            found = f"median {_seconds(figure.median)}", f"runs {runs}"
        case Rounds():
            times = f"p50 {_seconds(figure.p50)}  p99 {_seconds(figure.p99)}  max {_seconds(figure.max)}"
            found = times, f"{figure.count} rounds, {figure.missed} missed, {figure.unconverged} unconverged"
        case Idle():
            rates = f"{figure.cpu_ms:.2f} ms CPU  {figure.datagrams:.2f} datagrams  {figure.bytes:.0f} bytes"
            found = rates, f"per node and second, {figure.seconds:.0f} s; {figure.stalls} stalls"
        case Memory():
            found = f"RSS {_kib(figure.rss)}", f"PSS {_kib(figure.pss)}"
        case Strays():
            found = (
                str(len(figure.unexpected)),
                f"{figure.suspected} false suspicions, {figure.failed} false deaths",
            )
        case Blocked():
            meanwhile, told = _seconds(figure.change_meanwhile), _seconds(figure.told_after)
            found = (
                f"{figure.suspicions} suspicions, {figure.failures} deaths, {figure.leaves} leaves",
                f"{figure.seconds:g} s; a change meanwhile {meanwhile}, told {told} after the block",
            )
        case Stopped():
            left, back = _seconds(figure.left_after), _seconds(figure.back_after)
            found = (
                f"leaves {figure.leaves}  joins {figure.joins}",
                f"{figure.seconds:g} s; left after {left}, back {back}; saw {figure.false_leaves} leaves",
            )
        case Split():
            healed = f"views {_seconds(figure.views_after)}  groups {_seconds(figure.groups_after)}"
            counts = f"{figure.missed} missed, {len(figure.unexpected)} unexpected"
            found = healed, f"{figure.seconds:g} s, parted after {_seconds(figure.parted_after)}; {counts}"
        case Flood():
            joins = f"join p50 {_seconds(figure.join.p50)}  p99 {_seconds(figure.join.p99)}"
            leaves = f"leave p50 {_seconds(figure.leave.p50)}  p99 {_seconds(figure.leave.p99)}"
            missed = figure.join.missed + figure.leave.missed
            memory = f"memory {_kib(figure.memory_before)}, then {_kib(figure.memory_after)}"
            found = (
                f"{joins}  {leaves}",
                f"{figure.seconds:g} s, {figure.sent} datagrams, {figure.refused} of them read and refused; "
                f"{figure.join.count} rounds, {missed} missed; {figure.suspicions} false suspicions, "
                f"{figure.failures} false deaths; {memory}",
            )
        case Rotation():
            steps = "  ".join(_seconds(each) for each in figure.seconds)
            noticed = (
                f"{figure.callbacks} callbacks, {figure.suspicions} suspicions, {figure.failures} deaths"
            )
            found = (
                f"steps {steps}",
                f"{figure.nodes} nodes; {noticed}, {figure.refused} datagrams refused; afterwards "
                f"{figure.unknown_after} refuse the old key",
            )
        case Assault():
            late = [f"{figure.late} taken in late"] if figure.late else []
            reasons = ", ".join(f"{why} {count}" for why, count in sorted(figure.refused.items()))
            found = (
                f"sent {figure.sent}, {figure.sent_bytes} bytes  back {figure.returned}, "
                f"{figure.returned_bytes} bytes",
                "; ".join((f"refused: {reasons or 'none'}", *late, *_broken(figure.broken))),
            )
        case Life():
            joins = f"join p50 {_seconds(figure.join.p50)}  max {_seconds(figure.join.max)}"
            leaves = f"leave p50 {_seconds(figure.leave.p50)}  max {_seconds(figure.leave.max)}"
            kills = f"kill p50 {_seconds(figure.kill.p50)}  max {_seconds(figure.kill.max)}"
            missed = figure.join.missed + figure.leave.missed + figure.kill.missed
            counts = f"{figure.join.count} rounds, {figure.kill.count} kills, {missed} missed"
            strays = f"{figure.suspicions} false suspicions, {figure.failures} false deaths"
            memory = f"memory at most {_kib(figure.growth)} more"
            found = (
                f"{joins}  {leaves}  {kills}",
                "; ".join((counts, strays, memory, *_broken(figure.broken))),
            )
        case Skipped():
            found = "skipped", figure.reason
    return found


def _broken(broken: list[str]) -> list[str]:
    return [f"BROKEN: {each}" for each in broken]


def _seconds(value: float | None) -> str:
    if value is None:
        return "never"
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:.2f} s"


def _kib(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} KiB"
