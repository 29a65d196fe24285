"""The replica: three maps of ordered registers, and the digest of all of them.

Law: of two registers of one key the higher rank is kept (merge = max), of more keys than a limit allows those
with the lowest places are kept (`limits`), and the digest is that of exactly the registers kept. Nothing else
is state that must agree between nodes: all views are computed from these maps.

A node's own register is the one exception. Beyond the limit it stays in the node's own map, *aside*: in no
digest, as the others do not hold it. So replicas are equal then too, and no node must do without itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from gossipgroups.digest import DigestTree
from gossipgroups.groups.limits import LIMITS, Crowd, Key, Limits, place
from gossipgroups.ids import NodeId
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, Register


class Change(NamedTuple):
    """A register that was replaced (`None` when the key is new or is dropped), and by what.

    `evicted` is one of another key that is held no more, as the new key took its room.
    """

    old: Register | None
    new: Register | None
    evicted: Register | None = None


class Crowded(NamedTuple):
    """A limit that is reached, by its name, and all that is held under it."""

    name: str
    crowd: Crowd
    held: Iterable[Register]


class Replica:
    """All that one node holds. Presences lie by group, and are found by the node that wrote them.

    `own` is the id of the node itself.
    """

    __slots__ = (
        "_crowds",
        "_group_crowds",
        "_own",
        "_presence_count",
        "aside",
        "by_hash",
        "groups",
        "held_by",
        "last_over_limit",
        "limits",
        "nodes",
        "over_limit",
        "presences",
        "tree",
    )

    def __init__(self, limits: Limits = LIMITS, own: NodeId | None = None) -> None:
        self.nodes: dict[NodeId, NodeRegister] = {}
        self.groups: dict[str, GroupRegister] = {}
        self.presences: dict[str, dict[str, PresenceRegister]] = {}
        self.held_by: dict[NodeId, dict[tuple[str, str], None]] = {}
        self.by_hash: dict[int, Register] = {}
        self.tree = DigestTree()
        self.limits = limits
        self.aside = False
        """Whether the node's own register is beyond the limit of nodes, and so held by nobody else."""
        self.over_limit: Counter[str] = Counter()
        """Registers that were refused or put out for a limit, by the limit's name."""
        self.last_over_limit: dict[str, Register] = {}
        self._own = own
        self._presence_count = 0
        self._crowds = (Crowd(limits.nodes), Crowd(limits.groups), Crowd(limits.presences))
        self._group_crowds: dict[str, Crowd] = {}

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
        """Keep the register if it outranks what is held under its key and has room; `None` otherwise."""
        old = self.find(register)
        if old is not None:
            if old is register or old.rank >= register.rank:
                return None
            self._replace(old, register)
            return Change(old, register)
        crowded = self.crowded(register)
        if crowded is not None:
            return self._crowd(crowded, register)
        self._replace(None, register)
        return Change(None, register)

    def drop(self, register: Register) -> Change | None:
        """Forget a register that is held; `None` when another has taken its place."""
        if self.find(register) != register:
            return None
        self._replace(register, None)
        if self._is_own(register):
            self.aside = False
        elif self.aside and len(self.nodes) <= self.limits.nodes:
            self._take_back()
        return Change(register, None)

    def crowded(self, register: Register) -> Crowded | None:
        """The limit that is reached already, if this register brings a new key."""
        nodes, groups, presences = self._crowds
        if isinstance(register, NodeRegister):
            if len(self.nodes) - self.aside >= nodes.limit:
                return Crowded("nodes", nodes, filter(self._counts, self.nodes.values()))
        elif isinstance(register, GroupRegister):
            if len(self.groups) >= groups.limit:
                return Crowded("groups", groups, self.groups.values())
        elif len(members := self.presences.get(register.group, {})) >= self.limits.members:
            crowd = self._group_crowds.setdefault(register.group, Crowd(self.limits.members))
            return Crowded("members", crowd, members.values())
        elif self._presence_count >= presences.limit:
            held = chain.from_iterable(members.values() for members in self.presences.values())
            return Crowded("presences", presences, held)
        return None

    def _crowd(self, crowded: Crowded, register: Register) -> Change | None:
        """Take a new key in where there is room for one less, and do without the highest: itself, maybe."""
        highest, loser = crowded.crowd.highest(crowded.held, self._counted)
        if place(register) > highest:
            loser = register
        self.over_limit[crowded.name] += 1
        self.last_over_limit[crowded.name] = loser
        evicted = None
        if self._is_own(loser):
            if loser is not register:
                self._toggle_out(loser)
            self.aside = True
        elif loser is register:
            return None
        else:
            self._replace(loser, None)
            evicted = loser
        self._replace(None, register)
        return Change(None, register, evicted)

    def _take_back(self) -> None:
        """There is room for the node's own register again."""
        self.aside = False
        for register in self.nodes.values():
            if self._is_own(register):
                self._toggle_in(register)
                self._crowds[0].add(register)

    def _is_own(self, register: Register) -> bool:
        return isinstance(register, NodeRegister) and register.node_id == self._own

    def _counts(self, register: Register) -> bool:
        """Whether a register that is held is held by the others too, as far as the limits go."""
        return not (self.aside and self._is_own(register))

    def _counted(self, key: Key) -> Register | None:
        """What is held under a key, and counts."""
        kind, name, *rest = key
        register: Register | None
        if kind == NodeRegister.KIND:
            register = self.nodes.get(name)
        elif kind == GroupRegister.KIND:
            register = self.groups.get(name)
        else:
            register = self.presences.get(name, {}).get(rest[0])
        return register if register is not None and self._counts(register) else None

    def _replace(self, old: Register | None, new: Register | None) -> None:
        if old is not None:
            if self._counts(old):
                self._toggle_out(old)
            self._take_out(old)
        if new is not None:
            if self._counts(new):
                self._toggle_in(new)
            self._put_in(new)
        if old is None and new is not None:
            self._key_came(new)
        elif new is None and old is not None:
            self._key_went(old)

    def _key_came(self, register: Register) -> None:
        """A key is held that was not: those who look for the highest must know it."""
        self._crowds[register.KIND].add(register)
        if isinstance(register, PresenceRegister):
            self._presence_count += 1
            if crowd := self._group_crowds.get(register.group):
                crowd.add(register)

    def _key_went(self, register: Register) -> None:
        if isinstance(register, PresenceRegister):
            self._presence_count -= 1
            if register.group not in self.presences:
                self._group_crowds.pop(register.group, None)

    def _toggle_in(self, register: Register) -> None:
        self.tree.toggle(register.hash)
        self.by_hash[register.hash] = register

    def _toggle_out(self, register: Register) -> None:
        self.tree.toggle(register.hash)
        self.by_hash.pop(register.hash, None)

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
