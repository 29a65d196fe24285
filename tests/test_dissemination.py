"""Rumours: the least told first, each at most so often, a newer in place of the older, within the room."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.registers import GroupRegister, NodeRegister, Register, decode_register
from gossipgroups.status import Status
from gossipgroups.swim.dissemination import RumourQueue, retransmit_limit
from gossipgroups.wire.codec import pack_payload, unpack_payload
from gossipgroups.wire.messages import (
    MAX_ENTRIES,
    REFUSED,
    ROOT,
    SILENT,
    Accusation,
    Accusations,
    Repair,
    Rumours,
)
from tests.nodes import a_node, a_presence, an_address, an_id, registers

PLENTY = 1300


def _read(taken: list[bytes]) -> list[Register | Accusation]:
    told: list[Register | Accusation] = []
    for section in unpack_payload(pack_payload(taken)):
        match section:
            case Rumours(packed) | Repair(packed):
                told += [register for each in packed if (register := decode_register(each))]
            case Accusations(accusations):
                told += accusations
            case _:
                raise AssertionError(section)
    return told


def _ageless(register: Register) -> int:
    return 0


def _charge(subject: int, accuser: int, evidence: int = SILENT) -> Accusation:
    return Accusation(an_id(subject), 0, an_id(accuser), evidence)


@pytest.mark.parametrize(
    ("live", "expected"), [(0, 0), (1, 4), (8, 4), (9, 4), (10, 8), (99, 8), (100, 12), (1000, 16)]
)
def test_the_limit_grows_with_the_logarithm_of_the_cluster(live: int, expected: int) -> None:
    assert retransmit_limit(4, live) == expected


def test_a_rumour_is_told_at_most_so_often() -> None:
    queue = RumourQueue()
    queue.add(a_node(1))
    assert [len(_read(queue.take(PLENTY, 3, _ageless))) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert len(queue) == 0


def test_what_was_told_elsewhere_already_is_told_less_here() -> None:
    queue = RumourQueue()
    queue.add(a_node(1), told=2)
    assert not queue.fresh_news
    assert [len(queue.take(PLENTY, 4, _ageless)) for _ in range(3)] == [1, 1, 0]


def test_the_least_told_goes_first_and_then_the_one_that_came_first() -> None:
    queue = RumourQueue()
    queue.add(a_node(1))
    queue.add(a_node(2))
    assert queue.fresh_news
    assert _read(queue.take(PLENTY, 9, _ageless)) == [a_node(1), a_node(2)]
    assert not queue.fresh_news
    queue.add(a_node(3))
    assert queue.fresh_news
    assert _read(queue.take(PLENTY, 9, _ageless)) == [a_node(3), a_node(1), a_node(2)]
    one = len(a_node(1).packed) + 10
    assert _read(queue.take(one, 9, _ageless)) == [a_node(3)]
    assert _read(queue.take(one, 9, _ageless)) == [a_node(1)]


def test_a_newer_register_takes_the_place_of_the_older() -> None:
    queue = RumourQueue()
    queue.add(a_node(1))
    queue.take(PLENTY, 2, _ageless)
    queue.add(a_node(1, 1, Status.DEAD))
    assert queue.fresh_news
    assert len(queue) == 1
    told = [_read(queue.take(PLENTY, 2, _ageless)) for _ in range(3)]
    assert told == [[a_node(1, 1, Status.DEAD)]] * 2 + [[]]


def test_what_goes_along_a_tree_is_in_every_datagram_and_counts_once() -> None:
    queue = RumourQueue()
    queue.add(a_presence("g", "a", 1))
    queue.add(a_node(1), told=1)
    news = queue.group_news(1)
    assert news == [a_presence("g", "a", 1)]
    queue.start_telling(news)
    assert not queue.fresh_news
    assert queue.group_news(9) == []
    together = [_read(queue.take(PLENTY, 3, _ageless)) for _ in range(9)]
    assert together == [[*news, a_node(1)]] * 2 + [news] * 7
    queue.stop_telling(1)
    assert [_read(queue.take(PLENTY, 3, _ageless)) for _ in range(3)] == [news, news, []]
    queue.stop_telling(1)
    assert len(queue) == 0


def test_what_is_superseded_or_dropped_while_it_goes_along_a_tree_is_told_no_more() -> None:
    queue = RumourQueue()
    for member in ("a", "b"):
        queue.add(a_presence("g", member, 1))
    queue.start_telling(queue.group_news(2))
    queue.drop(a_presence("g", "a", 1).key)
    newer = a_presence("g", "b", 1, clock=2)
    queue.add(newer)
    queue.stop_telling(3)
    assert queue.group_news(2) == [newer]
    assert _read(queue.take(PLENTY, 9, _ageless)) == [newer]


def test_news_of_nodes_and_much_news_go_along_no_tree() -> None:
    queue = RumourQueue()
    queue.add(a_node(1))
    queue.accuse(_charge(2, 3))
    assert queue.group_news(9) == []
    for group in ("g", "h"):
        queue.add(GroupRegister(group, 1))
    assert queue.group_news(4) == [GroupRegister("g", 1), GroupRegister("h", 1)]
    assert queue.group_news(3) == []


def test_what_is_dropped_is_told_no_more() -> None:
    queue = RumourQueue()
    queue.add(a_node(1))
    queue.accuse(_charge(2, 3))
    queue.drop(a_node(1).key)
    queue.drop(a_node(9).key)
    assert _read(queue.take(PLENTY, 4, _ageless)) == [_charge(2, 3)]
    queue.drop((an_id(2), an_id(3)))
    assert queue.take(PLENTY, 4, _ageless) == []


def test_accusations_of_one_subject_by_several_stand_side_by_side() -> None:
    queue = RumourQueue()
    for charge in (_charge(1, 2), _charge(1, 3), _charge(1, 2, REFUSED)):
        queue.accuse(charge)
    assert _read(queue.take(PLENTY, 1, _ageless)) == [_charge(1, 3), _charge(1, 2, REFUSED)]


def test_what_has_settled_is_told_no_more_and_the_rest_is() -> None:
    queue = RumourQueue()
    kept: list[Register] = [a_presence("h", "a", 1), a_node(2, 1), a_node(3, 0, Status.SUSPECT)]
    for register in (
        a_presence("g", "a", 1),
        GroupRegister("g", 1),
        a_node(1),
        a_node(4, 0, Status.DEAD),
        *kept,
    ):
        queue.add(register)
    queue.accuse(_charge(5, 6))
    queue.settled("g")
    assert len(queue) == 7
    queue.settled(ROOT)
    assert _read(queue.take(PLENTY, 1, _ageless)) == [*kept, _charge(5, 6)]


def test_what_only_confirms_is_told_half_as_often() -> None:
    queue = RumourQueue()
    queue.accuse(_charge(1, 2))
    queue.accuse(_charge(1, 3), confirms=True)
    told = [accusation for _ in range(9) for accusation in _read(queue.take(PLENTY, 4, _ageless))]
    assert (told.count(_charge(1, 2)), told.count(_charge(1, 3))) == (4, 2)


def test_chatter_is_told_apart_from_news_while_it_is_fresh() -> None:
    queue = RumourQueue()
    for item in (_charge(1, 2), _charge(1, 3)):
        queue.accuse(item)
    queue.add(a_node(4, 1))
    assert (queue.fresh_news, queue.fresh_chatter) == (0, 3)
    queue.accuse(_charge(1, 2, REFUSED))  # takes the place of one, and is news
    queue.add(a_node(5, 1, Status.DEAD))
    queue.add(a_node(6))
    assert (queue.fresh_news, queue.fresh_chatter) == (3, 2)
    queue.drop(a_node(4).key)
    assert (queue.fresh_news, queue.fresh_chatter) == (3, 1)
    queue.take(PLENTY, 4, _ageless)
    assert (queue.fresh_news, queue.fresh_chatter) == (0, 0)


def test_more_than_one_section_holds_are_told_in_turns() -> None:
    queue = RumourQueue()
    for number in range(MAX_ENTRIES + 6):
        queue.add(GroupRegister(f"{number}", 1))
    assert len(_read(queue.take(PLENTY, 1, _ageless))) == MAX_ENTRIES
    assert len(_read(queue.take(PLENTY, 1, _ageless))) == 6


def test_a_long_rumour_does_not_block_those_behind_it() -> None:
    queue = RumourQueue()
    long = NodeRegister(an_id(1), 0, Status.ALIVE, an_address(1), "n" * 255)
    queue.add(long)
    queue.add(a_node(2))
    assert _read(queue.take(100, 4, _ageless)) == [a_node(2)]
    assert _read(queue.take(PLENTY, 4, _ageless)) == [long, a_node(2)]


def test_a_datagram_that_is_nearly_full_is_not_held_against_all_that_waits() -> None:
    queue = RumourQueue()
    for number in range(1000):
        queue.add(NodeRegister(an_id(number), 0, Status.ALIVE, an_address(number), "n" * 100))
    tried: list[Register] = []

    def age(register: Register) -> int:
        tried.append(register)
        return 0

    told = _read(queue.take(PLENTY, 4, age))
    assert 1 < len(told) < len(tried) < 40


def test_what_was_spent_travels_with_its_age_in_a_section_of_its_own() -> None:
    queue = RumourQueue()
    dead, gone = a_node(1, 0, Status.DEAD), GroupRegister("g", 2)
    for register in (dead, a_node(2), gone):
        queue.add(register)
    queue.accuse(_charge(2, 3))
    ages: dict[Register, int] = {dead: 7, gone: 2**32 - 1}
    taken = queue.take(PLENTY, 1, lambda register: ages.get(register, 0))
    assert unpack_payload(pack_payload(taken)) == [
        Rumours([a_node(2).packed]),
        Repair([dead.packed, gone.packed], [7, 2**32 - 1]),
        Accusations([_charge(2, 3)]),
    ]


def test_ages_are_counted_into_the_room() -> None:
    for room in range(20, 800):
        queue = RumourQueue()
        for number in range(20):
            queue.add(a_node(number, 0, Status.DEAD))
        assert sum(map(len, queue.take(room, 1, lambda register: 2**31))) <= room


additions = st.lists(
    st.one_of(registers, st.builds(_charge, st.integers(0, 3), st.integers(0, 3))), max_size=40
)


@given(additions, st.lists(st.integers(-50, 400), max_size=30), st.integers(1, 4), st.integers(0, 3))
def test_room_and_limit_are_kept_and_nobody_is_forgotten(
    added: list[Register | Accusation], rooms: list[int], limit: int, seed: int
) -> None:
    queue = RumourQueue()

    def age(register: Register) -> int:
        return (register.hash >> seed & 1) * 2**32 // 2

    newest: dict[object, Register | Accusation] = {}
    for item in added:
        if isinstance(item, Accusation):
            queue.accuse(item)
            newest[item.subject, item.accuser] = item
        else:
            queue.add(item)
            newest[item.key] = item
    assert len(queue) == len(newest)
    told: Counter[object] = Counter()
    for room in rooms:
        taken = queue.take(room, limit, age)
        assert sum(map(len, taken)) <= max(0, room)
        told.update(_read(taken))
    while len(queue):
        told.update(_read(queue.take(PLENTY, limit, _ageless)))
    assert told == dict.fromkeys(newest.values(), limit)
