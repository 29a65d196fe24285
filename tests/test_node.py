"""Whole nodes in virtual time: joining, leaving, taking over, stalls, cuts, forgetting, and what is told."""

from __future__ import annotations

import random
from collections import Counter
from math import inf
from typing import Any

import pytest

from gossipgroups import reconcile
from gossipgroups.config import DATAGRAM_BYTES, Config
from gossipgroups.errors import CoordinatorClosed, MemberAlreadyJoined
from gossipgroups.events import (
    Event,
    GroupCreated,
    GroupDeleted,
    GroupEvent,
    MemberCapabilitiesUpdated,
    MemberJoinedGroup,
    MemberLeftGroup,
    NodeFailed,
    NodeJoined,
    NodeLeft,
    NodeSuspected,
)
from gossipgroups.gossip import CHATTER_ROUNDS
from gossipgroups.groups.rules import Create, Delete, Join, Leave, Update
from gossipgroups.ids import Address
from gossipgroups.learning import Learning
from gossipgroups.node import Node
from gossipgroups.operations import Applied, Done, Refused
from gossipgroups.reconcile import Reconciler
from gossipgroups.registers import (
    MAX_COUNTER,
    GroupRegister,
    NodeRegister,
    PresenceRegister,
    Register,
    encode_capabilities,
)
from gossipgroups.status import Status
from gossipgroups.wire.header import Header
from gossipgroups.wire.messages import (
    ROOT,
    Accusation,
    Accusations,
    Ack,
    AskSettling,
    Buckets,
    Entry,
    NotMe,
    Ping,
    Repair,
    Rumours,
    Settling,
    Want,
)
from gossipgroups.wire.seal import TaggedSeal
from tests.nodes import (
    CLUSTER,
    NOTHING,
    Wire,
    a_node,
    a_peer,
    a_presence,
    an_address,
    an_id,
    meet,
    opened,
    sealed,
    sealed_as,
)

LAN = Config.lan()


def _cluster(size: int, *, config: Config = LAN, seed: int = 1) -> Wire:
    """Nodes that know each other and are quiet."""
    wire = Wire(size, config=config, seed=seed)
    assert wire.run_until(wire.agree, 10)
    wire.run(3)
    for node in wire.nodes:
        assert node.joined or node is wire.nodes[0]
        wire.events[node].clear()
    wire.sent.clear()
    return wire


def _told(wire: Wire, node: Node, kind: type[Any]) -> list[Any]:
    return [event for event in wire.events[node] if isinstance(event, kind)]


def _group_events(wire: Wire, node: Node) -> list[GroupEvent]:
    return _told(wire, node, GroupEvent)


def _done(wire: Wire, node: Node, number: int) -> Done | None:
    outcomes = [each for each in wire.outcomes[node] if isinstance(each, Done) and each.number == number]
    return outcomes[0] if outcomes else None


def _do(wire: Wire, node: Node, *commands: Any) -> None:
    """Carry operations out, each to its converged end."""
    for command in commands:
        _finish(wire, node, wire.submit(node, command))


def _finish(wire: Wire, node: Node, number: int) -> None:
    assert wire.run_until(lambda: _done(wire, node, number) is not None, 5), number
    assert _done(wire, node, number) == Done(number, True)


# Joining the cluster.


@pytest.mark.parametrize("size", [2, 3, 8, 24])
def test_nodes_that_are_given_one_seed_find_each_other(size: int) -> None:
    wire = Wire(size)
    assert wire.run_until(wire.agree, 5)
    wire.run(1)
    for node in wire.nodes:
        assert len(_told(wire, node, NodeJoined)) == size - 1
        assert node._convergence.is_settled(ROOT)
    assert all(node.answered and node.joined for node in wire.nodes[1:])


def test_a_joiner_gets_everything_at_once() -> None:
    wire = _cluster(3)
    _do(wire, wire.nodes[0], Create("g"), *(Join("g", f"m{number}", NOTHING) for number in range(200)))
    joiner = wire.add(seeds=[wire.nodes[1]])
    start = wire.now
    assert wire.run_until(lambda: joiner.joined and wire.agree(), 2)
    assert len(joiner.state.views["g"]) == 200
    assert wire.run_until(lambda: len(_told(wire, joiner, MemberJoinedGroup)) == 200, 2)
    assert _group_events(wire, joiner)[0] == GroupCreated("g", True)
    assert wire.now - start < LAN.seed_interval


def test_news_of_a_joiner_is_not_used_up_on_the_many_datagrams_that_it_is_given() -> None:
    wire = _cluster(6)
    large = encode_capabilities("x" * 200)  # each of its datagrams has room left for a rumour
    _do(wire, wire.nodes[0], Create("g"), *(Join("g", f"m{number}", large) for number in range(80)))
    wire.run(3)
    start = wire.now
    joiner = wire.add(seeds=[wire.nodes[0]])
    assert wire.run_until(lambda: all(joiner.node_id in node.state.live for node in wire.nodes), 1)
    assert wire.now - start < LAN.gossip_interval / 4, "what waits for a repair waits longer"


