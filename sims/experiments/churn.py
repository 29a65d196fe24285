"""`python -m sims.experiments.churn`: changes to one group without end, and whether holding back helps.

Law: the same changes are wanted at the same times by the same nodes, whether they are held back or not. A
change that is held back has been waiting since it was wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean
from typing import TYPE_CHECKING

from gossipgroups.config import Config
from gossipgroups.groups.rules import Create, Join, Leave
from gossipgroups.testing.medium import HEADER_BYTES, Line
from sims.engine import Process, Simulation, address_of
from sims.experiments.experiment import Experiment, Row, Scale, main
from sims.loopback.figures import quantile
from sims.measures.changes import Changes
from sims.measures.rows import number
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUP = "workers"
CAPABILITIES = b"\x80"
CONFIG = Config.lan()
RATES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Changes a second, in the whole cluster."""
HOLD_BACK = 1.0
"""Longest time that a node holds its own change back while the group settles there."""
LOOK = 0.01
"""A node that holds back looks this often whether it may go on."""
REST = 5.0
"""Between the start of the cluster and the first change."""
DRAIN = CONFIG.convergence_deadline + 2.0
"""After the last change: what is told late is told by then."""
BOOT_LIMIT = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster under one rate of changes."""

    nodes: int
    loss: float
    rate: float
    hold_back: float
    """0: never."""
    seconds: float
    """Of changes."""
    seed: int


class Member:
    """What one node's application wants: to join and to leave in turn."""

    def __init__(
        self, name: str, process: Process, simulation: Simulation, changes: Changes, hold_back: float
    ) -> None:
        self._name = name
        self._process = process
        self._simulation = simulation
        self._changes = changes
        self._hold_back = hold_back
        self._inside = False
        self._wanted: deque[float] = deque()

    def want(self) -> None:
        """Want the next change, and make it when it may be made."""
        self._wanted.append(self._simulation.now)
        if len(self._wanted) == 1:
            self._go_on()

    def _go_on(self) -> None:
        while self._wanted:
            wanted_at = self._wanted[0]
            settling = not self._process.node._convergence.is_settled(GROUP)
            if settling and self._simulation.now < wanted_at + self._hold_back:
                self._simulation.after(LOOK, self._go_on)
                return
            self._wanted.popleft()
            command = Leave(GROUP, self._name) if self._inside else Join(GROUP, self._name, CAPABILITIES)
            self._inside = not self._inside
            self._changes.submit(self._process, command, wanted_at)


def cases(scale: Scale) -> list[Case]:
    """With and without holding back; the busiest first."""
    sizes = (32,) if scale.quick else (128, 32)
    rates = (1.0, 10.0, 100.0) if scale.quick else RATES
    enough, shortest, longest = (40, 2.0, 10.0) if scale.quick else (240, 5.0, 40.0)
    return [
        Case(nodes, loss, rate, hold_back, min(longest, max(shortest, enough / rate)), scale.seed)
        for nodes in sizes
        for rate in reversed(rates)
        for loss in (0.0, 0.05)
        for hold_back in (0.0, HOLD_BACK)
    ]


