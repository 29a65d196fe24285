"""A small experiment for the tests of sweeps, experiments and the report, and cases that end badly.

How long does a cluster take until all see all? Other processes import this module to run its cases.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from gossipgroups.config import Config
from sims.engine import Simulation, address_of
from sims.experiments.experiment import Experiment, Row, Scale
from sims.sweep import Where, sweep
from sims.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Case:
    nodes: int
    seed: int


def run(case: Case) -> list[Row]:
    """Start the nodes at once; the row holds a hash of all that they sent."""
    simulation = Simulation(case.seed, Config.local())
    processes = [
        simulation.start(address_of(place), seeds=[address_of(0)][:place]) for place in range(case.nodes)
    ]
    simulation.advance_until(
        lambda: all(len(each.node.state.live) == case.nodes for each in processes), 10, every=0.001
    )
    whole = simulation.now
    simulation.advance(0.5)
    return [
        {
            "nodes": case.nodes,
            "seed": case.seed,
            "seconds": whole,
            "trace": f"x{simulation.trace_hash}",
            "remark": None,
        }
    ]


def cases(scale: Scale) -> list[Case]:
    sizes = (2, 3) if scale.quick else (2, 3, 4)
    return [Case(nodes, scale.seed + repeat) for nodes in sizes for repeat in range(3)]


def tables(rows: Sequence[Row]) -> list[Table]:
    sizes = sorted({row["nodes"] for row in rows}, key=str)
    means = [fmean(_seconds(row) for row in rows if row["nodes"] == size) for size in sizes]
    return [Table("Start <at once>", ("nodes", "mean s"), tuple(zip(sizes, means, strict=True)), "A note.")]


def plot(rows: Sequence[Row], figure: Figure) -> None:
    axes = figure.subplots()
    axes.plot([_seconds(row) for row in rows], marker="o")
    axes.set_xlabel("run")


def _seconds(row: Row) -> float:
    seconds = row["seconds"]
    assert isinstance(seconds, float)
    return seconds


EXPERIMENT = Experiment(
    name="tiny",
    title="A start <small>",
    source="nobody & nothing",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="First paragraph.\n\nSecond paragraph.",
)


@dataclass(frozen=True)
class Fate:
    """A case that ends in one of several ways."""

    what: str
    seed: int
    folder: str = ""


def meet(fate: Fate) -> int:
    match fate.what:
        case "raise":
            raise ValueError("that is not right")
        case "die":
            os._exit(3)
        case "hang" | "note":
            (Path(fate.folder) / str(os.getpid())).touch()
            if fate.what == "hang":
                signal.pause()
        case "deaf":
            return int(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
    return fate.seed


if __name__ == "__main__":
    # To be interrupted: of three processes two hang, and one has nothing to do.
    fates = [Fate(what, seed, sys.argv[1]) for seed, what in enumerate(("hang", "hang", "note"))]
    list(sweep(meet, fates, Where(jobs=3), label="hang"))