def test_a_node_alone_settles_at_once_and_waits_for_nothing() -> None:
    wire = Wire(1)
    node = wire.nodes[0]
    number = wire.submit(node, Join("g", "m", NOTHING, create=True))
    assert wire.outcomes[node] == [Applied(number), Done(number, True)]
    assert wire.events[node] == [GroupCreated("g", True), MemberJoinedGroup("g", True, "m")]
    assert node.next_deadline() == float("inf")
    assert node.alone
    assert node.idle
    assert wire.sent == []


def test_a_seed_that_is_there_only_later_is_found() -> None:
    wire = Wire(1)
    late = an_address(50)
    wire.nodes[0].seek((late,), wire.now)
    wire.turn(wire.nodes[0])
    wire.run(30)
    assert not wire.nodes[0].answered
    assert wire.nodes[0].seeds == (late,)
    wire.add(address=late)
    assert wire.run_until(wire.agree, 2 * LAN.seed_interval)
    assert wire.nodes[0].answered


def test_closed_ports_of_all_seeds_are_known_to_be_hopeless() -> None:
    wire = Wire(1)
    wire.closed_ports_answer = True
    node = wire.nodes[0]
    node.seek((an_address(50),), wire.now)
    assert not node.alone
    wire.turn(node)
    assert wire.run_until(lambda: node.alone, 1)


# Groups.


def test_a_change_is_told_to_everybody_once_and_as_converged() -> None:
    wire = _cluster(5)
    first, second = wire.nodes[0], wire.nodes[3]
    _do(wire, first, Create("g"), Join("g", "a", NOTHING))
    for command in (Join("g", "b", NOTHING), Update("g", "b", b"\x07"), Leave("g", "b")):
        _do(wire, second, command)
        wire.run(0.1)  # the last hears a hop or two later that it has settled
    _do(wire, first, Leave("g", "a"), Delete("g"))
    wire.run(1)
    for node in wire.nodes:
        assert _group_events(wire, node) == [
            GroupCreated("g", True),
            MemberJoinedGroup("g", True, "a"),
            MemberJoinedGroup("g", True, "b"),
            MemberCapabilitiesUpdated("g", True, "b"),
            MemberLeftGroup("g", True, "b", "left"),
            MemberLeftGroup("g", True, "a", "left"),
            GroupDeleted("g", True),
        ]
    assert wire.agree()


def test_a_settled_report_was_preceded_by_everybody_holding_it() -> None:
    wire = _cluster(7)
    node = wire.nodes[2]
    number = wire.submit(node, Join("g", "a", NOTHING, create=True))
    assert wire.run_until(lambda: _done(wire, node, number) is not None, 2)
    assert all("a" in each.state.views["g"] for each in wire.nodes)


def test_many_changes_at_once_settle() -> None:
    wire = _cluster(6)
    for node in wire.nodes:
        for number in range(10):
            name = f"{wire.nodes.index(node)}.{number}"
            node.submit(Join(f"g{name}", f"m{name}", NOTHING, create=True), wire.now)
        wire.turn(node)
    assert wire.run_until(
        lambda: all(len(_told(wire, node, MemberJoinedGroup)) == 60 for node in wire.nodes), 5
    )
    assert all(event.converged for node in wire.nodes for event in _group_events(wire, node))


# Leaving the cluster.


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_graceful_leave_is_known_to_the_others_before_it_counts_as_done(size: int) -> None:
    wire = _cluster(size)
    leaver = wire.nodes[-1]
    _do(wire, leaver, Join("g", "a", NOTHING, create=True))
    wire.run(1)
    assert not leaver.departed
    leaver.leave(wire.now)
    leaver.leave(wire.now)
    wire.turn(leaver)
    assert wire.run_until(lambda: leaver.departed, LAN.leave_timeout)
    for node in wire.nodes[:-1]:
        assert node.state.replica.nodes[leaver.node_id].status is Status.LEFT
    wire.crash(leaver)
    wire.run(3)
    for node in wire.nodes[:-1]:
        assert len(_told(wire, node, NodeLeft)) == 1
        assert _told(wire, node, NodeFailed) == _told(wire, node, NodeSuspected) == []
        assert _group_events(wire, node)[-1] == MemberLeftGroup("g", True, "a", "left")


def test_a_leaver_that_nobody_hears_has_not_departed() -> None:
    wire = _cluster(3)
    leaver = wire.nodes[0]
    wire.cut = lambda source, target: source is leaver
    leaver.leave(wire.now)
    wire.turn(leaver)
    wire.run(LAN.leave_timeout)
    assert not leaver.departed
    wire.cut = lambda source, target: False
    assert wire.run_until(lambda: leaver.departed, LAN.leave_timeout)


def test_one_that_has_left_does_not_refute() -> None:
    wire = _cluster(2)
    leaver = wire.nodes[1]
    leaver.leave(wire.now)
    own = leaver.state.own
    leaver.receive(
        sealed(1, leaver.node_id, Rumours([own.become(Status.DEAD, 5).packed])), an_address(0), wire.now
    )
    assert leaver.state.own == own


# Failures.


