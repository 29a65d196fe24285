"""SWIM (Das, Gupta & Motivala, DSN 2002): load, time to detection, spread, and life under loss.

Law: each part of the paper's evaluation is one kind of case; all kinds share the columns `measure`, `value`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, e
from statistics import mean, median
from typing import TYPE_CHECKING

from gossipgroups.config import Config
from gossipgroups.swim.parts import Part
from gossipgroups.testing.latency import Constant
from gossipgroups.testing.medium import CLEAR
from sims.engine import Simulation, Watcher, address_of
from sims.experiments.experiment import Experiment, Row, Scale, main
from sims.measures.cluster import start_nodes
from sims.measures.first_ping import FirstPing
from sims.measures.removals import Removals
from sims.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (6, 8, 16, 24, 32, 40, 48, 56)
"""n of the paper's figures."""
CALM_PERIODS = 20
LOAD_PERIODS = 60
CRASHES = 40
"""In one run, one after the other, each machine coming back before the next."""
GIVE_UP_PERIODS = 60
MEMBERS = 17
"""That join one by one under loss."""
LOSS = 0.1
"""Share of the datagrams that each member fails to receive."""
BETWEEN_JOINS = 10
WATCHED_PERIODS = 500
AT_ONCE = 1e-6
"""A suspicion multiplier that leaves no time to refute."""
TO_ALL = 8
"""A retransmit multiplier with which a rumour goes out as often as there are others: 16 times among 17."""
PERIOD = 1.0

PLAIN = Config.lan().but(
    awareness_limit=0,
    confirmations=0,
    suspicion_max_factor=1.0,
    probe_timeout_min=Config.lan().probe_timeout,
    silent_timeout=1e8,
    stall_tolerance=1e8,
)
KINDS: dict[str, tuple[Config, frozenset[Part]]] = {
    "gossipgroups": (Config.lan(), frozenset()),
    "SWIM, with suspicion": (PLAIN, frozenset(Part)),
    "SWIM, without suspicion": (PLAIN.but(suspicion_multiplier=AT_ONCE), frozenset(Part)),
    "basic": (
        PLAIN.but(suspicion_multiplier=AT_ONCE, fanout=MEMBERS, retransmit_multiplier=TO_ALL),
        frozenset(Part),
    ),
}
"""Our whole, and its detector reduced to the three of the paper. `basic` tells each change to all."""
PAPER_SIZES = {"SWIM, with suspicion": 12, "SWIM, without suspicion": 4, "basic": 2}


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    part: str
    kind: str
    nodes: int
    seed: int


def _cluster(case: Case, *watchers: Watcher) -> Simulation:
    config, omit = KINDS[case.kind]
    simulation = Simulation(case.seed, config, watchers=watchers)
    start_nodes(simulation, case.nodes, omit)
    simulation.advance(CALM_PERIODS * PERIOD)
    if any(len(each.node.state.live) != case.nodes for each in simulation.processes.values()):
        raise RuntimeError(f"{case}: the cluster is not whole after {CALM_PERIODS} periods")
    return simulation


def _load(case: Case) -> Iterator[tuple[str, float]]:
    """Messages that a member sends in a period when nothing happens, and when a tenth is lost on the way."""
    simulation = _cluster(case)
    for measure, loss in (("messages", 0.0), ("messages under loss", LOSS)):
        simulation.medium.line = simulation.medium.line.but(loss=loss)
        sent = simulation.sent
        simulation.advance(LOAD_PERIODS * PERIOD)
        yield measure, (simulation.sent - sent) / case.nodes / LOAD_PERIODS


