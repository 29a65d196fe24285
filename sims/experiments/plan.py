"""Predictions beside measurements: what `gossipgroups plan` says, and what the simulator finds.

Law: one cluster for each preset and size. The loss is raised step by step while the cluster idles and members
join, and again while nodes crash one after the other, each at a random moment and replaced once it was found.
A ratio is prediction over measurement; a p99 of few samples is their longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from gossipgroups.config import PRESETS
from gossipgroups.groups.rules import Leave
from gossipgroups.plan import LATENCIES as MEDIANS
from gossipgroups.plan import Network, Plan, Times, plan
from gossipgroups.testing.medium import HEADER_BYTES, Line
from sims.engine import Process, Simulation, address_of
from sims.experiments.detection import LATENCIES
from sims.experiments.experiment import Experiment, Row, Scale, main
from sims.loopback.figures import quantile
from sims.measures.cluster import join_all, make_whole, start_nodes
from sims.measures.crashes import follow_crash
from sims.measures.leaves import Leaves
from sims.measures.memory import held_bytes
from sims.measures.rows import grouped, number
from sims.measures.settling import Settlings
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUP = "all"
LOSSES = (0.0, 0.01, 0.05, 0.10)
CALM_PERIODS = (1.0, 3.0)
"""Between one crash or join and the next."""
LIMIT_PERIODS = 60.0
MANY = 10
"""Samples without which there is no p99."""
QUIET_LOSS = 0.01
"""Above this the price of a change drowns in that of suspicions."""
GOALS = {"p50": 0.25, "p99": 0.40, "datagrams": 0.25, "bytes": 0.25}
"""By how much a prediction may be off, by the last word of the figure."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster."""

    preset: str
    nodes: int
    idle_periods: int
    joins: int
    """Under each loss, and so the rest."""
    crashes: int
    """Of each kind."""
    seed: int


SIZES = ((8, 300, 40, 30), (32, 60, 24, 16), (128, 12, 12, 6))
"""Nodes, idle periods, joins, crashes."""
LARGE = Case("lan", 512, 0, 4, 0, 0)
"""Of a large cluster only joins are measured."""


def cases(scale: Scale) -> Sequence[Case]:
    """Each preset at each size."""
    if scale.quick:
        return [Case(preset, 8, 30, 10, 5, scale.seed) for preset in PRESETS]
    sizes = [Case(preset, *size, scale.seed) for size in SIZES for preset in PRESETS]
    return [*sizes, replace(LARGE, seed=scale.seed)]


def run(case: Case) -> Sequence[Row]:
    """A row for each loss and figure."""
    leaves, settlings = Leaves(), Settlings(GROUP)
    config, line = PRESETS[case.preset](), Line(latency=LATENCIES[case.preset])
    simulation = Simulation(case.seed, config, line=line, watchers=[leaves, settlings])
    processes = start_nodes(simulation, case.nodes)
    join_all(simulation, processes, GROUP)
    make_whole(simulation)
    found = _Cluster(case, simulation, processes, leaves, settlings)
    # Who was found dead is called now and then for a day, so crashes come last.
    steps = [(loss, figures) for figures in (found.calm, found.crashes) for loss in LOSSES]
    rows: list[Row] = []
    for loss, figures in steps:
        simulation.medium.line = line.but(loss=loss)
        simulation.advance(2 * config.probe_period)
        told = plan(config, Network(MEDIANS[case.preset], loss), case.nodes)
        rows += [
            {**asdict(case), "loss": loss, "figure": name, "measured": measured, "predicted": predicted}
            for name, measured, predicted in figures(told)
        ]
    return rows


Found = Iterator[tuple[str, float | None, float]]
"""Figures by their names, as measured and as predicted."""


