"""Reports: the events told for a group sum up to the view told last, in order and with their reasons."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.config import Config
from gossipgroups.events import (
    Event,
    GroupCreated,
    GroupDeleted,
    MemberCapabilitiesUpdated,
    MemberJoinedGroup,
    MemberLeftGroup,
    Reason,
)
from gossipgroups.registers import GroupRegister, Register
from gossipgroups.reports import Reports
from gossipgroups.state import State
from gossipgroups.status import Status
from gossipgroups.wire.messages import ROOT, WHOLE, Scope
from tests.nodes import a_node, a_presence, an_id, registers

CONFIG = Config.lan()
DEADLINE = CONFIG.convergence_deadline


class Desk:
    """A state and what is told of it."""

    def __init__(self, *held: Register) -> None:
        self.state = State(an_id(0), 100.0)
        self.reports = Reports(self.state.replica, self.state.views, CONFIG)
        self.learn(*held)

    def learn(self, *held: Register, now: float = 0.0) -> None:
        """What one turn brings."""
        for register in held:
            before = self.state.epochs_digest
            self.state.merge(register, now)
            if self.state.epochs_digest != before:
                self.reports.changed(ROOT, now)
        for group, members in self.state.views.touched.items():
            self.reports.shown(group, members)
            self.reports.changed(group, now)
        self.state.views.touched.clear()

    def tell(self, scope: Scope, *, converged: bool = True) -> list[Event]:
        self.reports.report(scope, converged)
        events = list(self.reports.events)
        self.reports.events.clear()
        return events


GROUP = GroupRegister("g", 1)
NODES = (a_node(0), a_node(1), a_node(2))


def test_members_wait_until_their_group_was_told() -> None:
    desk = Desk(*NODES, GROUP, a_presence("g", "a", 1))
    assert desk.reports.waits_for_root("g")
    assert not desk.reports.waits_for_root(ROOT)
    assert desk.tell("g", converged=False) == []
    assert desk.tell(ROOT) == [GroupCreated("g", True)]
    assert not desk.reports.waits_for_root("g")
    assert desk.tell("g") == [MemberJoinedGroup("g", True, "a")]


def test_whether_a_scope_was_told_is_returned() -> None:
    desk = Desk(*NODES, GROUP, a_presence("g", "a", 1))
    assert desk.reports.report("g", False) is False
    assert desk.reports.report(ROOT, True) is True
    assert desk.reports.report("g", True) is True
    assert desk.reports.report(WHOLE, True) is True
    assert not desk.reports.pending


def test_members_that_wait_are_overdue_with_their_root() -> None:
    desk = Desk(*NODES)
    desk.reports.changed("g", 0.0)
    desk.learn(GROUP, a_presence("g", "a", 1), now=5.0)
    assert desk.reports.overdue(DEADLINE) == ["g"]
    assert desk.tell("g", converged=False) == []
    assert desk.reports.overdue(DEADLINE) == []
    assert desk.reports.overdue(5.0 + DEADLINE) == [ROOT, "g"]


def test_a_deletion_is_told_after_its_members_are_gone() -> None:
    desk = Desk(*NODES, GROUP, a_presence("g", "a", 1))
    desk.tell(ROOT)
    desk.tell("g")
    desk.learn(GroupRegister("g", 2))
    assert desk.tell(ROOT) == [MemberLeftGroup("g", True, "a", "deleted"), GroupDeleted("g", True)]
    assert desk.tell("g") == []


def test_a_group_deleted_and_created_anew_is_told_as_both() -> None:
    desk = Desk(*NODES, GROUP, a_presence("g", "a", 1))
    desk.tell(ROOT)
    desk.tell("g")
    desk.learn(GroupRegister("g", 3), a_presence("g", "a", 1, clock=2, epoch=3))
    assert desk.tell(ROOT) == [
        MemberLeftGroup("g", True, "a", "deleted"),
        GroupDeleted("g", True),
        GroupCreated("g", True),
    ]
    assert desk.tell("g") == [MemberJoinedGroup("g", True, "a")]


def test_a_group_that_came_and_went_unseen_is_not_told() -> None:
    desk = Desk(GROUP, GroupRegister("g", 2))
    assert desk.tell(ROOT) == []


def _joined(*more: Register) -> Desk:
    desk = Desk(*NODES, GROUP, a_presence("g", "a", 1), *more)
    desk.tell(ROOT)
    assert desk.tell("g")
    return desk


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ([a_presence("g", "a", 1, clock=2, capabilities=None)], "left"),
        ([a_presence("g", "a", 2, clock=2, capabilities=None)], "left"),
        ([a_node(1, 0, Status.LEFT)], "left"),
        ([a_node(1, 0, Status.DEAD)], "failed"),
        ([GroupRegister("g", 2)], "deleted"),
        ([a_node(1, 0, Status.DEAD), GroupRegister("g", 2)], "deleted"),
    ],
)
def test_why_a_member_is_gone(then: list[Register], reason: Reason) -> None:
    desk = _joined()
    desk.learn(*then)
    assert desk.tell("g") == [MemberLeftGroup("g", True, "a", reason)]


@pytest.mark.parametrize("status", [Status.DEAD, Status.LEFT])
def test_a_member_id_that_moves_to_another_node_leaves_and_joins(status: Status) -> None:
    desk = _joined()
    desk.learn(a_node(1, 0, status), a_presence("g", "a", 2, clock=2))
    reason: Reason = "failed" if status is Status.DEAD else "left"
    assert desk.tell("g") == [MemberLeftGroup("g", True, "a", reason), MemberJoinedGroup("g", True, "a")]


def test_a_member_id_handed_over_by_a_live_node_has_not_failed() -> None:
    desk = _joined()
    desk.learn(a_presence("g", "a", 1, clock=2, capabilities=None), a_presence("g", "a", 2, clock=3))
    assert desk.tell("g")[0] == MemberLeftGroup("g", True, "a", "left")


def test_other_capabilities_are_an_update_and_equal_ones_are_nothing() -> None:
    desk = _joined()
    desk.learn(a_presence("g", "a", 1, clock=2, capabilities=b"\x05"))
    assert desk.tell("g") == [MemberCapabilitiesUpdated("g", True, "a")]
    desk.learn(a_presence("g", "a", 1, clock=3, capabilities=b"\x05"))
    assert desk.tell("g") == []


def test_a_deadline_runs_from_the_first_change_and_is_told_unconverged() -> None:
    desk = Desk(*NODES)
    assert desk.reports.deadline == inf
    desk.learn(GROUP, now=5.0)
    desk.learn(a_presence("g", "a", 1), now=6.0)
    desk.learn(a_presence("g", "b", 1), now=7.0)
    assert desk.reports.deadline == 5.0 + DEADLINE
    assert desk.reports.overdue(5.0 + DEADLINE - 0.1) == []
    assert desk.reports.overdue(5.0 + DEADLINE) == [ROOT]
    assert desk.reports.overdue(6.0 + DEADLINE) == [ROOT, "g"]
    assert desk.tell(ROOT, converged=False) == [GroupCreated("g", False)]
    assert desk.reports.deadline == 6.0 + DEADLINE
    assert desk.tell("g", converged=False) == [
        MemberJoinedGroup("g", False, "a"),
        MemberJoinedGroup("g", False, "b"),
    ]
    assert desk.reports.deadline == inf


def test_a_forgotten_group_owes_no_report() -> None:
    desk = Desk(*NODES, GROUP)
    desk.learn(a_presence("g", "a", 1))
    desk.tell(ROOT)
    desk.reports.forget("g")
    assert desk.reports.deadline == inf


def test_of_a_forgotten_group_it_is_told_who_was_shown_and_then_its_end() -> None:
    desk = Desk(*NODES, GROUP)
    desk.tell(ROOT)
    desk.learn(a_presence("g", "a", 1))
    desk.reports.forget("g")
    assert desk.reports.events == [
        MemberJoinedGroup("g", False, "a"),
        MemberLeftGroup("g", False, "a", "left"),
        GroupDeleted("g", False),
    ]


@pytest.mark.parametrize("forgotten", [False, True])
def test_who_was_shown_in_a_group_that_came_and_went_untold_is_told_with_it(forgotten: bool) -> None:
    desk = Desk(*NODES, GROUP)
    desk.learn(a_presence("g", "b", 1), a_presence("g", "a", 1))
    desk.learn(GroupRegister("g", 2))
    if forgotten:
        desk.reports.forget("g")
    assert desk.tell(WHOLE if forgotten else ROOT) == [
        GroupCreated("g", False),
        MemberJoinedGroup("g", False, "a"),
        MemberLeftGroup("g", False, "a", "deleted"),
        MemberJoinedGroup("g", False, "b"),
        MemberLeftGroup("g", False, "b", "deleted"),
        GroupDeleted("g", False),
    ]
    assert desk.tell("g") == []


@given(
    st.lists(registers | st.sampled_from([ROOT, "g", "h"]), max_size=60),
    st.booleans(),
)
def test_events_alternate_and_sum_up_to_the_view_told_last(
    steps: list[Register | Scope], converged: bool
) -> None:
    desk = Desk(*NODES)
    groups: set[str] = set()
    members: dict[str, set[str]] = {"g": set(), "h": set()}
    shown: set[tuple[str, str]] = set()
    joined: set[tuple[str, str]] = set()
    for step in [*steps, ROOT, "g", "h"]:
        if not isinstance(step, int | str):
            desk.learn(step)
            shown |= {(group, member) for group in members for member in desk.state.views[group]}
            continue
        for event in desk.tell(step, converged=converged):
            match event:
                case GroupCreated(group):
                    assert group not in groups
                    groups.add(group)
                case GroupDeleted(group):
                    assert not members[group]
                    groups.remove(group)
                case MemberJoinedGroup(group, told, member):
                    assert converged or not told
                    assert member not in members[group]
                    members[group].add(member)
                    joined.add((group, member))
                case MemberLeftGroup(group, _, member):
                    members[group].remove(member)
                case MemberCapabilitiesUpdated(group, _, member):
                    assert member in members[group]
        if isinstance(step, str):
            assert members[step] == set(desk.reports.reported(step))
    epochs = {group: register.epoch for group, register in desk.state.replica.groups.items()}
    assert groups == {group for group, epoch in epochs.items() if epoch % 2}
    assert shown == joined, "whoever was seen is told to have joined"
    for group in ("g", "h"):
        assert members[group] == set(desk.state.views[group])
        assert desk.reports.reported(group) == desk.state.views[group]


def test_a_member_that_was_shown_and_is_gone_before_it_was_reported_is_told_as_both() -> None:
    desk = Desk(*NODES, GROUP)
    desk.tell(ROOT)
    desk.learn(a_presence("g", "a", 1))
    desk.learn(a_presence("g", "a", 1, clock=2, capabilities=None))
    assert desk.tell("g") == [MemberJoinedGroup("g", False, "a"), MemberLeftGroup("g", False, "a", "left")]
    assert desk.tell("g") == []


def test_a_member_that_was_shown_and_is_reported_is_told_once() -> None:
    desk = Desk(*NODES, GROUP)
    desk.tell(ROOT)
    desk.learn(a_presence("g", "a", 1))
    assert desk.tell("g") == [MemberJoinedGroup("g", True, "a")]


def test_a_member_that_was_reported_seen_to_be_gone_and_is_back_is_told_as_both() -> None:
    desk = _joined()
    desk.learn(a_node(1, 0, Status.DEAD))
    desk.learn(a_node(1, 1))
    expected = [MemberLeftGroup("g", False, "a", "failed"), MemberJoinedGroup("g", True, "a")]
    assert desk.tell("g") == expected
    assert desk.tell("g") == []


def test_a_member_that_was_reported_and_seen_to_be_gone_is_told_once() -> None:
    desk = _joined()
    desk.learn(a_node(1, 0, Status.DEAD))
    assert desk.tell("g") == [MemberLeftGroup("g", True, "a", "failed")]
    desk.learn(a_node(1, 1))
    assert desk.tell("g") == [MemberJoinedGroup("g", True, "a")]