def _detect(case: Case) -> Iterator[tuple[str, float]]:
    """Crash one member after the other: periods until its first ping, suspicion and death, until all know."""
    removals, first_ping = Removals(), FirstPing()
    simulation = _cluster(case, removals, first_ping)
    omit = KINDS[case.kind][1]
    for _ in range(CRASHES):
        simulation.advance(PERIOD * (5 + simulation.random.random()))
        victim = simulation.random.choice(list(simulation.processes.values()))
        removals.restart()
        first_ping.watch(victim.address)
        crashed = simulation.now
        simulation.crash(victim, silent=True)
        told = simulation.advance_until(
            lambda: len(removals.removals) >= case.nodes - 1, GIVE_UP_PERIODS * PERIOD, every=PERIOD / 4
        )
        if not told or first_ping.at is None:
            raise RuntimeError(f"{case}: not all know of a crash after {GIVE_UP_PERIODS} periods")
        deaths = [notice.time for notice in removals.removals]
        suspected = min((notice.time for notice in removals.suspicions), default=deaths[0])
        yield "first ping", (first_ping.at - crashed) / PERIOD
        yield "first ping, in whole periods", ceil((first_ping.at - crashed) / PERIOD)
        yield "first suspicion", (suspected - crashed) / PERIOD
        yield "first death", (deaths[0] - crashed) / PERIOD
        yield "spread", (median(deaths) - deaths[0]) / PERIOD
        yield "spread to the last", (max(deaths) - deaths[0]) / PERIOD
        seed = next(iter(simulation.processes))
        simulation.start(victim.address, seeds=[seed], omit=omit)


def _lossy(case: Case) -> Iterator[tuple[str, float]]:
    """Members join one by one, each failing to receive a tenth: the size of the group ever after."""
    config, omit = KINDS[case.kind]
    removals = Removals()
    simulation = Simulation(case.seed, config, watchers=[removals])
    for place in range(case.nodes):
        address = address_of(place)
        simulation.medium.ingress[address.host] = CLEAR.but(loss=LOSS, latency=Constant(0.0))
        simulation.start(address, seeds=[address_of(0)] if place else [], omit=omit)
        simulation.advance(BETWEEN_JOINS * PERIOD)
    removals.restart()
    for _ in range(WATCHED_PERIODS):
        simulation.advance(PERIOD)
        yield "size", median(len(each.node.state.live) for each in simulation.processes.values())
    # A false death of one member is noticed by each of the others.
    hours = case.nodes * (case.nodes - 1) * WATCHED_PERIODS * PERIOD / 3600
    yield "false removals per member and hour", len(removals.removals) / hours
    yield "suspicions per member and hour", len(removals.suspicions) / hours


UNTIL = (
    "first ping",
    "first ping, in whole periods",
    "first suspicion",
    "first death",
    "spread",
    "spread to the last",
)
PARTS: dict[str, Callable[[Case], Iterator[tuple[str, float]]]] = {
    "load": _load,
    "detect": _detect,
    "lossy": _lossy,
}


def cases(scale: Scale) -> list[Case]:
    """All sizes for load and detection, all kinds for life under loss."""
    sizes = SIZES[::4] if scale.quick else SIZES
    measured = ("gossipgroups", "SWIM, with suspicion")
    repeats = 1 if scale.quick else 4
    seeds = [scale.seed + number for number in range(repeats)]
    return [
        *(Case("load", kind, nodes, scale.seed) for kind in measured for nodes in sizes),
        *(Case("detect", kind, nodes, seed) for kind in measured for nodes in sizes for seed in seeds),
        *(Case("lossy", kind, MEMBERS, seed) for kind in KINDS for seed in seeds),
    ]


def run(case: Case) -> list[Row]:
    """One row for each thing measured."""
    same: Row = {"part": case.part, "kind": case.kind, "nodes": case.nodes, "seed": case.seed}
    return [{**same, "measure": measure, "value": value} for measure, value in PARTS[case.part](case)]


def _values(rows: Sequence[Row], **wanted: str | int) -> list[float]:
    return [float(row["value"] or 0) for row in rows if all(row[key] == each for key, each in wanted.items())]


def _sizes(rows: Sequence[Row]) -> list[int]:
    return sorted({int(row["nodes"] or 0) for row in rows if row["part"] == "load"})


