"""Which views are settled: known here to have been held by every node that is held alive.

Law, for one scope (a group, the root, or everything at once), with D the digest of my view, L that of my live
set, and a bitmap over the sorted live ids that names who held D under L at this stamp:

    my D or L changes          stamp + 1, bitmap = {me}
    the same D and L heard     higher stamp: taken over, its bits and mine; equal: bits or-ed; lower: ignored
    another D or L heard       not mine: kept for a moment, should it become mine; at most a repair
    both changed and back      nothing: nobody was told of what was between
    all that I hold *alive*    settled
    have their bits

So at one stamp a node holds one (D, L) only, and a bit is never carried over to another view.

The bits travel up and down a tree (`spanning`). Whoever waits in vain asks: first those below whose bits
are missing, or else its parent, whose bits may have been lost; then anybody, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from gossipgroups.config import Config
from gossipgroups.early import EarlyBits, joined
from gossipgroups.ids import NodeId, Random
from gossipgroups.registers import MAX_COUNTER
from gossipgroups.spanning import SpanningTree, tree_of
from gossipgroups.swim.live import LiveSet
from gossipgroups.wire.messages import ROOT, WHOLE, Entry, Scope

IMPATIENCE = 0.1
"""Share of the waits after which those below are asked for bits that are missing."""
ASKED = 3
"""Nodes below that are asked at once for bits that are missing."""
RETRY_GROWTH = 1.4
"""Each wait before asking again, as a multiple of the one before."""
LONGEST_RETRY = 10
"""The longest wait before asking again, as a multiple of the first."""


@dataclass(slots=True)
class Settlement:
    """How far one scope is."""

    digest: int = 0
    stamp: int = 0
    bits: int = 0
    held: int = 0
    """The digest of the view that the bits are about, and `live` that of its live set."""
    live: int = 0
    open: bool = False
    told_up: bool = False
    told_down: bool = False
    retry_at: float = 0.0
    wait: float = 0.0


class Convergence:
    """All scopes of one node. The caller tells of changes and carries the entries."""

    __slots__ = (
        *("_config", "_dirty", "_early", "_live", "_me", "_paced_until", "_random", "_scopes", "_seen"),
        "open",
    )

    def __init__(self, me: NodeId, live: LiveSet, config: Config, random: Random) -> None:
        self._me = me
        self._live = live
        self._config = config
        self._random = random
        self._scopes: dict[Scope, Settlement] = {ROOT: Settlement(), WHOLE: Settlement()}
        self._seen = (-1, -1)
        self._early = EarlyBits(config.settle_retry)
        self._dirty: dict[Scope, None] = {}
        self._paced_until = 0.0
        self.open: dict[Scope, None] = {}
        """Scopes that are not settled, or that another node needs our bit for."""

    def __getitem__(self, scope: Scope) -> Settlement:
        return self._scopes[scope]

    def add(self, group: str) -> None:
        """Have a scope for a group that was heard of."""
        self._scopes.setdefault(group, Settlement())

    def forget(self, group: str) -> None:
        """Drop a group's scope."""
        if group in self._scopes:
            self._scopes[WHOLE].digest ^= self._scopes.pop(group).digest
            self.open.pop(group, None)
            self._dirty.pop(group, None)

    def update(self, scope: Scope, digest: int, now: float) -> bool:
        """My view of a scope is now the one of this digest; whether that is another than before."""
        settlement = self._scopes.setdefault(scope, Settlement())
        if settlement.digest == digest:
            return False
        whole = self._scopes[WHOLE]
        whole.digest ^= settlement.digest ^ digest
        settlement.digest = digest
        self._restart(scope, now)
        self._restart(WHOLE, now, press=WHOLE in self.open)
        return True

    def live_changed(self, unreported: Iterable[Scope], now: float) -> None:
        """My live set changed: what is open or not yet reported starts anew; what is settled stays so."""
        for scope in dict.fromkeys((ROOT, *self.open, *unreported)):
            self._restart(scope, now)
        self._restart(WHOLE, now, press=WHOLE in self.open)

    def hear(self, live: int, entry: Entry, now: float) -> bool | None:
        """Take in an entry. `None`: it is about another view. `True`: I hold more than it says."""
        settlement = self._scopes.get(entry.scope)
        bits = int.from_bytes(entry.bits, "big")
        if settlement is None or live != self._live.digest or entry.digest != settlement.digest:
            self._early.keep((entry.scope, entry.digest, live), entry.stamp, bits, now)
            return None
        if settlement.live != live:
            self._restart(entry.scope, now, press=False)
        bits &= self._all()
        if self._take(settlement, entry.stamp, bits):
            self._press(entry.scope, now)
        return entry.stamp < settlement.stamp or bool(settlement.bits & ~bits)

    def settled(self, waits: Callable[[Scope], bool] = lambda scope: False) -> list[Scope]:
        """Scopes that were open and are complete now, and need not wait; they are open no more.

        The root comes first.
        """
        if not self.open:
            return []
        required = self._all() & ~self._live.suspect_mask()
        complete = [scope for scope in self.open if self._complete(self._scopes[scope], required)]
        done = [scope for scope in complete if not waits(scope)]
        if not done:
            return []
        if WHOLE in done:
            done = list(self.open)
        for scope in done:
            self._scopes[scope].open = False
            self.open.pop(scope, None)
            self._dirty[scope] = None
        return sorted(done, key=lambda scope: (isinstance(scope, str), scope))

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to push and nothing to ask about."""
        return not (self._dirty or self.open)

    def is_settled(self, scope: Scope) -> bool:
        """Whether nothing is open about a scope."""
        return scope not in self.open

    def pushes(self, now: float) -> Iterable[tuple[NodeId, list[Entry]]]:
        """Entries that are due to be pushed on, by the node that they go to."""
        if not self._dirty:
            return ()
        size = len(self._live)
        place = self._live.place(self._me)
        if place is None or size < 2:
            self._dirty.clear()
            return ()
        together = self._together(now)
        targets: dict[NodeId, list[Entry]] = {}
        held_back: dict[Scope, None] = {}
        for scope in self._dirty:
            settlement = self._scopes[scope]
            if settlement.live != self._live.digest or (together and settlement.open and scope is not WHOLE):
                continue
            if now < self._paced_until and not (settlement.told_up or settlement.told_down):
                held_back[scope] = None
                continue
            for target in self._whom_to_tell(settlement, place):
                targets.setdefault(self._live.ids[target], []).append(self.entry(scope))
        if targets and not held_back:
            self._paced_until = now + self._config.settle_pace
        self._dirty = held_back
        return targets.items()

    def asks(self, now: float) -> Iterable[tuple[NodeId, list[Entry]]]:
        """Entries of scopes that wait too long, by the nodes to ask about them."""
        if not self.open:
            return ()
        together = self._together(now)
        targets: dict[NodeId, list[Entry]] = {}
        late = [scope for scope in self.open if self._scopes[scope].retry_at <= now]
        for scope in sorted(late, key=str):
            settlement = self._scopes[scope]
            first = settlement.wait <= self._config.settle_retry
            settlement.wait = min(settlement.wait * RETRY_GROWTH, self._config.settle_retry * LONGEST_RETRY)
            wait = settlement.wait * (0.75 + self._random.random() / 2)
            settlement.retry_at = now + wait * self._patience(settlement)
            if together and scope is not WHOLE:
                continue
            for target in self._whom_to_ask(settlement, first):
                targets.setdefault(target, []).append(self.entry(scope))
        return targets.items()

    def entry(self, scope: Scope) -> Entry:
        """What I hold of a scope, as it travels."""
        settlement = self._scopes[scope]
        width = (len(self._live) + 7) // 8
        return Entry(scope, settlement.stamp, settlement.digest, settlement.bits.to_bytes(width, "big"))

    @property
    def deadline(self) -> float:
        """When something is due without hearing anything; infinity when nothing is."""
        due = self._paced_until if self._dirty else inf
        for scope in self.open:
            due = min(due, self._scopes[scope].retry_at)
        return due

    def _together(self, now: float) -> bool:
        if len(self.open) - (WHOLE in self.open) <= self._config.settle_together:
            return False
        if WHOLE not in self.open:
            self._press(WHOLE, now)
        return True

    def _restart(self, scope: Scope, now: float, press: bool = True) -> None:
        settlement = self._scopes[scope]
        if (settlement.held, settlement.live) != (settlement.digest, self._live.digest):
            settlement.held, settlement.live = settlement.digest, self._live.digest
            settlement.stamp = min(settlement.stamp + 1, MAX_COUNTER)
            settlement.bits = self._own()
            settlement.told_up = settlement.told_down = False
            if early := self._early.take((scope, settlement.digest, settlement.live), now):
                self._take(settlement, *early)
        if press:
            self._press(scope, now)

    def _take(self, settlement: Settlement, stamp: int, bits: int) -> bool:
        """Take bits over that were heard of the view that is ours; whether any was new."""
        before = settlement.stamp, settlement.bits
        settlement.stamp, bits = joined(*before, stamp, bits)
        settlement.bits = bits & self._all() | self._own()
        if settlement.stamp > before[0]:
            settlement.told_up = settlement.told_down = False
        return before != (settlement.stamp, settlement.bits)

    def _press(self, scope: Scope, now: float) -> None:
        settlement = self._scopes[scope]
        if not settlement.open:
            settlement.open = True
            self.open[scope] = None
        settlement.wait = self._config.settle_retry
        settlement.retry_at = now + settlement.wait * self._patience(settlement)
        self._dirty[scope] = None

    def _own(self) -> int:
        version, bit = self._seen
        if version != self._live.version:
            place = self._live.place(self._me)
            bit = 0 if place is None else 1 << place
            self._seen = (self._live.version, bit)
        return bit

    def _all(self) -> int:
        return (1 << len(self._live)) - 1

    def _complete(self, settlement: Settlement, required: int) -> bool:
        return settlement.live == self._live.digest and settlement.bits & required == required

    def _tree(self, settlement: Settlement) -> SpanningTree:
        return tree_of(self._live, settlement.digest)

    def _whom_to_tell(self, settlement: Settlement, place: int) -> list[int]:
        """Places that are to have the bits now; each is told once at each stamp."""
        tree = self._tree(settlement)
        targets: list[int] = []
        if not settlement.told_up and not tree.below(place) & ~settlement.bits:
            settlement.told_up = True
            parent = tree.parent(place)
            targets += [] if parent is None else [parent]
        required = self._all() & ~self._live.suspect_mask()
        if not settlement.told_down and self._complete(settlement, required):
            settlement.told_down = True
            targets += tree.children(place)
        return targets

    def _patience(self, settlement: Settlement) -> float:
        """Those above wait for those below, who wait for them: who lacks bits from below asks first."""
        place = self._live.place(self._me)
        lacks = place is not None and self._tree(settlement).below(place) & ~settlement.bits
        return IMPATIENCE if lacks else 1.0

    def _whom_to_ask(self, settlement: Settlement, first: bool) -> list[NodeId]:
        ids = self._live.ids
        place = self._live.place(self._me)
        asked: list[int] = []
        if place is not None and len(ids) > 1:
            tree = self._tree(settlement)
            missing = tree.below(place) & ~settlement.bits
            parent = tree.parent(place)
            if missing:
                asked += self._some_of(missing, ASKED)
            elif parent is not None:
                asked.append(parent)
        if not first or not asked:
            others = self._all() & ~self._own()
            asked += self._some_of(others, 1) + self._some_of(others & ~settlement.bits, 1)
        return [ids[each] for each in dict.fromkeys(asked)]

    def _some_of(self, mask: int, count: int) -> list[int]:
        """Up to so many of the places in a bitmap, at random."""
        places = [place for place in range(mask.bit_length()) if mask >> place & 1]
        return [places.pop(self._random.randrange(len(places))) for _ in range(min(count, len(places)))]
