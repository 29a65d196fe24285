"""How many registers a replica holds at most, and which: those whose keys have the lowest places.

Law: what is kept depends on the set of keys alone, not on the order of their arrival, on who wrote them or on
what they say. In ascending order of places, a key is kept unless one of its limits is reached already. So
replicas that have heard the same hold the same, and a tombstone is never put out while an older state of its
key stays.

All nodes of a cluster must have the same limits, as they must have the same rules: they are no configuration.
The two limits of a presence, its group's and that of all, lie one inside the other and use one order. That is
what makes it safe to forget what was put out: whatever comes later, it would not come in again.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgpack

from gossipgroups.ids import encode_name
from gossipgroups.registers import GroupRegister, NodeRegister, Register

MAX_NODES = 131_072
"""Nodes, the dead and departed too until they are forgotten: sixteen lives a day for each of the 8,192 that
can be live at once. Every start of a process is a node."""
MAX_GROUPS = 65_536
"""Groups, the deleted too until they are forgotten."""
MAX_MEMBERS = 65_536
"""Presences in one group, of those who left too until they are forgotten: eight for each live node."""
MAX_PRESENCES = 262_144
"""Presences in all groups together, which the limits of the groups alone would let grow to 4 thousand
million."""
PLACE_BYTES = 16
"""Bytes of a key's place: too many for anybody to find two keys with the same one."""

_STALE = 2
"""A heap is made anew when it has so many times as many entries as its limit."""

Key = tuple[Any, ...]

_pack = msgpack.Packer(autoreset=True).pack


@dataclass(frozen=True, slots=True)
class Limits:
    """How many of each may be held. Other values than these are for tests."""

    nodes: int = MAX_NODES
    groups: int = MAX_GROUPS
    members: int = MAX_MEMBERS
    presences: int = MAX_PRESENCES


LIMITS = Limits()
"""Those of the protocol."""


def place(register: Register) -> int:
    """The place of a register's key in the order by which keys are kept."""
    key: tuple[int | bytes, ...]
    if isinstance(register, NodeRegister):
        key = (register.KIND, register.node_id)
    elif isinstance(register, GroupRegister):
        key = (register.KIND, encode_name(register.group))
    else:
        key = (register.KIND, encode_name(register.group), encode_name(register.member))
    return int.from_bytes(blake2b(_pack(key), digest_size=PLACE_BYTES).digest(), "big")


class Crowd:
    """The keys under one limit, and which of them is the highest. Costs nothing until that is asked.

    From then on the keys lie in a heap; those that are held no more are taken out of it when they come up.
    """

    __slots__ = ("_heap", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._heap: list[tuple[int, Key]] | None = None

    def add(self, register: Register) -> None:
        """A key has come in."""
        if self._heap is not None:
            heapq.heappush(self._heap, (-place(register), register.key))

    def highest(
        self, held: Iterable[Register], find: Callable[[Key], Register | None]
    ) -> tuple[int, Register]:
        """The place and the register of the highest key. `held` are all of this limit, at least one."""
        if self._heap is None or len(self._heap) > _STALE * self.limit:
            self._heap = [(-place(register), register.key) for register in held]
            heapq.heapify(self._heap)
        while True:
            negative, key = self._heap[0]
            register = find(key)
            if register is not None:
                return -negative, register
            heapq.heappop(self._heap)
