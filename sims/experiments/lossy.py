"""Hours of loss: who is suspected, and who is held dead, while nobody crashes or stalls.

Law: nothing happens but loss, on every datagram alike; so every death is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gossipgroups.config import Config
from gossipgroups.testing.medium import Line
from sims.engine import Simulation
from sims.experiments.detection import LATENCIES
from sims.experiments.experiment import Experiment, Row, Scale, main
from sims.measures.accused import Accused
from sims.measures.cluster import make_whole, start_nodes
from sims.measures.rows import grouped, numbers
from sims.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSSES = (0.05, 0.10)
HOUR = 3600.0
SIZES = ((32, 200), (128, 10))
"""Nodes, and runs of an hour each."""
LOSSIER_SHARE = 10
"""Of so many runs one at each loss beyond the first."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    nodes: int
    loss: float
    seconds: float
    seed: int


def cases(scale: Scale) -> Sequence[Case]:
    """One hour for each seed."""
    if scale.quick:
        return [Case(16, LOSSES[0], HOUR / 20, scale.seed + seed) for seed in range(4)]
    return [
        Case(nodes, loss, HOUR, scale.seed + seed)
        for nodes, runs in SIZES
        for loss in LOSSES
        for seed in range(runs if loss == LOSSES[0] else max(1, runs // LOSSIER_SHARE))
    ]


def run(case: Case) -> Sequence[Row]:
    """One row: what was counted."""
    line = Line(latency=LATENCIES["lan"])
    accused = Accused()
    simulation = Simulation(case.seed, Config.lan(), line=line, watchers=[accused])
    processes = start_nodes(simulation, case.nodes)
    make_whole(simulation)
    simulation.medium.line = line.but(loss=case.loss)
    sent, sent_bytes = simulation.sent, simulation.sent_bytes
    simulation.advance(case.seconds)
    return [
        {
            **asdict(case),
            "refutations": sum(each.node.stats.refutations for each in processes),
            "false": len(accused.dead),
            "datagrams": simulation.sent - sent,
            "bytes": simulation.sent_bytes - sent_bytes,
        }
    ]


def tables(rows: Sequence[Row]) -> Sequence[Table]:
    """One table."""
    lines = []
    for (nodes, loss), some in grouped(rows, "nodes", "loss").items():
        seconds = sum(numbers(some, "seconds"))
        node_seconds = seconds * float(str(nodes))
        lines.append(
            (
                nodes,
                f"{float(str(loss)):.0%}",
                len(some),
                seconds / HOUR,
                int(sum(numbers(some, "false"))),
                HOUR * sum(numbers(some, "refutations")) / node_seconds,
                sum(numbers(some, "datagrams")) / node_seconds,
                sum(numbers(some, "bytes")) / node_seconds,
            )
        )
    columns = (
        *("nodes", "loss", "runs", "hours in all", "false deaths", "refuted suspicions of a node and hour"),
        *("datagrams of a node and second", "bytes"),
    )
    return [
        Table(
            "Loss alone: false deaths, and what suspicions cost",
            columns,
            tuple(lines),
            "A death counts once for each node and incarnation. Bytes without headers of IP and UDP.",
        )
    ]


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """Refuted suspicions of a node and hour, run by run."""
    ax = figure.subplots()
    for (nodes, loss), some in grouped(rows, "nodes", "loss").items():
        rates = sorted(
            HOUR * float(str(row["refutations"])) / float(str(row["seconds"])) / float(str(nodes))
            for row in some
        )
        shares = [(place + 1) / len(rates) for place in range(len(rates))]
        ax.step(rates, shares, where="post", label=f"{nodes} nodes, {float(str(loss)):.0%} loss")
    ax.set(xlabel="refuted suspicions of a node and hour", ylabel="share of runs", ylim=(0, 1))
    ax.legend()


EXPERIMENT = Experiment(
    name="lossy",
    title="Loss alone: false deaths",
    source="goal: no false death in 200 hours of 5 % loss",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="Clusters run for an hour each while datagrams are lost; nobody crashes, nobody stalls.",
)

if __name__ == "__main__":
    main("lossy")
