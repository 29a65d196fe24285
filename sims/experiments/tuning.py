"""One knob at a time: what larger and smaller values do to detection, convergence, false alarms and traffic.

Law: all is measured in one cluster for each value, with the preset `lan` but for the one field; the usual
value is one of them. A member that pauses answers nothing and then goes on, as in a long collection of
garbage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gossipgroups.config import Config
from gossipgroups.groups.rules import Leave
from gossipgroups.testing.medium import HEADER_BYTES, Line
from sims.engine import Process, Simulation, address_of
from sims.experiments.experiment import Experiment, Row, Scale, main
from sims.loopback.figures import quantile
from sims.measures.accused import Accused
from sims.measures.cluster import join_all, make_whole, start_nodes
from sims.measures.crashes import follow_crash
from sims.measures.leaves import Leaves
from sims.measures.rows import grouped, number, numbers
from sims.measures.settling import Settlings
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

GROUP = "all"
USUAL = Config.lan()
LOSS, MUCH_LOSS = 0.01, 0.10
CALM = (1.0, 3.0)
"""Seconds between one crash or join and the next."""
LIMIT = 300.0
PAUSE = (0.2, 3.0)
"""Seconds that a pause lasts."""
BETWEEN_PAUSES = 20.0
"""Seconds from one pause of a member to its next, on average."""
KNOBS: dict[str, tuple[float, ...]] = {
    "probe_period": (0.6, 1.0, 2.0, 4.0),
    "probe_timeout_min": (0.02, 0.05, 0.1, 0.2, 0.4),
    "indirect_probes": (0, 1, 3, 6),
    "silent_timeout": (0.2, 0.4, 0.8, 1.6, 3.2),
    "confirmations": (0, 1, 2, 4),
    "suspicion_multiplier": (0.25, 0.5, 1.0, 4.0),
    "refused_timeout": (0.02, 0.1, 0.3, 1.0),
    "fanout": (1, 2, 3, 5),
    "gossip_interval": (0.05, 0.1, 0.2, 0.5),
    "retransmit_multiplier": (1, 2, 4, 8),
    "settle_retry": (0.0125, 0.025, 0.05, 0.1, 0.2),
}
"""Fields, and the values that each is given."""
COLUMNS = 3
"""Plots side by side."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster with one field at one value."""

    knob: str
    value: float
    nodes: int
    seconds: float
    """With much loss, and again with pauses."""
    joins: int
    crashes: int
    """Of each kind."""
    seed: int


def cases(scale: Scale) -> Sequence[Case]:
    """Each value of each knob."""
    size = (8, 20.0, 3, 2) if scale.quick else (32, 50.0, 10, 10)
    return [Case(knob, value, *size, scale.seed) for knob, values in KNOBS.items() for value in values]


def run(case: Case) -> Sequence[Row]:
    """One row."""
    leaves, accused, settlings = Leaves(), Accused(), Settlings(GROUP)
    config = USUAL.but(**{case.knob: case.value})
    simulation = Simulation(case.seed, config, watchers=[leaves, accused, settlings])
    processes = start_nodes(simulation, case.nodes)
    join_all(simulation, processes, GROUP)
    make_whole(simulation)
    cluster = _Cluster(case, simulation, processes, leaves, accused, settlings)
    simulation.medium.line = Line(loss=MUCH_LOSS)
    lossy = cluster.idle()
    simulation.medium.line = Line(loss=LOSS)
    simulation.advance(5.0)
    quiet = cluster.idle()
    return [
        {
            **asdict(case),
            "join_s": cluster.joins(),
            "idle_bytes": quiet["bytes"],
            "lossy_bytes": lossy["bytes"],
            "suspicions": lossy["suspicions"],
            "false_deaths": lossy["false"],
            "process_s": cluster.crashes(silent=False),
            "machine_s": cluster.crashes(silent=True),
            # Pauses come last: they are long round trips, and the wait for an ack forgets them slowly.
            "paused_dead": cluster.pauses(),
        }
    ]


