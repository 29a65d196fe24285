"""The promises, checked on what nodes hold and tell: nothing here asks the library's own rules.

Law: `Checks` looks on after every call into a node, and raises `Broken` at the first breach.

    Truth         told as converged: every node that the teller holds alive has held exactly this view
    Order         what a node tells is what it holds then; its epochs and presences only move forward
    Agreement     settled at the same stamp, with a node in common: the same view
    Alternation   join, leave, join, … for each group and member, and their sum is the view that was told
    Statuses      only the owner raises an incarnation, and only a higher one goes back from dead
    Outcomes      each operation is refused once, or applied once and then done once

`missing` says what is missing to rest: after healing and a quiet time that must be nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from gossipgroups.events import (
    Event,
    GroupCreated,
    GroupDeleted,
    GroupEvent,
    MemberCapabilitiesUpdated,
    MemberJoinedGroup,
    MemberLeftGroup,
    NodeEvent,
    NodeFailed,
    NodeJoined,
    NodeLeft,
    NodeSuspected,
)
from gossipgroups.groups.rules import Command, Create, Delete, Join
from gossipgroups.ids import NodeId
from gossipgroups.node import Node
from gossipgroups.operations import Applied, Done, Outcome, Refused
from gossipgroups.registers import PresenceRegister
from gossipgroups.status import Status
from gossipgroups.wire.messages import Scope
from tests.wired import Process

View = frozenset[bytes]
"""The presences of a view, each in its one encoding: member, node id, epoch, clock and capabilities."""
EMPTY: View = frozenset()
Root = frozenset[tuple[str, int]]
"""The groups that exist, each with its epoch."""


class Broken(AssertionError):
    """A promise was broken."""


def view_of(node: Node, group: str) -> dict[str, PresenceRegister]:
    """The view of a group, computed anew from the three maps."""
    replica = node.state.replica
    register = replica.groups.get(group)
    if register is None or register.epoch % 2 == 0:
        return {}
    return {
        member: presence
        for member, presence in replica.presences.get(group, {}).items()
        if presence.capabilities is not None
        and presence.epoch == register.epoch
        and presence.node_id in replica.nodes
        and replica.nodes[presence.node_id].status in (Status.ALIVE, Status.SUSPECT)
    }


def root_of(node: Node) -> Root:
    """The groups that exist, computed anew."""
    groups = node.state.replica.groups.values()
    return frozenset((each.group, each.epoch) for each in groups if each.epoch % 2 == 1)


def frozen(view: dict[str, PresenceRegister]) -> View:
    """A view as a value."""
    return frozenset(presence.packed for presence in view.values())


class Record:
    """What one node has held and told so far."""

    def __init__(self) -> None:
        self.digest: int | None = None
        self.now: dict[str, View] = {}
        self.views: dict[str, set[View]] = defaultdict(lambda: {EMPTY})
        """Every view held of a group. Before it is heard of, a group has nobody."""
        self.roots: set[Root] = {frozenset()}
        """Every set of existing groups held, each group with its epoch."""
        self.ranks: dict[tuple[object, ...], tuple[object, ...]] = {}
        self.told: dict[str, set[str]] = defaultdict(set)
        self.exists: dict[str, bool] = defaultdict(bool)
        self.known: dict[NodeId, bool] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.stamps: dict[Scope, tuple[int, int, int]] = {}
        self.settled: dict[Scope, tuple[int, int, int]] = {}


class Checks:
    """The watcher of one network."""

    def __init__(self) -> None:
        self.tally: Counter[str] = Counter()
        self.told = 0
        """Group events so far."""
        self._records: dict[NodeId, Record] = {}
        self._incarnations: dict[NodeId, int] = {}
        self._settled: dict[tuple[Scope, int], list[tuple[int, frozenset[NodeId], str]]] = defaultdict(list)

    def started(self, process: Process) -> None:
        self._records[process.node.node_id] = Record()

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        node, record = process.node, self._records[process.node.node_id]
        self._incarnations[node.node_id] = max(
            self._incarnations.get(node.node_id, 0), node.state.own.incarnation
        )
        if node.state.replica.digest != record.digest:
            record.digest = node.state.replica.digest
            self._forward(process, record)
            self._hold(process, record)
            self._node_events(process, record, [each for each in events if isinstance(each, NodeEvent)])
        self._stamps(process, record)
        self._group_events(process, record, [each for each in events if isinstance(each, GroupEvent)])
        for outcome in outcomes:
            self._outcome(process, record, outcome)

    # What nodes hold.

    def _forward(self, process: Process, record: Record) -> None:
        """Registers only move forward, and incarnations only by their owners."""
        replica = process.node.state.replica
        for node in replica.nodes.values():
            highest = self._incarnations.get(node.node_id, 0)
            if node.incarnation > highest:
                raise Broken(
                    f"{process.name} holds incarnation {node.incarnation} > {highest} of {node.name}"
                )
            self._moved(process, record, ("node", node.node_id), (node.incarnation, int(node.status)))
        for group in replica.groups.values():
            self._moved(process, record, ("group", group.group), (group.epoch,))
        for members in replica.presences.values():
            for each in members.values():
                self._moved(
                    process, record, (each.group, each.member), (each.epoch, each.clock, each.node_id)
                )

    def _moved(
        self, process: Process, record: Record, key: tuple[object, ...], rank: tuple[object, ...]
    ) -> None:
        before = record.ranks.get(key, rank)
        if rank < before:
            raise Broken(f"{process.name} went back from {before} to {rank} for {key}")
        record.ranks[key] = rank

    def _hold(self, process: Process, record: Record) -> None:
        replica = process.node.state.replica
        record.roots.add(root_of(process.node))
        for group in {*replica.groups, *replica.presences, *record.now}:
            view = view_of(process.node, group)
            record.now[group] = frozen(view)
            record.views[group].add(record.now[group])
            if dict(process.node.state.views[group]) != view:
                raise Broken(f"{process.name}: the view of {group} is not that of its maps, {sorted(view)}")

    def _stamps(self, process: Process, record: Record) -> None:
        """Agreement, and what it rests on: at one stamp a node holds one view under one live set."""
        node = process.node
        convergence = node._convergence
        nodes = node.state.replica.nodes
        for scope, each in convergence._scopes.items():
            now = (each.stamp, each.digest, each.live)
            before = record.stamps.get(scope, now)
            if now[0] < before[0] or (now[0] == before[0] and now != before):
                raise Broken(f"{process.name}: {scope!r} went from (stamp, D, L) {before} to {now}")
            record.stamps[scope] = now
            if record.settled.get(scope) == now or scope in convergence.open:
                continue
            live = sorted(key for key, other in nodes.items() if other.status <= Status.SUSPECT)
            alive = frozenset(key for key in live if nodes[key].status is Status.ALIVE)
            held = {key for place, key in enumerate(live) if each.bits >> place & 1}
            if each.live != node.state.live.digest or not alive <= held:
                continue  # closed long ago: the live set has changed since, and nobody asks
            record.settled[scope] = now
            for digest, others, name in self._settled[scope, each.stamp]:
                if digest != each.digest and alive & others:
                    raise Broken(f"{process.name} and {name} settled {scope!r} differently at {each.stamp}")
            self._settled[scope, each.stamp].append((each.digest, alive, process.name))
            self.tally["settled"] += 1

    # What nodes tell.

    def _node_events(self, process: Process, record: Record, events: Iterable[NodeEvent]) -> None:
        for event in events:
            self.tally[type(event).__name__] += 1
            before = record.known.get(event.node_id, False)
            match event:
                case NodeJoined():
                    record.known[event.node_id] = True
                case NodeFailed() | NodeLeft():
                    record.known[event.node_id] = False
                case NodeSuspected():
                    if not before:
                        raise Broken(f"{process.name}: {event} of a node that is not there")
            if before == record.known[event.node_id] and not isinstance(event, NodeSuspected):
                raise Broken(f"{process.name}: {event} twice")
        known = {node_id for node_id, there in record.known.items() if there}
        live = {
            key for key, each in process.node.state.replica.nodes.items() if each.status <= Status.SUSPECT
        }
        if known != live - {process.node.node_id}:
            raise Broken(f"{process.name}: node events do not add up to the live set")

    def _group_events(self, process: Process, record: Record, events: list[GroupEvent]) -> None:
        last_deleted = {each.group_id: at for at, each in enumerate(events) if isinstance(each, GroupDeleted)}
        compare = set()
        self.told += len(events)
        for at, event in enumerate(events):
            group = event.group_id
            self.tally[type(event).__name__ + ("" if event.converged else " unconverged")] += 1
            self._alternate(process, record, event)
            if isinstance(event, GroupCreated | GroupDeleted) or at < last_deleted.get(group, -1):
                if event.converged:
                    self._true_root(process, event)
                continue
            compare.add(group)
            if event.converged:
                self._true_view(process, record, group, event)
        for group in compare:
            held = {decoded.member for decoded in view_of(process.node, group).values()}
            if record.told[group] != held:
                raise Broken(
                    f"{process.name}: told {sorted(record.told[group])} of {group}, holds {sorted(held)}"
                )

    def _alternate(self, process: Process, record: Record, event: GroupEvent) -> None:
        told = record.told[event.group_id]
        there = record.exists[event.group_id]
        match event:
            case MemberJoinedGroup():
                right = there and event.member_id not in told
                told.add(event.member_id)
            case MemberLeftGroup():
                right = there and event.member_id in told
                told.discard(event.member_id)
                self.tally[event.reason] += 1
            case MemberCapabilitiesUpdated():
                right = there and event.member_id in told
            case GroupCreated():
                right = not there and not told
                record.exists[event.group_id] = True
            case _:
                right = there and not told
                record.exists[event.group_id] = False
        if not right:
            raise Broken(f"{process.name}: {event} out of turn (exists: {there}, members: {sorted(told)})")

    def _true_view(self, process: Process, record: Record, group: str, what: object) -> None:
        """Every node that the teller holds alive has held exactly the view that it holds now."""
        view = record.now.get(group, EMPTY)
        for other in self._alive(process):
            if view not in self._records[other].views[group]:
                raise Broken(f"{process.name}: {what}, but {self._name(process, other)} never held this view")

    def _true_root(self, process: Process, what: object) -> None:
        """Every node that the teller holds alive has held exactly the groups that it holds to exist now."""
        root = root_of(process.node)
        for other in self._alive(process):
            if root not in self._records[other].roots:
                raise Broken(
                    f"{process.name}: {what}, but {self._name(process, other)} never held {sorted(root)}"
                )

    def _alive(self, process: Process) -> Iterator[NodeId]:
        for node_id, register in process.node.state.replica.nodes.items():
            if register.status is Status.ALIVE:
                yield node_id

    def _name(self, process: Process, other: NodeId) -> str:
        register = process.node.state.replica.nodes[other]
        return f"{register.name} at port {register.address.port}"

    def _outcome(self, process: Process, record: Record, outcome: Outcome) -> None:
        number = outcome.number
        before, command = record.outcomes.get(number), process.operations.get(number)
        match outcome:
            case Applied() | Refused():
                right = before is None
            case Done():
                right = isinstance(before, Applied)
        if not right:
            raise Broken(f"{process.name}: {outcome} after {before} for {command}")
        record.outcomes[number] = outcome
        if isinstance(outcome, Refused):
            self.tally[type(outcome.error).__name__] += 1
        elif isinstance(outcome, Done):
            self.tally["done" if outcome.converged else "done unconverged"] += 1
            if outcome.converged and command is not None:
                self._true_operation(process, record, command)

    def _true_operation(self, process: Process, record: Record, command: Command) -> None:
        if isinstance(command, Create | Delete):
            self._true_root(process, command)
        elif not (isinstance(command, Join) and command.create):
            # A join that creates its group waits for two reports, and the first may be past by now.
            self._true_view(process, record, command.group, command)

    # Rest.

    def missing(self, processes: Iterable[Process]) -> list[str]:
        """What is missing to rest among these processes, which are all that run."""
        processes = list(processes)
        missing = []
        ids = {each.node.node_id for each in processes}
        replicas = [_replica(each.node) for each in processes]
        for process, replica in zip(processes, replicas, strict=True):
            node, record = process.node, self._records[process.node.node_id]
            live = {key: each for key, each in node.state.replica.nodes.items() if each.status.live}
            if replica != replicas[0]:
                missing.append(f"{process.name} holds another replica than {processes[0].name}")
            if node.state.replica.digest != _digest(node):
                missing.append(f"{process.name}: its digest is not that of its registers")
            if set(live) != ids or any(each.status is not Status.ALIVE for each in live.values()):
                missing.append(f"{process.name} holds alive {sorted(each.name for each in live.values())}")
            if node._convergence.open:
                missing.append(f"{process.name}: {sorted(map(repr, node._convergence.open))} not settled")
            for group in {*node.state.replica.groups, *record.told}:
                if record.told[group] != set(view_of(node, group)):
                    missing.append(f"{process.name}: told {sorted(record.told[group])} of {group}")
                register = node.state.replica.groups.get(group)
                if record.exists[group] != (register is not None and register.epoch % 2 == 1):
                    missing.append(f"{process.name}: told that {group} exists: {record.exists[group]}")
            for number, command in process.operations.items():
                if not isinstance(record.outcomes.get(number), Done | Refused):
                    missing.append(f"{process.name}: {command} waits")
        return missing


def _replica(node: Node) -> set[bytes]:
    replica = node.state.replica
    presences = (each for members in replica.presences.values() for each in members.values())
    return {each.packed for each in (*replica.nodes.values(), *replica.groups.values(), *presences)}


def _digest(node: Node) -> int:
    digest = 0
    for register in node.state.replica.by_hash.values():
        digest ^= register.hash
    return digest
