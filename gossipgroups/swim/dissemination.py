"""Rumours: what was learnt lately, told again until enough of the others must have it (SWIM, section 4.1).

Law: the least told rumour goes first; a rumour is told at most `limit` times by this node; a newer register
of the same key takes the older one's place. The queue never holds more rumours than there are keys.
What goes along a tree goes to all of its neighbours there, however many they are; once that is over it counts
as told as often as a round without a tree tells it, and is told once more at least: some of it may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import lru_cache
from math import ceil, log10

import msgpack

from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, Register
from gossipgroups.status import Status
from gossipgroups.wire.messages import (
    KINDS,
    MAX_ENTRIES,
    ROOT,
    SILENT,
    Accusation,
    Accusations,
    Repair,
    Rumours,
    Scope,
)

_pack = msgpack.Packer(autoreset=True).pack
_OVERHEAD = 8
"""Bytes around the items of a section: its array, kind and lists."""
_AGE_BYTES = 5
_SMALLEST = 20
"""No rumour fits less room than this."""
_MISFITS = 16
"""So many rumours may be too large for what room is left; then the datagram is full enough. Thousands wait
when thousands start."""

_TELLING = -1
"""The tier of what goes along a tree at present."""

Age = Callable[[Register], int]
"""Seconds since a register was spent; 0 for one that is not."""


@lru_cache
def retransmit_limit(multiplier: int, live: int) -> int:
    """How often a rumour is told by each node: multiplier · ceil(log10(n + 1))."""
    return multiplier * ceil(log10(live + 1))


class Rumour:
    """One thing to tell."""

    __slots__ = ("chatter", "counts", "item", "scope", "size", "value")

    def __init__(self, item: Register | Accusation, scope: Scope | None = None, counts: int = 1) -> None:
        self.item = item
        self.counts = counts
        """As how many tellings one counts."""
        self.scope = scope
        self.chatter = _is_chatter(item)
        self.value = item if isinstance(item, Accusation) else item.packed
        """What travels of it, before it is packed."""
        self.size = len(_pack(self.value))


def _is_chatter(item: Register | Accusation) -> bool:
    """Whether this is about a silence that somebody noticed, or the answer of a node that was accused.

    The return of a node that was held dead counts as an answer too: one that is called dead and comes back
    over and over is what this is for.
    """
    if isinstance(item, Accusation):
        return item.evidence == SILENT
    return isinstance(item, NodeRegister) and item.status is Status.ALIVE and item.incarnation > 0


def _scope(register: Register) -> Scope | None:
    """The scope whose settled view proves that all have the register; `None` when none does."""
    if isinstance(register, PresenceRegister):
        return register.group
    if isinstance(register, NodeRegister) and (register.incarnation or register.status is Status.SUSPECT):
        return None  # the live set does not tell a refuted node from a suspected one
    return ROOT


class RumourQueue:
    """Rumours in tiers by how often they were told; a tier is told in the order of arrival."""

    __slots__ = ("_tiers", "_told", "fresh_chatter")

    def __init__(self) -> None:
        self.fresh_chatter = 0
        """Accusations and refutations that were never told."""
        self._told: dict[Hashable, int] = {}
        self._tiers: dict[int, dict[Hashable, Rumour]] = {}

    def __len__(self) -> int:
        return len(self._told)

    @property
    def fresh_news(self) -> int:
        """Rumours that were never told, chatter not counted."""
        return len(self._tiers.get(0, ())) - self.fresh_chatter

    def add(self, register: Register, told: int = 0) -> None:
        """Tell a register, as if it had been told so often already."""
        self.drop(register.key)
        self._put(register.key, Rumour(register, _scope(register)), told)

    def accuse(self, accusation: Accusation, *, confirms: bool = False) -> None:
        """Tell an accusation; one that only confirms another half as often."""
        key = (accusation.subject, accusation.accuser)
        self.drop(key)
        self._put(key, Rumour(accusation, counts=2 if confirms else 1), 0)

    def group_news(self, most: int) -> list[GroupRegister | PresenceRegister]:
        """What was never told about groups; nothing when more than `most` things were never told."""
        fresh = self._tiers.get(0, {})
        if len(fresh) > most:
            return []
        items = [rumour.item for rumour in fresh.values()]
        return [item for item in items if isinstance(item, GroupRegister | PresenceRegister)]

    def start_telling(self, registers: Iterable[Register]) -> None:
        """From now on these are in every datagram that has room, and no telling counts."""
        for register in registers:
            self._move(register.key, _TELLING)

    def stop_telling(self, told: int) -> None:
        """What was told since `start_telling` counts as told so often."""
        for key in list(self._tiers.get(_TELLING, ())):
            self._move(key, told)

    def drop(self, key: Hashable) -> None:
        """Stop telling what stands under a key."""
        told = self._told.pop(key, None)
        if told is not None:
            tier = self._tiers[told]
            rumour = tier.pop(key)
            self.fresh_chatter -= rumour.chatter and told == 0
            if not tier:
                del self._tiers[told]

    def settled(self, scope: Scope) -> None:
        """A scope has settled: all have what makes its view, so it need not be told again."""
        for key in [key for key, rumour in self._rumours() if rumour.scope == scope]:
            self.drop(key)

    def take(self, room: int, limit: int, age: Age) -> list[bytes]:
        """Packed sections of the least told rumours, at most `room` bytes; each counts as told once more."""
        telling = _Telling(age)
        chosen: list[tuple[int, Hashable, Rumour]] = []
        misfits = 0
        for told, key, rumour in self._by_tellings():
            if cost := telling.put(rumour, room):
                room -= cost
                chosen.append((told, key, rumour))
            else:
                misfits += 1
            if room < _SMALLEST or misfits == _MISFITS or len(chosen) == MAX_ENTRIES:
                break
        for told, key, rumour in chosen:
            if told == _TELLING:
                continue
            self.drop(key)
            if told + rumour.counts < limit:
                self._put(key, rumour, told + rumour.counts)
        return telling.sections()

    def _by_tellings(self) -> Iterator[tuple[int, Hashable, Rumour]]:
        for told in sorted(self._tiers):
            for key, rumour in self._tiers[told].items():
                yield told, key, rumour

    def _rumours(self) -> Iterator[tuple[Hashable, Rumour]]:
        for tier in self._tiers.values():
            yield from tier.items()

    def _move(self, key: Hashable, told: int) -> None:
        rumour = self._tiers[self._told[key]][key]
        self.drop(key)
        self._put(key, rumour, told)

    def _put(self, key: Hashable, rumour: Rumour, told: int) -> None:
        """Put in what is not there."""
        self._told[key] = told
        self.fresh_chatter += rumour.chatter and told == 0
        self._tiers.setdefault(told, {})[key] = rumour


class _Telling:
    """The sections of one datagram: registers, spent ones with their ages, accusations."""

    def __init__(self, age: Age) -> None:
        self._age = age
        self._registers: list[bytes | Accusation] = []
        self._spent: list[bytes | Accusation] = []
        self._ages: list[int] = []
        self._accusations: list[bytes | Accusation] = []

    def put(self, rumour: Rumour, room: int) -> int:
        """Put a rumour in if there is room; the bytes that it takes, or 0."""
        item, section, age = rumour.item, self._registers, 0
        if isinstance(item, Accusation):
            section = self._accusations
        elif age := self._age(item):
            section = self._spent
        cost = rumour.size + (_AGE_BYTES if age else 0) + (0 if section else _OVERHEAD)
        if cost > room:
            return 0
        section.append(rumour.value)
        if age:
            self._ages.append(age)
        return cost

    def sections(self) -> list[bytes]:
        """What was put in, packed."""
        sections = []
        if self._registers:
            sections.append(_pack((KINDS[Rumours], self._registers)))
        if self._spent:
            sections.append(_pack((KINDS[Repair], self._spent, self._ages)))
        if self._accusations:
            sections.append(_pack((KINDS[Accusations], self._accusations)))
        return sections
