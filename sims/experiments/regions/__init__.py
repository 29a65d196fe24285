"""Five regions: news, detection, cuts and rest over the distances of real data centres, by preset.

world.py    the regions, and the lines between their machines
run.py      one cluster, and what is done to it
results.py  tables and plot
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sims.experiments.experiment import Experiment, Scale
from sims.experiments.regions.results import plot, tables
from sims.experiments.regions.run import Case, run

PRESETS = ("lan", "wan")
LOSSES = (0.0, 0.01, 0.02)
SIZES = (
    Case("", 200, 0.0, 0, rest_s=300.0, spikes_s=300.0, changes=10, crashes=4, cuts=1, long_cuts=1),
    Case("", 40, 0.0, 0, rest_s=1200.0, spikes_s=1200.0, changes=40, crashes=10, cuts=3, long_cuts=2),
)
"""The large cluster first, so that no worker is left alone with it."""
QUICK_SIZES = (
    Case("", 20, 0.0, 0, rest_s=300.0, spikes_s=300.0, changes=10, crashes=3, cuts=1, long_cuts=1),
)
LARGE, LARGE_CUT_AT = 200, 0.01
"""Nodes of which a region is cut off at this loss only: nothing else costs as much."""


def cases(scale: Scale) -> Sequence[Case]:
    """All sizes, presets and losses; great jitter without loss only."""
    return [
        _case(size, preset, loss, scale.seed)
        for size in (QUICK_SIZES if scale.quick else SIZES)
        for preset in PRESETS
        for loss in LOSSES
    ]


def _case(size: Case, preset: str, loss: float, seed: int) -> Case:
    case = replace(size, preset=preset, loss=loss, seed=seed)
    if loss:
        case = replace(case, spikes_s=0.0)
    if case.nodes == LARGE and loss != LARGE_CUT_AT:
        case = replace(case, cuts=0, long_cuts=0)
    return case


EXPERIMENT = Experiment(
    name="regions",
    title="Five regions: news, crashes, a region cut off, and rest",
    source="the least time in which news can settle over these distances",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="Nodes in Washington, Frankfurt, Tokyo, Sydney and São Paulo, as far apart as measured between "
    "data centres of one cloud, with the presets lan and wan. Counted is the time to the last callback after "
    "joins, leaves and crashes, what is told when a region is cut off and after that, and what nodes at "
    "rest send and whom they suspect, under loss and under great jitter.",
)
