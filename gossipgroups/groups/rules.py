"""What an application may do to groups: each operation as registers to merge, or the error that refuses it.

Law: an operation is judged on what this node has merged, best effort; two sides of a partition may both be
right and are merged later. Nothing is sent before the operation was accepted. An operation never puts out
what is held: one that has no room within the limits is refused, also where its key would win.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from gossipgroups.errors import (
    GroupAlreadyExists,
    GroupNotCreated,
    GroupNotEmpty,
    LimitExceeded,
    MemberAlreadyJoined,
    MemberNotJoined,
)
from gossipgroups.groups.epochs import epoch_of, exists, flipped
from gossipgroups.groups.replica import Replica
from gossipgroups.groups.view import Views
from gossipgroups.ids import NodeId
from gossipgroups.registers import GroupRegister, PresenceRegister, Register, successor


@dataclass(frozen=True, slots=True)
class Create:
    """Create a group."""

    group: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an empty group."""

    group: str


@dataclass(frozen=True, slots=True)
class Join:
    """Put a member of this node into a group; `create` makes the group if it is missing."""

    group: str
    member: str
    capabilities: bytes
    create: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """Take a member out of a group, also one of another node that has the same id."""

    group: str
    member: str


@dataclass(frozen=True, slots=True)
class LeaveAll:
    """Take a member of this node out of all its groups."""

    member: str


@dataclass(frozen=True, slots=True)
class Update:
    """Give a member of this node other capabilities."""

    group: str
    member: str
    capabilities: bytes


@dataclass(frozen=True, slots=True)
class Settle:
    """Change nothing; done when all that is held of a group, or of everything, was told."""

    group: str | None = None


_ADVICE = {
    "nodes": "this one is beyond it, so others would not see its members; stop nodes that are not needed",
    "groups": "delete those that nobody needs",
    "members": "use another group, or have those leave that are not needed",
    "presences": "have those leave that are not needed",
}
_UNITS = {"members": "members", "presences": "members in all its groups"}

Command = Create | Delete | Join | Leave | LeaveAll | Update | Settle


class Rules:
    """The rules, over one node's replica."""

    __slots__ = ("_me", "_replica", "_views")

    def __init__(self, me: NodeId, replica: Replica, views: Views) -> None:
        self._me = me
        self._replica = replica
        self._views = views

    def holder(self, command: Command) -> NodeId | None:
        """The other node that holds the member id of a join: it must be dead for the join to be accepted."""
        if not isinstance(command, Join):
            return None
        presence = self._views[command.group].get(command.member)
        return presence.node_id if presence is not None and presence.node_id != self._me else None

    def registers(self, command: Command, took_over: bool = False) -> list[Register]:
        """The registers that carry a command out. Raises the `GossipError` that refuses it."""
        registers = self._made(command, took_over)
        for register in registers:
            self._check_room(register)
        return registers

    def is_ahead(self, register: Register) -> bool:
        """Whether this is of a life of its group that is on its way: nobody can say when all have it."""
        return isinstance(register, PresenceRegister) and register.epoch > epoch_of(
            self._replica, register.group
        )

    def _check_room(self, register: Register) -> None:
        replica = self._replica
        if isinstance(register, PresenceRegister) and register.capabilities is not None and replica.aside:
            raise _over("nodes", "the cluster", replica.limits.nodes)
        crowded = None if replica.find(register) else replica.crowded(register)
        if crowded is not None:
            what = "the cluster"
            if isinstance(register, PresenceRegister) and crowded.name == "members":
                what = f"group {register.group!r}"
            raise _over(crowded.name, what, crowded.crowd.limit)

    def _made(self, command: Command, took_over: bool) -> list[Register]:
        match command:
            case Create(group):
                if self._exists(group):
                    raise GroupAlreadyExists(group)
                return [flipped(self._replica, group)]
            case Delete(group):
                self._require(group)
                if self._views[group]:
                    raise GroupNotEmpty(group, len(self._views[group]))
                return [flipped(self._replica, group)]
            case Join(group, member, capabilities, create):
                return self._join(group, member, capabilities, create, took_over)
            case Leave(group, member):
                if not self._is_mine(group, member):
                    self._require_member(group, member)
                return [self._presence(group, member, None)]
            case LeaveAll(member):
                return list(self._left_everywhere(member))
            case Update(group, member, capabilities):
                self._require_member(group, member)
                if not self._is_here(group, member):
                    raise MemberNotJoined(group, member)
                return [self._presence(group, member, capabilities)]
            case Settle():
                return []

    def _join(
        self, group: str, member: str, capabilities: bytes, create: bool, took_over: bool
    ) -> list[Register]:
        if not self._exists(group):
            if not create:
                raise GroupNotCreated(group)
            created = flipped(self._replica, group)
            held = self._replica.presences.get(group, {}).get(member)
            if held is not None and held.epoch > created.epoch:
                created = GroupRegister(group, held.epoch | 1)  # a life of the group that is not known here
            return [created, self._presence(group, member, capabilities, created.epoch)]
        if member in self._views[group] and not took_over:
            raise MemberAlreadyJoined(group, member)
        return [self._presence(group, member, capabilities)]

    def _is_here(self, group: str, member: str) -> bool:
        presence = self._views[group].get(member)
        return presence is not None and presence.node_id == self._me

    def _is_mine(self, group: str, member: str) -> bool:
        """Whether this node has put the member in, be it into a life of the group that is on its way."""
        held = self._replica.presences.get(group, {}).get(member)
        return (
            held is not None
            and held.node_id == self._me
            and held.capabilities is not None
            and held.epoch >= epoch_of(self._replica, group)
        )

    def _left_everywhere(self, member: str) -> Iterator[Register]:
        for group in self._replica.presences:
            if self._is_mine(group, member):
                with suppress(LimitExceeded):  # one whose clock is used up must not keep it in the others
                    yield self._presence(group, member, None)

    def _exists(self, group: str) -> bool:
        return exists(epoch_of(self._replica, group))

    def _require(self, group: str) -> None:
        if not self._exists(group):
            raise GroupNotCreated(group)

    def _require_member(self, group: str, member: str) -> PresenceRegister:
        self._require(group)
        presence = self._views[group].get(member)
        if presence is None:
            raise MemberNotJoined(group, member)
        return presence

    def _presence(
        self, group: str, member: str, capabilities: bytes | None, epoch: int | None = None
    ) -> PresenceRegister:
        held = self._replica.presences.get(group, {}).get(member)
        clock = successor(held.clock if held else 0, f"the clock of member {member!r} in group {group!r}")
        epoch = epoch_of(self._replica, group) if epoch is None else epoch
        if held is not None and held.epoch > epoch:
            epoch = held.epoch  # the group's own register is still on its way
        return PresenceRegister(group, member, clock, self._me, epoch, capabilities)


def _over(name: str, what: str, limit: int) -> LimitExceeded:
    advice = f"{_ADVICE[name]} (what is gone counts until it is forgotten)"
    return LimitExceeded(what, limit + 1, limit, _UNITS.get(name, name), advice)
