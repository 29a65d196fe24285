"""Snapshots: frozen, complete, and a new one for each change."""

from __future__ import annotations

import pytest

from gossipgroups.errors import GroupNotCreated, MemberNotJoined
from gossipgroups.registers import GroupRegister, encode_capabilities
from gossipgroups.snapshot import MemberInfo, NodeInfo, Snapshot
from gossipgroups.state import State
from gossipgroups.status import Status
from tests.nodes import a_node, a_presence, an_address, an_id


def _state() -> State:
    state = State(an_id(1), 100.0)
    slots = encode_capabilities({"slots": [4]})
    for register in (
        a_node(2),
        a_node(1, 3),
        GroupRegister("g", 1),
        GroupRegister("empty", 1),
        GroupRegister("gone", 2),
        a_presence("g", "a", 2, capabilities=slots),
        a_presence("g", "b", 1),
    ):
        state.merge(register, 0.0)
    return state


def test_a_snapshot_has_groups_members_and_nodes() -> None:
    snapshot = Snapshot().next(_state(), 7)
    assert snapshot.sequence == 7
    assert snapshot.groups() == {"g", "empty"}
    assert set(snapshot.view("g")) == {"a", "b"}
    assert snapshot.view("empty") == {}
    assert snapshot.member("g", "a") == MemberInfo("g", "a", {"slots": [4]}, an_id(2), "n2", an_address(2))
    assert snapshot.capabilities("g", "b") is None
    assert snapshot.nodes() == (
        NodeInfo(an_id(1), "n1", an_address(1), Status.ALIVE, 3),
        NodeInfo(an_id(2), "n2", an_address(2), Status.ALIVE, 0),
    )


def test_capabilities_are_a_fresh_copy_each_time() -> None:
    snapshot = Snapshot().next(_state(), 0)
    snapshot.capabilities("g", "a")["slots"].append(5)
    assert snapshot.capabilities("g", "a") == {"slots": [4]}


def test_what_is_not_there_is_said() -> None:
    snapshot = Snapshot().next(_state(), 0)
    for ask in (snapshot.view, lambda group: snapshot.member(group, "a")):
        with pytest.raises(GroupNotCreated):
            ask("gone")
    for ask_member in (snapshot.member, snapshot.capabilities):
        with pytest.raises(MemberNotJoined):
            ask_member("g", "c")


def test_a_snapshot_never_changes_and_the_next_one_has_the_changes() -> None:
    state = _state()
    first = Snapshot().next(state, 1)
    state.merge(GroupRegister("empty", 2), 1.0)
    state.merge(a_node(2, 0, Status.DEAD), 1.0)
    state.changed_groups.update(state.views.touched)
    second = first.next(state, 2)
    assert first.groups() == {"g", "empty"}
    assert set(first.view("g")) == {"a", "b"}
    assert second.groups() == {"g"}
    assert set(second.view("g")) == {"b"}
    assert [info.status for info in first.nodes()] == [Status.ALIVE, Status.ALIVE]
    assert [info.status for info in second.nodes()] == [Status.ALIVE, Status.DEAD]
    with pytest.raises(TypeError):
        first.view("g")["c"] = a_presence("g", "c", 1)  # type: ignore[index]


def test_without_changes_the_maps_are_shared() -> None:
    state = _state()
    first = Snapshot().next(state, 1)
    second = first.next(state, 2)
    assert second.views is first.views
    assert second.registers is first.registers
