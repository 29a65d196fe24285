"""Spent registers: what counts as one, how old it is, and what is dropped when."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.groups.forgetting import SLACK, Tombstones, is_spent
from gossipgroups.groups.replica import Replica
from gossipgroups.registers import GroupRegister, Register
from gossipgroups.status import Status
from tests.nodes import a_node, a_presence, registers, replica_of

LIFE = 200.0


class Grave:
    """A replica with its tombstones."""

    def __init__(self) -> None:
        self.replica = Replica()
        self.tombstones = Tombstones(self.replica, LIFE)

    def learn(self, register: Register, now: float, age: float = 0.0) -> None:
        change = self.replica.merge(register)
        if change is not None:
            self.tombstones.changed(change.old, register, now, age)

    def forget(self, now: float) -> set[Register]:
        expired = self.tombstones.expired(now)
        for register in expired:
            assert self.replica.drop(register)
        return set(expired)


GROUP = GroupRegister("g", 1)
DEAD = a_node(1, 0, Status.DEAD)
GONE = GroupRegister("g", 2)
LEFT = a_presence("g", "a", 1, capabilities=None)
MEMBER = a_presence("g", "a", 1)


@pytest.mark.parametrize(
    ("register", "others", "expected"),
    [
        (a_node(1), [], False),
        (a_node(1, 0, Status.SUSPECT), [], False),
        (DEAD, [], True),
        (a_node(1, 0, Status.LEFT), [], True),
        (GROUP, [], False),
        (GONE, [], True),
        (MEMBER, [GROUP, a_node(1)], False),
        (MEMBER, [a_node(1)], True),
        (a_presence("g", "a", 1, epoch=3), [GROUP, a_node(1)], True),
        (a_presence("g", "a", 1, epoch=2), [GONE, a_node(1)], True),
        (MEMBER, [GROUP], True),
        (MEMBER, [GROUP, DEAD], True),
        (MEMBER, [GONE, a_node(1)], True),
        (LEFT, [GROUP, a_node(1)], True),
    ],
)
def test_what_is_spent(register: Register, others: list[Register], expected: bool) -> None:
    assert is_spent(replica_of([register, *others]), register) == expected


@pytest.mark.parametrize("register", [DEAD, GONE, LEFT])
def test_a_spent_register_is_dropped_after_its_life_and_not_before(register: Register) -> None:
    grave = Grave()
    grave.learn(register, 1000.0)
    assert grave.tombstones.deadline == 1000.0 + LIFE
    assert grave.forget(1000.0 + LIFE - 0.1) == set()
    assert grave.tombstones.age(register, 1000.0 + LIFE / 2) == LIFE / 2
    assert grave.forget(1000.0 + LIFE) == {register}
    assert grave.replica.digest == 0
    assert len(grave.tombstones) == 0
    assert grave.tombstones.deadline == inf


def test_one_that_arrives_old_is_dropped_when_its_life_is_over() -> None:
    grave = Grave()
    grave.learn(DEAD, 7000.0, age=150)
    assert grave.tombstones.age(DEAD, 7000.0) == 150
    assert grave.forget(7000.0 + LIFE - 151) == set()
    assert grave.forget(7000.0 + LIFE - 150) == {DEAD}
    assert grave.tombstones.age(DEAD, 9000.0) == 0


@pytest.mark.parametrize("tombstone", [DEAD, GONE])
def test_a_presence_is_spent_with_its_node_and_with_its_group(tombstone: Register) -> None:
    grave = Grave()
    for register in (GROUP, a_node(1), a_node(3), MEMBER, GroupRegister("h", 1), a_presence("h", "b", 3)):
        grave.learn(register, 0.0)
    assert len(grave.tombstones) == 0
    grave.learn(tombstone, 10.0)
    assert grave.tombstones.age(MEMBER, 30.0) == 20
    assert grave.tombstones.age(a_presence("h", "b", 3), 30.0) == 0
    assert grave.forget(10.0 + LIFE) == {tombstone, MEMBER}


@pytest.mark.parametrize(("first", "second"), [(GROUP, a_node(1)), (a_node(1), GROUP)])
def test_a_presence_is_spent_until_its_node_and_its_group_are_heard_of(
    first: Register, second: Register
) -> None:
    grave = Grave()
    grave.learn(MEMBER, 0.0)
    grave.learn(first, 5.0)
    assert grave.tombstones.age(MEMBER, 9.0) == 9
    grave.learn(second, 10.0)
    assert grave.tombstones.age(MEMBER, 19.0) == 0
    assert grave.forget(1000.0) == set()


def test_what_came_back_to_life_is_kept_and_its_presences_with_it() -> None:
    grave = Grave()
    for register in (GROUP, a_node(1), MEMBER):
        grave.learn(register, 0.0)
    grave.learn(DEAD, 0.0)
    grave.learn(a_node(1, 1), LIFE / 2)
    assert len(grave.tombstones) == 0
    assert grave.tombstones.age(a_node(1, 1), LIFE) == 0
    assert grave.forget(2 * LIFE) == set()
    assert grave.replica.presences["g"] == {"a": MEMBER}


def test_a_worse_status_starts_its_life_anew() -> None:
    grave = Grave()
    grave.learn(DEAD, 0.0)
    left = a_node(1, 0, Status.LEFT)
    grave.learn(left, LIFE - 1)
    assert grave.forget(LIFE) == set()
    assert grave.forget(2 * LIFE - 1) == {left}


def test_only_an_old_one_that_is_not_held_is_refused() -> None:
    grave = Grave()
    assert grave.tombstones.refuses(DEAD, LIFE)
    assert not grave.tombstones.refuses(DEAD, LIFE - 1)
    assert not grave.tombstones.refuses(a_node(1), LIFE)
    # Its node is not held, so a presence of that age is as dead as its node.
    assert grave.tombstones.refuses(MEMBER, LIFE)
    grave.learn(a_node(1), 0.0)
    assert not grave.tombstones.refuses(DEAD, LIFE)
    assert grave.tombstones.refuses(MEMBER, LIFE)
    grave.learn(GROUP, 0.0)
    assert not grave.tombstones.refuses(MEMBER, LIFE)


def test_what_is_spent_and_comes_back_over_and_over_takes_no_room() -> None:
    grave = Grave()
    for turn in range(1000):
        grave.learn(a_node(1, turn, Status.DEAD), turn / 100)
        grave.learn(a_node(1, turn + 1), turn / 100)
    assert len(grave.tombstones._queue) <= SLACK + 2
    grave.learn(a_node(1, 1000, Status.DEAD), 10.0)
    assert grave.tombstones.deadline <= 10.0 + LIFE
    assert grave.forget(10.0 + LIFE) == {a_node(1, 1000, Status.DEAD)}


@given(st.lists(st.tuples(registers, st.floats(0, 50), st.sampled_from([0.0, 100.0, 300.0])), max_size=30))
def test_what_is_spent_is_timed_and_in_the_end_all_that_is_left_is_alive(
    learnt: list[tuple[Register, float, float]],
) -> None:
    grave = Grave()
    now = 0.0
    for register, gap, age in learnt:
        now += gap
        if not grave.tombstones.refuses(register, age):
            grave.learn(register, now, age)
        spent = [each for each in grave.replica.by_hash.values() if is_spent(grave.replica, each)]
        assert len(grave.tombstones) == len(spent)
        assert (grave.tombstones.deadline < inf) or not spent
        grave.forget(now)
    now += LIFE
    for _ in range(100):
        due = grave.tombstones.deadline
        if due == inf:
            break
        now = max(now, due)
        grave.forget(now)
    assert grave.tombstones.deadline == inf
    assert not any(is_spent(grave.replica, each) for each in grave.replica.by_hash.values())