def tables(rows: Sequence[Row]) -> list[Table]:
    """Load, detection and loss, each with the paper's figures."""
    sizes = _sizes(rows)
    ours, plain = "gossipgroups", "SWIM, with suspicion"
    load = Table(
        "Messages sent by a member in a period",
        ("n", "gossipgroups", "its plain SWIM", "paper", f"with {LOSS:.0%} loss", "its plain SWIM"),
        tuple(
            (
                n,
                *(mean(_values(rows, nodes=n, kind=kind, measure="messages")) for kind in (ours, plain)),
                2.0,
                *(
                    mean(_values(rows, nodes=n, kind=kind, measure="messages under loss"))
                    for kind in (ours, plain)
                ),
            )
            for n in sizes
        ),
        "The paper sends one ping and one ack; pings by way of others and rumours come on top.",
    )
    paper = {"first ping, in whole periods": e / (e - 1)}
    crashes = len(_values(rows, kind=ours, measure="first death"))
    detection = Table(
        f"From a crash, in periods: means over {crashes:,} crashes, n = {sizes[0]} … {sizes[-1]}",
        ("until", "gossipgroups", "its plain SWIM", "paper"),
        tuple(
            (
                measure,
                *(mean(_values(rows, part="detect", kind=kind, measure=measure)) for kind in (ours, plain)),
                paper.get(measure),
            )
            for measure in UNTIL
        ),
        "The paper's e/(e − 1) is the expected number of periods until somebody pings it, with random "
        "targets. Spread: from the first that holds it dead to the median and to the last.",
    )
    lossy = Table(
        f"{MEMBERS} members, of which each fails to receive {LOSS:.0%}: size of the group",
        (
            "kind",
            "median size",
            "smallest",
            "paper",
            "false removals per member·h",
            "suspicions per member·h",
        ),
        tuple(
            (
                kind,
                median(_values(rows, kind=kind, measure="size")),
                min(_values(rows, kind=kind, measure="size")),
                PAPER_SIZES.get(kind),
                mean(_values(rows, kind=kind, measure="false removals per member and hour")),
                mean(_values(rows, kind=kind, measure="suspicions per member and hour")),
            )
            for kind in KINDS
        ),
        "In the paper a member that was declared dead stays out; ours refutes, and is back. Removals and "
        "suspicions of a member are those that another one notices, on average.",
    )
    return [load, detection, lossy]


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """Detection and spread against the size of the group."""
    left, right = figure.subplots(1, 2)
    for kind in ("gossipgroups", "SWIM, with suspicion"):
        for ax, measure in ((left, "first ping"), (left, "first suspicion"), (right, "spread to the last")):
            by_size: dict[int, list[float]] = defaultdict(list)
            for row in rows:
                if row["kind"] == kind and row["measure"] == measure:
                    by_size[int(row["nodes"] or 0)].append(float(row["value"] or 0))
            ax.plot(
                list(by_size),
                [mean(each) for each in by_size.values()],
                marker=".",
                label=f"{kind}: {measure}",
            )
    left.axhline(e / (e - 1), linestyle=":", color="grey", label="e / (e − 1)")
    left.set(xlabel="n", ylabel="periods from the crash", ylim=(0, None))
    right.set(xlabel="n", ylabel="periods from the first to know", ylim=(0, None))
    left.legend()
    right.legend()


EXPERIMENT = Experiment(
    "swim",
    "SWIM: load, detection, spread, and life under loss",
    "Das, Gupta & Motivala, SWIM: Scalable Weakly-consistent Infection-style Process Group Membership "
    "Protocol, DSN 2002",
    cases,
    run,
    tables,
    plot,
    "Groups of 6 to 56 members at a period of 1 s; crashes take the machine along, so that no closed port "
    "helps. The paper's parameters are the lan preset's: period 1 s here, 2 s there.",
)

if __name__ == "__main__":
    main("swim")
