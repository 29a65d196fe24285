"""The hash tree, and repair: replicas that differ become equal, whatever is lost or repeated on the way."""

from __future__ import annotations

import random
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipgroups import reconcile
from gossipgroups.config import DATAGRAM_BYTES, Config
from gossipgroups.digest import BUCKETS, DigestTree, interval, pack_hashes, read_summary
from gossipgroups.groups.replica import Replica
from gossipgroups.ids import Peer
from gossipgroups.reconcile import (
    ANSWERS_A_SECOND,
    ANSWERS_AT_ONCE,
    LOOKS_AT_ONCE,
    REQUESTS,
    Reconciler,
)
from gossipgroups.registers import MAX_CAPABILITIES, PresenceRegister, Register, decode_register
from gossipgroups.wire.messages import Buckets, Hashes, Interval, Repair, Section, Want
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.seal import TaggedSeal
from tests.nodes import CLUSTER, a_node, a_peer, a_presence, an_id, opened, registers, replica_of

hashes = st.integers(0, 2**64 - 1)


@given(st.lists(hashes), st.randoms(use_true_random=False))
def test_the_tree_does_not_depend_on_order_and_toggling_undoes(
    items: list[int], chance: random.Random
) -> None:
    one, other = DigestTree(), DigestTree()
    for each in items:
        one.toggle(each)
    shuffled = [*items, 7, 7]
    chance.shuffle(shuffled)
    for each in shuffled:
        other.toggle(each)
    assert (one.root, one.buckets) == (other.root, other.buckets)
    for each in items:
        one.toggle(each)
    assert (one.root, one.buckets) == (0, [0] * BUCKETS)


@given(st.lists(hashes, unique=True))
def test_a_summary_is_read_back_and_leaves_empty_buckets_out(items: list[int]) -> None:
    tree = DigestTree()
    for each in items:
        tree.toggle(each)
    mask, digests = tree.summary()
    assert read_summary(mask, digests) == tree.buckets
    assert len(digests) == 8 * mask.bit_count()
    assert mask.bit_count() <= len(items)


@given(hashes)
def test_intervals_divide_the_hash_space(item: int) -> None:
    inside = [bucket for bucket in range(BUCKETS) if interval(bucket)[0] <= item <= interval(bucket)[1]]
    assert inside == [item >> 58]
    assert [interval(bucket)[0] for bucket in range(1, BUCKETS)] == [
        interval(bucket)[1] + 1 for bucket in range(BUCKETS - 1)
    ]
    assert (interval(0)[0], interval(BUCKETS - 1)[1]) == (0, 2**64 - 1)


class Side:
    """One replica with its reconciler, as a node uses them."""

    def __init__(self, number: int, held: list[Register], config: Config = Config.lan()) -> None:
        self.number = number
        self.now = 0.0
        self.peer = a_peer(number)
        self.replica: Replica = replica_of(held)
        self.outbox = Outbox(an_id(number), TaggedSeal(CLUSTER))
        self.ages: dict[Register, int] = {}
        self.heard: dict[Register, int] = {}
        self.reconciler = Reconciler(
            self.replica,
            self.outbox,
            config,
            lambda register: self.ages.get(register, 0),
            random.Random(number),
            0.0,
        )

    def receive(self, source: Peer, sections: list[Section]) -> None:
        for section in sections:
            match section:
                case Repair(packed, ages):
                    for each, age in zip(packed, ages or [0] * len(packed), strict=True):
                        register = decode_register(each)
                        assert register is not None
                        self.heard[register] = age
                        self.replica.merge(register)
                case Buckets():
                    self.reconciler.on_buckets(source, section)
                case Hashes():
                    self.reconciler.on_hashes(source, section)
                case Want():
                    self.reconciler.on_want(source, section, self.now)
                case _:
                    raise AssertionError(section)

    def send(self) -> list[list[Section]]:
        self.reconciler.flush(self.now)
        datagrams = [datagram for datagram, _ in self.outbox.drain(lambda room: [], lambda peer: b"")]
        assert all(len(datagram) <= DATAGRAM_BYTES for datagram in datagrams)
        return [opened(datagram).sections for datagram in datagrams]


def _repair(
    one: Side, other: Side, *, chance: random.Random | None = None, lost: float = 0.0, repeated: float = 0.0
) -> int:
    """Repair until both are equal, started by either in turn; how many repairs that took."""
    sides = (one, other)
    for attempt in range(1, 200):
        assert sides[attempt % 2].reconciler.start(sides[1 - attempt % 2].peer, float(attempt))
        for _ in range(6):
            for source, target in (sides, sides[::-1]):
                for sections in source.send():
                    if chance is None or chance.random() >= lost:
                        target.receive(source.peer, sections)
                    if chance is not None and chance.random() < repeated:
                        target.receive(source.peer, sections)
        if one.replica.digest == other.replica.digest:
            assert one.replica.by_hash == other.replica.by_hash
            return attempt
    raise AssertionError("not equal after 200 repairs")


