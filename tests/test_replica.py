"""The replica as a lattice, its digest, and the views computed from it."""

from __future__ import annotations

import random
from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.groups.replica import Change, Replica
from gossipgroups.groups.view import Views, is_present, view_of
from gossipgroups.ids import NodeId
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, Register
from gossipgroups.status import Status
from tests.nodes import a_node, a_presence, an_id, registers, replica_of

lists = st.lists(registers, max_size=25)
shuffles = st.randoms(use_true_random=False)
GROUPS = ("g", "h")


def _held(replica: Replica) -> set[Register]:
    maps: list[Register] = [*replica.nodes.values(), *replica.groups.values()]
    for members in replica.presences.values():
        maps += members.values()
    assert len(maps) == len(set(maps))
    return set(maps)


def _union(one: Replica, other: Replica) -> Replica:
    return replica_of([*one.by_hash.values(), *other.by_hash.values()])


@given(lists, shuffles)
def test_the_order_and_number_of_merges_do_not_matter(learnt: list[Register], chance: random.Random) -> None:
    once = replica_of(learnt)
    again = learnt + chance.choices(learnt, k=5) if learnt else []
    chance.shuffle(again)
    other = replica_of(again)
    assert _held(once) == _held(other)
    assert once.digest == other.digest
    assert once.tree.buckets == other.tree.buckets
    assert all(view_of(once, group) == view_of(other, group) for group in GROUPS)


@given(lists, lists, lists)
def test_merging_replicas_is_commutative_associative_and_idempotent(
    a: list[Register], b: list[Register], c: list[Register]
) -> None:
    one, two, three = replica_of(a), replica_of(b), replica_of(c)
    assert _held(_union(one, two)) == _held(_union(two, one))
    assert _held(_union(_union(one, two), three)) == _held(_union(one, _union(two, three)))
    assert _held(_union(one, one)) == _held(one)
    if _held(one) != _held(two):
        assert one.digest != two.digest


@given(lists)
def test_ranks_only_rise_and_a_merge_says_what_it_replaced(learnt: list[Register]) -> None:
    replica = Replica()
    for register in learnt:
        before = replica.find(register)
        change = replica.merge(register)
        if change is None:
            assert before is not None
            assert before.rank >= register.rank
            assert replica.find(register) is before
        else:
            assert change == Change(before, register)
            assert before is None or before.rank < register.rank
            assert replica.find(register) is register
        assert replica.merge(register) is None


steps = st.lists(st.tuples(st.booleans(), registers), max_size=40)


@given(steps)
def test_all_indexes_are_those_of_exactly_the_registers_held(taken: list[tuple[bool, Register]]) -> None:
    replica = Replica()
    for drop, register in taken:
        if drop:
            held = replica.find(register) == register
            assert (replica.drop(register) == Change(register, None)) == held
            assert (replica.find(register) is None) or not held
        else:
            replica.merge(register)
        held_now = _held(replica)
        assert set(replica.by_hash.values()) == held_now
        assert replica.digest == reduce(xor, (each.hash for each in held_now), 0)
        assert all(
            bucket == reduce(xor, (each.hash for each in held_now if each.hash >> 58 == index), 0)
            for index, bucket in enumerate(replica.tree.buckets)
        )
        by_node: dict[NodeId, set[tuple[str, str]]] = {}
        for each in held_now:
            if isinstance(each, PresenceRegister):
                by_node.setdefault(each.node_id, set()).add((each.group, each.member))
        assert {node_id: set(held) for node_id, held in replica.held_by.items()} == by_node
        assert all(replica.presences.values())


@given(steps)
def test_views_step_by_step_are_those_of_the_maps(taken: list[tuple[bool, Register]]) -> None:
    replica = Replica()
    views = Views(replica)
    for drop, register in taken:
        before = {group: dict(views[group]) for group in GROUPS}
        change = replica.drop(register) if drop else replica.merge(register)
        if change is not None:
            views.apply(change)
        for group in GROUPS:
            view = view_of(replica, group)
            assert views[group] == view
            assert views.digests.get(group, 0) == reduce(xor, (each.hash for each in view.values()), 0)
            assert (group in views.touched) == (before[group] != view)
        views.touched.clear()


GROUP = GroupRegister("g", 1)
MEMBER = a_presence("g", "a", 1)


@pytest.mark.parametrize(
    ("held", "present"),
    [
        ([GROUP, MEMBER, a_node(1)], True),
        ([GROUP, MEMBER, a_node(1, 0, Status.SUSPECT)], True),
        ([GROUP, MEMBER, a_node(1, 0, Status.DEAD)], False),
        ([GROUP, MEMBER, a_node(1, 0, Status.LEFT)], False),
        ([GROUP, MEMBER], False),
        ([MEMBER, a_node(1)], False),
        ([GroupRegister("g", 2), MEMBER, a_node(1)], False),
        ([GroupRegister("g", 3), MEMBER, a_node(1)], False),
        ([GroupRegister("g", 2), a_presence("g", "a", 1, epoch=2), a_node(1)], False),
        ([GROUP, a_presence("g", "a", 1, capabilities=None), a_node(1)], False),
        ([GROUP, a_presence("g", "a", 2), a_node(1)], False),
    ],
)
def test_who_is_in_a_view(held: list[Register], present: bool) -> None:
    replica = replica_of(held)
    assert ("a" in view_of(replica, "g")) == present
    presence = replica.presences["g"]["a"]
    assert is_present(replica, presence) == present


def test_a_member_vanishes_with_its_node_and_comes_back_unchanged() -> None:
    replica = Replica()
    views = Views(replica)

    def learn(register: Register) -> None:
        change = replica.merge(register)
        assert change is not None
        views.apply(change)

    for register in (GROUP, MEMBER, a_node(1)):
        learn(register)
    assert views["g"] == {"a": MEMBER}
    learn(a_node(1, 0, Status.DEAD))
    assert views["g"] == {}
    assert replica.presences["g"]["a"] is MEMBER
    learn(a_node(1, 1, Status.ALIVE))
    assert views["g"]["a"] is MEMBER


def test_a_member_taken_over_belongs_to_its_new_node_alone() -> None:
    replica = replica_of([GROUP, a_node(1), a_node(2), MEMBER, a_presence("g", "a", 2, clock=2)])
    assert replica.held_by == {an_id(2): {("g", "a"): None}}
    assert view_of(replica, "g")["a"].node_id == an_id(2)


def test_what_is_held_is_found_by_any_register_of_its_key() -> None:
    replica = replica_of([GROUP, MEMBER, a_node(1)])
    assert replica.find(a_node(1, 9)) == a_node(1)
    assert replica.find(GroupRegister("g", 9)) == GROUP
    assert replica.find(a_presence("g", "a", 7)) == MEMBER
    assert replica.find(NodeRegister(an_id(2), 0, Status.ALIVE, a_node(2).address, "n2")) is None
