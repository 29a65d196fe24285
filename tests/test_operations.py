"""Operations: judged once, in call order, after the holder of a wanted member id; done when all was told."""

from __future__ import annotations

import pytest

from gossipgroups.errors import CoordinatorClosed, GroupAlreadyExists, MemberAlreadyJoined
from gossipgroups.groups.rules import Create, Delete, Join, Leave, LeaveAll, Rules, Settle
from gossipgroups.ids import NodeId
from gossipgroups.operations import Applied, Done, Operations, Outcome, Refused
from gossipgroups.registers import MAX_COUNTER, GroupRegister, Register
from gossipgroups.state import State
from gossipgroups.status import Status
from gossipgroups.wire.messages import ROOT, Scope
from tests.nodes import NOTHING, a_node, a_presence, an_id

ME, OTHER, THIRD = 0, 1, 2


class Queue:
    """The operations of one node, and the challenges that they asked for."""

    def __init__(self, *held: Register) -> None:
        self.state = State(an_id(ME), 100.0)
        self.challenges: list[NodeId] = []
        self.operations = Operations(
            Rules(an_id(ME), self.state.replica, self.state.views), self.learn, self.challenges.append
        )
        for register in (a_node(ME), a_node(OTHER), a_node(THIRD), *held):
            self.learn(register)

    def learn(self, register: Register) -> None:
        self.state.merge(register, 0.0)

    def run(self) -> list[Outcome]:
        self.operations.run()
        return self.outcomes()

    def outcomes(self) -> list[Outcome]:
        outcomes, self.operations.outcomes = self.operations.outcomes, []
        return outcomes


EXISTS = GroupRegister("g", 1)


def test_an_operation_is_applied_and_done_when_its_scope_was_told() -> None:
    queue = Queue()
    number = queue.operations.submit(Create("g"))
    assert not queue.operations.idle
    assert queue.run() == [Applied(number)]
    assert queue.operations.idle
    queue.operations.reported("g", True)
    assert queue.outcomes() == []
    queue.operations.reported(ROOT, True)
    assert queue.outcomes() == [Done(number, True)]
    queue.operations.reported(ROOT, True)
    assert queue.outcomes() == []


def test_an_operation_on_several_scopes_is_done_with_the_last_and_converged_only_if_all_were() -> None:
    for first, second in ((True, True), (True, False), (False, True)):
        queue = Queue()
        number = queue.operations.submit(Join("g", "a", NOTHING, create=True))
        assert queue.run() == [Applied(number)]
        queue.operations.reported(ROOT, first)
        assert queue.outcomes() == []
        queue.operations.reported("g", second)
        assert queue.outcomes() == [Done(number, first and second)]


def test_operations_are_judged_in_call_order() -> None:
    queue = Queue()
    for command in (Create("g"), Create("g"), Join("g", "a", NOTHING), Leave("g", "a"), Delete("g")):
        queue.operations.submit(command)
    outcomes = queue.run()
    assert outcomes[0] == Applied(1)
    assert isinstance(outcomes[1], Refused)
    assert outcomes[1].number == 2
    assert isinstance(outcomes[1].error, GroupAlreadyExists)
    assert outcomes[2:] == [Applied(3), Applied(4), Applied(5)]
    assert queue.state.replica.groups["g"].epoch == 2


def test_one_report_can_finish_several() -> None:
    queue = Queue(EXISTS)
    for member in "ab":
        queue.operations.submit(Join("g", member, NOTHING))
    queue.run()
    queue.operations.reported("g", False)
    assert queue.outcomes() == [Done(1, False), Done(2, False)]


def test_a_wanted_member_id_waits_for_its_holder_and_all_that_follows_waits_too() -> None:
    queue = Queue(EXISTS, a_presence("g", "a", OTHER))
    queue.operations.submit(Join("g", "a", NOTHING))
    queue.operations.submit(Create("h"))
    assert queue.run() == queue.run() == []
    assert queue.challenges == [an_id(OTHER)]
    queue.operations.challenged(an_id(OTHER), True)
    refused, applied = queue.run()
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, MemberAlreadyJoined)
    assert applied == Applied(2)


def test_a_silent_holder_is_taken_over() -> None:
    queue = Queue(EXISTS, a_presence("g", "a", OTHER, clock=4))
    queue.operations.submit(Join("g", "a", NOTHING))
    queue.run()
    queue.operations.challenged(an_id(OTHER), False)
    assert queue.run() == [Applied(1)]
    assert queue.state.views["g"]["a"] == a_presence("g", "a", ME, clock=5)