lists = st.lists(registers, max_size=30)


@given(lists, lists)
def test_two_replicas_become_their_union_in_one_repair(first: list[Register], second: list[Register]) -> None:
    one, other = Side(1, first), Side(2, second)
    union = replica_of([*first, *second])
    assert _repair(one, other) == 1
    assert one.replica.by_hash == union.by_hash


@given(lists, lists, st.randoms(use_true_random=False))
def test_loss_and_repetition_only_delay_a_repair(
    first: list[Register], second: list[Register], chance: random.Random
) -> None:
    one, other = Side(1, first), Side(2, second)
    union = replica_of([*first, *second])
    _repair(one, other, chance=chance, lost=0.4, repeated=0.3)
    assert one.replica.by_hash == other.replica.by_hash == union.by_hash


def _many(count: int, seed: int) -> list[Register]:
    chance = random.Random(seed)
    return [
        a_presence(f"g{chance.randrange(50)}", f"m{number}", chance.randrange(500), clock=seed)
        for number in range(count)
    ]


@pytest.mark.parametrize(("mine", "theirs"), [(0, 1), (0, 300), (1, 0), (300, 0)])
def test_joining_is_the_same_repair_from_empty(mine: int, theirs: int) -> None:
    one, other = Side(1, _many(mine, 1)), Side(2, _many(theirs, 1))
    assert _repair(one, other) == 1
    assert len(one.replica.by_hash) == len(other.replica.by_hash) == max(mine, theirs)


@pytest.mark.parametrize("missing", [1, 30, 3000])
def test_large_replicas_become_equal(missing: int) -> None:
    everything = _many(3000, 5)
    chance = random.Random(missing)
    absent = set(chance.sample(everything, missing))
    one, other = Side(1, [each for each in everything if each not in absent]), Side(2, everything)
    attempts = _repair(one, other, chance=chance, lost=0.05)
    assert len(one.replica.by_hash) == 3000
    if missing == 1:
        assert attempts <= 4


def test_a_small_difference_of_large_replicas_costs_little() -> None:
    everything = _many(3000, 5)
    one, other = Side(1, everything[1:]), Side(2, everything)
    assert one.reconciler.start(other.peer, 0.0)
    count = 0
    for _ in range(4):
        for source, target in ((one, other), (other, one)):
            for sections in source.send():
                count += 1
                target.receive(source.peer, sections)
    assert one.replica.digest == other.replica.digest
    assert count <= 6


def test_a_crowded_bucket_is_compared_in_parts_and_only_what_differs_is_sent() -> None:
    crowded = [each for each in _many(20_000, 5) if each.hash >> 58 == 0]
    assert len(crowded) > 250
    mine, theirs = set(crowded[:5]), set(crowded[5:12])
    one = Side(1, [each for each in crowded if each not in theirs])
    other = Side(2, [each for each in crowded if each not in mine])
    assert _repair(one, other) == 1
    assert (set(one.heard), set(other.heard)) == (theirs, mine)


def test_overlapping_intervals_are_not_answered_again_and_again() -> None:
    side = Side(1, [a_node(1)])
    everything, half = Interval(0, 2**64 - 1, b""), Interval(0, 2**63, b"")
    side.receive(a_peer(2), [Hashes([everything] * 20), Hashes([everything])])
    assert side.send() == [[Repair([a_node(1).packed], [])]]
    side.receive(a_peer(2), [Hashes([everything, half])])
    assert side.send() == []


def test_hashes_outside_their_interval_are_not_asked_for() -> None:
    side = Side(1, [a_node(1)])
    inside, outside = (5).to_bytes(8, "big"), (11).to_bytes(8, "big")
    side.receive(a_peer(2), [Hashes([Interval(1, 10, inside + outside)])])
    assert side.send() == [[Want(inside)]]


def test_the_longest_registers_fit_a_datagram() -> None:
    longest: list[Register] = [
        PresenceRegister("g" * 255, f"{number:0255}", 2**48 - 1, an_id(1), 2**48 - 1, bytes(MAX_CAPABILITIES))
        for number in range(20)
    ]
    one, other = Side(1, []), Side(2, longest)
    other.ages = dict.fromkeys(longest, 2**32 - 1)
    assert _repair(one, other) == 1
    assert one.heard == other.ages


