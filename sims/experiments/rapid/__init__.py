"""`python -m sims.experiments.rapid`: the experiments of Rapid (Suresh et al., ATC 2018) on 1,000 nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from sims.experiments.experiment import Experiment, Row, Scale
from sims.experiments.rapid.scenarios import FAULTS, SPREADS, Case, run
from sims.measures.rows import number
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCENARIOS = [*SPREADS, *FAULTS]
SECONDS = {
    "machines crash": 120.0,
    "processes crash": 60.0,
    "ingress flips": 120.0,
    "egress loss": 120.0,
    "ingress loss": 120.0,
}
"""Watched from the fault on, by scenario: a suspicion that nobody confirms lasts 72 s among 1,000."""
QUICK_SECONDS = {"machines crash": 60.0, "ingress flips": 80.0, "egress loss": 20.0, "ingress loss": 10.0}
QUICK_NODES = 100
NODES = 1000
MOST_NODES = 2000
SPREAD_NODES = 300
"""Of starts over time: each join settles at all that are there, so their cost grows with the square."""
SEEDS = {"start": 2, "machines crash": 2, "processes crash": 2}
"""Runs of a scenario; 1 where nothing is said."""

MEMBERLIST_START = ("memberlist", "1,000", 45, None, 901, None)
RAPID_START = ("Rapid", "1,000", 29, None, 4, 4)
"""Seconds until all see all, and sizes logged, of the paper (figure 5, table 1)."""
RATES = {
    "memberlist": (0.54, 5.6, 7.4, 0.64, 6.4, 8.0),
    "Rapid": (0.71, 3.7, 9.6, 0.71, 3.7, 11.4),
    "goal": (0.7, 6.0, 12.0, 0.7, 6.0, 12.0),
}
"""KB a second received and sent by a process: mean, 99th percentile, highest (table 2 of the paper)."""
RATE_COLUMNS = tuple(f"{way} {name}, KB/s" for way in ("received", "sent") for name in ("mean", "p99", "max"))


def cases(scale: Scale) -> list[Case]:
    """The longest first."""
    if scale.quick:
        return [
            Case(name, QUICK_NODES, scale.seed, QUICK_SECONDS.get(name, SECONDS.get(name, 0.0)))
            for name in (*reversed(FAULTS), *SPREADS)
        ]
    return [
        Case("start", MOST_NODES, scale.seed),
        *(
            Case(
                name,
                SPREAD_NODES if SPREADS.get(name) else NODES,
                scale.seed + turn,
                SECONDS.get(name, 0.0),
            )
            for name in (*reversed(FAULTS), *SPREADS)
            for turn in range(SEEDS.get(name, 1))
        ),
    ]


def tables(rows: Sequence[Row]) -> list[Table]:
    """The start, the faults, and the traffic of all."""
    figures = _figures(rows)
    starts = {key: each for key, each in figures.items() if key[0] in SPREADS}
    faults = {key: each for key, each in figures.items() if key[0] in FAULTS}
    return [
        Table(
            "Start: a seed, and 10 s later all others",
            ("what", "nodes", "all see all, s", "sizes shown", "sizes logged", "settled views"),
            (
                MEMBERLIST_START,
                RAPID_START,
                *(
                    (
                        name,
                        f"{nodes:,}",
                        *_picked(each, "all see all, s", "sizes shown", "sizes logged", "settled views"),
                    )
                    for (name, nodes), each in starts.items()
                ),
            ),
            "Medians of the runs. Logged: each process notes its size once a second, as in the paper. Shown: "
            "each size that any process held once it had joined. A settled view is a live set that a process "
            "knew all in it to hold. Over 10 s, one node after the other joins a cluster that settles within "
            "milliseconds: each of these views is true, and there are about as many as joins.",
        ),
        Table(
            "Ten nodes at fault",
            (
                "what",
                "nodes",
                "first removal, s",
                "all ten known to all, s",
                "removals of each",
                "held live at the end, %",
                "false suspicions",
                "false removals",
                "sizes logged",
                "settled views",
                "told unsettled",
            ),
            tuple(
                (
                    name,
                    nodes,
                    *_picked(each, "first removal, s", "all ten known to all, s", "removals of each faulty"),
                    _percent(each["held live at the end"]),
                    *_picked(
                        each,
                        "suspicions of healthy",
                        "false removals",
                        "sizes logged",
                        "settled views",
                        "told unsettled",
                    ),
                )
                for (name, nodes), each in faults.items()
            ),
            "What the healthy nodes hold of the ten; false is what they hold of each other. The view before "
            "the fault is one of the settled views. Ingress flips: 20 s without any, 20 s with, and so on. "
            "Loss is 80 %.",
        ),
        Table(
            "KB a second and process",
            ("what", "nodes", *RATE_COLUMNS),
            (
                *((name, None, *rates) for name, rates in RATES.items()),
                *((name, nodes, *_picked(each, *RATE_COLUMNS)) for (name, nodes), each in figures.items()),
            ),
            "Over all windows of one second and all healthy processes, from the start or fault on, with IPv4 "
            "and UDP headers. The highest of a start is the seed's.",
        ),
    ]


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """The sizes that healthy nodes log, over time, one panel for each scenario."""
    series: dict[str, dict[str, list[tuple[float, float]]]] = {}
    first = {row["scenario"]: (row["nodes"], row["seed"]) for row in reversed(rows)}
    for row in rows:
        if row["at"] is not None and (row["nodes"], row["seed"]) == first[row["scenario"]]:
            lines = series.setdefault(str(row["scenario"]), {})
            lines.setdefault(str(row["figure"]), []).append((number(row, "at"), number(row, "value")))
    panels = iter(figure.subplots(2, (len(series) + 1) // 2, squeeze=False).flat)
    ordered = sorted(series.items(), key=lambda item: SCENARIOS.index(item[0]))
    for (name, lines), axes in zip(ordered, panels, strict=False):
        smallest, middle, largest = (
            [value for _, value in lines[f"{which} size"]] for which in ("smallest", "median", "largest")
        )
        seconds = [second for second, _ in lines["median size"]]
        axes.fill_between(seconds, smallest, largest, alpha=0.3)
        axes.plot(seconds, middle)
        axes.set_title(name)
        axes.set_xlabel("s")
    for axes in panels:
        axes.set_axis_off()
    figure.supylabel("size of the cluster, as healthy nodes see it")


Figures = dict[str, list[float]]


def _figures(rows: Iterable[Row]) -> dict[tuple[str, int], Figures]:
    """The values of all runs, by scenario and size, and by what they are."""
    found: dict[tuple[str, int], Figures] = {}
    for row in rows:
        if row["at"] is None:
            figures = found.setdefault((str(row["scenario"]), int(number(row, "nodes"))), {})
            values = figures.setdefault(str(row["figure"]), [])
            if row["value"] is not None:
                values.append(number(row, "value"))
    return dict(sorted(found.items(), key=lambda item: (SCENARIOS.index(item[0][0]), item[0][1])))


def _picked(figures: Figures, *names: str) -> tuple[Cell, ...]:
    return tuple(median(figures[name]) if figures[name] else None for name in names)


def _percent(values: list[float]) -> float:
    return 100 * median(values)


EXPERIMENT = Experiment(
    name="rapid",
    title="1,000 nodes start, and ten of them fail in the ways of the Rapid paper",
    source="Suresh et al., Stable and Consistent Membership at Scale with Rapid, USENIX ATC 2018",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="A seed starts, 10 s later all others. At rest, ten nodes crash, lose their ingress for 20 s in "
    "every 40 s, or lose 80 % of what they send or are sent.",
)
