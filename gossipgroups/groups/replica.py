"""The replica: three maps of ordered registers, and the digest of all of them.

Law: of two registers of one key the higher rank is kept (merge = max), and the digest is that of exactly the
registers kept. Nothing else is state that must agree between nodes: all views are computed from these maps.
"""

from __future__ import annotations

from typing import NamedTuple

from gossipgroups.digest import DigestTree
from gossipgroups.ids import NodeId
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, Register


class Change(NamedTuple):
    """A register that was replaced (`None` when the key is new or is dropped), and by what."""

    old: Register | None
    new: Register | None


class Replica:
    """All that one node holds. Presences lie by group, and are found by the node that wrote them."""

    __slots__ = ("by_hash", "groups", "held_by", "nodes", "presences", "tree")

    def __init__(self) -> None:
        self.nodes: dict[NodeId, NodeRegister] = {}
        self.groups: dict[str, GroupRegister] = {}
        self.presences: dict[str, dict[str, PresenceRegister]] = {}
        self.held_by: dict[NodeId, dict[tuple[str, str], None]] = {}
        self.by_hash: dict[int, Register] = {}
        self.tree = DigestTree()

    @property
    def digest(self) -> int:
        """The 8-byte digest that pings and acks carry."""
        return self.tree.root

    def find(self, register: Register) -> Register | None:
        """What is held under the key of a register."""
        if isinstance(register, NodeRegister):
            return self.nodes.get(register.node_id)
        if isinstance(register, GroupRegister):
            return self.groups.get(register.group)
        return self.presences.get(register.group, {}).get(register.member)

    def merge(self, register: Register) -> Change | None:
        """Keep the register if it outranks what is held under its key; `None` when it does not."""
        old = self.find(register)
        if old is not None and (old is register or old.rank >= register.rank):
            return None
        self._replace(old, register)
        return Change(old, register)

    def drop(self, register: Register) -> Change | None:
        """Forget a register that is held; `None` when another has taken its place."""
        if self.find(register) != register:
            return None
        self._replace(register, None)
        return Change(register, None)

    def _replace(self, old: Register | None, new: Register | None) -> None:
        if old is not None:
            self.tree.toggle(old.hash)
            self.by_hash.pop(old.hash, None)
            self._take_out(old)
        if new is not None:
            self.tree.toggle(new.hash)
            self.by_hash[new.hash] = new
            self._put_in(new)

    def _put_in(self, register: Register) -> None:
        if isinstance(register, NodeRegister):
            self.nodes[register.node_id] = register
        elif isinstance(register, GroupRegister):
            self.groups[register.group] = register
        else:
            self.presences.setdefault(register.group, {})[register.member] = register
            self.held_by.setdefault(register.node_id, {})[register.group, register.member] = None

    def _take_out(self, register: Register) -> None:
        if isinstance(register, NodeRegister):
            del self.nodes[register.node_id]
        elif isinstance(register, GroupRegister):
            del self.groups[register.group]
        else:
            members = self.presences[register.group]
            del members[register.member]
            if not members:
                del self.presences[register.group]
            held = self.held_by[register.node_id]
            held.pop((register.group, register.member), None)
            if not held:
                del self.held_by[register.node_id]
