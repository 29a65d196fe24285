"""Lifeguard (Dadgar, Phillips & Currey, arXiv 1707.00788): false positives while some members stall.

Law: all configurations run the same cases: the same members stall at the same times on the same network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import TYPE_CHECKING

from gossipgroups.config import Config
from gossipgroups.ids import Address
from gossipgroups.swim.parts import Part
from sims.engine import Simulation
from sims.experiments.experiment import Experiment, Row, Scale, main
from sims.measures.cluster import start_nodes
from sims.measures.removals import Notice, Removals, between
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NODES = 128
CALM_SECONDS = 15.0
"""After the start, before anything stalls."""
SECONDS = 120.0
"""Of stalling; the paper's runs last as long."""
QUICK_NODES, QUICK_SECONDS = 48, 36.0
STALLED = (1, 4, 8, 16, 24, 32)
"""C: members that stall at the same time."""
DURATIONS = (2.048, 8.192, 16.384, 32.768)
"""D: seconds of a stall."""
INTERVALS = (0.064, 4.096)
"""I: seconds between two stalls; one of them for each pair of C and D, in turn."""
THRESHOLD_SECONDS = 32.768
"""One stall, for the time to detection."""
CONFIRMATIONS = 3
"""K of the paper."""
ALPHA, BETA = 5.0, 6.0
ALPHAS = (4.0, 2.0)
"""Shorter suspicions, at which the paper shows what speed costs."""
WITHOUT_BOUND = 1e8


def _swim(alpha: float, **lifeguard: float) -> Config:
    """SWIM's configuration, with some of Lifeguard's numbers."""
    plain = {
        "suspicion_multiplier": alpha,
        "suspicion_max_factor": 1.0,
        "confirmations": 0,
        "awareness_limit": 0,
        "probe_timeout_min": Config.lan().probe_timeout,
        "silent_timeout": WITHOUT_BOUND,
        "stall_tolerance": WITHOUT_BOUND,
    }
    return Config.lan().but(**(plain | lifeguard))


_PROBE = {"awareness_limit": 8}
_SUSPICION = {"confirmations": CONFIRMATIONS, "suspicion_max_factor": BETA}
_ALL = frozenset(Part)
_BUT_BUDDY = _ALL - {Part.BUDDY}

CONFIGURATIONS: dict[str, tuple[Callable[[float], Config], frozenset[Part]]] = {
    "SWIM": (_swim, _ALL),
    "LHA-Probe": (lambda alpha: _swim(alpha, **_PROBE), _ALL),
    "LHA-Suspicion": (lambda alpha: _swim(alpha, **_SUSPICION), _ALL),
    "Buddy": (_swim, _BUT_BUDDY),
    "Lifeguard": (lambda alpha: _swim(alpha, **_PROBE, **_SUSPICION), _BUT_BUDDY),
    "gossipgroups": (
        lambda alpha: Config.lan().but(suspicion_multiplier=alpha, **_SUSPICION),
        frozenset(),
    ),
}
"""What each configuration runs with, and the parts that it leaves out."""

PAPER = {
    "SWIM": (100.0, 100.0, 100.0, 100.0),
    "LHA-Probe": (67.72, 32.88, 98.46, 90.03),
    "LHA-Suspicion": (3.00, 6.71, 111.31, 106.52),
    "Buddy": (94.08, 44.57, 100.07, 99.01),
    "Lifeguard": (1.53, 1.89, 110.59, 97.97),
}
"""% of SWIM: false positives, those at healthy members, messages, bytes (tables 4 and 6)."""
PAPER_ALPHAS = {4.0: (84.5, 4.8), 2.0: (56.8, 13.7)}
"""% of SWIM at α = 5: time to full detection, false positives (table 7)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    configuration: str
    alpha: float
    stalled: int
    stall: float
    interval: float
    """0: one stall only, to see how fast it is detected."""
    seed: int
    nodes: int = NODES
    seconds: float = SECONDS


def cases(scale: Scale) -> list[Case]:
    """C and D over the paper's range with alternating I, for each configuration."""
    counts = (4,) if scale.quick else STALLED
    stalls = (16.384,) if scale.quick else DURATIONS
    nodes, seconds = (QUICK_NODES, QUICK_SECONDS) if scale.quick else (NODES, SECONDS)
    pairs = [(count, stall) for count in counts for stall in stalls]
    runs = [(*pair, INTERVALS[sum(divmod(at, len(stalls))) % 2]) for at, pair in enumerate(pairs)]
    runs += [(count, THRESHOLD_SECONDS, 0.0) for count in counts]
    kinds = [(name, ALPHA) for name in CONFIGURATIONS]
    kinds += [(name, alpha) for alpha in ALPHAS for name in ("Lifeguard", "gossipgroups")]
    return [
        Case(name, alpha, *run, scale.seed + number, nodes, seconds)
        for number, run in enumerate(runs)
        for name, alpha in kinds
    ]


