"""Detection: from a crash to the last callback, and who is held dead though it runs, under loss and stalls.

Law: in one run nodes crash one after the other, each at a random moment and replaced once it was found;
loss and stalls go on all the time. Watchers that stall do not count: theirs is the time of their own stall. A
death is false if its node runs; it counts once for each node and incarnation, however many believe it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gossipgroups.config import PRESETS
from gossipgroups.testing.latency import Latency, LogNormal, Uniform
from gossipgroups.testing.medium import CALM, Line
from sims.engine import Process, Simulation, address_of
from sims.experiments.experiment import Experiment, Row, Scale, main
from sims.loopback.figures import quantile
from sims.measures.accused import Accused
from sims.measures.cluster import join_all, make_whole, start_nodes
from sims.measures.crashes import follow_crash
from sims.measures.leaves import Leaves
from sims.measures.rows import grouped, number, numbers
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LATENCIES: dict[str, Latency] = {
    "local": Uniform(0.00002, 0.0002),
    "lan": CALM,
    "wan": LogNormal(0.06, 0.5),
}
"""One way, by preset."""
LOSSES = (0.0, 0.01, 0.05, 0.10, 0.25, 0.40)
STALLED = (1, 4, 16)
STALL, RUN = 8.192, 1.024
"""Seconds that a member stalls, and then runs: the middle of the intervals of the Lifeguard paper."""
GROUP = "all"
CALM_PERIODS = 10.0
"""Mean time before a crash, in probe periods."""
LIMIT_PERIODS = 120.0
"""After which a watcher has missed a crash, in probe periods."""
CRASHES = 10
"""In one run."""
REPEATS, REPEATS_LARGE = 3, 2
AT_LARGE = ((0.0, 0), (0.05, 0), (0.25, 0), (0.0, 16))
"""Loss and stalls that 128 nodes are put through: the price of a run grows with the square of the nodes."""
CRASH_KINDS = {"process": "process, port refused", "machine": "machine, silence"}
PEERS = {
    ("lan", 32): "memberlist 7.6, kinship 7.4",
    ("lan", 128): "memberlist 10.8, kinship 10.2",
    ("local", 32): "memberlist 5.0 to 8.5 (n = 8 to 128), kinship 1.6",
}
"""Seconds until all know of a killed process: one cluster in one process on two cores, nothing lost."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    preset: str
    nodes: int
    crash: str
    """`process`: the machine says that the port is closed. `machine`: nothing answers."""
    loss: float
    stalled: int
    crashes: int
    seed: int


def cases(scale: Scale) -> Sequence[Case]:
    """Loss without stalls, and stalls without loss, for each preset and both kinds of crash."""
    if scale.quick:
        conditions = [(0.0, 0), (0.25, 0), (0.0, 4)]
        sizes = [(preset, 32, 1, 3) for preset in PRESETS]
    else:
        conditions = [*((loss, 0) for loss in LOSSES), *((0.0, stalled) for stalled in STALLED)]
        sizes = [
            *((preset, 32, REPEATS, CRASHES) for preset in PRESETS),
            ("lan", 128, REPEATS_LARGE, CRASHES),
        ]
    return [
        Case(preset, nodes, crash, loss, stalled, crashes, scale.seed + repeat)
        for preset, nodes, repeats, crashes in sizes
        for crash in CRASH_KINDS
        for loss, stalled in conditions
        if nodes == 32 or (loss, stalled) in AT_LARGE
        for repeat in range(repeats)
    ]


def run(case: Case) -> Sequence[Row]:
    """A row for each crash, and what happened since the one before."""
    config = PRESETS[case.preset]()
    line = Line(latency=LATENCIES[case.preset])
    leaves, accused = Leaves(), Accused()
    simulation = Simulation(case.seed, config, line=line, watchers=[leaves, accused])
    processes = start_nodes(simulation, case.nodes)
    join_all(simulation, processes, GROUP)
    make_whole(simulation)
    simulation.medium.line = line.but(loss=case.loss)
    stalling = processes[case.nodes - case.stalled :]
    for process in stalling:
        simulation.after(simulation.random.uniform(0, STALL + RUN), _stall, simulation, process)
    healthy = processes[: case.nodes - case.stalled]
    return list(_crashes(case, simulation, leaves, accused, healthy, stalling))


def _crashes(
    case: Case,
    simulation: Simulation,
    leaves: Leaves,
    accused: Accused,
    healthy: list[Process],
    stalling: list[Process],
) -> Iterator[Row]:
    period, place = simulation.config.probe_period, case.nodes
    for crash in range(case.crashes):
        accused.restart()
        began = simulation.now
        simulation.advance(period * CALM_PERIODS * simulation.random.uniform(0.5, 1.5))
        # The first is everybody's seed.
        victim = healthy.pop(simulation.random.randrange(1, len(healthy)))
        # Who has just started, or holds it dead by mistake, has no leave to tell.
        witnesses = [each for each in healthy if victim.host in each.node.state.views[GROUP]]
        found = follow_crash(
            simulation,
            victim,
            witnesses,
            leaves,
            silent=case.crash == "machine",
            within=LIMIT_PERIODS * period,
        )
        yield {
            **asdict(case),
            "crash_number": crash,
            **found._asdict(),
            "false_healthy": sum(process not in stalling for process in accused.dead.values()),
            "false_stalled": sum(process in stalling for process in accused.dead.values()),
            "node_hours": (simulation.now - began) * (case.nodes - 1) / 3600,
        }
        replacement = simulation.start(address_of(place), seeds=[address_of(0)])
        join_all(simulation, [replacement], GROUP)
        healthy.append(replacement)
        place += 1