def test_a_repair_sends_a_bounded_number_of_datagrams() -> None:
    config = Config.lan().but(repair_datagrams=2)
    one, other = Side(1, [], config), Side(2, _many(3000, 5), config)
    assert one.reconciler.start(other.peer, 0.0)
    for sections in one.send():
        other.receive(one.peer, sections)
    assert len(other.send()) == 2


def test_a_listing_is_bounded_and_leaves_out_another_part_each_time() -> None:
    side = Side(1, _many(5000, 5), Config.lan().but(repair_datagrams=4))
    told: set[int] = set()
    for _ in range(200):
        side.receive(a_peer(2), [Buckets(2**64 - 1, bytes(range(1, 65)) * 8)])
        messages = [section for sections in side.send() for section in sections]
        assert len(messages) == 4
        for hashes in messages:
            assert isinstance(hashes, Hashes)
            firsts = [each.first for each in hashes.intervals]
            assert firsts == sorted(firsts)
            told.update(first >> 58 for first in firsts)
    assert told == set(range(BUCKETS))


def test_one_turn_answers_a_peer_with_so_many_datagrams_whatever_it_asks_for() -> None:
    side = Side(1, held := _many(3000, 5), Config.lan().but(repair_datagrams=4))
    wanted = b"".join(each.hash.to_bytes(8, "big") for each in held)
    side.receive(a_peer(2), [Want(wanted), Buckets(2**64 - 1, bytes(range(1, 65)) * 8), Want(wanted)])
    assert len(side.send()) == 4
    side.receive(a_peer(2), [Want(wanted)])
    assert len(side.send()) == 4


def test_replicas_that_both_hold_much_become_equal_with_small_answers() -> None:
    config = Config.lan().but(repair_datagrams=4)
    shared = _many(4000, 5)
    one, other = Side(1, shared[:-40], config), Side(2, shared[40:], config)
    assert _repair(one, other) < 100


def test_answers_are_within_a_budget_for_all_peers_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "ANSWERS_AT_ONCE", 50.0)
    monkeypatch.setattr(reconcile, "ANSWERS_A_SECOND", 10.0)
    side = Side(1, held := _many(3000, 5))
    wanted = b"".join(each.hash.to_bytes(8, "big") for each in held)
    sent = 0
    for side.now in (0.0, 1.0, 2.0):
        for number in range(2, 12):
            side.receive(a_peer(number), [Buckets(0, b""), Want(wanted)])
            sent += len(side.send())
    assert sent == 70
    side.now = 1000.0
    side.receive(a_peer(2), [Buckets(0, b"")])
    assert len(side.send()) == Config.lan().repair_datagrams


class Counted(dict[int, Register]):
    """Registers by hash, that counts how often one is looked up."""

    looked_up = 0

    def __getitem__(self, key: int) -> Register:
        self.looked_up += 1
        return super().__getitem__(key)


def test_what_cannot_be_sent_is_not_even_looked_for() -> None:
    side = Side(1, _many(3000, 5))
    held = side.replica.by_hash = Counted(side.replica.by_hash)
    for number in range(2, 202):
        side.receive(a_peer(number), [Buckets(0, b"")])
    sent = [section for sections in side.send() for section in sections]
    registers = sum(len(section.registers) for section in sent if isinstance(section, Repair))
    assert registers > 0
    assert held.looked_up <= 1.1 * registers


def _listing(held: list[Register]) -> Hashes:
    """That all of these are held, and nothing is lacking."""
    return Hashes([Interval(0, 2**64 - 1, pack_hashes(sorted(each.hash for each in held)))])


def test_looking_costs_a_budget_though_nothing_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "LOOKS_AT_ONCE", 4 * 3000)
    monkeypatch.setattr(reconcile, "LOOKS_A_SECOND", 1.0)
    side = Side(1, held := _many(3000, 5))
    looks = 0
    bucketed = Reconciler._by_bucket

    def looked(self: Reconciler) -> list[list[int]]:
        nonlocal looks
        looks += 1
        return bucketed(self)

    monkeypatch.setattr(Reconciler, "_by_bucket", looked)
    for _ in range(10):
        side.receive(a_peer(2), [_listing(held)])
        assert side.send() == []
    # For each: once all hashes by bucket, and once those that the listing is about.
    assert looks == 2


def test_requests_of_those_who_are_to_prove_themselves_cost_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    side = Side(1, _many(3000, 5))
    monkeypatch.setattr(Outbox, "withholds", lambda self, peer: True)
    for _ in range(10):
        side.receive(a_peer(2), [Buckets(0, b""), Hashes([Interval(0, 1, b"")])])
        assert side.send() == []
    assert side.reconciler._looks.has(LOOKS_AT_ONCE, 0.0)