def test_a_crashed_node_is_suspected_and_then_dead_and_its_members_leave() -> None:
    wire = _cluster(5)
    _do(wire, wire.nodes[4], Join("g", "a", NOTHING, create=True))
    wire.crash(wire.nodes[4])
    assert wire.run_until(lambda: all(_told(wire, node, NodeFailed) for node in wire.running), 15)
    wire.run(1)
    for node in wire.running:
        assert len(_told(wire, node, NodeSuspected)) == len(_told(wire, node, NodeFailed)) == 1
        assert _group_events(wire, node)[-1] == MemberLeftGroup("g", True, "a", "failed")
    assert wire.agree()


def test_a_closed_port_is_noticed_within_a_probe() -> None:
    wire = _cluster(5)
    wire.closed_ports_answer = True
    wire.crash(wire.nodes[4])
    start = wire.now
    assert wire.run_until(lambda: all(_told(wire, node, NodeFailed) for node in wire.running), 15)
    assert wire.now - start <= LAN.probe_period + LAN.refused_timeout + 0.1


def test_a_restart_on_the_same_port_settles_the_old_nodes_fate() -> None:
    wire = _cluster(4)
    old = wire.nodes[3]
    address = old.state.own.address
    wire.crash(old)
    new = wire.add(seeds=[wire.nodes[0]], address=address)
    start = wire.now
    assert wire.run_until(lambda: all(_told(wire, node, NodeFailed) for node in wire.nodes[:3]), 5)
    assert wire.now - start <= LAN.probe_period + 0.1
    assert wire.run_until(wire.agree, 2)
    assert new.node_id != old.node_id


def test_a_false_accusation_is_refuted() -> None:
    wire = _cluster(4)
    victim, liar = wire.nodes[1], wire.nodes[2]
    charge = Accusation(victim.node_id, 0, liar.node_id, 0)
    meet(victim, 7, wire.now, address=an_address(70))
    victim.receive(sealed(7, victim.node_id, Accusations([charge])), an_address(70), wire.now)
    wire.turn(victim)
    assert victim.state.own.incarnation == 1
    assert victim.stats.refutations == 1
    assert victim._prober.awareness.score == 1
    victim.receive(sealed(7, victim.node_id, Accusations([charge])), an_address(70), wire.now)
    assert victim.state.own.incarnation == 1
    assert wire.run_until(wire.agree, 3)
    assert all(node.state.replica.nodes[victim.node_id].incarnation == 1 for node in wire.nodes)


def test_a_storm_of_joiners_is_answered_over_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = _cluster(2)
    node = wire.nodes[0]
    monkeypatch.setattr(Reconciler, "_is_proved", lambda self, peer: True)
    monkeypatch.setattr(reconcile, "ANSWERS_A_TURN", 100)
    for number in range(100, 300):
        node._reconciler.on_buckets(a_peer(number), Buckets(0, b""))
    turns = 0
    while True:
        node.tick(wire.now)
        answers = len(node.datagrams(wire.now))
        turns += 1
        assert answers <= 100 + 16
        if node.next_deadline() > wire.now:
            break
    assert turns == 2


def test_of_many_registers_of_one_key_in_a_datagram_the_highest_is_learnt_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = _cluster(1)
    node = wire.nodes[0]
    meet(node, 7, wire.now, address=an_address(70))
    steps = [GroupRegister("g", epoch).packed for epoch in (1, 5, 3, 4, 2)]
    learnt: list[Register] = []
    monkeypatch.setattr(Learning, "hear", lambda self, register, *rest: learnt.append(register))
    node.receive(sealed(7, node.node_id, Rumours(steps)), an_address(70), wire.now)
    assert learnt == [GroupRegister("g", 5)]


def test_an_accusation_at_an_incarnation_that_the_node_never_had_does_not_raise_it() -> None:
    wire = _cluster(4)
    victim, liar = wire.nodes[1], wire.nodes[2]
    meet(victim, 7, wire.now, address=an_address(70))
    for incarnation in (1, MAX_COUNTER):
        charge = Accusation(victim.node_id, incarnation, liar.node_id, 0)
        victim.receive(sealed(7, victim.node_id, Accusations([charge])), an_address(70), wire.now)
    assert victim.state.own.incarnation == 0
    assert victim.stats.refutations == 0


def test_a_node_that_is_held_dead_is_told_so_when_it_speaks() -> None:
    wire = _cluster(3)
    victim, other = wire.nodes[1], wire.nodes[2]
    other._learn(victim.state.own.become(Status.DEAD), wire.now, tell=False)
    wire.turn(other)
    assert wire.run_until(lambda: victim.stats.refutations == 1, 2 * LAN.probe_period)
    assert wire.run_until(wire.agree, 3)
    joins = _told(wire, other, NodeJoined)
    assert [event.node_id for event in joins] == [victim.node_id]


