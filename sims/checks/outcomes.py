"""Outcomes: each operation is refused once, or applied once and done once; what is done converged is true.

A settle is done when what was held at its call was told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from gossipgroups.groups.rules import Create, Delete, Join, Leave, Settle, Update
from gossipgroups.ids import NodeId
from gossipgroups.operations import Applied, Done, Outcome, Refused
from gossipgroups.registers import PresenceRegister
from sims.checks.broken import Broken
from sims.checks.holdings import view_of
from sims.checks.reports import Reports
from sims.engine import Process

Held = dict[str, dict[str, PresenceRegister]]


def _held(process: Process, command: Settle) -> Held:
    replica = process.node.state.replica
    groups = replica.groups if command.group is None else (command.group,)
    return {group: view_of(replica, group) for group in groups}


class Outcomes:
    """The check of outcomes."""

    def __init__(self, reports: Reports, tally: Counter[str]) -> None:
        self._reports = reports
        self._tally = tally
        self._last: dict[NodeId, dict[int, Outcome]] = defaultdict(dict)
        self._held: dict[tuple[NodeId, int], Held] = {}
        """What was held when a settle was applied."""

    def check(self, process: Process, outcomes: Sequence[Outcome]) -> None:
        """Check what a node says of its operations after a call."""
        last = self._last[process.node.node_id]
        for outcome in outcomes:
            number = outcome.number
            before = last.get(number)
            command = process.operations.get(number)
            if isinstance(outcome, Done) != isinstance(before, Applied) or isinstance(before, Done | Refused):
                raise Broken("outcome", f"{process.name}: {outcome} after {before} for {command}")
            last[number] = outcome
            if isinstance(outcome, Refused):
                self._tally[type(outcome.error).__name__] += 1
            elif isinstance(outcome, Applied):
                if isinstance(command, Settle):
                    self._held[process.node.node_id, number] = _held(process, command)
            elif isinstance(outcome, Done):
                if isinstance(command, Settle):
                    self._settled(process, number, command)
                self._tally["done" if outcome.converged else "done unconverged"] += 1
                if not outcome.converged:
                    continue
                if isinstance(command, Create | Delete):
                    self._reports.true_groups(process, command)
                elif isinstance(command, Leave | Update) or (
                    isinstance(command, Join) and not command.create
                ):
                    # A join that creates its group waits for two reports, and the first may be past by now.
                    self._reports.true_view(process, command.group, command)

    def _settled(self, process: Process, number: int, command: Settle) -> None:
        held = self._held.pop((process.node.node_id, number))
        told = self._reports[process.node.node_id].members
        for group, members in held.items():
            if _held(process, command).get(group) == members and told[group] != set(members):
                raise Broken(
                    "outcome",
                    f"{process.name}: {command} is done, but of {group} {sorted(told[group])} was told and "
                    f"{sorted(members)} is held",
                )

    def waiting(self, process: Process) -> list[str]:
        """The operations of a process that have not ended."""
        last = self._last[process.node.node_id]
        return [
            str(command)
            for number, command in process.operations.items()
            if not isinstance(last.get(number), Done | Refused)
        ]
