"""Who held whom dead, and who came back.

Law: a removal is one observer's; it is true if its subject had ended, and false if it runs. Observers and
subjects may be told apart into those that a fault was done to, and the healthy others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from gossipgroups.events import Event, NodeFailed, NodeJoined, NodeSuspected
from gossipgroups.ids import Address
from gossipgroups.operations import Outcome
from sims.engine import Process, Simulation, Watcher


class Notice(NamedTuple):
    """One observer is told something about one subject."""

    time: float
    observer: Address
    subject: Address


class Removals(Watcher):
    """Suspicions, removals and returns since the start or the last `restart`."""

    def __init__(self) -> None:
        self.suspicions: list[Notice] = []
        self.removals: list[Notice] = []
        self.returns: list[Notice] = []

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        for event in events:
            match event:
                case NodeFailed(_, _, subject):
                    self.removals.append(Notice(self._simulation.now, process.address, subject))
                case NodeJoined(_, _, subject):
                    self.returns.append(Notice(self._simulation.now, process.address, subject))
                case NodeSuspected(_, _, subject):
                    self.suspicions.append(Notice(self._simulation.now, process.address, subject))

    def restart(self) -> None:
        """Count anew from now on."""
        for each in (self.suspicions, self.removals, self.returns):
            each.clear()


def between(
    notices: Sequence[Notice], observers: Collection[Address], subjects: Collection[Address]
) -> list[Notice]:
    """Those of these observers about these subjects."""
    return [each for each in notices if each.observer in observers and each.subject in subjects]
