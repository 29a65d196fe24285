"""Crashes: how long until the first probe, and until the last node has told its application.

Law: in one run nodes crash one after the other, each at a random moment after the one before was told by all;
they are not replaced. Loss goes on all the time. A wait that did not end within the limit counts as missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gossipgroups.config import PRESETS
from gossipgroups.testing.medium import Line
from sims.engine import Process, Simulation
from sims.experiments.detection import CRASH_KINDS, LATENCIES
from sims.experiments.experiment import Experiment, Row, Scale, main
from sims.loopback.figures import quantile
from sims.measures.accused import Accused
from sims.measures.cluster import join_all, make_whole, start_nodes
from sims.measures.crashes import follow_crash
from sims.measures.first_ping import FirstPing
from sims.measures.leaves import Leaves
from sims.measures.rows import grouped, numbers
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUP = "all"
CALM_PERIODS = (2.0, 6.0)
"""Between the last callback of a crash and the next crash."""
LIMIT_PERIODS = 60.0
"""After which somebody has missed a crash."""
SIZES = {"lan": ((128, 25, 20), (1000, 50, 10)), "local": ((16, 8, 63),)}
"""For each preset: nodes, crashes in one run, runs."""
LOSSES = {"lan": (0.01, 0.05), "local": (0.0, 0.01)}
GOALS = {
    ("lan", "process"): "p50 ≤ 0.8, p99 ≤ 1.6",
    ("lan", "machine"): "p50 ≤ 2.5, p99 ≤ 4",
    ("local", "process"): "p99 ≤ 0.2",
    ("local", "machine"): "p99 ≤ 0.6",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    preset: str
    nodes: int
    crash: str
    """`process`: the machine says that the port is closed. `machine`: nothing answers."""
    loss: float
    crashes: int
    seed: int


def cases(scale: Scale) -> Sequence[Case]:
    """Both kinds of crash, for each preset, size and loss."""
    return [
        Case(preset, nodes, crash, loss, crashes, scale.seed + repeat)
        for preset, sizes in SIZES.items()
        for nodes, crashes, runs in (((32, 4, 1),) if scale.quick else sizes)
        for crash in CRASH_KINDS
        for loss in LOSSES[preset]
        for repeat in range(runs)
    ]


def run(case: Case) -> Sequence[Row]:
    """A row for each crash."""
    line = Line(latency=LATENCIES[case.preset])
    leaves, accused, first_ping = Leaves(), Accused(), FirstPing()
    watchers = (leaves, accused, first_ping)
    simulation = Simulation(case.seed, PRESETS[case.preset](), line=line, watchers=watchers)
    processes = start_nodes(simulation, case.nodes)
    join_all(simulation, processes, GROUP)
    make_whole(simulation)
    simulation.medium.line = line.but(loss=case.loss)
    return list(_crashes(case, simulation, processes, leaves, accused, first_ping))


def _crashes(
    case: Case,
    simulation: Simulation,
    processes: list[Process],
    leaves: Leaves,
    accused: Accused,
    first_ping: FirstPing,
) -> Iterator[Row]:
    period = simulation.config.probe_period
    for crash in range(case.crashes):
        accused.restart()
        simulation.advance(period * simulation.random.uniform(*CALM_PERIODS))
        # The first is everybody's seed.
        victim = processes.pop(simulation.random.randrange(1, len(processes)))
        at = simulation.now
        first_ping.watch(victim.address)
        found = follow_crash(
            simulation,
            victim,
            processes,
            leaves,
            silent=case.crash == "machine",
            within=LIMIT_PERIODS * period,
        )
        yield {
            **asdict(case),
            "crash_number": crash,
            "first_ping_periods": None if first_ping.at is None else (first_ping.at - at) / period,
            **found._asdict(),
            "false": len(accused.dead),
        }


def tables(rows: Sequence[Row]) -> Sequence[Table]:
    """The wait for the first probe, then the times until the last callback."""
    groups = list(grouped(rows, "preset", "nodes", "crash", "loss").items())
    return [
        Table(
            "First ping after a crash, in probe periods",
            ("preset", "nodes", "crash", "loss", "crashes", "mean", "p99", "max"),
            tuple(
                (
                    *_condition(*condition),
                    len(waits),
                    sum(waits) / len(waits),
                    *(quantile(waits, share) for share in (0.99, 1)),
                )
                for condition, some in groups
                for waits in [numbers(some, "first_ping_periods")]
            ),
            "Goal: mean ≤ 0.55, max ≤ 1.2. With independent random targets: mean 1, p99 4.6.",
        ),
        Table(
            "Seconds from a crash to the last callback",
            (
                *("preset", "nodes", "crash", "loss", "crashes", "first: p50", "last: p50", "p99", "max"),
                *("goal", "missed", "unconverged", "false deaths"),
            ),
            tuple(
                (
                    *_condition(*condition),
                    len(some),
                    quantile(numbers(some, "first_s"), 0.5),
                    *(quantile(numbers(some, "last_s"), share) for share in (0.5, 0.99, 1)),
                    GOALS[str(condition[0]), str(condition[2])],
                    *(int(sum(numbers(some, what))) for what in ("missed", "unconverged", "false")),
                )
                for condition, some in groups
            ),
            "Missed, unconverged: callbacks. A false death is a node that runs and is held dead by somebody.",
        ),
    ]


def _condition(preset: Cell, nodes: Cell, crash: Cell, loss: Cell) -> tuple[Cell, ...]:
    return preset, nodes, CRASH_KINDS[str(crash)], f"{float(str(loss)):.0%}"


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """The distribution of the times until the last callback."""
    axes = figure.subplots(1, len(CRASH_KINDS))
    for (crash, kind), ax in zip(CRASH_KINDS.items(), axes, strict=True):
        some = [row for row in rows if row["crash"] == crash]
        for (preset, nodes, loss), each in grouped(some, "preset", "nodes", "loss").items():
            seconds = sorted(numbers(each, "last_s"))
            shares = [(place + 1) / len(each) for place in range(len(seconds))]
            ax.step(seconds, shares, where="post", label=f"{preset}, {nodes}, {float(str(loss)):.0%} loss")
        ax.set(title=kind, xlabel="seconds to the last callback", ylabel="share of crashes", ylim=(0, 1))
        ax.legend(fontsize="small")


EXPERIMENT = Experiment(
    name="crashes",
    title="Crashes: the first probe, and the last callback",
    source="goals: what one probe a second and a refutation allow",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="Nodes of a cluster crash one after the other, as a process (its port is refused) or with the "
    "machine (silence), while datagrams are lost. Counted are the wait for the first ping to the node "
    "that is gone, and the time to the last MemberLeftGroup at any other.",
)

if __name__ == "__main__":
    main("crashes")
