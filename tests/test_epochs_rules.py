"""Epochs, and what an application may do to groups: each rule with what it makes or why it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.errors import (
    GossipError,
    GroupAlreadyExists,
    GroupNotCreated,
    GroupNotEmpty,
    LimitExceeded,
    MemberAlreadyJoined,
    MemberNotJoined,
)
from gossipgroups.groups.epochs import epoch_of, exists, flipped
from gossipgroups.groups.replica import Replica
from gossipgroups.groups.rules import Command, Create, Delete, Join, Leave, Rules, Update
from gossipgroups.groups.view import Views
from gossipgroups.registers import MAX_COUNTER, GroupRegister, PresenceRegister, Register, decode_register
from gossipgroups.status import Status
from tests.nodes import NOTHING, a_node, a_presence, an_id, registers

ME = 0
OTHER = 1
ONE = b"\x01"


class Side:
    """One replica with its views and rules."""

    def __init__(self, *held: Register) -> None:
        self.replica = Replica()
        self.views = Views(self.replica)
        self.rules = Rules(an_id(ME), self.replica, self.views)
        self.learn(a_node(ME), a_node(OTHER), *held)

    def learn(self, *held: Register) -> None:
        for register in held:
            change = self.replica.merge(register)
            if change is not None:
                self.views.apply(change)

    def do(self, command: Command, *, took_over: bool = False) -> list[Register]:
        made = self.rules.registers(command, took_over)
        self.learn(*made)
        return made


EXISTS = GroupRegister("g", 1)
GONE = GroupRegister("g", 2)


def test_an_epoch_is_odd_while_its_group_exists_and_only_grows() -> None:
    side = Side()
    assert epoch_of(side.replica, "g") == 0
    for epoch in range(1, 7):
        register = flipped(side.replica, "g")
        assert register == GroupRegister("g", epoch)
        assert exists(register.epoch) == (epoch % 2 == 1)
        side.learn(register)


def test_two_concurrent_creations_are_one() -> None:
    one, other = Side(), Side()
    one.learn(*other.do(Create("g")))
    other.learn(*Side().do(Create("g")))
    assert one.replica.groups == other.replica.groups == {"g": EXISTS}


def test_a_deletion_voids_a_concurrent_join() -> None:
    deleter, joiner = Side(EXISTS), Side(EXISTS)
    joined = joiner.do(Join("g", "a", NOTHING))
    deleter.learn(*joined, *Side(EXISTS).do(Delete("g")))
    assert deleter.views["g"] == {}
    deleter.do(Create("g"))
    assert deleter.views["g"] == {}
    assert deleter.do(Join("g", "a", ONE))[0] == a_presence("g", "a", ME, clock=2, epoch=3, capabilities=ONE)


@pytest.mark.parametrize(
    ("held", "command", "made"),
    [
        ([], Create("g"), [EXISTS]),
        ([GONE], Create("g"), [GroupRegister("g", 3)]),
        ([EXISTS], Delete("g"), [GONE]),
        ([EXISTS], Join("g", "a", NOTHING), [a_presence("g", "a", ME)]),
        ([], Join("g", "a", NOTHING, create=True), [EXISTS, a_presence("g", "a", ME)]),
        ([EXISTS], Join("g", "a", NOTHING, create=True), [a_presence("g", "a", ME)]),
        (
            [GONE],
            Join("g", "a", NOTHING, create=True),
            [GroupRegister("g", 3), a_presence("g", "a", ME, epoch=3)],
        ),
        (
            [EXISTS, a_presence("g", "a", OTHER, clock=4, capabilities=None)],
            Join("g", "a", ONE),
            [a_presence("g", "a", ME, clock=5, capabilities=ONE)],
        ),
        (
            [EXISTS, a_presence("g", "a", ME, clock=2)],
            Leave("g", "a"),
            [a_presence("g", "a", ME, clock=3, capabilities=None)],
        ),
        (
            [EXISTS, a_presence("g", "a", OTHER, clock=2)],
            Leave("g", "a"),
            [a_presence("g", "a", ME, clock=3, capabilities=None)],
        ),
        (
            [EXISTS, a_presence("g", "a", ME)],
            Update("g", "a", ONE),
            [a_presence("g", "a", ME, clock=2, capabilities=ONE)],
        ),
        (
            [EXISTS, a_presence("g", "a", OTHER, clock=3), a_node(OTHER, 0, Status.DEAD)],
            Join("g", "a", NOTHING),
            [a_presence("g", "a", ME, clock=4)],
        ),
    ],
)
def test_an_operation_makes_these_registers(
    held: list[Register], command: Command, made: list[Register]
) -> None:
    assert Side(*held).do(command) == made


@pytest.mark.parametrize(
    ("held", "command", "error"),
    [
        ([EXISTS], Create("g"), GroupAlreadyExists),
        ([], Delete("g"), GroupNotCreated),
        ([GONE], Delete("g"), GroupNotCreated),
        ([EXISTS, a_presence("g", "a", OTHER)], Delete("g"), GroupNotEmpty),
        ([], Join("g", "a", NOTHING), GroupNotCreated),
        ([GONE], Join("g", "a", NOTHING), GroupNotCreated),
        ([EXISTS, a_presence("g", "a", ME)], Join("g", "a", NOTHING), MemberAlreadyJoined),
        ([EXISTS, a_presence("g", "a", OTHER)], Join("g", "a", NOTHING, create=True), MemberAlreadyJoined),
        ([], Leave("g", "a"), GroupNotCreated),
        ([EXISTS], Leave("g", "a"), MemberNotJoined),
        ([EXISTS, a_presence("g", "a", ME, capabilities=None)], Leave("g", "a"), MemberNotJoined),
        ([], Update("g", "a", ONE), GroupNotCreated),
        ([EXISTS], Update("g", "a", ONE), MemberNotJoined),
        ([EXISTS, a_presence("g", "a", OTHER)], Update("g", "a", ONE), MemberNotJoined),
    ],
)
def test_an_operation_is_refused(held: list[Register], command: Command, error: type[GossipError]) -> None:
    side = Side(*held)
    before = set(side.replica.by_hash)
    with pytest.raises(error):
        side.rules.registers(command)
    assert set(side.replica.by_hash) == before


def test_a_refused_deletion_says_how_many_members_there_are() -> None:
    side = Side(EXISTS, a_presence("g", "a", OTHER), a_presence("g", "b", ME))
    with pytest.raises(GroupNotEmpty, match="2 member") as caught:
        side.rules.registers(Delete("g"))
    assert caught.value.members == 2


def test_a_join_follows_a_presence_of_a_later_epoch_whose_group_is_still_on_its_way() -> None:
    side = Side(EXISTS, a_presence("g", "a", OTHER, clock=5, epoch=3))
    made = side.do(Join("g", "a", ONE))
    assert made == [a_presence("g", "a", ME, clock=6, epoch=3, capabilities=ONE)]
    assert side.views["g"] == {}
    side.learn(GroupRegister("g", 3))
    assert side.views["g"] == {"a": made[0]}


def test_the_holder_of_a_wanted_member_id_is_another_live_node() -> None:
    join = Join("g", "a", NOTHING)
    held = a_presence("g", "a", OTHER)
    assert Side(EXISTS, held).rules.holder(join) == an_id(OTHER)
    assert Side(EXISTS).rules.holder(join) is None
    assert Side(EXISTS, a_presence("g", "a", ME)).rules.holder(join) is None
    assert Side(EXISTS, held, a_node(OTHER, 0, Status.DEAD)).rules.holder(join) is None
    assert Side(EXISTS, held).rules.holder(Leave("g", "a")) is None


def test_a_member_id_is_taken_over_once_its_holder_was_found_dead() -> None:
    side = Side(EXISTS, a_presence("g", "a", OTHER, clock=6))
    assert side.do(Join("g", "a", ONE), took_over=True) == [
        a_presence("g", "a", ME, clock=7, capabilities=ONE)
    ]
    assert side.views["g"]["a"].node_id == an_id(ME)


commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Create, st.just("g")),
    st.builds(Delete, st.just("g")),
    st.builds(Join, st.just("g"), st.just("a"), st.just(ONE), st.booleans()),
    st.builds(Leave, st.just("g"), st.just("a")),
    st.builds(Update, st.just("g"), st.just("a"), st.just(NOTHING)),
)


@given(st.lists(registers, max_size=8), st.lists(st.tuples(commands, st.booleans()), max_size=12))
def test_whatever_is_held_an_accepted_operation_takes_effect_at_once(
    held: list[Register], taken: list[tuple[Command, bool]]
) -> None:
    side = Side(*held)
    side.learn(a_node(ME, 9))
    for command, took_over in taken:
        try:
            made = side.do(command, took_over=took_over)
        except GossipError:
            continue
        assert all(side.replica.find(register) is register for register in made)
        assert all(decode_register(register.packed) == register for register in made)
        epoch = epoch_of(side.replica, "g")
        match command:
            case Create():
                assert exists(epoch)
            case Delete():
                assert not exists(epoch)
            case Join() if made[-1].rank[0] != epoch:
                # The group's own register is still on its way.
                assert isinstance(made[-1], PresenceRegister)
                assert made[-1].epoch > epoch
            case Join() | Update():
                assert side.views["g"]["a"].node_id == an_id(ME)
                assert side.views["g"]["a"].capabilities == command.capabilities
            case Leave():
                assert "a" not in side.views["g"]


@pytest.mark.parametrize(
    ("held", "command"),
    [
        ([GroupRegister("g", MAX_COUNTER)], Delete("g")),
        ([EXISTS, a_presence("g", "a", ME, clock=MAX_COUNTER, capabilities=None)], Join("g", "a", ONE)),
        ([EXISTS, a_presence("g", "a", OTHER, clock=MAX_COUNTER)], Leave("g", "a")),
    ],
)
def test_no_register_is_made_that_others_would_refuse(held: list[Register], command: Command) -> None:
    with pytest.raises(LimitExceeded):
        Side(*held).rules.registers(command)
