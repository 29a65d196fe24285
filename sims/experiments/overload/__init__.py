"""Overload: too little processor for a while, and whether a cluster then comes back to quiet by itself.

machines.py  processors that are too few or too slow, and the queue of those that want one
quiet.py     when a cluster is quiet, and how loud it is before
run.py       one overload
results.py   tables and plot
"""

from __future__ import annotations

from collections.abc import Sequence

from sims.experiments.experiment import Experiment, Scale
from sims.experiments.overload.results import plot, tables
from sims.experiments.overload.run import Case, run

START_SECONDS, RUN_SECONDS = 10.0, 30.0
LIMIT = 300.0
"""Seconds after the release in which a cluster must have come back."""
START_SUPPLIES = (10.0, 1.0, 1 / 10, 1 / 30)
RUN_SUPPLIES = (1 / 10, 1 / 30, 1 / 100)
MACHINES = ("own", "shared")
REPEATS = {("start", "all"): 10, ("run", "all"): 8, ("run", "quarter"): 2}
"""Seeds of each kind; a quarter that is starved costs ten times as much to simulate."""


def cases(scale: Scale) -> Sequence[Case]:
    """Starts and running clusters, all or a quarter starved, on machines of their own or one for all."""
    sizes = (32,) if scale.quick else (64, 256)
    kinds = (
        *(("start", supply, "all", START_SECONDS) for supply in START_SUPPLIES),
        *(("run", supply, starved, RUN_SECONDS) for starved in ("all", "quarter") for supply in RUN_SUPPLIES),
    )
    return [
        Case(scenario, nodes, machines, supply, starved, lasting, LIMIT, scale.seed + repeat)
        for nodes in sizes
        for scenario, supply, starved, lasting in kinds
        for machines in MACHINES
        for repeat in range(1 if scale.quick else REPEATS[scenario, starved])
    ]


EXPERIMENT = Experiment(
    name="overload",
    title="Overload, and the way back",
    source="memberlist HEAD, 256 nodes in one process on two cores, started at once",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="Handling datagrams costs processor time, and there is too little of it: while all start at once "
    "(10 s), or in a running cluster (30 s), at all nodes or at a quarter of them. Each is throttled alone, "
    "or all contend for two processors. Counted is the time from the release until the cluster is quiet.",
)