def _stall(simulation: Simulation, process: Process) -> None:
    simulation.pause(process)
    simulation.after(STALL, _go_on, simulation, process)


def _go_on(simulation: Simulation, process: Process) -> None:
    simulation.resume(process)
    simulation.after(RUN, _stall, simulation, process)


def tables(rows: Sequence[Row]) -> Sequence[Table]:
    """Beside the peers, then against loss, then against stalls."""
    fine = [row for row in rows if not row["loss"] and not row["stalled"]]
    return [
        Table(
            "Detection: seconds from a crash to the last callback, nothing else wrong",
            ("preset", "nodes", "crash", "crashes", "first: p50", "last: p50", "p99", "max", "peers, last"),
            tuple(
                (preset, nodes, CRASH_KINDS[str(crash)], len(some), _first(some), *_last(some), peers)
                for (preset, nodes, crash), some in grouped(fine, "preset", "nodes", "crash").items()
                for peers in [PEERS.get((str(preset), int(str(nodes))))]
            ),
            "Peers were killed as processes, whose port is refused from then on; they do not listen to that.",
        ),
        _conditions(
            "Detection against loss",
            "loss",
            [row for row in rows if not row["stalled"]],
            "Loss applies to every datagram on its way.",
        ),
        _conditions(
            f"Detection against members that stall for {STALL} s and run for {RUN} s",
            "stalled",
            [row for row in rows if not row["loss"]],
            "Callbacks at members that stall are not counted. Where the stall is longer than the time that a "
            "suspect has to refute (1.4 to 2.4 s at `lan`, 0.4 at `local`), a stalled member is held dead "
            "until it runs again.",
        ),
    ]


def _conditions(title: str, condition: str, rows: Sequence[Row], note: str) -> Table:
    lines: list[tuple[Cell, ...]] = []
    for (preset, nodes, crash, value), some in grouped(rows, "preset", "nodes", "crash", condition).items():
        told = sum(numbers(some, "nodes")) - len(some) * (1 + number(some[0], "stalled"))
        hours = sum(numbers(some, "node_hours"))
        stalling = hours * number(some[0], "stalled") / (number(some[0], "nodes") - 1)
        false_stalling = sum(numbers(some, "false_stalled")) / stalling if stalling else None
        lines.append(
            (
                preset,
                nodes,
                CRASH_KINDS[str(crash)],
                f"{float(str(value)):.0%}" if condition == "loss" else value,
                *_last(some),
                int(sum(numbers(some, "missed"))),
                f"{sum(numbers(some, 'unconverged')) / told:.1%}",
                sum(numbers(some, "false_healthy")) / (hours - stalling),
                *([false_stalling] if condition == "stalled" else []),
            )
        )
    columns = ("preset", "nodes", "crash", condition, "last: p50", "p99", "max", "missed", "unconverged")
    falsely = ("false deaths per hour of a healthy node", "of a stalling node")
    return Table(title, (*columns, *falsely[: 1 + (condition == "stalled")]), tuple(lines), note)


def _first(rows: Sequence[Row]) -> float | None:
    return quantile(numbers(rows, "first_s"), 0.5)


def _last(rows: Sequence[Row]) -> tuple[float | None, ...]:
    seconds = numbers(rows, "last_s")
    return tuple(quantile(seconds, share) for share in (0.5, 0.99, 1))


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """Median and worst time, and false deaths, against loss."""
    left, right = figure.subplots(1, 2)
    lossy = [row for row in rows if not row["stalled"]]
    colours: dict[tuple[Cell, ...], str] = {}
    for (preset, nodes, crash), some in grouped(lossy, "preset", "nodes", "crash").items():
        colour = colours.setdefault((preset, nodes), f"C{len(colours)}")
        style = "--" if crash == "process" else "-"
        losses, medians, worst, falsely = [], [], [], []
        for (loss,), each in grouped(some, "loss").items():
            seconds = numbers(each, "last_s")
            losses.append(100 * float(str(loss)))
            medians.append(quantile(seconds, 0.5))
            worst.append(quantile(seconds, 1))
            falsely.append(sum(numbers(each, "false_healthy")) / sum(numbers(each, "node_hours")))
        left.plot(losses, medians, style, color=colour, label=f"{preset} {nodes}, {crash}")
        left.plot(losses, worst, ":", color=colour, linewidth=0.8)
        right.plot(losses, falsely, style, color=colour, marker=".")
    left.set(xlabel="loss, %", ylabel="seconds to the last callback (dotted: max)", yscale="log")
    left.legend(fontsize="small")
    right.set(xlabel="loss, %", ylabel="false deaths per node-hour", ylim=(0, None))


EXPERIMENT = Experiment(
    name="detection",
    title="Detection against loss and stalled members",
    source="memberlist and kinship, killed processes, nothing lost",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="Nodes crash one after the other, as a process (its port is refused) or with the machine "
    "(silence). Counted is the time to the last MemberLeftGroup at any healthy node, and who was held dead "
    "though it ran.",
)

if __name__ == "__main__":
    main("detection")
