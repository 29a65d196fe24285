"""The live set: the nodes held alive or suspect, sorted, with its digest.

Law: two nodes with the same live set have the same digest and give every node the same place, which is what
makes a bitmap over places readable.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from gossipgroups.ids import NodeId
from gossipgroups.registers import hash_bytes


class LiveSet:
    """Sorted ids of live nodes. `version` counts the changes of the set."""

    __slots__ = ("digest", "ids", "suspects", "version")

    def __init__(self) -> None:
        self.ids: list[NodeId] = []
        self.suspects: set[NodeId] = set()
        self.digest = 0
        self.version = 0

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, node_id: NodeId) -> bool:
        return self.place(node_id) is not None

    def place(self, node_id: NodeId) -> int | None:
        """The node's place in the sorted ids; `None` when it is not live."""
        place = bisect_left(self.ids, node_id)
        if place < len(self.ids) and self.ids[place] == node_id:
            return place
        return None

    def add(self, node_id: NodeId) -> None:
        """Put in a node that is not in the set."""
        insort(self.ids, node_id)
        self._changed(node_id)

    def remove(self, node_id: NodeId) -> None:
        """Take out a node that is in the set."""
        del self.ids[bisect_left(self.ids, node_id)]
        self.suspects.discard(node_id)
        self._changed(node_id)

    def _changed(self, node_id: NodeId) -> None:
        self.digest ^= hash_bytes(node_id)
        self.version += 1

    def suspect_mask(self) -> int:
        """The places of the suspects, as a bitmap."""
        mask = 0
        for node_id in self.suspects:
            mask |= 1 << bisect_left(self.ids, node_id)
        return mask
