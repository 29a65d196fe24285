"""Outcomes: each operation is refused once, or applied once and done once; what is done converged is true."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from gossipgroups.groups.rules import Create, Delete, Join, Leave, Update
from gossipgroups.ids import NodeId
from gossipgroups.operations import Applied, Done, Outcome, Refused
from sims.checks.broken import Broken
from sims.checks.reports import Reports
from sims.engine import Process


class Outcomes:
    """The check of outcomes."""

    def __init__(self, reports: Reports, tally: Counter[str]) -> None:
        self._reports = reports
        self._tally = tally
        self._last: dict[NodeId, dict[int, Outcome]] = defaultdict(dict)

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
            elif isinstance(outcome, Done):
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

    def waiting(self, process: Process) -> list[str]:
        """The operations of a process that have not ended."""
        last = self._last[process.node.node_id]
        return [
            str(command)
            for number, command in process.operations.items()
            if not isinstance(last.get(number), Done | Refused)
        ]
