"""Rumours: what was learnt lately, told again until enough of the others must have it (SWIM, section 4.1).

Law: the least told rumour goes first; a rumour is told at most `limit` times by this node; a newer register
of the same key takes the older one's place. The queue never holds more rumours than there are keys.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from math import ceil, log10

import msgpack

from gossipgroups.registers import NodeRegister, PresenceRegister, Register
from gossipgroups.status import Status
from gossipgroups.wire.messages import KINDS, MAX_ENTRIES, ROOT, Accusation, Accusations, Rumours, Scope

_pack = msgpack.Packer(autoreset=True).pack
_OVERHEAD = 6
"""Bytes around the items of a section: its array, kind and list."""
_SMALLEST = 20
"""No rumour fits less room than this."""
_KINDS = {False: KINDS[Rumours], True: KINDS[Accusations]}


def retransmit_limit(multiplier: int, live: int) -> int:
    """How often a rumour is told by each node: multiplier · ceil(log10(n + 1))."""
    return multiplier * ceil(log10(live + 1))


class Rumour:
    """One thing to tell."""

    __slots__ = ("accused", "item", "scope", "size")

    def __init__(self, item: object, accused: bool, scope: Scope | None = None) -> None:
        self.item = item
        self.accused = accused
        self.scope = scope
        self.size = len(_pack(item))


def _scope(register: Register) -> Scope | None:
    """The scope whose settled view proves that all have the register; `None` when none does."""
    if isinstance(register, PresenceRegister):
        return register.group
    if isinstance(register, NodeRegister) and (register.incarnation or register.status is Status.SUSPECT):
        return None  # the live set does not tell a refuted node from a suspected one
    return ROOT


class RumourQueue:
    """Rumours in tiers by how often they were told; a tier is told in the order of arrival."""

    __slots__ = ("_tiers", "_told")

    def __init__(self) -> None:
        self._told: dict[Hashable, int] = {}
        self._tiers: dict[int, dict[Hashable, Rumour]] = {}

    def __len__(self) -> int:
        return len(self._told)

    @property
    def fresh(self) -> bool:
        """Whether something was never told."""
        return 0 in self._tiers

    def add(self, register: Register, told: int = 0) -> None:
        """Tell a register, as if it had been told so often already."""
        self._put(register.key, Rumour(register.packed, False, _scope(register)), told)

    def accuse(self, accusation: Accusation) -> None:
        """Tell an accusation."""
        self._put((accusation.subject, accusation.accuser), Rumour(accusation, True), 0)

    def drop(self, key: Hashable) -> None:
        """Stop telling what stands under a key."""
        told = self._told.pop(key, None)
        if told is not None:
            tier = self._tiers[told]
            del tier[key]
            if not tier:
                del self._tiers[told]

    def settled(self, scope: Scope) -> None:
        """A scope has settled: all have what makes its view, so it need not be told again."""
        for key in [key for key, rumour in self._rumours() if rumour.scope == scope]:
            self.drop(key)

    def take(self, room: int, limit: int) -> list[bytes]:
        """Packed sections of the least told rumours, at most `room` bytes; each counts as told once more."""
        chosen: list[tuple[int, Hashable, Rumour]] = []
        kinds: set[bool] = set()
        for told in sorted(self._tiers):
            if room < _SMALLEST:
                break
            for key, rumour in self._tiers[told].items():
                if room < _SMALLEST:
                    break
                cost = rumour.size + (0 if rumour.accused in kinds else _OVERHEAD)
                if cost <= room and len(chosen) < MAX_ENTRIES:
                    room -= cost
                    kinds.add(rumour.accused)
                    chosen.append((told, key, rumour))
        items: dict[bool, list[object]] = {}
        for told, key, rumour in chosen:
            items.setdefault(rumour.accused, []).append(rumour.item)
            self.drop(key)
            if told + 1 < limit:
                self._put(key, rumour, told + 1)
        return [_pack((_KINDS[accused], each)) for accused, each in items.items()]

    def _rumours(self) -> Iterator[tuple[Hashable, Rumour]]:
        for tier in self._tiers.values():
            yield from tier.items()

    def _put(self, key: Hashable, rumour: Rumour, told: int) -> None:
        self.drop(key)
        self._told[key] = told
        self._tiers.setdefault(told, {})[key] = rumour
