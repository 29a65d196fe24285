"""The state of one node: the replica, and everything that is computed from it, kept together.

Law: `merge` and `forget` are the only ways in. After each, views, live set, tombstones and the digest of the
root view are those of exactly the registers held.
"""

from __future__ import annotations

from gossipgroups.events import Event, NodeFailed, NodeJoined, NodeLeft, NodeSuspected
from gossipgroups.groups.epochs import exists
from gossipgroups.groups.forgetting import Tombstones
from gossipgroups.groups.limits import LIMITS, Limits
from gossipgroups.groups.replica import Change, Replica
from gossipgroups.groups.view import Views
from gossipgroups.ids import NodeId
from gossipgroups.registers import GroupRegister, NodeRegister, Register
from gossipgroups.status import Status
from gossipgroups.swim.live import LiveSet


class State:
    """Replica, views, live set and tombstones of one node."""

    def __init__(self, me: NodeId, forget_after: float, limits: Limits = LIMITS) -> None:
        self.me = me
        self.replica = Replica(limits, me)
        self.views = Views(self.replica)
        self.live = LiveSet()
        self.tombstones = Tombstones(self.replica, forget_after)
        self.epochs_digest = 0
        """Digest of the groups that exist, the part of the root view besides the live set."""
        self.events: list[Event] = []
        self.changed_groups: set[str] = set()
        """Groups whose existence or view changed since the caller last cleared this."""
        self.nodes_changed = False
        """Whether any node's register changed since the caller last cleared this."""

    @property
    def own(self) -> NodeRegister:
        """This node's own register."""
        return self.replica.nodes[self.me]

    def merge(self, register: Register, now: float, age: float = 0.0) -> Change | None:
        """Merge a register, `age` seconds old if it is a tombstone; `None` when it is nothing new."""
        if self.tombstones.refuses(register, age):
            return None
        change = self.replica.merge(register)
        if change is not None:
            if change.evicted is not None:
                self.tombstones.evicted(change.evicted, now)
                self._follow(Change(change.evicted, None))
                if isinstance(change.evicted, GroupRegister):
                    self.views.touched.pop(change.evicted.group, None)  # the group has ended, not its view
            self.tombstones.changed(change.old, register, now, age)
            self._follow(change)
        return change

    def forget(self, register: Register) -> bool:
        """Drop a register, if it is held still."""
        change = self.replica.drop(register)
        if change is not None:
            self._follow(change)
        return change is not None

    def _follow(self, change: Change) -> None:
        register = change.new or change.old
        if isinstance(register, GroupRegister):
            for each in (change.old, change.new):
                if isinstance(each, GroupRegister) and exists(each.epoch):
                    self.epochs_digest ^= each.hash
            self.changed_groups.add(register.group)
        elif isinstance(register, NodeRegister):
            old = change.old.status if isinstance(change.old, NodeRegister) else None
            new = change.new.status if isinstance(change.new, NodeRegister) else None
            self._status_changed(register, old, new)
            self.nodes_changed = True
        self.views.apply(change)

    def _status_changed(self, register: NodeRegister, old: Status | None, new: Status | None) -> None:
        node_id = register.node_id
        was_live = old is not None and old.live
        is_live = new is not None and new.live
        if is_live and not was_live:
            self.live.add(node_id)
            self._tell(NodeJoined, register)
        if new is Status.SUSPECT:
            self.live.suspects.add(node_id)
            if old is not Status.SUSPECT:
                self._tell(NodeSuspected, register)
        elif old is Status.SUSPECT:
            self.live.suspects.discard(node_id)
        if was_live and not is_live:
            self.live.remove(node_id)
            self._tell(NodeLeft if new is Status.LEFT else NodeFailed, register)

    def _tell(
        self, event: type[NodeJoined | NodeSuspected | NodeFailed | NodeLeft], register: NodeRegister
    ) -> None:
        if register.node_id != self.me:
            self.events.append(event(register.node_id, register.name, register.address))
