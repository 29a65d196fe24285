"""When a cluster is quiet, and how loud it is before: looked at once a second.

Law: quiet means that everybody holds everybody alive, nobody suspects anybody, no scope is open, nobody was
suspected, declared dead or had to refute, and no more is sent than `LOUDEST` times what an idle cluster
sends; all of it for `HOLD` seconds on end. A cluster has been quiet from the first of these seconds on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossipgroups.events import Event, NodeFailed, NodeSuspected
from gossipgroups.operations import Outcome
from sims.engine import Process, Simulation, Watcher

LOUDEST = 1.2
HOLD = 5
DATAGRAMS_EACH = 2.0
"""What an idle node sends in one probe period: a ping, and an ack to another's."""


@dataclass(frozen=True, slots=True)
class Second:
    """What happened in one second, over all nodes, and how they stood at its end."""

    until: float
    sent: int
    suspicions: int
    deaths: int
    refutations: int
    awareness: float
    """Mean local health score."""
    worst: int
    """The highest score of any node."""
    blind: int
    """Nodes that do not hold everybody alive."""
    settled: bool
    """Whether nobody suspects anybody and no scope is open."""

    def is_calm(self, idle: float) -> bool:
        """Whether this second could be one of a quiet cluster that sends `idle` datagrams a second."""
        accused = self.suspicions + self.deaths + self.refutations
        return not accused and not self.blind and self.settled and self.sent <= LOUDEST * idle


class Loudness(Watcher):
    """A cluster's seconds. All suspicions and deaths are false: nobody crashes here."""

    def __init__(self) -> None:
        self.seconds: list[Second] = []
        self._suspicions = 0
        self._deaths = 0
        self._refutations = 0
        self._sent = 0

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation
        simulation.after(1.0, self._look)

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        for each in events:
            self._suspicions += isinstance(each, NodeSuspected)
            self._deaths += isinstance(each, NodeFailed)

    def _look(self) -> None:
        simulation = self._simulation
        nodes = [process.node for process in simulation.processes.values()]
        scores = [node._prober.awareness.score for node in nodes]
        refutations = sum(node.stats.refutations for node in nodes)
        self.seconds.append(
            Second(
                until=simulation.now,
                sent=simulation.sent - self._sent,
                suspicions=self._suspicions,
                deaths=self._deaths,
                refutations=refutations - self._refutations,
                awareness=sum(scores) / len(scores),
                worst=max(scores),
                blind=sum(len(node.state.live) != len(nodes) for node in nodes),
                settled=not any(node._detector.suspicions or node._convergence.open for node in nodes),
            )
        )
        self._suspicions = self._deaths = 0
        self._refutations, self._sent = refutations, simulation.sent
        simulation.after(1.0, self._look)


def quiet_since(seconds: Sequence[Second], idle: float) -> int | None:
    """The place of the first second of those, at the end, that were all calm; `None` if fewer than `HOLD`."""
    start = len(seconds)
    while start and seconds[start - 1].is_calm(idle):
        start -= 1
    return start if len(seconds) - start >= HOLD else None


def first_quiet(seconds: Sequence[Second], idle: float) -> int | None:
    """The place of the first of `HOLD` calm seconds on end."""
    run = 0
    for place, each in enumerate(seconds):
        run = run + 1 if each.is_calm(idle) else 0
        if run == HOLD:
            return place + 1 - HOLD
    return None
