"""A partitioner whose ring is the group's members, whatever happens while it is made.

Law: after each `run_watchers` the ring holds exactly the members that were told, each with its weight. It
watches first and reads afterwards, and what it is told changes nothing twice: tooz's own reads, then watches,
and a member that joins in between is never in its ring.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tooz import coordination, hashring, partitioner

MAX_WEIGHT = 1024
"""A larger weight counts as this: others announce theirs, and each point takes 32 places in the ring."""


class ToldPartitioner(partitioner.Partitioner):
    """tooz's partitioner, fed by watches."""

    def __init__(
        self,
        coordinator: coordination.CoordinationDriver,
        group_id: bytes,
        partitions: int = partitioner.Partitioner.DEFAULT_PARTITION_NUMBER,
    ) -> None:
        # Not the parent's: it is the order of reading and watching that makes the difference.
        self.partitions = partitions
        self.group_id = group_id
        self._coord = coordinator
        self.ring = hashring.HashRing([], partitions=partitions)
        with ExitStack() as undo:
            coordinator.watch_join_group(group_id, self._on_member_join)
            undo.callback(coordinator.unwatch_join_group, group_id, self._on_member_join)
            coordinator.watch_leave_group(group_id, self._on_member_leave)
            undo.callback(coordinator.unwatch_leave_group, group_id, self._on_member_leave)
            members = coordinator.get_members_with_capabilities(group_id).get()
            undo.pop_all()
        for member, capabilities in members.items():
            self._put(member, capabilities)

    def _on_member_join(self, event: coordination.MemberJoinedGroup) -> None:
        try:
            capabilities = self._coord.get_member_capabilities(self.group_id, event.member_id).get()
        except (coordination.MemberNotJoined, coordination.GroupNotCreated):
            return  # it has left again, and that is still to be told
        self._put(event.member_id, capabilities)

    def _on_member_leave(self, event: coordination.MemberLeftGroup) -> None:
        if event.member_id in self.ring.nodes:
            self.ring.remove_node(event.member_id)

    def _put(self, member: bytes, capabilities: Any) -> None:
        if member in self.ring.nodes:
            self.ring.remove_node(member)
        self.ring.add_node(member, _weight(capabilities))


def _weight(capabilities_untrusted: Any) -> int:
    weight = capabilities_untrusted.get("weight", 1) if isinstance(capabilities_untrusted, dict) else 1
    return min(max(weight, 1), MAX_WEIGHT) if isinstance(weight, int) else 1