@pytest.mark.parametrize("held", [300, 3000, 20_000])
@pytest.mark.parametrize("turns", [20, 1000])
def test_requests_without_end_are_answered_as_fast_as_the_budget_allows(held: int, turns: int) -> None:
    side = Side(1, _many(held, 5))
    assert side.reconciler._answers.spend(ANSWERS_AT_ONCE, 0.0)
    assert side.reconciler._looks.spend(LOOKS_AT_ONCE, 0.0)
    sent = 0
    for turn in range(1, turns + 1):
        side.now = turn / turns
        for number in range(1000 // turns):
            side.receive(a_peer(2 + number), [Buckets(0, b"")])
        sent += len(side.send())
    assert 0.9 * ANSWERS_A_SECOND <= sent <= ANSWERS_A_SECOND


def test_repairs_that_a_node_starts_are_within_its_budget() -> None:
    config = Config.lan().but(repair_rate=4)
    one = Side(1, [a_node(1)], config)
    started = sum(one.reconciler.start(a_peer(2), tenth / 10) for tenth in range(100))
    assert started == one.reconciler.started
    assert 2 * 4 + 9.9 * 4 - 1 <= started <= 2 * 4 + 9.9 * 4 + 1


def test_a_node_with_a_small_budget_repairs_too() -> None:
    one = Side(1, [a_node(1)], Config.lan().but(repair_rate=0.4))
    assert [one.reconciler.start(a_peer(2), now) for now in (0.0, 1.0, 2.5)] == [True, False, True]


def test_equal_replicas_answer_nothing() -> None:
    one, other = Side(1, _many(10, 1)), Side(2, _many(10, 1))
    assert one.reconciler.start(other.peer, 0.0)
    for sections in one.send():
        other.receive(one.peer, sections)
    assert other.send() == []


def test_requests_of_one_turn_are_bounded_and_malformed_ones_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconcile, "ANSWERS_A_TURN", 256)
    side = Side(1, _many(3, 1))
    side.reconciler.on_buckets(a_peer(2), Buckets(1, b""))
    assert side.send() == []
    for number in range(REQUESTS + 5):
        side.reconciler.on_buckets(a_peer(number), Buckets(0, b""))
    sent = []
    while side.reconciler.deadline(0.0) == 0.0:
        side.reconciler.flush(0.0)
        sent.append(len(side.outbox.drain(lambda room: [], lambda peer: b"")))
    assert sent == [256] * (REQUESTS // 256), "acks go out in between"
    assert side.reconciler.deadline(0.0) == inf


def test_a_want_is_answered_with_what_is_held_only() -> None:
    side = Side(1, [a_node(1), a_node(2)])
    wanted = a_node(2).hash.to_bytes(8, "big") + bytes(8)
    side.receive(a_peer(3), [Want(wanted)])
    assert side.send() == [[Repair([a_node(2).packed], [])]]


def test_ages_travel_only_when_there_are_some() -> None:
    side = Side(1, [a_node(1), a_node(2)])
    side.ages[a_node(2)] = 9
    side.receive(a_peer(3), [Hashes([Interval(0, 2**64 - 1, b"")])])
    ((repair,),) = side.send()
    assert isinstance(repair, Repair)
    assert sorted(zip(repair.registers, repair.ages, strict=True)) == sorted(
        [(a_node(1).packed, 0), (a_node(2).packed, 9)]
    )


intervals = st.builds(
    Interval, hashes, hashes, st.binary(max_size=80).map(lambda packed: packed[: len(packed) // 8 * 8])
)
hostile: st.SearchStrategy[Section] = st.one_of(
    st.builds(Buckets, hashes, st.integers(0, 64).map(lambda count: bytes(8 * count))),
    st.builds(Hashes, st.lists(intervals, max_size=8)),
    st.builds(Want, st.integers(0, 20).map(lambda count: bytes(8 * count))),
)


@settings(max_examples=50)
@given(lists, st.lists(hostile, max_size=4))
def test_no_request_changes_a_replica_or_makes_a_large_datagram(
    held: list[Register], sections: list[Section]
) -> None:
    side = Side(1, held)
    before = dict(side.replica.by_hash)
    side.receive(a_peer(2), sections)
    side.send()
    assert side.replica.by_hash == before


def test_a_register_wanted_twice_is_sent_once() -> None:
    side = Side(1, [a_node(1)])
    side.receive(a_peer(2), [Want(a_node(1).hash.to_bytes(8, "big") * 100)])
    assert side.send() == [[Repair([a_node(1).packed], [])]]