def test_a_verdict_counts_for_one_operation_and_for_the_node_it_is_about() -> None:
    queue = Queue(EXISTS, a_presence("g", "a", OTHER))
    queue.operations.challenged(an_id(OTHER), False)
    queue.operations.submit(Join("g", "a", NOTHING))
    assert queue.run() == []
    queue.operations.challenged(an_id(THIRD), False)
    assert queue.run() == []
    queue.operations.challenged(an_id(OTHER), True)
    assert isinstance(queue.run()[0], Refused)
    queue.operations.submit(Join("g", "a", NOTHING))
    assert queue.run() == []
    assert queue.challenges == [an_id(OTHER)] * 2


def test_a_holder_that_dies_meanwhile_needs_no_verdict() -> None:
    queue = Queue(EXISTS, a_presence("g", "a", OTHER))
    queue.operations.submit(Join("g", "a", NOTHING))
    assert queue.run() == []
    queue.learn(a_node(OTHER, 0, Status.DEAD))
    assert queue.run() == [Applied(1)]


def test_a_new_holder_meanwhile_is_asked_in_its_turn() -> None:
    queue = Queue(EXISTS, a_presence("g", "a", OTHER))
    queue.operations.submit(Join("g", "a", NOTHING))
    queue.run()
    queue.learn(a_presence("g", "a", THIRD, clock=2))
    assert queue.run() == []
    assert queue.challenges == [an_id(OTHER), an_id(THIRD)]
    queue.operations.challenged(an_id(OTHER), False)
    assert queue.run() == []
    queue.operations.challenged(an_id(THIRD), False)
    assert queue.run() == [Applied(1)]


def test_all_that_was_not_carried_out_is_refused_at_once() -> None:
    queue = Queue(EXISTS, a_presence("g", "a", OTHER))
    applied = queue.operations.submit(Create("i"))
    waiting = [queue.operations.submit(each) for each in (Join("g", "a", NOTHING), Create("h"))]
    assert queue.run() == [Applied(applied)]
    error = CoordinatorClosed("it leaves")
    queue.operations.refuse_all(error)
    assert queue.outcomes() == [Refused(number, error) for number in waiting]
    assert queue.operations.idle
    queue.operations.challenged(an_id(OTHER), False)
    assert queue.run() == []
    assert queue.state.views["g"]["a"] == a_presence("g", "a", OTHER)


@pytest.mark.parametrize("group", [None, "g"])
def test_settling_is_done_at_once_when_nothing_is_pending(group: str | None) -> None:
    queue = Queue(EXISTS)
    before = dict(queue.state.replica.by_hash)
    number = queue.operations.submit(Settle(group))
    assert queue.run() == [Applied(number)]
    assert queue.operations.idle
    queue.operations.pending([])
    assert queue.outcomes() == [Done(number, True)]
    assert queue.operations.awaited == set()
    assert queue.state.replica.by_hash == before, "it changes nothing"


def test_settling_waits_for_all_that_is_pending_and_converged_only_if_all_were() -> None:
    for converged in ((True, True, True), (True, False, True), (False, True, True), (True, True, False)):
        queue = Queue(EXISTS)
        number = queue.operations.submit(Settle())
        queue.run()
        scopes: list[Scope] = [ROOT, "g", "h"]
        queue.operations.pending(scopes)
        assert queue.operations.awaited == set(scopes)
        for scope, settled in zip(scopes, converged, strict=True):
            assert queue.outcomes() == []
            queue.operations.reported(scope, settled)
        assert queue.outcomes() == [Done(number, all(converged))]


@pytest.mark.parametrize("converged", [True, False])
def test_settling_one_group_waits_for_no_other(converged: bool) -> None:
    queue = Queue(EXISTS)
    one, other = (queue.operations.submit(Settle(group)) for group in ("g", "h"))
    queue.run()
    queue.operations.pending([ROOT, "g"])
    assert queue.outcomes() == [Done(other, True)]
    assert queue.operations.awaited == {"g"}
    queue.operations.reported(ROOT, not converged)
    assert queue.outcomes() == []
    queue.operations.reported("g", converged)
    assert queue.outcomes() == [Done(one, converged)]


def test_settling_waits_for_what_was_pending_then_and_not_for_what_comes_later() -> None:
    queue = Queue(EXISTS)
    number = queue.operations.submit(Settle())
    queue.run()
    queue.operations.pending(["g"])
    queue.operations.pending(["g", "h"])
    assert queue.operations.awaited == {"g"}
    queue.operations.reported("g", True)
    queue.operations.pending(["h"])
    assert queue.outcomes() == [Done(number, True)]