def run(case: Case) -> list[Row]:
    """One row."""
    changes = Changes(GROUP)
    simulation = Simulation(case.seed, CONFIG, watchers=[changes])
    processes = [simulation.start(address_of(0))]
    simulation.advance(1.0)
    simulation.submit(processes[0], Create(GROUP))
    seeds = (address_of(0),)
    processes += [simulation.start(address_of(place), seeds=seeds) for place in range(1, case.nodes)]
    simulation.medium.line = Line(loss=case.loss)
    simulation.advance(REST)
    if any(len(each.node.state.live) != case.nodes for each in processes):
        raise RuntimeError(f"{case}: not complete {REST:g} s after the start")
    members = [
        Member(f"member-{place}", process, simulation, changes, case.hold_back)
        for place, process in enumerate(processes)
    ]
    began, sent, size = simulation.now, simulation.sent, simulation.sent_bytes
    chance = Random(case.seed)
    at = began
    while (at := at + chance.expovariate(case.rate)) < began + case.seconds:
        simulation.at(at, members[chance.randrange(case.nodes)].want)
    simulation.advance(case.seconds)
    sent, size = simulation.sent - sent, simulation.sent_bytes - size
    simulation.advance(DRAIN)
    delays = [each.told_at - each.wanted_at for each in changes.changes if not each.untold]
    held = [each.submitted_at - each.wanted_at for each in changes.changes]
    events = changes.converged + changes.unconverged
    return [
        {
            "nodes": case.nodes,
            "loss": f"{case.loss:.0%}",
            "rate": case.rate,
            "hold_back": case.hold_back,
            "seed": case.seed,
            "changes": len(changes.changes),
            "untold": sum(each.untold > 0 for each in changes.changes),
            "p50_s": quantile(delays, 0.50),
            "p99_s": quantile(delays, 0.99),
            "longest_s": quantile(delays, 1),
            "held_s": mean(held),
            "events": events,
            "unconverged": changes.unconverged,
            "bytes": (size + sent * HEADER_BYTES) / case.nodes / case.seconds,
            "datagrams": sent / case.nodes / case.seconds,
        }
    ]


def tables(rows: Sequence[Row]) -> list[Table]:
    """Both ways side by side, by rate."""
    pairs: dict[tuple[Cell, ...], list[Row]] = {}
    for row in sorted(rows, key=_order):
        pairs.setdefault((row["nodes"], row["loss"], row["rate"]), []).append(row)
    return [
        Table(
            "Changes to one group without end, at once and held back",
            (
                "nodes",
                "loss",
                "changes a second",
                "changes",
                "p50, ms",
                "held back",
                "p99, ms",
                "held back ",
                "unconverged, %",
                "held back  ",
                "KB a second and node",
                "held back   ",
            ),
            tuple(
                (
                    nodes,
                    loss,
                    rate,
                    pair[0]["changes"],
                    *(_ms(row, "p50_s") for row in pair),
                    *(_ms(row, "p99_s") for row in pair),
                    *(_share(row) for row in pair),
                    *(number(row, "bytes") / 1000 for row in pair),
                )
                for (nodes, loss, rate), pair in pairs.items()
            ),
            "From the moment at which a change is wanted until the last node has told it. Held back: a node "
            f"makes its next change when the group is settled there, or after {HOLD_BACK:g} s.",
        )
    ]


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """p99 and the share told unconverged, by rate."""
    delays, shares = figure.subplots(1, 2)
    lines: dict[tuple[Cell, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: number(row, "rate")):
        lines.setdefault((row["nodes"], row["loss"], row["hold_back"]), []).append(row)
    for (nodes, loss, hold_back), some in lines.items():
        label = f"{nodes} nodes, {loss} loss" + (", held back" if hold_back else "")
        rates = [number(row, "rate") for row in some]
        style = "o--" if hold_back else "o-"
        delays.plot(rates, [_ms(row, "p99_s") for row in some], style, label=label)
        shares.plot(rates, [_share(row) for row in some], style, label=label)
    delays.set(xlabel="changes a second", ylabel="p99 until the last is told, ms", xscale="log", yscale="log")
    shares.set(xlabel="changes a second", ylabel="events told unconverged, %", xscale="log")
    delays.legend(fontsize="small")
    for axes in (delays, shares):
        axes.grid(alpha=0.3)


def _order(row: Row) -> tuple[float, str, float, float]:
    return number(row, "nodes"), str(row["loss"]), number(row, "rate"), number(row, "hold_back")


def _ms(row: Row, column: str) -> float:
    return 1000 * number(row, column)


def _share(row: Row) -> float:
    return 100 * number(row, "unconverged") / max(1, number(row, "events"))


EXPERIMENT = Experiment(
    name="churn",
    title="Changes to one group without end: does it settle, and does holding back help?",
    source="no other library says when a change has converged; ours with and without holding back",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="Random nodes join and leave one group at a rate. Each change counts from the moment at which it "
    "is wanted until the last node has told it. Held back, it waits for the group to settle at its node.",
)

if __name__ == "__main__":
    main("churn")
