"""Many changes to one group: how long each took until the last watcher was told, and how it was told.

Law: a change is told at a node once the node holds it and has nothing left to report about the group. The
clock runs from the moment at which the application wanted the change, also while it is held back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossipgroups.events import Event, GroupEvent
from gossipgroups.groups.rules import Join, Leave
from gossipgroups.operations import Outcome
from sims.engine import Process, Simulation, Watcher


@dataclass(eq=False, slots=True)
class Change:
    """One join or leave."""

    member: str
    wanted_at: float
    clock: int
    """Of the presence that carries it."""
    submitted_at: float
    told_at: float = 0.0
    untold: int = 0


class Changes(Watcher):
    """Follows all changes to one group through all processes."""

    def __init__(self, group: str) -> None:
        self.changes: list[Change] = []
        self.converged = 0
        """Group events told as converged."""
        self.unconverged = 0
        """Group events told before they had converged."""
        self._group = group
        self._untold: dict[Process, dict[Change, None]] = {}

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def started(self, process: Process) -> None:
        self._untold[process] = {}

    def submit(self, process: Process, command: Join | Leave, wanted_at: float) -> Change:
        """Let a process carry out a join or a leave, and follow it."""
        simulation = self._simulation
        simulation.submit(process, command)
        presence = process.node.state.replica.presences[self._group][command.member]
        change = Change(command.member, wanted_at, presence.clock, simulation.now, untold=len(self._untold))
        self.changes.append(change)
        for untold in self._untold.values():
            untold[change] = None
        self.called(process, (), ())
        return change

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        for event in events:
            if isinstance(event, GroupEvent):
                if event.converged:
                    self.converged += 1
                else:
                    self.unconverged += 1
        untold = self._untold[process]
        if not untold or self._group in process.node._reports.pending:
            return
        held = process.node.state.replica.presences.get(self._group, {})
        for change in list(untold):
            presence = held.get(change.member)
            if presence is not None and presence.clock >= change.clock:
                del untold[change]
                change.untold -= 1
                change.told_at = self._simulation.now