@dataclass(slots=True)
class _Cluster:
    """A cluster that is measured."""

    case: Case
    simulation: Simulation
    processes: list[Process]
    leaves: Leaves
    accused: Accused
    settlings: Settlings
    started: int = 0
    paused: int = 0

    def idle(self) -> dict[str, float]:
        """Bytes of a node and second, its false suspicions and deaths in an hour."""
        simulation, seconds = self.simulation, self.case.seconds
        sent, size, refuted = simulation.sent, simulation.sent_bytes, self._refutations()
        self.accused.restart()
        simulation.advance(seconds)
        node_seconds = seconds * self.case.nodes
        total = simulation.sent_bytes - size + HEADER_BYTES * (simulation.sent - sent)
        return {
            "bytes": total / node_seconds,
            "suspicions": 3600 * (self._refutations() - refuted) / node_seconds,
            "false": 3600 * len(self.accused.dead) / node_seconds,
        }

    def _refutations(self) -> int:
        return sum(each.node.stats.refutations for each in self.processes)

    def joins(self) -> float | None:
        """Median seconds from a join to the last callback."""
        simulation, times = self.simulation, []
        for place in range(self.case.joins):
            simulation.advance(simulation.random.uniform(*CALM))
            joiner = self.processes[simulation.random.randrange(len(self.processes))]
            change = self.settlings.join(joiner, f"member-{place}")
            simulation.advance_until(
                lambda change=change: len(change.told) == len(self.processes),  # type: ignore[misc]
                within=LIMIT,
            )
            times.append(max(change.told.values()))
            simulation.submit(joiner, Leave(GROUP, change.member))
        return quantile(times, 0.5)

    def pauses(self) -> float:
        """Share of the pauses in which the member was held dead."""
        simulation, random = self.simulation, self.simulation.random
        self.accused.restart()
        until = simulation.now + self.case.seconds
        for process in self.processes:
            simulation.after(random.uniform(0, BETWEEN_PAUSES), self._pause, process, until)
        simulation.advance(self.case.seconds + 5 * PAUSE[1])
        make_whole(simulation)
        return len(self.accused.dead) / self.paused

    def _pause(self, process: Process, until: float) -> None:
        simulation, random = self.simulation, self.simulation.random
        if simulation.now < until:
            self.paused += 1
            simulation.pause(process)
            simulation.after(random.uniform(*PAUSE), simulation.resume, process)
            simulation.after(random.uniform(PAUSE[1], 2 * BETWEEN_PAUSES), self._pause, process, until)

    def crashes(self, *, silent: bool) -> float | None:
        """Median seconds from a crash to the last callback."""
        simulation, processes, times = self.simulation, self.processes, []
        for _ in range(self.case.crashes):
            simulation.advance(simulation.random.uniform(*CALM))
            victim = processes.pop(simulation.random.randrange(1, len(processes)))
            found = follow_crash(simulation, victim, processes, self.leaves, silent=silent, within=LIMIT)
            if found.last_s is not None:
                times.append(found.last_s)
            self.started += 1
            place = self.case.nodes + self.started
            replacement = simulation.start(address_of(place), seeds=[processes[0].address])
            join_all(simulation, [replacement], GROUP)
            processes.append(replacement)
        return quantile(times, 0.5)


def tables(rows: Sequence[Row]) -> Sequence[Table]:
    """One table, with a line for each value."""
    return [
        Table(
            "One field at a time, preset lan",
            (
                *(
                    "field",
                    "value",
                    "process crash, s",
                    "machine crash, s",
                    "join, ms",
                    "paused, held dead, %",
                ),
                *("suspicions", "false deaths", "bytes", "bytes at 10 % loss"),
            ),
            tuple(
                (
                    row["knob"],
                    f"**{row['value']}**" if _is_usual(row) else str(row["value"]),
                    row["process_s"],
                    row["machine_s"],
                    None if row["join_s"] is None else 1000 * number(row, "join_s"),
                    100 * number(row, "paused_dead"),
                    *(row[column] for column in ("suspicions", "false_deaths", "idle_bytes", "lossy_bytes")),
                )
                for row in rows
            ),
            f"Bold: the usual value. {rows[0]['nodes']} nodes. Times are medians until the last callback, at "
            f"1 % loss. Pauses take {PAUSE[0]:g} to {PAUSE[1]:g} s. Suspicions and false deaths of a node "
            "and hour at 10 % loss; bytes of a node and second with headers, first at 1 % loss.",
        )
    ]


def _is_usual(row: Row) -> bool:
    return number(row, "value") == float(getattr(USUAL, str(row["knob"])))


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """One plot for each knob; what the lines are is said in the first place that is left."""
    knobs = grouped(rows, "knob")
    height = -(-len(knobs) // COLUMNS)
    figure.set_size_inches(9.0, 2.3 * height)
    places = iter(figure.subplots(height, COLUMNS, squeeze=False).flat)
    lines: list[Line2D] = []
    for (knob,), some in knobs.items():
        lines = _draw(knob, some, next(places))
    for turn, ax in enumerate(places):
        ax.set_axis_off()
        if not turn:
            ax.legend(handles=lines, loc="center")


SECONDS = {
    "process_s": ("process crash", "C0--"),
    "machine_s": ("machine crash", "C0-"),
    "join_s": ("join", "C2-"),
}
TIMES_USUAL = {"suspicions": ("suspicions, × usual", "C1-."), "lossy_bytes": ("bytes, × usual", "C4-.")}
"""What is drawn as a multiple of what it is at the usual value, both at much loss."""


def _draw(knob: Cell, rows: Sequence[Row], ax: Axes) -> list[Line2D]:
    """Times, traffic and suspicions on the left, pauses taken for deaths on the right."""
    values = numbers(rows, "value")
    (usual,) = filter(_is_usual, rows)
    lines: list[Line2D] = []
    for column, (label, style) in SECONDS.items():
        lines += ax.plot(values, [number(row, column) for row in rows], style, label=label)
    for column, (label, style) in TIMES_USUAL.items():
        unit = number(usual, column) or 1.0
        lines += ax.plot(
            values, [number(row, column) / unit for row in rows], style, label=label, linewidth=0.9
        )
    ax.axvline(number(usual, "value"), color="grey", linewidth=0.6)
    ax.set(title=knob, yscale="log", ylim=(0.01, 30), ylabel="seconds, or ×")
    if min(values) > 0:
        ax.set_xscale("log")
    ax.set_xticks(values, [f"{value:g}" for value in values])
    ax.minorticks_off()
    right = ax.twinx()
    dead = [100 * number(row, "paused_dead") for row in rows]
    lines += right.plot(values, dead, "C3:", label="pauses taken for deaths, %")
    right.set(ylim=(0, 50), ylabel="%")
    return lines


EXPERIMENT = Experiment(
    name="tuning",
    title="Tuning: one field at a time",
    source="the preset `lan`",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="Detection of crashes, convergence of joins, false alarms under loss and pauses, and traffic, "
    "while one field of the config has other values than usual.",
)

if __name__ == "__main__":
    main("tuning")
