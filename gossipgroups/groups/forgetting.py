"""Spent registers: kept only so that older news cannot bring back what is gone, and for how long.

Law: a register is dropped `forget_after` seconds after it was spent: a node dead or departed, a group
deleted, a presence that was left, whose node is gone, or whose epoch is over. A spent register travels with
its age: all nodes drop it within moments of each other, and one that is too old is not taken in again.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from math import inf

from gossipgroups.groups.epochs import epoch_of, exists
from gossipgroups.groups.replica import Replica
from gossipgroups.registers import GroupRegister, NodeRegister, Register

SLACK = 64
"""Entries that count no more and may wait all the same, beside as many as count."""


def is_spent(replica: Replica, register: Register) -> bool:
    """Whether a register says no more than that something is gone."""
    if isinstance(register, NodeRegister):
        return not register.status.live
    if isinstance(register, GroupRegister):
        return not exists(register.epoch)
    node = replica.nodes.get(register.node_id)
    gone = node is None or not node.status.live
    current = exists(register.epoch) and register.epoch == epoch_of(replica, register.group)
    return gone or register.capabilities is None or not current


class Tombstones:
    """Since when each spent register of a replica is so. Times are on the node's clock, in seconds."""

    def __init__(self, replica: Replica, forget_after: float) -> None:
        self._replica = replica
        self._forget_after = forget_after
        self._since: dict[int, float] = {}
        self._queue: list[tuple[float, int]] = []
        """Since when and which, the first first; with some that are not spent any more."""

    def __len__(self) -> int:
        return len(self._since)

    def changed(self, old: Register | None, new: Register, now: float, age: float) -> None:
        """A register was merged that was spent for `age` seconds already, if it is."""
        if old is not None:
            self._since.pop(old.hash, None)
        self._judge([new], now, age)
        was = old.status.live if isinstance(old, NodeRegister) else None
        if not isinstance(new, NodeRegister) or new.status.live != was:
            self._judge(self._dependents(new), now, age)

    def evicted(self, register: Register, now: float) -> None:
        """A register was put out for a limit: what hangs on it may be spent from now on."""
        self._since.pop(register.hash, None)
        self._judge(self._dependents(register), now, 0.0)

    def refuses(self, register: Register, age: float) -> bool:
        """Whether a register is one that everybody else has forgotten already."""
        old = age >= self._forget_after
        return old and self._replica.find(register) is None and is_spent(self._replica, register)

    def age(self, register: Register, now: float) -> int:
        """Whole seconds since a register was spent; 0 for one that is not."""
        since = self._since.get(register.hash)
        return 0 if since is None else max(0, round(now - since))

    @property
    def deadline(self) -> float:
        """When something may have to be dropped next; infinity when nothing may."""
        return self._queue[0][0] + self._forget_after if self._queue else inf

    def expired(self, now: float) -> list[Register]:
        """Registers to drop now."""
        old = []
        while self.deadline <= now:
            since, key = heappop(self._queue)
            if self._since.get(key) == since:
                del self._since[key]
                old.append(key)
        return [self._replica.by_hash[key] for key in old if key in self._replica.by_hash]

    def _dependents(self, register: Register) -> Iterable[Register]:
        """Presences that may be spent, or not any more, because of this register."""
        if isinstance(register, NodeRegister):
            held = self._replica.held_by.get(register.node_id, ())
            return [self._replica.presences[group][member] for group, member in held]
        if isinstance(register, GroupRegister):
            return self._replica.presences.get(register.group, {}).values()
        return ()

    def _judge(self, registers: Iterable[Register], now: float, age: float) -> None:
        for register in registers:
            if not is_spent(self._replica, register):
                self._since.pop(register.hash, None)
            elif register.hash not in self._since:
                self._since[register.hash] = now - age
                heappush(self._queue, (now - age, register.hash))
        if len(self._queue) > SLACK + 2 * len(self._since):
            self._queue = [(since, key) for key, since in self._since.items()]
            heapify(self._queue)
