"""All checks together, as the watcher of one simulation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from gossipgroups.events import Event
from gossipgroups.ids import ANYBODY, Address
from gossipgroups.operations import Outcome
from sims.checks.admitted import Admitted, header_of
from sims.checks.answered import Answered
from sims.checks.budgets import meter
from sims.checks.forward import Forward
from sims.checks.holdings import Holdings, is_takeover
from sims.checks.limits import check_datagram, check_limits
from sims.checks.outcomes import Outcomes
from sims.checks.outsiders import Outsiders
from sims.checks.reports import Reports
from sims.checks.rest import missing
from sims.checks.settled import Settled
from sims.checks.statuses import Statuses
from sims.checks.views import check_views
from sims.engine import Process, Simulation, Watcher

FASTEST = 4.0
"""How fast a clock may run at most: ages travel, so the fastest tells all others how old something is."""
LIMITS_EVERY = 8
"""Calls into a node between two looks at its limits; what overflows does not go away in one."""


class Checks(Watcher):
    """Looks at a node after every call into it. `tally` counts what was seen."""

    closely = True

    def __init__(self) -> None:
        self.tally: Counter[str] = Counter()
        self.outsiders: Outsiders = {}
        """Who keeps no rules. Each is named before it comes."""
        self._holdings = Holdings()
        self._statuses = Statuses(self.tally)
        self._forward = Forward()
        self._settled = Settled(self._holdings, self.tally)
        self._reports = Reports(self._holdings, self._settled, self.tally)
        self._outcomes = Outcomes(self._reports, self.tally)
        self._admitted = Admitted(self.outsiders, self.tally)
        self._answered = Answered(self.outsiders, self.tally)
        self._calls = 0
        self._simulation: Simulation

    @property
    def told(self) -> int:
        """Events of groups so far."""
        return self._reports.count

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def started(self, process: Process) -> None:
        if process.address in self.outsiders:
            if self.outsiders[process.address] == "twin":
                self._holdings.add_twin(process)
            return
        self._holdings.add(process)
        meter(process.node, process.name)
        self._statuses.own(process)

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        longest = self._simulation.now * FASTEST + self._simulation.jumped
        if process.address in self.outsiders:
            if self.outsiders[process.address] == "twin":
                self._statuses.twin(process)
                twin = self._holdings.of_twin(process)
                twin.follow(twin.look(longest))
                self._settled.look_at_twin(process)
            return
        holding = self._holdings[process.node.node_id]
        self._statuses.own(process)
        pairs = holding.look(longest)
        for register in holding.dropped:
            self.tally["forgotten"] += 1
            self._forward.forgotten(register)
            self._settled.forgotten(process, register)
        if pairs:
            self._statuses.changed(process, pairs)
            self._forward.changed(process, pairs)
            self.tally["member taken over"] += sum(is_takeover(*pair) for pair in pairs)
            check_views(process, holding.follow(pairs))
            self._reports.held(process)
        self._settled.look(process)
        if events:
            self._reports.tell(process, events)
        if outcomes:
            self._outcomes.check(process, outcomes)
        self._calls += 1
        if self._calls % LIMITS_EVERY == 0:
            check_limits(process, len(self._holdings))

    def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
        check_datagram(process, datagram)
        self._admitted.sent(process, datagram)
        if process.address not in self.outsiders:
            self._answered.sent(process, datagram, target)

    def received(self, process: Process, datagram: bytes, source: Address) -> None:
        if process.address not in self.outsiders:
            self._admitted.received(process, datagram, source)
            self._answered.received(process, datagram, source)

    def taken(self, process: Process, datagram: bytes, source: Address, reason: str | None) -> None:
        by_twin = reason is None and self.outsiders.get(source) == "twin"
        if by_twin and header_of(process, datagram).receiver != ANYBODY:
            self._holdings.listened(source)
        if process.address not in self.outsiders:
            self._admitted.taken(process, datagram, source, reason)
            self._answered.taken(process, datagram, source, reason)

    def missing(self, processes: Iterable[Process]) -> list[str]:
        """What is missing to rest among these processes, which are all that run."""
        return missing(processes, self._reports, self._outcomes)

    def at_rest(self, process: Process) -> None:
        """Check what must hold in the end, and count what a node counts itself."""
        check_limits(process, len(self._holdings))
        node = process.node
        self.tally["refutations"] += node.stats.refutations
        self.tally["stalls"] += node.stats.stalls
        self.tally["repairs"] += node._reconciler.started