def run(case: Case) -> list[Row]:
    """Start a cluster, let members stall, and count."""
    removals = Removals()
    config, omit = CONFIGURATIONS[case.configuration]
    simulation = Simulation(case.seed, config(case.alpha), watchers=[removals])
    processes = start_nodes(simulation, case.nodes, omit)
    simulation.advance(CALM_SECONDS)
    if any(len(each.node.state.live) != case.nodes for each in processes) or removals.removals:
        raise RuntimeError(f"{case}: the cluster was not whole before anything stalled")
    stalled = simulation.random.sample(processes, case.stalled)
    begun, sent, sent_bytes = simulation.now, simulation.sent, simulation.sent_bytes
    until = begun + (case.seconds if case.interval else case.stall)
    while simulation.now < until:
        for each in stalled:
            simulation.block(each)
        simulation.advance(min(case.stall, until - simulation.now))
        for each in stalled:
            simulation.unblock(each)
        simulation.advance(min(case.interval, until - simulation.now))
    subjects = [each.address for each in stalled]
    healthy = {each.address for each in processes}.difference(subjects)
    everybody = healthy.union(subjects)
    first, full = _detection(between(removals.removals, healthy, subjects), subjects, len(healthy))
    return [
        {
            "configuration": case.configuration,
            "alpha": case.alpha,
            "nodes": case.nodes,
            "stalled": case.stalled,
            "stall": case.stall,
            "interval": case.interval,
            "seed": case.seed,
            "false_positives": len(between(removals.removals, everybody, healthy)),
            "false_positives_at_healthy": len(between(removals.removals, healthy, healthy)),
            "messages": simulation.sent - sent,
            "bytes": simulation.sent_bytes - sent_bytes,
            "first_detection": None if first is None else first - begun,
            "full_detection": None if full is None else full - begun,
        }
    ]


def _detection(
    removals: Sequence[Notice], subjects: Sequence[Address], healthy: int
) -> tuple[float | None, float | None]:
    """Medians over the stalled: when the first healthy member declared one dead, and when the last did."""
    times: dict[Address, dict[Address, float]] = defaultdict(dict)
    for time, observer, subject in removals:
        times[subject].setdefault(observer, time)
    # One that was not declared dead by all counts as never: the median bears fewer than half of them.
    firsts = [min(times[each].values(), default=inf) for each in subjects]
    lasts = [max(times[each].values()) if len(times[each]) == healthy else inf for each in subjects]
    first, full = (None if each == inf else each for each in (median(firsts), median(lasts)))
    return first, full


COUNTED = ("false_positives", "false_positives_at_healthy", "messages", "bytes")


def _total(rows: Sequence[Row], configuration: str, alpha: float, column: str) -> float:
    return sum(
        float(row[column] or 0)
        for row in rows
        if row["configuration"] == configuration and row["alpha"] == alpha and row["interval"]
    )


def _share(rows: Sequence[Row], configuration: str, alpha: float, column: str) -> Cell:
    base = _total(rows, "SWIM", ALPHA, column)
    return round(100 * _total(rows, configuration, alpha, column) / base, 2) if base else None