def test_every_datagram_of_a_dead_node_is_answered_with_its_death() -> None:
    wire = _cluster(2)
    node = wire.nodes[0]
    dead = a_node(40, 2, Status.DEAD)
    node._learn(dead, wire.now, tell=False)
    node.receive(sealed(40, node.node_id, Ack(1, 0), Want(bytes(80))), an_address(40), wire.now)
    node.tick(wire.now)
    answers = [
        section
        for datagram, address in node.datagrams(wire.now)
        for section in opened(datagram).sections
        if address == an_address(40)
    ]
    assert Rumours([dead.packed]) in answers


def test_loss_of_one_link_only_makes_no_false_deaths() -> None:
    wire = _cluster(5)
    one, other = wire.nodes[0], wire.nodes[1]
    wire.cut = lambda source, target: {source, target} == {one, other}
    wire.run(40)
    assert all(_told(wire, node, NodeFailed) == [] for node in wire.nodes)


# Member ids.


def test_a_member_id_of_a_live_node_is_refused() -> None:
    wire = _cluster(4)
    _do(wire, wire.nodes[0], Join("g", "a", NOTHING, create=True))
    thief = wire.nodes[2]
    number = wire.submit(thief, Join("g", "a", b"\x01"))
    assert wire.outcomes[thief] == []
    assert wire.run_until(lambda: bool(wire.outcomes[thief]), 1)
    (refused,) = wire.outcomes[thief]
    assert isinstance(refused, Refused)
    assert refused.number == number
    assert isinstance(refused.error, MemberAlreadyJoined)
    assert wire.nodes[1].state.views["g"]["a"].node_id == wire.nodes[0].node_id


@pytest.mark.parametrize("closed", [True, False])
def test_a_member_id_of_a_dead_node_is_taken_over_before_its_death_is_known(closed: bool) -> None:
    wire = _cluster(4)
    wire.closed_ports_answer = closed
    holder, heir = wire.nodes[0], wire.nodes[2]
    _do(wire, holder, Join("g", "a", NOTHING, create=True))
    wire.run(1)
    wire.crash(holder)
    start = wire.now
    number = wire.submit(heir, Join("g", "a", b"\x01"))
    assert wire.run_until(lambda: Applied(number) in wire.outcomes[heir], 2)
    assert wire.now - start <= (0.1 if closed else LAN.probe_period + 0.1)
    assert wire.run_until(lambda: _done(wire, heir, number) == Done(number, True), 2)
    wire.run(1)
    for node in wire.running:
        assert node.state.views["g"]["a"].node_id == heir.node_id
        assert [(type(event), event.converged) for event in _group_events(wire, node)[-2:]] == [
            (MemberLeftGroup, True),
            (MemberJoinedGroup, True),
        ]


def test_two_joins_of_one_member_id_at_once_leave_one_holder_everywhere() -> None:
    wire = _cluster(5)
    _do(wire, wire.nodes[0], Create("g"))
    for node in wire.nodes[1:3]:
        node.submit(Join("g", "a", NOTHING), wire.now)
    for node in wire.nodes[1:3]:
        wire.turn(node)
    assert wire.run_until(wire.agree, 3)
    wire.run(1)
    holders = {node.state.views["g"]["a"].node_id for node in wire.nodes}
    assert len(holders) == 1
    assert holders < {node.node_id for node in wire.nodes[1:3]}
    for node in wire.nodes:
        assert Counter(type(event) for event in _group_events(wire, node))[MemberJoinedGroup] <= 2


# Convergence and its deadline.

SLOW = LAN.but(probe_period=100, probe_timeout=50, convergence_deadline=2)
"""Nobody is suspected within the test, so a silent node holds every settling up."""


def test_a_change_that_does_not_converge_is_told_at_its_deadline_and_says_so() -> None:
    wire = _cluster(4, config=SLOW)
    silent, node = wire.nodes[3], wire.nodes[0]
    wire.cut = lambda source, target: silent in (source, target)
    number = wire.submit(node, Join("g", "a", NOTHING, create=True))
    start = wire.now
    assert wire.run_until(lambda: _done(wire, node, number) is not None, 10)
    assert wire.now - start == pytest.approx(SLOW.convergence_deadline, abs=0.01)
    assert _done(wire, node, number) == Done(number, False)
    assert _group_events(wire, node) == [GroupCreated("g", False), MemberJoinedGroup("g", False, "a")]
    wire.cut = lambda source, target: False
    assert wire.run_until(lambda: len(_group_events(wire, silent)) == 2, 10)
    wire.run(5)
    # What was told once, converged or not, is not told again.
    assert len(_group_events(wire, node)) == 2


def test_a_suspect_holds_nobody_up() -> None:
    wire = _cluster(4)
    wire.crash(wire.nodes[3])
    node = wire.nodes[0]
    assert wire.run_until(lambda: bool(_told(wire, node, NodeSuspected)), 10)
    number = wire.submit(node, Join("g", "a", NOTHING, create=True))
    assert wire.run_until(lambda: _done(wire, node, number) is not None, 2)
    assert _done(wire, node, number) == Done(number, True)
    assert node.state.replica.nodes[wire.nodes[3].node_id].status is Status.SUSPECT


