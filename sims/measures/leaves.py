"""Which members were told to have left, to whom, and when.

Law: what counts is the first `MemberLeftGroup` about a member that each process tells its application, since
the start or the last `restart`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gossipgroups.events import Event, MemberLeftGroup
from gossipgroups.operations import Outcome
from sims.engine import Process, Simulation, Watcher


class Leaves(Watcher):
    """The leaves told by all processes."""

    def __init__(self) -> None:
        self.told: dict[tuple[Process, str], float] = {}
        """When each process told that a member has left."""
        self.unconverged: set[tuple[Process, str]] = set()
        """Those that were told before they had converged."""

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        for event in events:
            if isinstance(event, MemberLeftGroup) and (process, event.member_id) not in self.told:
                self.told[process, event.member_id] = self._simulation.now
                if not event.converged:
                    self.unconverged.add((process, event.member_id))

    def restart(self) -> None:
        """Count anew from now on."""
        self.told.clear()
        self.unconverged.clear()

    def times(self, observers: Iterable[Process], member: str) -> list[float]:
        """When those of these processes told it that did, soonest first."""
        return sorted(self.told[each, member] for each in observers if (each, member) in self.told)

    def missed(self, observers: Iterable[Process], member: str) -> int:
        """How many of these processes have not told it."""
        return sum((each, member) not in self.told for each in observers)