def _full(rows: Sequence[Row], configuration: str, alpha: float) -> float | None:
    # A run without detection counts as never: left out, it would make the others look faster.
    times = [
        inf if row["full_detection"] is None else float(row["full_detection"])
        for row in rows
        if row["configuration"] == configuration and row["alpha"] == alpha and not row["interval"]
    ]
    middle = median(times) if times else inf
    return None if middle == inf else middle


def tables(rows: Sequence[Row]) -> list[Table]:
    """Shares of plain SWIM, and what shorter suspicions gain and cost."""
    runs = sum(1 for row in rows if row["configuration"] == "SWIM" and row["interval"])
    shares = Table(
        f"% of plain SWIM, {rows[0]['nodes']} nodes, runs summed: {runs} (α = {ALPHA:g}, β = {BETA:g})",
        ("configuration", "FP", "paper", "FP at healthy", "paper", "messages", "paper", "bytes", "paper"),
        tuple(
            (
                name,
                *(
                    cell
                    for at, column in enumerate(COUNTED)
                    for cell in (
                        _share(rows, name, ALPHA, column),
                        PAPER[name][at] if name in PAPER else None,
                    )
                ),
            )
            for name in CONFIGURATIONS
        ),
        "FP: a healthy member declared dead, once for each member that does. "
        f"Plain SWIM: {_total(rows, 'SWIM', ALPHA, COUNTED[0]):,.0f} FP, "
        f"{_total(rows, 'SWIM', ALPHA, COUNTED[1]):,.0f} at healthy members.",
    )
    base = _full(rows, "SWIM", ALPHA)
    speeds = [
        (name, alpha, _full(rows, name, alpha), _share(rows, name, alpha, COUNTED[0]), alpha)
        for alpha in (ALPHA, *ALPHAS)
        for name in ("Lifeguard", "gossipgroups")
    ]
    detection = Table(
        "Time to full detection of a stalled member, and its price",
        ("configuration", "α", "seconds", "% of SWIM", "paper", "FP % of SWIM", "paper"),
        (
            ("SWIM", ALPHA, base, 100.0, 100.0, 100.0, 100.0),
            *(
                (
                    name,
                    alpha,
                    seconds,
                    round(100 * seconds / base, 1) if seconds and base else None,
                    PAPER_ALPHAS.get(alpha, (None, None))[0] if name == "Lifeguard" else None,
                    share,
                    PAPER_ALPHAS.get(alpha, (None, None))[1] if name == "Lifeguard" else None,
                )
                for name, alpha, seconds, share, _ in speeds
            ),
        ),
        f"Medians over the members that stall once for {THRESHOLD_SECONDS:g} s, and over the runs; nothing: "
        "most were not declared dead by all in that time.",
    )
    return [shares, detection]


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """False positives against the number of members that stall."""
    axes = figure.subplots(1, 2, sharex=True)
    for ax, column, title in zip(axes, COUNTED, ("false positives", "at healthy members"), strict=False):
        for name in CONFIGURATIONS:
            totals: dict[int, float] = defaultdict(float)
            for row in rows:
                if row["configuration"] == name and row["alpha"] == ALPHA and row["interval"]:
                    totals[int(row["stalled"] or 0)] += float(row[column] or 0)
            ax.plot(list(totals), [each + 0.5 for each in totals.values()], marker=".", label=name)
        ax.set(title=title, xlabel="members that stall", yscale="log")
    axes[0].set_ylabel("false positives + ½, all stalls and intervals")
    axes[1].legend()


EXPERIMENT = Experiment(
    "lifeguard",
    "Lifeguard: false positives while some members stall",
    "Dadgar, Phillips & Currey, Lifeguard: Local Health Awareness for More Accurate Failure Detection, "
    "arXiv 1707.00788",
    cases,
    run,
    tables,
    plot,
    "128 nodes, of which C stall together: for D seconds nothing is read from their sockets and nothing "
    "leaves, while their timers run, as in the paper; then they run for I seconds, and so on for 120 s.",
)

if __name__ == "__main__":
    main("lifeguard")
