"""What a coordinator holds at one moment, as frozen values that any thread may read.

Law: a snapshot never changes. The gossip loop publishes a new one before it tells anybody of a change, so a
snapshot read after an operation, an event or a callback includes what it was about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gossipgroups.errors import GroupNotCreated, MemberNotJoined
from gossipgroups.groups.epochs import epoch_of, exists
from gossipgroups.ids import Address, NodeId
from gossipgroups.keys import unpack_key_ids
from gossipgroups.registers import NodeRegister, PresenceRegister, decode_capabilities
from gossipgroups.state import State
from gossipgroups.status import Status

View = Mapping[str, PresenceRegister]


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node as this coordinator holds it."""

    node_id: NodeId
    name: str
    address: Address
    status: Status
    incarnation: int
    key_ids: tuple[str, ...] = ()
    """Ids of the keys that it holds, that of the one that it seals with first; none without keys."""

    @classmethod
    def of(cls, register: NodeRegister) -> NodeInfo:
        """The node of a register."""
        return cls(
            register.node_id,
            register.name,
            register.address,
            register.status,
            register.incarnation,
            unpack_key_ids(register.key_ids),
        )


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """A member of a group, and the node that it lives on."""

    group_id: str
    member_id: str
    capabilities: Any
    node_id: NodeId
    node_name: str
    address: Address


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Groups with their current views, and nodes. `sequence` counts the events told before it."""

    views: Mapping[str, View] = field(default_factory=dict)
    registers: Mapping[NodeId, NodeRegister] = field(default_factory=dict)
    sequence: int = 0

    def groups(self) -> frozenset[str]:
        """The groups that exist."""
        return frozenset(self.views)

    def view(self, group: str) -> View:
        """The members of a group. Raises `GroupNotCreated`."""
        try:
            return self.views[group]
        except KeyError:
            raise GroupNotCreated(group) from None

    def capabilities(self, group: str, member: str) -> Any:
        """A fresh copy of a member's capabilities. Raises `GroupNotCreated`, `MemberNotJoined`."""
        packed = self._presence(group, member).capabilities
        return None if packed is None else decode_capabilities(packed)

    def members(self, group: str) -> dict[str, Any]:
        """The members of a group, each with a fresh copy of its capabilities. Raises `GroupNotCreated`."""
        return {member: self.capabilities(group, member) for member in self.view(group)}

    def member(self, group: str, member: str) -> MemberInfo:
        """All that is held of a member. Raises `GroupNotCreated`, `MemberNotJoined`."""
        presence = self._presence(group, member)
        node = self.registers[presence.node_id]
        capabilities = self.capabilities(group, member)
        return MemberInfo(group, member, capabilities, node.node_id, node.name, node.address)

    def nodes(self) -> tuple[NodeInfo, ...]:
        """All nodes, by name; the dead and departed too, until they are forgotten."""
        infos = map(NodeInfo.of, self.registers.values())
        return tuple(sorted(infos, key=lambda info: (info.name, info.node_id)))

    def without_key(self, key_id: str) -> tuple[str, ...]:
        """The names of live nodes that do not hold a key."""
        return self._live_names(lambda node: key_id not in node.key_ids)

    def sealing_with(self, key_id: str) -> tuple[str, ...]:
        """The names of live nodes that seal with a key."""
        return self._live_names(lambda node: node.key_ids[:1] == (key_id,))

    def _live_names(self, which: Callable[[NodeInfo], bool]) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes() if node.status.live and which(node))

    def next(self, state: State, sequence: int) -> Snapshot:
        """The snapshot after the changes that the state notes, which are cleared."""
        views: Mapping[str, View] = self.views
        registers: Mapping[NodeId, NodeRegister] = self.registers
        if state.changed_groups:
            copy = dict(views)
            for group in state.changed_groups:
                if exists(epoch_of(state.replica, group)):
                    copy[group] = MappingProxyType(dict(state.views[group]))
                else:
                    copy.pop(group, None)
            views = copy
            state.changed_groups.clear()
        if state.nodes_changed:
            registers = dict(state.replica.nodes)
            state.nodes_changed = False
        return Snapshot(views, registers, sequence)

    def _presence(self, group: str, member: str) -> PresenceRegister:
        presence = self.view(group).get(member)
        if presence is None:
            raise MemberNotJoined(group, member)
        return presence
