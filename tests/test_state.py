"""The state of a node: live set, views, digests and node events follow from exactly the registers held."""

from __future__ import annotations

from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.events import Event, NodeFailed, NodeJoined, NodeLeft, NodeSuspected
from gossipgroups.groups.view import view_of
from gossipgroups.registers import GroupRegister, Register
from gossipgroups.state import State
from gossipgroups.status import Status
from tests.nodes import a_node, a_presence, an_id, registers

ME = 9


def _state() -> State:
    state = State(an_id(ME), 100.0)
    state.merge(a_node(ME), 0.0)
    state.events.clear()
    return state


@given(st.lists(st.tuples(st.booleans(), registers), max_size=40))
def test_what_is_derived_is_that_of_the_registers_held(taken: list[tuple[bool, Register]]) -> None:
    state = _state()
    for forget, register in taken:
        if forget:
            held = state.replica.find(register) == register
            assert state.forget(register) == held
        else:
            state.merge(register, 1.0)
        nodes = state.replica.nodes.values()
        assert state.live.ids == sorted(each.node_id for each in nodes if each.status.live)
        assert state.live.suspects == {each.node_id for each in nodes if each.status is Status.SUSPECT}
        assert state.epochs_digest == reduce(
            xor, (each.hash for each in state.replica.groups.values() if each.epoch % 2), 0
        )
        assert all(state.views[group] == view_of(state.replica, group) for group in "gh")
    joined: dict[bytes, bool] = {}
    for event in state.events:
        match event:
            case NodeJoined(node_id):
                assert not joined.get(node_id)
                joined[node_id] = True
            case NodeFailed(node_id) | NodeLeft(node_id):
                assert joined.get(node_id)
                joined[node_id] = False
            case NodeSuspected(node_id):
                assert joined.get(node_id)
    assert {an_id(ME), *(node_id for node_id, live in joined.items() if live)} == set(state.live.ids)


def _told(state: State, register: Register) -> list[type[Event]]:
    state.merge(register, 0.0)
    told = [type(event) for event in state.events]
    state.events.clear()
    return told


def test_each_change_of_a_node_is_told_once() -> None:
    state = _state()
    assert _told(state, a_node(1)) == [NodeJoined]
    assert _told(state, a_node(1)) == []
    assert _told(state, a_node(1, 0, Status.SUSPECT)) == [NodeSuspected]
    assert _told(state, a_node(1, 1)) == []
    assert _told(state, a_node(1, 1, Status.SUSPECT)) == [NodeSuspected]
    assert _told(state, a_node(1, 2, Status.SUSPECT)) == []
    assert _told(state, a_node(1, 2, Status.DEAD)) == [NodeFailed]
    assert _told(state, a_node(1, 3)) == [NodeJoined]
    assert _told(state, a_node(1, 3, Status.LEFT)) == [NodeLeft]
    assert _told(state, a_node(2, 0, Status.SUSPECT)) == [NodeJoined, NodeSuspected]
    assert _told(state, a_node(3, 0, Status.DEAD)) == []


def test_suspects_are_those_of_the_moment() -> None:
    state = _state()
    for status, incarnation, suspects in (
        (Status.SUSPECT, 0, {an_id(1)}),
        (Status.ALIVE, 1, set()),
        (Status.SUSPECT, 1, {an_id(1)}),
        (Status.DEAD, 1, set()),
        (Status.SUSPECT, 2, {an_id(1)}),
    ):
        state.merge(a_node(1, incarnation, status), 0.0)
        assert state.live.suspects == suspects
    state.forget(a_node(1, 2, Status.SUSPECT))
    assert state.live.suspects == set()
    assert an_id(1) not in state.live


def test_nothing_is_told_about_this_node_itself() -> None:
    state = _state()
    for status in (Status.SUSPECT, Status.DEAD, Status.LEFT):
        assert _told(state, a_node(ME, 0, status)) == []
    assert state.own.status is Status.LEFT


def test_changed_groups_and_nodes_are_noted_for_the_snapshot() -> None:
    state = _state()
    state.nodes_changed = False
    state.merge(GroupRegister("g", 1), 0.0)
    assert state.changed_groups == {"g"}
    assert not state.nodes_changed
    state.merge(a_node(1), 0.0)
    assert state.nodes_changed


@pytest.mark.parametrize("age", [0.0, 99.0, 100.0])
def test_a_tombstone_that_others_have_forgotten_is_not_taken_in_again(age: float) -> None:
    state = _state()
    taken = state.merge(a_presence("g", "a", 1, capabilities=None), 0.0, age) is not None
    assert taken == (age < 100.0)


def test_what_another_has_replaced_is_not_forgotten() -> None:
    state = _state()
    state.merge(a_node(1, 1), 0.0)
    assert not state.forget(a_node(1))
    assert an_id(1) in state.live
