"""The tables and the plot of the overloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gossipgroups.config import Config
from sims.experiments.experiment import Row
from sims.experiments.overload.run import quiet_bound, trust_bound
from sims.loopback.figures import quantile
from sims.measures.rows import grouped, number, numbers
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("scenario", "nodes", "machines", "starved", "supply")
SHOWN = 256
"""Nodes of the plotted runs; the most there are, if none had so many."""


def tables(rows: Sequence[Row]) -> Sequence[Table]:
    """How each overload ended, and how loud it was."""
    return [
        Table(
            "Overload: seconds from the release until quiet, and until all nodes trust themselves",
            (
                *KINDS,
                *("came back", "quiet: p50", "max", "bound", "relapses"),
                *("trusted: p50", "max", "bound"),
            ),
            tuple(_ending(kind, grouped(runs, "seed")) for kind, runs in grouped(rows, *KINDS).items()),
            "Supply: processor time of the starved nodes, of what they need when idle. Quiet: everybody "
            "holds everybody alive, no suspicion, no open scope, at most 1.2 times the idle rate, for 5 s on "
            "end. Relapses: seconds after that in which it was not so. Trusted: every local health score is "
            "0. memberlist, 256 in one process on two cores: 4 of 10 starts never came back.",
        ),
        Table(
            "Overload: how loud it was",
            (
                *KINDS,
                *("idle rate", "loudest 5 s while starved", "after the release"),
                *("suspicions per node", "deaths per node", "refutations per node"),
                "worst mean score",
            ),
            tuple(_loudness(kind, some) for kind, some in grouped(rows, *KINDS).items()),
            "Datagrams a second of the whole cluster; the loudest of all runs. Suspicions and deaths are "
            "counted at each node that held them, refutations at the node that refuted; means over "
            "the runs. In its storms memberlist sent 1,000 to 3,400 datagrams a second at 256 nodes, for "
            "good.",
        ),
    ]


def _ending(kind: tuple[Cell, ...], runs: dict[tuple[Cell, ...], list[Row]]) -> tuple[Cell, ...]:
    config, nodes = Config.lan(), int(str(kind[1]))
    endings = [some[0] for some in runs.values()]
    quiet, trusted = numbers(endings, "quiet_s"), numbers(endings, "trusted_s")
    return (
        *_named(kind),
        f"{len(quiet)} of {len(endings)}",
        *(quantile(quiet, share) for share in (0.5, 1)),
        quiet_bound(config, nodes),
        int(sum(numbers(endings, "relapses"))),
        *(quantile(trusted, share) for share in (0.5, 1)),
        trust_bound(config, nodes),
    )


def _loudness(kind: tuple[Cell, ...], rows: Sequence[Row]) -> tuple[Cell, ...]:
    runs, nodes = len(grouped(rows, "seed")), float(str(kind[1]))
    totals = [
        sum(number(row, name) * number(row, "lasted_s") for row in rows) / runs / nodes
        for name in ("suspicions", "deaths", "refutations")
    ]
    return (
        *_named(kind),
        number(rows[0], "idle"),
        *(
            quantile((number(row, "datagrams") for row in rows if (number(row, "at_s") > 0) is after), 1)
            for after in (False, True)
        ),
        *totals,
        max(numbers(rows, "awareness")),
    )


def _named(kind: tuple[Cell, ...]) -> tuple[Cell, ...]:
    *names, supply = kind
    share = float(str(supply))
    return (*names, f"× {share:g}" if share >= 1 else f"1/{1 / share:.0f}")


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """Datagrams a second and the mean score, over time, of the first run of each kind."""
    shown = SHOWN if any(row["nodes"] == SHOWN for row in rows) else max(numbers(rows, "nodes"))
    panels = {("start", "all"): 0, ("run", "all"): 1, ("run", "quarter"): 2}
    axes = figure.subplots(2, len(panels), sharex="col", squeeze=False)
    for (scenario, starved), column in panels.items():
        some = [
            row
            for row in rows
            if (row["scenario"], row["starved"], row["nodes"]) == (scenario, starved, shown)
        ]
        _panel(axes[0][column], axes[1][column], some)
        who = "all" if starved == "all" else "a quarter"
        axes[0][column].set_title(
            f"{'start of' if scenario == 'start' else 'running'} {shown:.0f}, {who} starved"
        )
    axes[0][0].set_ylabel("datagrams a second")
    axes[1][0].set_ylabel("mean local health score")


def _panel(above: Axes, below: Axes, rows: Sequence[Row]) -> None:
    colours = {supply: f"C{place}" for place, supply in enumerate(grouped(rows, "supply"))}
    for (machines, supply), some in grouped(rows, "machines", "supply").items():
        first = next(iter(grouped(some, "seed").values()))
        style = "-" if machines == "own" else "--"
        at, colour = numbers(first, "at_s"), colours[(supply,)]
        label = f"{_named((supply,))[0]}, {machines}"
        above.plot(at, [max(1.0, each) for each in numbers(first, "datagrams")], style, c=colour, label=label)
        below.plot(at, numbers(first, "awareness"), style, c=colour)
    above.set_yscale("log")
    if rows:
        above.axhline(number(rows[0], "idle"), color="grey", linewidth=0.6)
        above.legend(fontsize="xx-small", ncols=2)
    for each in (above, below):
        each.axvline(0, color="grey", linewidth=0.6)
    below.set(xlabel="seconds from the release", ylim=(0, None))
