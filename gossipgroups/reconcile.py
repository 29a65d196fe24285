"""Repair: two replicas that differ find out where, and exchange only that.

Law: a repair is a comparison of two sets of 64-bit hashes, interval by interval; each message can be lost,
and the next difference heard starts anew. Nobody repairs with everybody at once: starting costs a budget, and
so does answering. What an answer has no room for is asked for again.

    A --Buckets-->  B    my 64 digests (empty ones left out)
    A <--Hashes---  B    what I hold where we differ; where A holds nothing, the registers at once (Repair)
    A --Repair-->   B    what you lack,  and  A --Want--> B  what I lack
    A <--Repair---  B

Joining a cluster is the same, from empty.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf

from gossipgroups.budget import Budget
from gossipgroups.config import Config
from gossipgroups.digest import BUCKET_SHIFT, buckets_of, interval, pack_hashes, read_summary, unpack_hashes
from gossipgroups.groups.replica import Replica
from gossipgroups.ids import Peer, Random
from gossipgroups.registers import Register
from gossipgroups.wire.codec import pack_section
from gossipgroups.wire.messages import MAX_ENTRIES, Buckets, Hashes, Interval, Repair, Want
from gossipgroups.wire.outbox import ROOM, Outbox

CALM = 2.0
"""A difference is repaired when nothing has changed here for a gossip interval, or for this many probe
periods."""
HASHES_EACH = 120
"""Hashes in one message: 8 bytes each, with room for the intervals' bounds."""
_BOUNDS = 3
"""What the bounds of an interval cost, in hashes."""
REPAIR_ROOM = ROOM - 16
REQUESTS = 1024
"""Requests that wait to be answered; more are the asker's to repeat."""
ANSWERS_A_TURN = 1024
"""Datagrams that answer others in one turn: the rest waits for the next, so that acks go out in between."""
ANSWERS_A_SECOND, ANSWERS_AT_ONCE = 640.0, 32_768.0
"""Datagrams that answer others, all together: as many full answers in a second as four nodes may ask for, and
at once as many as one turn answers, as when a large cluster starts at one seed."""
LISTINGS_A_TURN = 64
"""Peers whose listings one turn compares."""
LOOKS_A_SECOND, LOOKS_AT_ONCE = 400_000.0, 4_000_000.0
"""Hashes that are looked at to answer others: a tenth of a second's work in each, a second's at once."""