def test_settling_is_judged_after_the_operations_before_it_in_the_same_run() -> None:
    queue = Queue(EXISTS)
    join, refused, settle, late = (
        queue.operations.submit(each)
        for each in (Join("g", "a", NOTHING), Create("g"), Settle("g"), Leave("g", "a"))
    )
    applied, error, *rest = queue.run()
    assert (applied, rest) == (Applied(join), [Applied(settle), Applied(late)])
    assert isinstance(error, Refused)
    assert error.number == refused
    queue.operations.pending(["g"])
    queue.operations.reported("g", False)
    assert queue.outcomes() == [Done(join, False), Done(late, False), Done(settle, False)]


def test_settling_waits_behind_a_wanted_member_id() -> None:
    queue = Queue(EXISTS, a_presence("g", "a", OTHER))
    join, settle = (queue.operations.submit(each) for each in (Join("g", "a", NOTHING), Settle()))
    assert queue.run() == []
    queue.operations.pending([])
    assert queue.outcomes() == [], "it is not its turn yet"
    queue.operations.challenged(an_id(OTHER), False)
    assert queue.run() == [Applied(join), Applied(settle)]
    queue.operations.pending(["g"])
    queue.operations.reported("g", True)
    assert queue.outcomes() == [Done(join, True), Done(settle, True)]


def test_a_verdict_counts_only_for_as_long_as_that_node_holds_the_member_id() -> None:
    queue = Queue(EXISTS, a_presence("g", "a", OTHER))
    number = queue.operations.submit(Join("g", "a", NOTHING))
    assert queue.run() == []
    queue.operations.challenged(an_id(OTHER), False)
    queue.state.merge(a_node(OTHER + 1), 0.0)
    queue.state.merge(a_presence("g", "a", OTHER + 1, clock=5), 0.0)
    assert queue.run() == []
    queue.state.merge(a_presence("g", "a", OTHER, clock=6), 0.0)
    assert queue.run() == [], "it is back, and asked again"
    queue.operations.challenged(an_id(OTHER), True)
    (refused,) = queue.run()
    assert isinstance(refused, Refused)
    assert refused.number == number


def test_settling_that_waits_its_turn_is_refused_with_the_others() -> None:
    queue = Queue(EXISTS, a_presence("g", "a", OTHER))
    numbers = [queue.operations.submit(each) for each in (Join("g", "a", NOTHING), Settle())]
    queue.run()
    error = CoordinatorClosed("it leaves")
    queue.operations.refuse_all(error)
    queue.operations.pending(["g"])
    assert queue.outcomes() == [Refused(number, error) for number in numbers]


def test_a_member_that_was_put_into_a_life_of_the_group_yet_to_come_can_be_taken_out() -> None:
    for leave in (Leave("g", "a"), LeaveAll("a")):
        queue = Queue(EXISTS, a_presence("g", "a", OTHER, clock=4, epoch=3, capabilities=None))
        queue.operations.submit(Join("g", "a", NOTHING))
        number = queue.operations.submit(leave)
        assert Applied(number) in queue.run()
        queue.operations.reported("g", True)
        assert Done(number, False) in queue.outcomes(), "nobody can say when all have it"
        queue.state.merge(GroupRegister("g", 3), 0.0)
        assert not queue.state.views["g"]


def test_a_group_that_is_made_anew_is_no_earlier_than_what_is_held_of_its_members() -> None:
    queue = Queue(a_presence("g", "a", OTHER, clock=4, epoch=3, capabilities=None))
    queue.operations.submit(Join("g", "a", NOTHING, create=True))
    queue.run()
    assert list(queue.state.views["g"]) == ["a"]


def test_a_clock_that_is_used_up_keeps_the_member_in_no_other_group() -> None:
    queue = Queue(
        *(GroupRegister(group, 1) for group in "gh"),
        a_presence("g", "a", ME, clock=MAX_COUNTER),
        a_presence("h", "a", ME),
    )
    queue.operations.submit(LeaveAll("a"))
    queue.run()
    assert {group: list(queue.state.views[group]) for group in "gh"} == {"g": ["a"], "h": []}


def test_leaving_all_takes_the_member_out_where_it_lives_here_and_nowhere_else() -> None:
    queue = Queue(
        *(GroupRegister(group, 1) for group in "ghij"),
        a_presence("g", "a", ME),
        a_presence("h", "a", OTHER),
        a_presence("i", "b", ME),
        a_presence("j", "a", ME),
    )
    number = queue.operations.submit(LeaveAll("a"))
    assert queue.run() == [Applied(number)]
    assert {group: list(queue.state.views[group]) for group in "ghij"} == {
        "g": [],
        "h": ["a"],
        "i": ["b"],
        "j": [],
    }
    queue.operations.reported("g", True)
    assert queue.outcomes() == []
    queue.operations.reported("j", True)
    assert queue.outcomes() == [Done(number, True)]
    again = queue.operations.submit(LeaveAll("a"))
    assert queue.run() == [Applied(again), Done(again, True)], "there is nothing to wait for"