@dataclass(slots=True)
class _Cluster:
    """A cluster that is measured."""

    case: Case
    simulation: Simulation
    processes: list[Process]
    leaves: Leaves
    settlings: Settlings
    started: int = field(init=False)
    """The last place at which a process was started."""

    def __post_init__(self) -> None:
        self.started = self.case.nodes

    def calm(self, told: Plan) -> Found:
        """While nobody crashes."""
        if not self.simulation.medium.line.loss:
            held = sorted(held_bytes(each.node) for each in self.processes)
            yield "memory, bytes", held[len(held) // 2], told.memory
        if self.case.idle_periods:
            yield from self._idle(told)
        yield from self._changes(told)

    def crashes(self, told: Plan) -> Found:
        """Crashes of processes, then of machines."""
        if self.case.crashes:
            yield from self._crashes("process", told.process_crash)
            yield from self._crashes("machine", told.machine_crash)

    def _idle(self, told: Plan) -> Found:
        seconds = self.case.idle_periods * self.simulation.config.probe_period
        refutations = self._refutations()
        datagrams, size = self._traffic(seconds)
        yield "idle, datagrams", datagrams / seconds, told.idle.datagrams
        yield "idle, bytes", size / seconds, told.idle.bytes
        hours = seconds * self.case.nodes / 3600
        refuted = (self._refutations() - refutations) / hours
        yield "false suspicions", refuted, told.false_suspicions

    def _refutations(self) -> int:
        return sum(each.node.stats.refutations for each in self.processes)

    def _traffic(self, seconds: float) -> tuple[float, float]:
        """Datagrams and bytes that a node sends in the time to come."""
        simulation = self.simulation
        sent, size = simulation.sent, simulation.sent_bytes
        simulation.advance(seconds)
        sent, size = simulation.sent - sent, simulation.sent_bytes - size
        return sent / self.case.nodes, (size + HEADER_BYTES * sent) / self.case.nodes

    def _changes(self, told: Plan) -> Found:
        simulation, period = self.simulation, self.simulation.config.probe_period
        times: list[float] = []
        datagrams = size = 0.0
        window = 2 * period
        for place in range(self.case.joins):
            simulation.advance(period * simulation.random.uniform(*CALM_PERIODS))
            joiner = self.processes[simulation.random.randrange(len(self.processes))]
            change = self.settlings.join(joiner, f"member-{place}")
            sent, bytes_sent = self._traffic(window)
            datagrams += sent - told.idle.datagrams * window
            size += bytes_sent - told.idle.bytes * window
            simulation.advance_until(
                lambda change=change: len(change.told) == len(self.processes),  # type: ignore[misc]
                within=LIMIT_PERIODS * period,
            )
            times.append(max(change.told.values()))
            simulation.submit(joiner, Leave(GROUP, change.member))
        yield from _quantiles("change", times, told.change)
        if simulation.medium.line.loss <= QUIET_LOSS:
            cost = told.change_cost
            yield "change, datagrams", datagrams / self.case.joins, cost.datagrams
            yield "change, bytes", size / self.case.joins, cost.bytes

    def _crashes(self, kind: str, told: Times) -> Found:
        simulation, processes = self.simulation, self.processes
        period = simulation.config.probe_period
        times: list[float] = []
        for _ in range(self.case.crashes):
            simulation.advance(period * simulation.random.uniform(*CALM_PERIODS))
            # The first is everybody's seed.
            victim = processes.pop(simulation.random.randrange(1, len(processes)))
            found = follow_crash(
                simulation,
                victim,
                processes,
                self.leaves,
                silent=kind == "machine",
                within=LIMIT_PERIODS * period,
            )
            if found.last_s is not None:
                times.append(found.last_s)
            self.started += 1
            replacement = simulation.start(address_of(self.started), seeds=[processes[0].address])
            join_all(simulation, [replacement], GROUP)
            processes.append(replacement)
        yield from _quantiles(f"{kind} crash", times, told)


def _quantiles(what: str, times: Sequence[float], told: Times) -> Found:
    yield f"{what}, p50", quantile(times, 0.5), told.p50
    if len(times) >= MANY:
        yield f"{what}, p99", quantile(times, 0.99), told.p99


def tables(rows: Sequence[Row]) -> Sequence[Table]:
    """How far off, by figure; then where too far."""
    return [_summary(rows), _misses(rows)]


def ratio(row: Row) -> float | None:
    """Prediction over measurement; nothing where nothing was measured."""
    return number(row, "predicted") / number(row, "measured") if row["measured"] else None


def goal(figure: Cell) -> float | None:
    """By how much this figure may be off, as a factor less 1."""
    return GOALS.get(str(figure).rpartition(" ")[2])


def _summary(rows: Sequence[Row]) -> Table:
    lines: list[tuple[Cell, ...]] = []
    for (figure,), some in grouped(rows, "figure").items():
        ratios = sorted(each for each in map(ratio, some) if each is not None)
        limit = goal(figure)
        within = None if limit is None else sum(1 - limit <= each <= 1 + limit for each in ratios)
        lines.append(
            (
                figure,
                len(ratios),
                *(quantile(ratios, share) for share in (0, 0.5, 1)),
                None if limit is None else f"{limit:.0%}",
                None if within is None else f"{within} of {len(ratios)}",
            )
        )
    return Table(
        "Prediction over measurement",
        ("figure", "conditions", "lowest", "median", "highest", "goal", "within it"),
        tuple(lines),
        "A condition is a preset, a number of nodes and a loss. False suspicions are few, and scatter.",
    )


def _misses(rows: Sequence[Row]) -> Table:
    lines = [
        (*(row[column] for column in ("figure", "preset", "nodes")), f"{number(row, 'loss'):.0%}", *found)
        for row in rows
        for off in [ratio(row)]
        for limit in [goal(row["figure"])]
        if off is not None and limit is not None and abs(off - 1) > limit
        for found in [(row["predicted"], row["measured"], off)]
    ]
    return Table(
        "Outside of the goals",
        ("figure", "preset", "nodes", "loss", "predicted", "measured", "ratio"),
        tuple(sorted(lines, key=str)),
        "Times in seconds. All other figures are in rows.csv.",
    )


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """Prediction against measurement, for times and for traffic."""
    times, traffic = figure.subplots(1, 2)
    shapes = {8: "o", 16: "o", 32: "s", 128: "^", 512: "D"}
    for place, ((name,), some) in enumerate(grouped(rows, "figure").items()):
        unit = str(name).rpartition(" ")[2]
        if unit not in GOALS:
            continue
        ax = times if unit.startswith("p") else traffic
        for turn, ((nodes,), each) in enumerate(grouped(some, "nodes").items()):
            known = [row for row in each if row["measured"]]
            ax.plot(
                [number(row, "measured") for row in known],
                [number(row, "predicted") for row in known],
                shapes.get(int(str(nodes)), "x"),
                color=f"C{place % 10}",
                markersize=4,
                label=None if turn else name,
            )
    for ax, what in ((times, "seconds"), (traffic, "datagrams or bytes")):
        ax.set(xscale="log", yscale="log", xlabel=f"measured, {what}", ylabel=f"predicted, {what}")
        ends = ax.get_xlim()
        ax.plot(ends, ends, "k-", linewidth=0.6)
        ax.plot(ends, [1.25 * end for end in ends], "k:", linewidth=0.6)
        ax.plot(ends, [0.75 * end for end in ends], "k:", linewidth=0.6)
        ax.legend(fontsize="small")


EXPERIMENT = Experiment(
    name="plan",
    title="Predictions beside measurements",
    source="`gossipgroups plan`: formulas from the config, nothing simulated",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="Detection, convergence, traffic, false suspicions and memory, as predicted and as measured.",
)

if __name__ == "__main__":
    main("plan")
