"""The virtual soak: hours of a busy cluster in the simulator, with every table of every node counted.

Law: of each sample the largest of all running nodes counts, so that what grows in one node shows. What was
never done cannot have been soaked: it is a trouble too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gossipgroups.admission import STRANGERS
from gossipgroups.config import Config
from gossipgroups.contacts import PENDING
from gossipgroups.groups.forgetting import SLACK
from gossipgroups.snapshot import Snapshot
from gossipgroups.testing.latency import LogNormal
from gossipgroups.testing.medium import Line
from sims.engine import Process, Simulation
from sims.measures.cluster import make_whole
from sims.soak.graph import bytes_of, tables_of
from sims.soak.growth import Tolerance, Verdict, judge, series_of, table
from sims.soak.weather import Weather
from sims.tables import Table

HOUR = 3600.0
COUNTS = Tolerance(0.05, 3, 0.25, 10)
SIZE = Tolerance(0.05, 8, 0.15, 32)
"""Of KiB."""
SIZE_NAME = "size of a node, KiB"
REGISTERS_NAME = "registers"
TOMBSTONES_NAME = "tombstones"
VIEWS_NAME = "views of a snapshot"
BOUNDED = {
    "_contacts._pending": Tolerance(0, 0, 0, 0, PENDING),
    "_admission._floors": Tolerance(0, 0, 0, 0, STRANGERS),
    "_admission._asked": Tolerance(0, 0, 0, 0, STRANGERS),
    "state.tombstones._queue": Tolerance(0.5, SLACK, 0.5, SLACK),
}
"""What is remembered until there is so much of it: pings of seeds and of the dead that were never answered,
the highest numbers of senders that were forgotten, and who was asked at home. And what is cleared away when
there is much of it."""
OFFSET = 0.5
"""Samples are taken so many seconds after anything was done on purpose, when it is over."""
MUST_OCCUR = (
    "member joined",
    "member left",
    "node started",
    "node stopped",
    "node crashed, started again",
    "machine lost",
    "process stalled",
    "group deleted",
    "job ended",
)
FORGETS = 2
"""Times `forget_after` that the warm-up must last: until then tombstones only come."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. Virtual hours; seconds."""

    hours: float = 24.0
    nodes: int = 8
    forget_after: float = HOUR
    every: float = 120.0
    """Between two samples."""
    loss: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.hours * HOUR / 3 < FORGETS * self.forget_after:
            raise ValueError(
                f"{self.hours:g} hours are too short: a third of them is warm-up, which must last "
                f"{FORGETS} times forget_after ({self.forget_after:g} s)"
            )

    @property
    def samples(self) -> int:
        """How many samples are taken."""
        return round(self.hours * HOUR / self.every)


class Soak:
    """A cluster that is kept busy, and the samples taken of it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        config = Config.lan().but(forget_after=plan.forget_after)
        line = Line(latency=LogNormal(median=0.001, sigma=0.5), loss=plan.loss)
        self.simulation = Simulation(plan.seed, config, line=line)
        self.weather = Weather(self.simulation, plan.nodes)
        make_whole(self.simulation)
        self.weather.begin()
        self.samples: list[dict[str, float]] = []
        self._snapshots: dict[Process, Snapshot] = {}

    def run(self, sampled: Callable[[], None] = lambda: None) -> None:
        """Carry the plan out; call `sampled` after each sample."""
        self.simulation.advance(OFFSET)
        for _ in range(self.plan.samples):
            self.simulation.advance(self.plan.every)
            self._sample()
            sampled()

    def verdicts(self) -> list[Verdict]:
        """Of the size of a node, and each of its tables."""
        series = series_of(self.samples)
        tolerances = {SIZE_NAME: SIZE, **BOUNDED}
        return [judge(name, held, tolerances.get(name, COUNTS)) for name, held in series.items()]

    def troubles(self) -> list[str]:
        """Every bound that was broken."""
        troubles = [each.complaint for each in self.verdicts() if each.grew]
        if never := [what for what in MUST_OCCUR if not self.weather.tally[what]]:
            troubles.append(f"never occurred: {', '.join(never)}; a longer run brings it")
        return troubles

    def tables(self) -> list[Table]:
        """What was counted, and what was done."""
        note = "Of the running node with most; the first third is warm-up. What stayed empty is left out."
        simulation = self.simulation
        done = [*sorted(self.weather.tally.items()), ("datagrams sent", simulation.sent)]
        return [
            table(f"{self.plan.nodes} nodes, {self.plan.hours:g} virtual hours", self.verdicts(), note),
            Table("What was done", ("what", "times"), tuple(done)),
        ]

    def _sample(self) -> None:
        sample: dict[str, float] = {}
        # As a driver does: a node notes what has changed until it is asked for a snapshot.
        self._snapshots = {
            process: self._snapshots.get(process, Snapshot()).next(process.node.state, 0)
            for process in self.simulation.processes.values()
        }
        for process, snapshot in self._snapshots.items():
            node = process.node
            counts = {
                SIZE_NAME: bytes_of(node) / 1024,
                REGISTERS_NAME: float(len(node.state.replica.by_hash)),
                TOMBSTONES_NAME: float(len(node.state.tombstones)),
                VIEWS_NAME: float(len(snapshot.views)),
                **tables_of(node),
            }
            for name, count in counts.items():
                sample[name] = max(sample.get(name, 0.0), count)
        self.samples.append(sample)