def test_a_leaver_that_asks_is_answered_when_its_leave_has_settled() -> None:
    wire = _cluster(3)
    node = wire.nodes[0]
    for stranger in range(60, 60 + 40):
        node._learn(a_node(stranger, 0, Status.LEFT), wire.now, tell=False)
        meet(node, stranger, wire.now)
        ask = AskSettling(node.state.live.digest, [Entry(ROOT, 0, 12345, b"")])
        node.receive(sealed(stranger, node.node_id, ask), an_address(stranger), wire.now)
    node.tick(wire.now)
    answers = [
        address
        for datagram, address in node.datagrams(wire.now)
        if address.port == 7946 and any(isinstance(each, Settling) for each in opened(datagram).sections)
    ]
    assert len(answers) == 16


def test_a_join_and_leave_in_one_turn_converge() -> None:
    wire = _cluster(3)
    holder, node = wire.nodes[0], wire.nodes[1]
    _do(wire, holder, Join("g", "taken", NOTHING, create=True), Create("h"))
    # The first waits for an answer of the holder, and the other two then run at once.
    node.submit(Join("g", "taken", NOTHING), wire.now)
    node.submit(Join("h", "a", NOTHING), wire.now)
    last = node.submit(Leave("h", "a"), wire.now)
    wire.turn(node)
    assert wire.run_until(lambda: _done(wire, node, last) is not None, 5)
    assert _done(wire, node, last) == Done(last, True)


def test_a_view_that_changed_and_changed_back_leaves_no_deadline_behind() -> None:
    wire = _cluster(3)
    node, other = wire.nodes[0], wire.nodes[1]
    _do(wire, other, Join("g", "a", NOTHING, create=True))
    wire.run(1)
    own = other.state.own
    death, life = own.become(Status.DEAD), own.become(Status.ALIVE, 1)
    node.receive(sealed(7, node.node_id, Rumours([death.packed])), an_address(70), wire.now)
    node.receive(sealed(7, node.node_id, Rumours([life.packed])), an_address(70), wire.now)
    wire.turn(node)
    wire.run(1)
    assert node._reports.deadline == inf


# The clock of a process that was stopped.


def test_a_process_that_was_stopped_accuses_nobody() -> None:
    wire = _cluster(5)
    stopped = wire.nodes[2]
    wire.pause(stopped)
    wire.run(1.7)
    wire.resume(stopped)
    assert stopped.stats.stalls == 1
    assert wire.run_until(wire.agree, 5)
    wire.run(10)
    for node in wire.nodes:
        assert _told(wire, node, NodeFailed) == []
    assert _told(wire, stopped, NodeSuspected) == []
    assert stopped._prober.awareness.score == 0


def test_a_process_that_was_stopped_for_long_is_dead_meanwhile_and_comes_back_by_itself() -> None:
    wire = _cluster(5)
    stopped = wire.nodes[2]
    others = [node for node in wire.nodes if node is not stopped]
    _do(wire, stopped, Join("g", "a", NOTHING, create=True))
    wire.run(1)
    for node in wire.nodes:
        wire.events[node].clear()
    wire.pause(stopped)
    assert wire.run_until(lambda: all(_told(wire, node, NodeFailed) for node in others), 20)
    wire.run(5)
    wire.resume(stopped)
    assert wire.run_until(wire.agree, 5)
    wire.run(2)
    for node in others:
        assert _group_events(wire, node) == [
            MemberLeftGroup("g", True, "a", "failed"),
            MemberJoinedGroup("g", True, "a"),
        ]
    assert _told(wire, stopped, NodeFailed) == _told(wire, stopped, NodeSuspected) == []
    assert _group_events(wire, stopped) == []


def test_the_own_clock_stands_still_over_a_stall_and_never_goes_back() -> None:
    wire = _cluster(2)
    node = wire.nodes[0]
    due = node.next_deadline()
    assert node._time(due + LAN.stall_tolerance / 2) == pytest.approx(due + LAN.stall_tolerance / 2)
    node.tick(due + LAN.stall_tolerance / 2)
    due = node.next_deadline()
    assert node._time(due + 30) == pytest.approx(due)
    assert node._time(due + 29) == pytest.approx(due)
    assert node.next_deadline() >= due + 30
    assert (node.stats.stalls, node._prober.awareness.score) == (1, 1)


def test_a_stall_after_a_call_is_a_stall_too() -> None:
    wire = _cluster(2)
    node = wire.nodes[0]
    due = node.next_deadline()
    node.submit(Create("g"), due - 0.01)
    assert node._time(due + 60) == pytest.approx(due)
    assert node._time(due + 90) == pytest.approx(due)
    assert node.stats.stalls == 2


# News, repair and budgets.


def test_news_crosses_an_idle_cluster_in_a_few_delays() -> None:
    wire = _cluster(16)
    start = wire.now
    wire.submit(wire.nodes[5], Create("g"))
    assert wire.run_until(lambda: all(node.state.replica.groups for node in wire.nodes), 1)
    assert wire.now - start <= 6 * wire.delay
    assert wire.run_until(lambda: all(_told(wire, node, GroupCreated) for node in wire.nodes), 1)
    assert wire.now - start < LAN.gossip_interval


