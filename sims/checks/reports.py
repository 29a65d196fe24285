"""Reports: what a node tells its application.

truth         told as converged: every node that the teller holds alive has held what it holds now, at the
              stamp at which it does
alternation   created, then joins and leaves in turn for each member, then deleted; capabilities change
              between join and leave; nodes join and are gone in turn
sum           after a report the events so far add up to what is held
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from gossipgroups.events import (
    Event,
    GroupCreated,
    GroupDeleted,
    GroupEvent,
    MemberCapabilitiesUpdated,
    MemberJoinedGroup,
    MemberLeftGroup,
    NodeEvent,
    NodeJoined,
    NodeSuspected,
)
from gossipgroups.ids import NodeId
from gossipgroups.wire.messages import ROOT, Scope
from sims.checks.broken import Broken
from sims.checks.holdings import Holdings, alive_of, is_live, view_of
from sims.checks.settled import Settled
from sims.engine import Process


class Told:
    """The sum of what one node has told."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = defaultdict(set)
        self.exists: dict[str, bool] = defaultdict(bool)
        self.nodes: set[NodeId] = set()
        self.groups_had: set[int] = {0}


class Reports:
    """The check of events."""

    def __init__(self, holdings: Holdings, settled: Settled, tally: Counter[str]) -> None:
        self._holdings = holdings
        self._settled = settled
        self._tally = tally
        self._told: dict[NodeId, Told] = defaultdict(Told)
        self.count = 0
        """Group events so far."""

    def __getitem__(self, node_id: NodeId) -> Told:
        return self._told[node_id]

    def held(self, process: Process) -> None:
        """Note which groups a node holds to exist."""
        node_id = process.node.node_id
        self._told[node_id].groups_had.add(self._holdings[node_id].groups)

    def tell(self, process: Process, events: Sequence[Event]) -> None:
        """Check what a node tells after a call."""
        told = self._told[process.node.node_id]
        group_events = []
        for event in events:
            if isinstance(event, GroupEvent):
                self._tally[type(event).__name__ + ("" if event.converged else " unconverged")] += 1
                group_events.append(event)
            elif isinstance(event, NodeEvent):
                self._tally[type(event).__name__] += 1
                _node_event(process, told, event)
        if len(group_events) < len(events):
            self._nodes_add_up(process, told)
        if group_events:
            self.count += len(group_events)
            self._group_events(process, told, group_events)

    def true_groups(self, process: Process, what: object) -> None:
        """Every node held alive has held the groups to exist that this one does."""
        groups = self._holdings[process.node.node_id].groups
        for other in alive_of(process.node.state.replica):
            if other not in self._holdings or groups not in self._told[other].groups_had:
                raise Broken("truth", f"{process.name}: {what}, but {other.hex()} never held these groups")

    def true_view(self, process: Process, group: str, what: object) -> None:
        """Every node held alive has held the view that this one holds."""
        name = self._holdings.who_never_held(process, group)
        if name is not None:
            raise Broken("truth", f"{process.name}: {what}, but {name} never held this view")

    def _group_events(self, process: Process, told: Told, events: list[GroupEvent]) -> None:
        last_deleted = {each.group_id: at for at, each in enumerate(events) if isinstance(each, GroupDeleted)}
        views: dict[str, GroupEvent | None] = {}
        groups: GroupEvent | None = None
        for at, event in enumerate(events):
            self._alternate(process, told, event)
            if isinstance(event, GroupCreated | GroupDeleted) or at < last_deleted.get(event.group_id, -1):
                groups = event if event.converged else groups
            else:
                views[event.group_id] = event if event.converged else views.get(event.group_id)
        if groups is not None:
            self.true_groups(process, groups)
            self._witnessed(process, ROOT, groups)
        for group, converged in views.items():
            if converged is not None:
                self.true_view(process, group, converged)
                self._witnessed(process, group, converged)
            held = set(view_of(process.node.state.replica, group))
            if told.members[group] != held:
                raise Broken(
                    "sum",
                    f"{process.name}: told {sorted(told.members[group])} of {group}, holds {sorted(held)}",
                )

    def _witnessed(self, process: Process, scope: Scope, what: object) -> None:
        """Whatever the teller's bits say, those that it holds alive were there."""
        who = self._settled.who_did_not_witness(process, scope)
        if who is not None:
            raise Broken("truth", f"{process.name}: {what}, but {who} held this at most some time before")

    def _alternate(self, process: Process, told: Told, event: GroupEvent) -> None:
        members, there = told.members[event.group_id], told.exists[event.group_id]
        match event:
            case MemberJoinedGroup():
                right = there and event.member_id not in members
                members.add(event.member_id)
            case MemberLeftGroup():
                right = there and event.member_id in members
                members.discard(event.member_id)
                self._tally[event.reason] += 1
            case MemberCapabilitiesUpdated():
                right = there and event.member_id in members
            case GroupCreated():
                right = not there and not members
                told.exists[event.group_id] = True
            case _:
                right = there and not members
                told.exists[event.group_id] = False
        if not right:
            raise Broken(
                "alternation",
                f"{process.name}: {event} out of turn (exists: {there}, members: {sorted(members)})",
            )

    def _nodes_add_up(self, process: Process, told: Told) -> None:
        nodes = process.node.state.replica.nodes
        live = {node_id for node_id, each in nodes.items() if is_live(each)} - {process.node.node_id}
        if told.nodes != live:
            raise Broken("sum", f"{process.name}: node events do not add up to its live set")


def _node_event(process: Process, told: Told, event: NodeEvent) -> None:
    there = event.node_id in told.nodes
    if there == isinstance(event, NodeJoined):
        raise Broken("alternation", f"{process.name}: {event} out of turn (there: {there})")
    if isinstance(event, NodeJoined):
        told.nodes.add(event.node_id)
    elif not isinstance(event, NodeSuspected):
        told.nodes.discard(event.node_id)
