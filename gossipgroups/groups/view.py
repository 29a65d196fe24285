"""The view of a group: who is in it, as far as this node holds.

Law: view(g) = { member : its presence has capabilities, carries the group's current odd epoch, and its node
is live }. It is a pure function of the three maps (`view_of`); `Views` computes the same step by step, and no
rule here depends on the order in which the replica learnt things. The failure detector never edits a
presence: a member vanishes while its node is dead and comes back unchanged when the node refutes.
"""

from __future__ import annotations

from collections.abc import Mapping

from gossipgroups.groups.epochs import epoch_of, exists
from gossipgroups.groups.replica import Change, Replica
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister


def is_present(replica: Replica, presence: PresenceRegister) -> bool:
    """Whether a presence counts in its group's view."""
    node = replica.nodes.get(presence.node_id)
    return (
        presence.capabilities is not None
        and node is not None
        and node.status.live
        and exists(presence.epoch)
        and presence.epoch == epoch_of(replica, presence.group)
    )


def view_of(replica: Replica, group: str) -> dict[str, PresenceRegister]:
    """The view of a group, from the maps alone."""
    members = replica.presences.get(group, {})
    return {member: p for member, p in members.items() if is_present(replica, p)}


class Views:
    """All views with their order-independent digests, kept up to date change by change."""

    __slots__ = ("_replica", "_views", "digests", "touched")

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._views: dict[str, dict[str, PresenceRegister]] = {}
        self.digests: dict[str, int] = {}
        self.touched: dict[str, dict[str, None]] = {}
        """Groups whose view changed since the caller last cleared this, with the members concerned."""

    def __getitem__(self, group: str) -> Mapping[str, PresenceRegister]:
        return self._views.get(group, {})

    def apply(self, change: Change) -> None:
        """Take one change of the replica into account."""
        for register in (change.old, change.new):
            if isinstance(register, PresenceRegister):
                self._check(register.group, register.member)
            elif isinstance(register, GroupRegister):
                for member in list(self._replica.presences.get(register.group, ())):
                    self._check(register.group, member)
            elif isinstance(register, NodeRegister):
                if _live(change.old) != _live(change.new):
                    for group, member in self._replica.held_by.get(register.node_id, ()):
                        self._check(group, member)
                break

    def _check(self, group: str, member: str) -> None:
        view = self._views.setdefault(group, {})
        old = view.get(member)
        presence = self._replica.presences.get(group, {}).get(member)
        new = presence if presence is not None and is_present(self._replica, presence) else None
        if new is not old:
            digest = self.digests.get(group, 0)
            if old is not None:
                digest ^= old.hash
                del view[member]
            if new is not None:
                digest ^= new.hash
                view[member] = new
            self.digests[group] = digest
            self.touched.setdefault(group, {})[member] = None
        if not view:
            del self._views[group]
            self.digests.pop(group, None)


def _live(register: object) -> bool:
    return isinstance(register, NodeRegister) and register.status.live