class Reconciler:
    """Starts repairs, within a budget, and answers those of others at the end of the turn."""

    __slots__ = (
        "_age",
        "_answers",
        "_budget",
        "_config",
        "_last_repair",
        "_listings",
        "_looks",
        "_outbox",
        "_random",
        "_replica",
        "_requests",
        "_sent",
        "_sent_in_all",
        "last_change",
        "started",
    )

    def __init__(
        self,
        replica: Replica,
        outbox: Outbox,
        config: Config,
        age: Callable[[Register], int],
        random: Random,
        now: float,
    ) -> None:
        self._replica = replica
        self._outbox = outbox
        self._config = config
        self._age = age
        self._random = random
        self._answers = Budget(ANSWERS_A_SECOND, ANSWERS_AT_ONCE)
        self._looks = Budget(LOOKS_A_SECOND, LOOKS_AT_ONCE)
        self._budget = Budget(config.repair_rate, max(1.0, 2 * config.repair_rate))
        self._requests: dict[Peer, Buckets] = {}
        self._listings: dict[Peer, list[Interval]] = {}
        self._sent: dict[Peer, int] = {}
        self._sent_in_all = 0
        self._last_repair = now
        self.last_change = now
        """When something was learnt last."""
        self.started = 0
        """Repairs begun so far."""

    def differs(self, peer: Peer, now: float) -> None:
        """A node holds another state: repair, unless news is still on its way."""
        calm = now - self.last_change >= self._config.gossip_interval
        due = now - self._last_repair >= CALM * self._config.probe_period
        if (calm or due) and self.start(peer, now):
            self._last_repair = now

    def start(self, peer: Peer, now: float) -> bool:
        """Begin a repair with a node that differs, if it has proved itself and the budget has it."""
        if self._outbox.withholds(peer) or not self._budget.spend(1, now):
            return False
        self.started += 1
        self._outbox.add(peer, self.request())
        return True

    def request(self) -> bytes:
        """The first message of a repair, packed."""
        return pack_section(Buckets(*self._replica.tree.summary()))

    def on_buckets(self, peer: Peer, section_untrusted: Buckets) -> None:
        """Note a request; it is answered by `flush`, when all that waits has been read."""
        mask, digests = section_untrusted
        room = peer in self._requests or len(self._requests) < REQUESTS
        if room and mask.bit_count() * 8 == len(digests):
            self._requests[peer] = section_untrusted

    def on_hashes(self, peer: Peer, section_untrusted: Hashes) -> None:
        """Note a listing; with others of the turn it is answered by `flush`."""
        if peer in self._listings or len(self._listings) < LISTINGS_A_TURN:
            self._listings.setdefault(peer, []).extend(section_untrusted.intervals)

    def flush(self, now: float) -> None:
        """Answer the turn's requests and listings."""
        if self._requests or self._listings:
            self._answer_all(now)
        self._sent.clear()
        self._sent_in_all = 0

    def on_want(self, peer: Peer, section_untrusted: Want, now: float) -> None:
        """Send the registers asked for."""
        by_hash = self._replica.by_hash
        wanted = dict.fromkeys(unpack_hashes(section_untrusted.hashes))
        self._push(peer, [by_hash[key] for key in wanted if key in by_hash], now)

    def _answer_all(self, now: float) -> None:
        self._requests = {each: what for each, what in self._requests.items() if self._is_proved(each)}
        listings = {each: what for each, what in self._listings.items() if self._is_proved(each)}
        self._listings = {}
        if self._answers.ready_at(1, now) > now:
            self._requests, listings = {}, {}
        if not (self._requests or listings) or not self._looks.spend(len(self._replica.by_hash), now):
            return  # the requests wait for a later turn, which looks for all of them together
        mine = self._by_bucket()
        for peer, intervals in listings.items():
            self._compare(peer, intervals, mine, now)
        while self._requests and self._sent_in_all < ANSWERS_A_TURN:
            if self._answers.ready_at(1, now) > now:
                self._requests = {}
                return
            peer = next(iter(self._requests))
            self._answer(peer, self._requests.pop(peer), mine, now)

    def deadline(self, now: float) -> float:
        """When the requests that wait can be answered; infinity without any."""
        return self._looks.ready_at(len(self._replica.by_hash), now) if self._requests else inf

    def _is_proved(self, peer: Peer) -> bool:
        return not self._outbox.withholds(peer)

    def _by_bucket(self) -> list[list[int]]:
        """All hashes held, by bucket: one pass, however many requests it serves."""
        by_bucket: list[list[int]] = [[] for _ in self._replica.tree.buckets]
        for key in self._replica.by_hash:
            by_bucket[key >> BUCKET_SHIFT].append(key)
        return by_bucket

    def _compare(self, peer: Peer, intervals: list[Interval], mine: list[list[int]], now: float) -> None:
        """Send what a peer lacks in these intervals, and ask for what we lack."""
        by_hash = self._replica.by_hash
        intervals = sorted(set(intervals))
        firsts, lasts = [each.first for each in intervals], [each.last for each in intervals]
        if any(first <= last for first, last in zip(firsts[1:], lasts, strict=False)):
            return  # overlapping intervals would have the same registers sent again and again
        buckets = sorted({place for each in intervals for place in buckets_of(each.first, each.last)})
        if not self._looks.spend(sum(len(mine[bucket]) for bucket in buckets), now):
            return
        theirs: set[int] = set()
        for first, last, packed in intervals:
            theirs.update(key for key in unpack_hashes(packed) if first <= key <= last)
        lacked = (
            by_hash[key]
            for bucket in buckets
            for key in mine[bucket]
            if (place := bisect_right(firsts, key)) and key <= lasts[place - 1] and key not in theirs
        )
        self._push(peer, lacked, now)
        wanted = [key for key in sorted(theirs) if key not in by_hash]
        for some in _chunks(wanted, HASHES_EACH):
            self._outbox.answer(peer, pack_section(Want(pack_hashes(some))))

    def _answer(self, peer: Peer, request: Buckets, mine: list[list[int]], now: float) -> None:
        theirs = read_summary(*request)
        digests = self._replica.tree.buckets
        differing = [bucket for bucket, digest in enumerate(digests) if digest != theirs[bucket]]
        by_hash = self._replica.by_hash
        empty = [bucket for bucket in differing if not theirs[bucket]]
        self._push(peer, (by_hash[key] for bucket in empty for key in mine[bucket]), now)
        listed = [bucket for bucket in differing if theirs[bucket]]
        room = HASHES_EACH * (self._config.repair_datagrams - self._sent.get(peer, 0))
        # What is cut off must not be the same each time: it may be all that can be repaired.
        cut = sum(len(mine[bucket]) + _BOUNDS for bucket in listed) > room
        first = self._random.randrange(len(listed)) if cut else 0
        for some in (listed[first:], listed[:first]):
            for message in _list(some, mine):
                if not self._has_room(peer, now):
                    return
                self._outbox.answer(peer, message)

    def _push(self, peer: Peer, registers: Iterable[Register], now: float) -> None:
        batch: list[Register] = []
        room = REPAIR_ROOM
        for register in registers:
            size = len(register.packed) + 8
            if batch and (size > room or len(batch) >= MAX_ENTRIES):
                if not self._has_room(peer, now):
                    return
                self._send(peer, batch)
                batch, room = [], REPAIR_ROOM
            batch.append(register)
            room -= size
        if batch and self._has_room(peer, now):
            self._send(peer, batch)

    def _has_room(self, peer: Peer, now: float) -> bool:
        """Whether a peer is sent one more datagram this turn; it is as good as sent then."""
        sent = self._sent.get(peer, 0)
        if sent >= self._config.repair_datagrams or not self._answers.spend(1, now):
            return False
        self._sent[peer] = sent + 1
        self._sent_in_all += 1
        return True

    def _send(self, peer: Peer, registers: list[Register]) -> None:
        ages = [self._age(register) for register in registers]
        self._outbox.answer(
            peer,
            pack_section(Repair([each.packed for each in registers], ages if any(ages) else [])),
        )


def _list(buckets: Sequence[int], mine: list[list[int]]) -> Iterator[bytes]:
    """Messages that say, in ascending order, which hashes are held in these buckets."""
    intervals: list[Interval] = []
    room = HASHES_EACH
    for bucket in buckets:
        hashes = sorted(mine[bucket])
        first, last = interval(bucket)
        for some in _chunks(hashes, HASHES_EACH - _BOUNDS) or [[]]:
            until = last if not hashes or some[-1] == hashes[-1] else some[-1]
            if len(some) + _BOUNDS > room or len(intervals) >= MAX_ENTRIES:
                yield pack_section(Hashes(intervals))
                intervals, room = [], HASHES_EACH
            intervals.append(Interval(first, until, pack_hashes(some)))
            room -= len(some) + _BOUNDS
            first = until + 1
    if intervals:
        yield pack_section(Hashes(intervals))


def _chunks(items: list[int], size: int) -> list[list[int]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