def test_a_storm_of_news_stays_within_the_budget() -> None:
    config = LAN.but(news_rate=60)
    wire = _cluster(10, config=config)
    node = wire.nodes[0]
    seconds = 3
    alone = 0
    for step in range(seconds * 200):
        now = wire.now + step / 200
        node.submit(Create(f"g{step}"), now)
        node.tick(now)
        for datagram, _ in node.datagrams(now):
            alone += all(isinstance(each, Rumours | Accusations) for each in opened(datagram).sections)
        node.next_deadline()
    burst = max(config.news_rate / 4, config.fanout)
    repeats = (seconds / config.gossip_interval + 1) * config.fanout
    assert alone <= burst + config.news_rate * seconds + repeats


def test_nodes_that_refute_over_and_over_do_not_keep_the_others_busy() -> None:
    wire = _cluster(10)
    node = wire.nodes[0]
    others = [each.state.own for each in wire.nodes[1:]]
    seconds, alone = 3, 0
    meet(node, 90, wire.now)
    for step in range(seconds * 100):
        now = wire.now + step / 100
        flapping = others[step % len(others)]
        refuted = flapping.become(Status.ALIVE, step + 1)
        node.receive(sealed(90, node.node_id, Rumours([refuted.packed])), an_address(90), now)
        node.tick(now)
        for datagram, _ in node.datagrams(now):
            alone += all(isinstance(each, Rumours) for each in opened(datagram).sections)
        node.next_deadline()
    rounds = seconds / LAN.gossip_interval + 1
    assert alone <= (rounds + CHATTER_ROUNDS + rounds) * LAN.fanout
    # News goes on at once nevertheless.
    node.submit(Create("g"), now)
    assert node._gossip.deadline(now) == now


def test_rumours_end() -> None:
    wire = _cluster(8)
    wire.submit(wire.nodes[0], Join("g", "a", NOTHING, create=True))
    wire.run(5)
    wire.sent.clear()
    wire.run(10)
    kinds = Counter(type(section) for _, _, datagram, _ in wire.sent for section in opened(datagram).sections)
    assert set(kinds) == {Ping, Ack}
    # Two datagrams per node and period: one ping, one ack.
    assert len(wire.sent) == pytest.approx(2 * 8 * 10 / LAN.probe_period, rel=0.1)


def test_a_difference_is_repaired_when_a_probe_shows_it() -> None:
    wire = _cluster(4)
    lone = wire.nodes[3]
    for number in range(20):
        lone._learn(a_presence("g", f"m{number}", 900), wire.now, tell=False)
    lone._learn(GroupRegister("g", 1), wire.now, tell=False)
    wire.turn(lone)
    assert wire.run_until(wire.agree, 4 * LAN.probe_period)
    assert len(wire.nodes[0].state.replica.presences["g"]) == 20


def test_one_who_has_begun_to_repair_is_not_asked_to_repair_as_well() -> None:
    wire = _cluster(2)
    node = wire.nodes[0]
    wire.run(5)
    ping = Ping(1, 12345, 0)
    meet(node, 9, wire.now)
    for sections, repairs in (([ping, Buckets(0, b"")], 0), ([ping], 1)):
        before = node._reconciler.started
        node.receive(sealed(9, node.node_id, *sections), an_address(9), wire.now)
        assert node._reconciler.started - before == repairs


def test_fresh_news_is_awaited_before_a_difference_is_repaired() -> None:
    wire = _cluster(2, config=LAN.but(stall_tolerance=1.0))
    node = wire.nodes[0]
    wire.run(5)
    meet(node, 9, wire.now)
    wire.submit(node, Create("g"))
    node.receive(sealed(9, node.node_id, Ack(1, 12345)), an_address(9), wire.now)
    started = node._reconciler.started
    node._reconciler._last_repair = wire.now
    node.receive(sealed(9, node.node_id, Ack(1, 12345)), an_address(9), wire.now + LAN.gossip_interval / 2)
    assert node._reconciler.started == started
    node.receive(sealed(9, node.node_id, Ack(1, 12345)), an_address(9), wire.now + LAN.gossip_interval + 0.01)
    assert node._reconciler.started == started + 1


def test_a_leaver_refuses_what_is_queued_and_takes_nothing_over() -> None:
    wire = _cluster(4)
    holder, leaver = wire.nodes[0], wire.nodes[2]
    _do(wire, holder, Join("g", "a", NOTHING, create=True))
    wire.run(1)
    wire.crash(holder)
    numbers = [wire.submit(leaver, command) for command in (Join("g", "a", b"\x01"), Create("h"))]
    assert wire.outcomes[leaver] == [], "the holder is challenged"
    leaver.leave(wire.now)
    wire.turn(leaver)
    assert [outcome.number for outcome in wire.outcomes[leaver]] == numbers
    for outcome in wire.outcomes[leaver]:
        assert isinstance(outcome, Refused)
        assert isinstance(outcome.error, CoordinatorClosed)
    wire.run(5)
    assert len(wire.outcomes[leaver]) == 2
    for node in wire.running:
        assert node.state.replica.presences["g"]["a"].node_id == holder.node_id
        assert "h" not in node.state.replica.groups


