"""What one run of the benchmark is to do, from the command line.

Law: options are checked here, before any process is started, and never change afterwards.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from gossipgroups.config import PRESETS

CLUSTER_PHASES = ("start", "idle", "join", "leave", "stop", "kill")
"""Measured on one cluster of `--nodes`; after the start, in the order given here."""
FAULT_PHASES = ("blocked", "stopped", "split", "flood")
"""Each on a cluster of five processes of its own."""
ROTATION = "rotation"
"""On a cluster of `--nodes` processes of its own."""
HOSTILE = "hostile"
"""On two clusters of five processes, without keys and with."""
PHASES = (*CLUSTER_PHASES, *FAULT_PHASES, ROTATION, HOSTILE)


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. Durations in seconds."""

    nodes: int = 16
    in_process: bool = False
    rounds: int = 20
    runs: int = 1
    preset: str = "lan"
    phases: tuple[str, ...] = CLUSTER_PHASES
    drain: float = 5.0
    window: float = 20.0
    blocked: float = 15.0
    stopped: float = 20.0
    split: float = 40.0
    flood: float = 60.0
    rate: int = 20_000
    seconds: float = 60.0
    bound: float = 1.0
    limit: float = 120.0
    as_json: bool = False


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options of a command line; ends the program with a message when they make no sense."""
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m sims.loopback",
        description="Measure coordinators on this machine's loopback. Ends with status 1 when a callback was "
        "missed or a cluster did not become whole.",
        epilog="docs/benchmarks.md says what each figure means. With --runs only the start is repeated.",
    )
    add = parser.add_argument
    add("--nodes", type=int, default=default.nodes, help="coordinators (default %(default)s)")
    add("--in-process", action="store_true", help="all of them in one process, not one in each")
    add(
        "--rounds",
        type=int,
        default=default.rounds,
        help="joins, leaves, stops and kills (default %(default)s)",
    )
    add("--runs", type=int, default=default.runs, help="mass starts, each from nothing (default %(default)s)")
    add(
        "--preset",
        choices=sorted(PRESETS),
        default=default.preset,
        help="configuration (default %(default)s)",
    )
    add(
        "--phases",
        type=_phases,
        metavar="NAME,...",
        help=f"of {', '.join(PHASES)} (default: {','.join(CLUSTER_PHASES)}, or the faults given below)",
    )
    add("--drain", type=float, default=default.drain, help="quiet seconds before idle (default %(default)g)")
    add("--window", type=float, default=default.window, help="seconds of idle measured (default %(default)g)")
    add("--blocked", type=float, metavar="SECONDS", help="block one of five application loops for so long")
    add("--stopped", type=float, metavar="SECONDS", help="SIGSTOP one of five processes for so long")
    add(
        "--split",
        type=float,
        metavar="SECONDS",
        help="cut five processes into 3 + 2 for so long (root, Linux)",
    )
    add(
        "--flood",
        type=float,
        metavar="SECONDS",
        help="flood one of five processes with garbage for so long; all have keys",
    )
    add(
        "--rate",
        type=int,
        default=default.rate,
        help="datagrams a second of a flood (default %(default)s)",
    )
    add("--rotate", action="store_true", help="change the key of a cluster of --nodes processes")
    add("--hostile", action="store_true", help="attack five processes, without keys and with")
    add(
        "--seconds",
        type=float,
        default=default.seconds,
        help="seconds of attacks on each of the two (default %(default)g)",
    )
    add(
        "--bound",
        type=float,
        default=default.bound,
        help="seconds within which all must be told of a change meanwhile, and by which the median kill may "
        "be found out later than before (default %(default)g)",
    )
    add(
        "--limit",
        type=float,
        default=default.limit,
        help="seconds to wait for anything (default %(default)g)",
    )
    add("--json", action="store_true", dest="as_json", help="print one JSON object instead of a table")
    given = parser.parse_args(arguments)
    faults = tuple(phase for phase in FAULT_PHASES if getattr(given, phase) is not None)
    others = tuple(phase for phase, wanted in ((ROTATION, given.rotate), (HOSTILE, given.hostile)) if wanted)
    del given.rotate, given.hostile
    phases = tuple(dict.fromkeys((given.phases or ()) + faults + others)) or default.phases
    for name in FAULT_PHASES:
        if getattr(given, name) is None:
            setattr(given, name, getattr(default, name))
    given.phases = tuple(phase for phase in PHASES if phase in phases)
    for name in ("rounds", "runs", "drain", "window", *FAULT_PHASES, "rate", "seconds", "bound", "limit"):
        if not getattr(given, name) > 0:
            parser.error(f"--{name} is {getattr(given, name)}: it must be above 0")
    if given.nodes < 2:
        parser.error(f"--nodes is {given.nodes}: a cluster has at least 2")
    return Options(**vars(given))


def _phases(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in PHASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no phase {', '.join(unknown)}: choose from {', '.join(PHASES)}")
    return names
