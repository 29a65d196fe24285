"""Limits on what is held: which registers are kept, that all replicas keep the same, and what it costs.

Law: what is kept is what the rule of the document keeps, computed here in the plainest way, from the set.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from hashlib import blake2b
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.config import Config
from gossipgroups.errors import LimitExceeded
from gossipgroups.events import Event, GroupCreated, GroupDeleted, NodeFailed, NodeJoined, NodeLeft
from gossipgroups.groups import limits as rule
from gossipgroups.groups import replica as replicas
from gossipgroups.groups.forgetting import is_spent
from gossipgroups.groups.limits import LIMITS, Limits, place
from gossipgroups.groups.replica import Replica
from gossipgroups.groups.rules import Command, Create, Delete, Join, Leave, Rules, Settle, Update
from gossipgroups.groups.view import Views, view_of
from gossipgroups.ids import NodeId
from gossipgroups.node import Node
from gossipgroups.operations import Done, Refused
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, Register
from gossipgroups.state import State
from gossipgroups.status import Status
from gossipgroups.transport.refusals import LimitLog
from gossipgroups.wire.header import Header
from gossipgroups.wire.messages import WHOLE, AskSettling, Rumours, Section, Settling
from tests.nodes import NOTHING, Wire, a_node, a_presence, an_address, an_id, meet, opened, sealed, sealed_as

GROUPS = [f"g{each}" for each in range(5)]
counts = st.integers(0, 2)
tiny = st.builds(Limits, *[st.integers(1, 4)] * 3, st.integers(1, 7))
registers: st.SearchStrategy[Register] = st.one_of(
    st.builds(a_node, st.integers(0, 6), counts, st.sampled_from(Status)),
    st.builds(GroupRegister, st.sampled_from(GROUPS), counts),
    st.builds(
        a_presence,
        st.sampled_from(GROUPS[:3]),
        st.sampled_from("abcdef"),
        st.integers(0, 6),
        clock=counts,
        epoch=counts,
        capabilities=st.sampled_from([None, NOTHING]),
    ),
)
many = st.lists(registers, max_size=60)


def kept(learnt: Iterable[Register], limits: Limits) -> set[Register]:
    """The rule, as the document has it."""
    best: dict[object, Register] = {}
    for register in learnt:
        held = best.get(register.key)
        if held is None or register.rank > held.rank:
            best[register.key] = register
    chosen: list[Register] = []
    for register in sorted(best.values(), key=place):
        alike = [each for each in chosen if each.KIND == register.KIND]
        if isinstance(register, PresenceRegister):
            mates = [each for each in alike if each.key[1] == register.group]
            room = len(mates) < limits.members and len(alike) < limits.presences
        else:
            room = len(alike) < (limits.nodes if isinstance(register, NodeRegister) else limits.groups)
        if room:
            chosen.append(register)
    return set(chosen)


def held(replica: Replica) -> set[Register]:
    return set(replica.by_hash.values())


def a_replica(limits: Limits, learnt: Iterable[Register]) -> Replica:
    replica = Replica(limits)
    for register in learnt:
        replica.merge(register)
    return replica


def exchange(one: Replica, other: Replica) -> None:
    """What a repair does."""
    theirs = list(other.by_hash.values())
    for register in list(one.by_hash.values()):
        other.merge(register)
    for register in theirs:
        one.merge(register)


def check_maps(replica: Replica) -> None:
    """The maps, the index by hash, the digest and the index by node are of the same registers."""
    maps: list[Register] = [*replica.nodes.values(), *replica.groups.values()]
    presences = [each for members in replica.presences.values() for each in members.values()]
    assert len(maps + presences) == len(replica.by_hash) + replica.aside
    assert held(replica) <= {*maps, *presences}
    assert set(replica._group_crowds) <= set(replica.presences)
    digest = 0
    for each in replica.by_hash.values():
        digest ^= each.hash
    assert replica.digest == digest
    assert {key for keys in replica.held_by.values() for key in keys} == {
        (each.group, each.member) for each in presences
    }


# The rule.


@given(many, tiny, st.randoms(use_true_random=False))
def test_what_is_kept_is_a_function_of_the_set(
    learnt: list[Register], limits: Limits, chance: random.Random
) -> None:
    again = learnt + chance.choices(learnt, k=9) if learnt else []
    chance.shuffle(again)
    one, other = a_replica(limits, learnt), a_replica(limits, again)
    assert held(one) == held(other) == kept(learnt, limits)
    assert one.digest == other.digest
    assert one.tree.buckets == other.tree.buckets
    check_maps(one)


@given(many, many, many, tiny)
def test_merging_within_limits_is_commutative_associative_and_idempotent(
    a: list[Register], b: list[Register], c: list[Register], limits: Limits
) -> None:
    def union(one: Replica, other: Replica) -> Replica:
        return a_replica(limits, [*one.by_hash.values(), *other.by_hash.values()])

    one, two, three = (a_replica(limits, each) for each in (a, b, c))
    assert held(union(one, two)) == held(union(two, one)) == kept(a + b, limits)
    assert held(union(union(one, two), three)) == held(union(one, union(two, three)))
    assert held(union(one, one)) == held(one)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("merge"), st.integers(0, 2), registers),
            st.tuples(st.just("drop"), st.integers(0, 2), st.integers(0, 20)),
            st.tuples(st.just("exchange"), st.integers(0, 2), st.integers(0, 2)),
        ),
        max_size=60,
    ),
    tiny,
)
def test_replicas_that_exchange_until_quiet_are_equal(
    steps: list[tuple[str, int, object]], limits: Limits
) -> None:
    sides = [Replica(limits, an_id(number)) for number in range(3)]
    for number, side in enumerate(sides):
        side.merge(a_node(number))
    for step, at, what in steps:
        side = sides[at]
        if isinstance(what, int) and step == "exchange":
            exchange(side, sides[what])
        elif isinstance(what, int):
            # Whatever is forgotten by one and not by another.
            dropped = [each for each in held(side) if each.key[1] != an_id(at)]
            if dropped:
                side.drop(sorted(dropped, key=place)[what % len(dropped)])
        else:
            assert isinstance(what, NodeRegister | GroupRegister | PresenceRegister)
            side.merge(what)
        check_maps(side)
    # What is held aside is told to nobody, but counts again where there is room.
    union = [each for side in sides for each in side.by_hash.values()]
    for _ in range(4):
        for one, other in ((0, 1), (1, 2), (2, 0)):
            exchange(sides[one], sides[other])
    assert [held(side) for side in sides] == [kept(union, limits)] * 3
    assert len({side.digest for side in sides}) == 1
    for number, side in enumerate(sides):
        own = side.nodes[an_id(number)]
        assert side.aside == (own not in held(side))
        check_maps(side)


def test_the_places_of_keys_are_those_of_the_document() -> None:
    for register, key in (
        (a_node(1), b"\x92\x00\xc4\x08" + an_id(1)),
        (GroupRegister("g", 7), b"\x92\x01\xc4\x01g"),
        (a_presence("g", "a", 1), b"\x93\x02\xc4\x01g\xc4\x01a"),
    ):
        assert place(register) == int.from_bytes(blake2b(key, digest_size=16).digest(), "big")


def test_a_tombstone_is_not_put_out_while_an_older_state_stays() -> None:
    limits = Limits(groups=2)
    names = sorted((f"g{each}" for each in range(9)), key=lambda name: place(GroupRegister(name, 1)))
    replica = a_replica(limits, [GroupRegister(names[0], 2), *(GroupRegister(each, 1) for each in names)])
    replica.merge(GroupRegister(names[0], 1))
    assert {each.epoch for each in replica.groups.values() if each.group == names[0]} == {2}
    assert set(replica.groups) == set(names[:2])


def test_a_register_at_the_limit_costs_no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    def counted(register: Register) -> int:
        nonlocal count
        count += 1
        return place(register)

    monkeypatch.setattr(rule, "place", counted)
    monkeypatch.setattr(replicas, "place", counted)
    limits = Limits(300, 300, 100, 300)
    replica = Replica(limits)
    learnt: list[Register] = [a_presence(f"g{each % 4}", f"m{each}", 1) for each in range(299)]
    learnt += [a_node(each) for each in range(300)] + [GroupRegister(f"g{each}", 1) for each in range(300)]
    for register in learnt:
        replica.merge(register)
    assert count <= 4 * limits.members + 12  # four groups that are full were looked at once, nothing else
    count = 0
    flood: list[Register] = [a_presence(f"g{each % 9}", f"m{each}", 1) for each in range(1000, 3000)]
    flood += [a_node(each) for each in range(1000, 3000)]
    flood += [GroupRegister(f"g{each}", 1) for each in range(1000, 3000)]
    # The worst case: each takes the room of another.
    flood.sort(key=place, reverse=True)
    for register in flood:
        replica.merge(register)
    assert count <= 4 * len(flood)
    assert replica.over_limit.total() > len(flood) / 2


# What is computed from the replica.


@given(st.lists(st.tuples(registers, st.integers(0, 3)), max_size=60), tiny)
def test_what_is_derived_is_that_of_the_registers_held(
    taken: list[tuple[Register, int]], limits: Limits
) -> None:
    state = State(an_id(0), 20.0, limits)
    state.merge(a_node(0), 0.0)
    joined: set[bytes] = set()
    now = 0.0
    for register, wait in taken:
        now += wait
        state.merge(register, now)
        for expired in state.tombstones.expired(now):
            if expired.key != state.own.key:
                state.forget(expired)
        replica = state.replica
        everything = [*held(replica), *([state.own] if replica.aside else [])]
        nodes = replica.nodes.values()
        assert state.live.ids == sorted(each.node_id for each in nodes if each.status.live)
        assert state.live.suspects == {each.node_id for each in nodes if each.status is Status.SUSPECT}
        digest = 0
        for group in replica.groups.values():
            digest ^= group.hash if group.epoch % 2 else 0
        assert state.epochs_digest == digest
        assert all(state.views[group] == view_of(replica, group) for group in GROUPS)
        spent = {each for each in everything if is_spent(replica, each) and each.key != state.own.key}
        assert len(state.tombstones) - (state.own.hash in state.tombstones._since) == len(spent)
        for event in state.events:
            match event:
                case NodeJoined(node_id):
                    assert node_id not in joined
                    joined.add(node_id)
                case NodeFailed(node_id) | NodeLeft(node_id):
                    joined.remove(node_id)
        state.events.clear()
    assert joined - {an_id(0)} == set(state.live.ids) - {an_id(0)}


# What an application may ask for.


def the_rules(limits: Limits, learnt: Iterable[Register]) -> Rules:
    replica = Replica(limits, an_id(0))
    views = Views(replica)
    for register in [a_node(0), *learnt]:
        change = replica.merge(register)
        if change is not None:
            views.apply(change)
    return Rules(an_id(0), replica, views)


FULL = Limits(nodes=9, groups=2, members=2, presences=3)
IN_FULL: list[Register] = [
    *(GroupRegister("g", 1), GroupRegister("h", 1)),
    *(a_presence("g", "a", 0), a_presence("g", "b", 0, capabilities=None), a_presence("h", "a", 0)),
]


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (Create("i"), ["the cluster has 3 groups", "limit is 2", "delete", "until it is forgotten"]),
        (Join("i", "a", NOTHING, create=True), ["the cluster has 3 groups"]),
        (Join("g", "c", NOTHING), ["group 'g' has 3 members", "limit is 2", "use another group"]),
        (Join("h", "c", NOTHING), ["the cluster has 4 members in all its groups", "limit is 3"]),
        (Join("g", "b", NOTHING), []),
        (Update("g", "a", b"\x01"), []),
        (Leave("g", "a"), []),
        (Create("g"), []),
    ],
)
def test_an_operation_without_room_is_refused_where_it_is_asked_for(
    command: Command, parts: list[str]
) -> None:
    rules = the_rules(FULL, IN_FULL)
    if isinstance(command, Create) and command.group == "g":
        rules = the_rules(FULL, [GroupRegister("g", 2), GroupRegister("h", 1)])  # a key that is held
    if not parts:
        assert len(rules.registers(command)) == 1
        return
    with pytest.raises(LimitExceeded) as error:
        rules.registers(command)
    for part in parts:
        assert part in str(error.value)
    assert error.value.size == error.value.limit + 1


# Clusters.


_numbers = count(10**6)


def sealed_by(sender: NodeId, to: NodeId, section: Section) -> bytes:
    return sealed_as(Header(sender, to, next(_numbers)), section)


def flood(node: Node, learnt: Iterable[Register], wire: Wire) -> None:
    """What a program does that goes round its own library."""
    for register in learnt:
        node._learn(register, wire.now)
    wire.turn(node)


def test_a_flood_of_groups_leaves_all_replicas_equal_and_settled() -> None:
    wire = Wire(3, limits=Limits(groups=100))
    wire.run_until(wire.agree, 10)
    for node in wire.nodes:
        wire.submit(node, Create(f"own-{node.state.own.name}"))
    learnt: list[Register] = [GroupRegister(f"flood-{each}", 1) for each in range(1000)]
    own = [GroupRegister(f"own-n{each}", 1) for each in range(3)]
    flood(wire.nodes[2], learnt, wire)
    assert set(wire.nodes[2]._rumours._told) <= {each.key for each in held(wire.nodes[2].state.replica)}
    assert wire.run_until(wire.agree, 60)
    for node in wire.nodes:
        assert held(node.state.replica) >= kept([*learnt, *own], wire.limits)
        assert len(node.state.replica.groups) == 100
    numbers = [wire.submit(node, Settle()) for node in wire.nodes]
    done = [Done(number, converged=True) for number in numbers]
    assert wire.run_until(
        lambda: all(each in wire.outcomes[node] for node, each in zip(wire.nodes, done, strict=True)), 30
    )
    for node in wire.nodes:
        refused = wire.submit(node, Create("one more"))
        assert isinstance(next(each for each in wire.outcomes[node] if each.number == refused), Refused)
        created = {each.group_id for each in wire.events[node] if isinstance(each, GroupCreated)}
        created -= {each.group_id for each in wire.events[node] if isinstance(each, GroupDeleted)}
        assert created == set(node.state.replica.groups)
        assert set(map(str, node._convergence._scopes)) <= {"0", "1", *node.state.replica.groups}
    # What is refused is not asked for or pushed for ever.
    before = [node._reconciler.started for node in wire.nodes]
    wire.run(30)
    assert [node._reconciler.started for node in wire.nodes] == before


@pytest.mark.parametrize("limits", [Limits(groups=40, members=30, presences=50), Limits(nodes=30)])
def test_two_that_were_each_over_the_limits_are_equal_after_a_repair(limits: Limits) -> None:
    wire = Wire(2, limits=limits)
    assert wire.run_until(wire.agree, 10)
    wire.cut = lambda source, target: True
    for number, node in enumerate(wire.nodes):
        learnt: list[Register] = [GroupRegister(f"{number}-{each}", 1) for each in range(100)]
        learnt += [GroupRegister(f"both-{each}", 1 + number) for each in range(100)]
        learnt += [a_presence(f"both-{each % 3}", f"m{each}-{number}", number) for each in range(100)]
        if limits.nodes < 100:
            # Departed ones: nobody is probed in vain.
            learnt = [a_node(200 * number + each, 0, Status.LEFT) for each in range(1, 100)]
        flood(node, learnt, wire)
    one, other = (node.state.replica for node in wire.nodes)
    assert one.digest != other.digest
    union = held(one) | held(other)
    wire.cut = lambda source, target: False
    assert wire.run_until(lambda: one.digest == other.digest, 30)
    assert held(one) == held(other)
    keys = {each.key for each in kept(union, limits)}
    # Both have raised their incarnations meanwhile.
    assert {each.key for each in held(one)} == keys
    before = [node._reconciler.started for node in wire.nodes]
    wire.run(20)
    assert [node._reconciler.started for node in wire.nodes] == before


def test_one_without_limits_costs_the_others_no_more_than_their_budget() -> None:
    wire = Wire(3, limits=Limits(groups=50))
    assert wire.run_until(wire.agree, 10)
    wire.limits = LIMITS
    rogue = wire.add(seeds=wire.nodes[:1])
    honest = wire.nodes[:3]
    flood(rogue, [GroupRegister(f"flood-{each}", 1) for each in range(500)], wire)
    wire.run(20)
    assert len(rogue.state.replica.groups) == 500
    assert len({node.state.replica.digest for node in honest}) == 1
    before = sum(node._reconciler.started for node in honest)
    assert all(len(node.state.replica.groups) == 50 for node in honest)
    sent = len(wire.sent)
    wire.run(20)
    assert sum(node._reconciler.started for node in honest) - before <= 3 * 20 * wire.config.repair_rate
    assert all(len(node._rumours) == 0 for node in honest)
    told = [datagram for at, node, datagram, _ in wire.sent[sent:] if node in honest]
    assert len(told) < 20 * 3 * 40, "probes, asks and repairs of three nodes"


def test_changes_without_end_cost_the_others_no_more_than_their_budgets() -> None:
    config = Config.lan().but(news_rate=60)
    wire = Wire(8, config=config)
    assert wire.run_until(wire.agree, 10)
    busy, node = wire.nodes[:2]
    wire.submit(busy, Join("g", "a", NOTHING, create=True))
    wire.run(5)
    seconds, news, settling = 3, 0, 0
    own = busy.state.own
    for step in range(seconds * 300):
        now = wire.now + step / 300
        change = PresenceRegister("g", "a", step + 2, own.node_id, 1, NOTHING)
        node.receive(sealed_by(own.node_id, node.node_id, Rumours([change.packed])), own.address, now)
        node.tick(now)
        for datagram, _ in node.datagrams(now):
            sections = opened(datagram).sections
            news += all(isinstance(each, Rumours) for each in sections)
            settling += any(isinstance(each, Settling | AskSettling) for each in sections)
        assert len(node._rumours) <= 2
    burst = max(config.news_rate / 4, config.fanout)
    repeats = (seconds / config.gossip_interval + 1) * config.fanout
    assert config.news_rate <= news <= burst + config.news_rate * seconds + repeats
    assert settling <= 3 * (seconds / config.settle_pace + 1) + 2 * (seconds / config.settle_retry + 1)


def test_a_node_beyond_the_limit_holds_itself_aside() -> None:
    wire = Wire(3, limits=Limits(nodes=2))
    wire.run(10)
    aside = [node for node in wire.nodes if node.state.replica.aside]
    inside = [node for node in wire.nodes if node not in aside]
    assert len(aside) == 1
    assert len({node.state.replica.digest for node in wire.nodes}) == 1
    for node in inside:
        assert set(node.state.replica.nodes) == {each.node_id for each in inside}
    assert set(aside[0].state.replica.nodes) == {each.node_id for each in wire.nodes}
    wire.submit(inside[0], Join("g", "a", NOTHING, create=True))
    assert wire.run_until(lambda: "a" in aside[0].state.views["g"], 5)
    wire.submit(aside[0], Join("g", "b", NOTHING))
    (refused,) = [each for each in wire.outcomes[aside[0]] if isinstance(each, Refused)]
    assert isinstance(refused.error, LimitExceeded)
    assert "the cluster has 3 nodes, the limit is 2: this one is beyond it" in str(refused.error)
    # Room is made, by one that has left and is forgotten: it is taken in.
    wire.crash(inside[1])
    gone = inside[1].node_id
    assert wire.run_until(lambda: all(gone not in each.state.live for each in (inside[0], aside[0])), 60)
    wire.run(10)  # nobody speaks of it any more
    for node in (inside[0], aside[0]):
        node._learning.forget(node.state.replica.nodes[gone])
        wire.turn(node)
    assert not aside[0].state.replica.aside
    assert wire.run_until(wire.agree, 30)


def test_a_node_that_is_put_out_while_it_is_suspected_leaves_nothing_behind() -> None:
    wire = Wire(2, limits=Limits(nodes=3))
    assert wire.run_until(wire.agree, 10)
    observer = wire.nodes[0]
    strangers = sorted((a_node(number) for number in range(500, 600)), key=place)
    last = max(place(node.state.own) for node in wire.nodes)
    victim = next(each for each in strangers if place(each) > last)
    wire.crashed.add(wire.nodes[1])
    flood(observer, [GroupRegister("g", 1), victim, a_presence("g", "a", 0)], wire)
    flood(observer, [victim.become(Status.SUSPECT)], wire)
    assert victim.node_id in observer._detector.suspicions
    lower = next(each for each in strangers if place(each) < place(victim))
    meet(observer, 7, wire.now)
    observer.receive(sealed(7, observer.node_id, Rumours([lower.packed])), an_address(7), wire.now)
    wire.turn(observer)
    assert victim.node_id not in observer.state.replica.nodes
    assert victim.node_id not in observer._detector.suspicions
    assert victim.node_id not in observer.state.live
    assert NodeFailed in [
        type(each) for each in wire.events[observer] if getattr(each, "node_id", None) == victim.node_id
    ]
    wire.run(60)


def test_a_group_that_is_put_out_is_told_to_be_gone_and_its_operations_end() -> None:
    wire = Wire(2, limits=Limits(groups=1))
    assert wire.run_until(wire.agree, 10)
    names = sorted((f"g{each}" for each in range(9)), key=lambda name: place(GroupRegister(name, 1)))
    one, other = wire.nodes
    wire.submit(one, Join(names[5], "a", NOTHING, create=True))
    assert wire.run_until(lambda: any(isinstance(each, Done) for each in wire.outcomes[one]), 10)
    wire.cut = lambda source, target: True
    number = wire.submit(one, Join(names[5], "b", NOTHING))
    stamp, digest = (one._convergence[WHOLE].stamp, one._convergence[WHOLE].digest)
    one._learning.put_out(GroupRegister(names[5], 1), wire.now)
    assert one._convergence[WHOLE].digest != digest
    assert one._convergence[WHOLE].stamp > stamp  # at one stamp a node holds one view
    flood(one, [GroupRegister(names[0], 1)], wire)
    assert Done(number, converged=False) in wire.outcomes[one]
    wire.cut = lambda source, target: False
    assert wire.run_until(lambda: all(names[0] in node.state.replica.groups for node in wire.nodes), 30)
    assert wire.run_until(lambda: one.state.replica.digest == other.state.replica.digest, 30)
    wire.run(20)
    for node in wire.nodes:
        told: list[type[Event]] = [
            type(each) for each in wire.events[node] if getattr(each, "group_id", None) == names[5]
        ]
        assert (told.count(GroupCreated), told.count(GroupDeleted)) == (1, 1)
        assert told[-1] is GroupDeleted
        assert names[5] not in node._convergence._scopes


# What is said.


def test_a_limit_is_said_once_for_each_tenfold_and_names_who_took_the_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "gossipgroups")
    replica = Replica(Limits(nodes=2, groups=3, members=5, presences=99), an_id(0))
    log = LimitLog("host-1")
    for register in (a_node(0), a_node(1), GroupRegister("g", 1)):
        replica.merge(register)
    log.say(replica)
    assert caplog.records == []
    for number in range(300):
        replica.merge(a_presence("g", f"m{number}", 1))
        log.say(replica)
    assert len(caplog.messages) == 3  # at 1, 10 and 100
    assert all(
        "of group 'g'; most, 5, were written by node 'n1' at 10.0.0.2" in each for each in caplog.messages
    )
    for number in range(4, 40):
        replica.merge(GroupRegister(f"flood-{number}", 1))
    log.say(replica)
    assert "as many groups" in caplog.messages[-1]
    assert "group 'flood-" in caplog.messages[-1]
    while not replica.aside:
        number += 1
        replica.merge(a_node(number))
    log.say(replica)
    assert "it is itself beyond it" in caplog.messages[-1]


def test_a_deletion_and_a_leave_have_room_always() -> None:
    rules = the_rules(FULL, [GroupRegister("g", 1), GroupRegister("h", 1)])
    assert rules.registers(Delete("g")) == [GroupRegister("g", 2)]