def test_a_death_that_was_doubted_and_is_believed_is_told_on() -> None:
    wire = _cluster(4)
    hearer, witness, other, victim = wire.nodes
    wire.crash(victim)
    death = victim.state.own.become(Status.DEAD)
    header = Header(witness.node_id, hearer.node_id, 10**6)
    hearer.receive(sealed_as(header, Rumours([death.packed])), witness.state.own.address, wire.now)
    wire.turn(hearer)
    assert hearer.state.replica.nodes[victim.node_id].status is Status.ALIVE, "it is doubted"
    quoted = wire.last_sent(hearer, victim)
    wire.sent.clear()
    hearer.refused(victim.state.own.address, quoted, wire.now)
    wire.turn(hearer)
    assert hearer.state.replica.nodes[victim.node_id].status is Status.DEAD
    wire.run(0.5)
    told = {
        target
        for _, node, datagram, target in wire.sent
        if node is hearer
        for section in opened(datagram).sections
        if isinstance(section, Rumours) and death.packed in section.registers
    }
    assert told & {witness.state.own.address, other.state.own.address}


def test_pings_for_another_are_answered_not_me() -> None:
    wire = _cluster(2)
    node = wire.nodes[0]
    meet(node, 9, wire.now)
    node.receive(sealed(9, an_id(77), Ping(4, node.state.replica.digest, 0)), an_address(9), wire.now)
    node.tick(wire.now)
    sections = [
        section
        for datagram, address in node.datagrams(wire.now)
        for section in opened(datagram).sections
        if address == an_address(9)
    ]
    assert NotMe(4, an_id(77)) in sections
    assert not any(isinstance(section, Ack) for section in sections)


# Partitions.


def _split(wire: Wire, left: int) -> None:
    side = {node: place < left for place, node in enumerate(wire.nodes)}
    wire.cut = lambda source, target: side[source] != side[target]


def test_after_a_heal_nobody_is_taken_for_dead_on_the_word_of_the_other_side() -> None:
    wire = _cluster(6)
    for place, node in enumerate(wire.nodes):
        _do(wire, node, Join("g", f"m{place}", NOTHING, create=True))
    _split(wire, 3)
    wire.run(40)
    before = {node: len(_told(wire, node, Event)) for node in wire.nodes}
    wire.cut = lambda source, target: False
    assert wire.run_until(wire.agree, 5)
    wire.run(1)
    for node in wire.nodes:
        since = _told(wire, node, Event)[before[node] :]
        assert {type(event) for event in since} == {NodeJoined, MemberJoinedGroup}


def test_each_side_of_a_cut_settles_its_own_view_and_the_heal_settles_the_union() -> None:
    wire = _cluster(5)
    _do(wire, wire.nodes[0], Create("g"))
    for place, node in enumerate(wire.nodes):
        _do(wire, node, Join("g", f"m{place}", NOTHING))
    wire.run(1)
    _split(wire, 3)
    wire.run(40)
    for place, node in enumerate(wire.nodes):
        side = {0, 1, 2} if place < 3 else {3, 4}
        assert set(node.state.views["g"]) == {f"m{each}" for each in side}
        assert node._convergence.is_settled("g")
    wire.cut = lambda source, target: False
    everybody = {f"m{place}" for place in range(5)}
    assert wire.run_until(
        lambda: wire.agree() and all(set(node._reports.reported("g")) == everybody for node in wire.nodes), 5
    )
    for node in wire.nodes:
        present: set[str] = set()
        for event in _group_events(wire, node):
            if isinstance(event, MemberJoinedGroup):
                assert event.member_id not in present
                present.add(event.member_id)
            elif isinstance(event, MemberLeftGroup):
                present.remove(event.member_id)
                assert event.reason == "failed"
            assert event.converged
        assert present == everybody


def test_what_both_sides_did_is_merged() -> None:
    wire = _cluster(4)
    _split(wire, 2)
    wire.run(30)
    for place in (0, 2):
        _do(wire, wire.nodes[place], Join("g", f"m{place}", NOTHING, create=True), Create(f"only{place}"))
    wire.cut = lambda source, target: False
    assert wire.run_until(wire.agree, 5)
    for node in wire.nodes:
        assert set(node.state.views["g"]) == {"m0", "m2"}
        assert set(node.state.replica.groups) == {"g", "only0", "only2"}


# Forgetting.


def test_after_a_while_the_gone_are_forgotten_by_all() -> None:
    config = LAN.but(forget_after=30)
    wire = _cluster(4, config=config)
    _do(wire, wire.nodes[0], Create("gone"), Create("g"), Delete("gone"))
    _do(wire, wire.nodes[0], Join("g", "a", NOTHING), Join("g", "b", NOTHING), Leave("g", "a"))
    leaver = wire.nodes[3]
    leaver.leave(wire.now)
    wire.turn(leaver)
    assert wire.run_until(lambda: leaver.departed, 3)
    wire.crash(leaver)
    wire.run(60)
    assert wire.agree()
    for node in wire.running:
        replica = node.state.replica
        assert set(replica.nodes) == {each.node_id for each in wire.running}
        assert set(replica.groups) == {"g"}
        assert set(replica.presences["g"]) == {"b"}
        assert len(node.state.tombstones) == 0
        assert all(event.converged for event in _group_events(wire, node))


