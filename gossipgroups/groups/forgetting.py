"""Tombstones: what is kept only so that older news cannot bring it back, and for how long.

Law: a dead or departed node, the leave of a member, and a deleted group are dropped `forget_after` seconds
after they became so, with the presences that hang on them. A tombstone travels with its age, so that all
nodes drop it within moments of each other; one that is too old is not taken in again.
"""

from __future__ import annotations

from collections.abc import Iterator

from gossipgroups.groups.epochs import exists
from gossipgroups.groups.replica import Replica
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, Register

CHECKS_PER_LIFE = 200
"""How often within `forget_after` the tombstones are looked through."""


def is_tombstone(register: Register) -> bool:
    """Whether a register only says that something is gone."""
    if isinstance(register, NodeRegister):
        return not register.status.live
    if isinstance(register, GroupRegister):
        return not exists(register.epoch)
    return register.capabilities is None


class Tombstones:
    """When each tombstone of a replica became one."""

    def __init__(self, replica: Replica, forget_after: float) -> None:
        self._replica = replica
        self._forget_after = forget_after
        self._since: dict[int, float] = {}
        self._check_at: float | None = None

    def __len__(self) -> int:
        return len(self._since)

    def changed(self, old: Register | None, new: Register, now: float, age: float) -> None:
        """A register was merged that had this age when it arrived (seconds)."""
        if old is not None:
            self._since.pop(old.hash, None)
        if is_tombstone(new):
            self._since[new.hash] = now - age
            if self._check_at is None:
                self._check_at = now + self._forget_after / CHECKS_PER_LIFE

    def refuses(self, register: Register, age: float) -> bool:
        """Whether a register is a tombstone that everybody else has forgotten already."""
        return age >= self._forget_after and is_tombstone(register) and self._replica.find(register) is None

    def age(self, register: Register, now: float) -> int:
        """Seconds since a register became a tombstone; 0 for one that is none."""
        return max(0, int(now - self._since.get(register.hash, now)))

    def expired(self, now: float) -> list[Register]:
        """Registers to drop now: tombstones that are old enough, and what hangs on them."""
        if self._check_at is None or now < self._check_at:
            return []
        old = [key for key, since in self._since.items() if since + self._forget_after <= now]
        registers: dict[int, Register] = {}
        for key in old:
            del self._since[key]
            register = self._replica.by_hash.get(key)
            if register is not None:
                registers |= {each.hash: each for each in self._with_dependents(register)}
        for key in registers:
            self._since.pop(key, None)
        self._check_at = now + self._forget_after / CHECKS_PER_LIFE if self._since else None
        return list(registers.values())

    @property
    def deadline(self) -> float | None:
        """When the tombstones are looked through next."""
        return self._check_at

    def _with_dependents(self, register: Register) -> Iterator[Register]:
        yield register
        if isinstance(register, NodeRegister):
            for group, member in self._replica.held_by.get(register.node_id, ()):
                yield self._replica.presences[group][member]
        elif isinstance(register, GroupRegister):
            yield from self._replica.presences.get(register.group, {}).values()
        else:
            assert isinstance(register, PresenceRegister)  # noqa: S101