@pytest.mark.parametrize("seed", range(4))
def test_what_hangs_on_the_dead_is_forgotten_with_them_by_all(seed: int) -> None:
    wire = _cluster(5, config=LAN.but(forget_after=30), seed=seed)
    dead = wire.nodes[4]
    _do(wire, dead, Create("g"), *(Join("g", f"m{number}", NOTHING) for number in range(5)))
    wire.run(1)
    wire.crash(dead)
    wire.run(80)
    for node in wire.running:
        assert set(node.state.replica.nodes) == {each.node_id for each in wire.running}
        assert node.state.replica.presences == {}
    assert wire.agree()


@pytest.mark.parametrize("late", [20, 32.3])
def test_a_node_that_came_later_forgets_with_the_others(late: float) -> None:
    wire = _cluster(3, config=LAN.but(forget_after=300))
    dead = wire.nodes[2]
    _do(wire, dead, Create("g"), *(Join("g", f"m{number}", NOTHING) for number in range(5)))
    wire.run(1)
    wire.crash(dead)
    wire.run(late)
    wire.add(seeds=[wire.nodes[0]])
    wire.run(350)
    for node in wire.running:
        assert set(node.state.replica.nodes) == {each.node_id for each in wire.running}
        assert node.state.replica.presences == {}
    assert wire.agree()


def test_a_group_that_was_forgotten_can_be_made_again() -> None:
    wire = _cluster(3, config=LAN.but(forget_after=20))
    _do(wire, wire.nodes[0], Create("g"), Delete("g"))
    wire.run(40)
    assert wire.nodes[1].state.replica.groups == {}
    _do(wire, wire.nodes[1], Join("g", "a", NOTHING, create=True))
    wire.run(1)
    for node in wire.nodes:
        assert [type(event) for event in _group_events(wire, node)] == [
            GroupCreated,
            GroupDeleted,
            GroupCreated,
            MemberJoinedGroup,
        ]


def test_a_node_never_forgets_itself() -> None:
    wire = _cluster(2, config=LAN.but(forget_after=5))
    leaver = wire.nodes[1]
    leaver.leave(wire.now)
    wire.turn(leaver)
    wire.run(30)
    assert leaver.state.own.status is Status.LEFT


# Sizes.


def _fed(node: Node, registers: list[Any]) -> None:
    for at in range(0, len(registers), 4):
        packed = [register.packed for register in registers[at : at + 4]]
        node.receive(sealed(9, node.node_id, Repair(packed, [])), an_address(9), 0.0)
    assert not node.stats.refused
    node.tick(0.0)


@pytest.mark.parametrize(
    ("nodes", "length"),
    [
        (100, 10),
        (100, 255),
        (700, 255),
    ],
)
def test_no_datagram_is_over_the_limit(nodes: int, length: int) -> None:
    address = Address("10.9.9.9", 7946)
    node = Node(
        name="n", address=address, seal=TaggedSeal(CLUSTER), config=LAN, random=random.Random(1), now=0.0
    )
    meet(node, 9)
    _fed(node, [a_node(number) for number in range(nodes)])
    names = [f"{number}".ljust(length, "x") for number in range(7)]
    _fed(node, [GroupRegister(name, 1) for name in names])
    _fed(node, [PresenceRegister(name, "m", 1, an_id(1), 1, NOTHING) for name in names])
    now = 0.0
    settling = 0
    for _ in range(20):
        for datagram, _ in node.datagrams(now):
            assert len(datagram) <= DATAGRAM_BYTES
            settling += any(isinstance(each, Settling | AskSettling) for each in opened(datagram).sections)
        now += 0.05
        node.tick(now)
    assert settling


def test_what_is_sent_and_received_is_counted() -> None:
    wire = _cluster(3)
    assert sum(node.stats.received for node in wire.nodes) == sum(node.stats.sent for node in wire.nodes)
    assert sum(node.stats.received_bytes for node in wire.nodes) == sum(
        node.stats.sent_bytes for node in wire.nodes
    )
    assert all(not node.stats.refused for node in wire.nodes)


def test_own_register_of_a_higher_rank_is_overruled() -> None:
    wire = _cluster(3)
    node = wire.nodes[0]
    own = node.state.own
    forged = NodeRegister(own.node_id, 3, Status.DEAD, own.address, own.name)
    meet(node, 9, wire.now)
    node.receive(sealed(9, node.node_id, Rumours([forged.packed])), an_address(9), wire.now)
    assert (node.state.own.incarnation, node.state.own.status) == (4, Status.ALIVE)
    older = NodeRegister(own.node_id, 2, Status.DEAD, own.address, own.name)
    node.receive(sealed(9, node.node_id, Rumours([older.packed])), an_address(9), wire.now)
    assert node.state.own.incarnation == 4
