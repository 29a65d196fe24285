"""The checks see each breach: a running cluster is tampered with, and the right promise is named."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import pytest

from gossipgroups.admission import Admission
from gossipgroups.budget import Budget
from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.events import (
    Event,
    GroupCreated,
    GroupDeleted,
    MemberCapabilitiesUpdated,
    MemberJoinedGroup,
    MemberLeftGroup,
    NodeFailed,
    NodeJoined,
)
from gossipgroups.groups.rules import Command, Create, Delete, Join, Leave
from gossipgroups.ids import Address, NodeId, Peer
from gossipgroups.operations import Applied, Done
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, encode_capabilities
from gossipgroups.settling import FAREWELLS
from gossipgroups.status import Status
from gossipgroups.swim.probe import Relay
from gossipgroups.swim.relays import RELAYS
from gossipgroups.wire.codec import pack_payload, pack_section
from gossipgroups.wire.header import Header
from gossipgroups.wire.messages import Ack, Cookie, Nack, Section
from sims.checks import Broken
from sims.checks.budgets import Meter
from sims.checks.limits import LIMITS, check_datagram, check_limits
from sims.checks.rest import rest_seconds
from sims.checks.settled import Settled
from sims.engine import Process, Trace, Watcher, address_of
from sims.schedules import load
from sims.schedules.faults import FAULTS
from sims.schedules.operations import OPERATIONS
from sims.schedules.schedule import begin, finish
from sims.schedules.stranger import HOMES
from sims.schedules.world import CONFIG, World


def calm(places: int = 3, **options: Any) -> World:
    """A settled cluster with a group and a member at place 0."""
    world = World(1, places, groups=("red",), **options)
    for place in range(places):
        world.start(place)
    world.simulation.advance(1)
    world.simulation.submit(world.at(0), Join("red", "a", b"\x01", create=True))
    world.simulation.advance(1)
    assert world.checks.missing(world.running.values()) == []
    return world


def broken(world: World, promise: str, pattern: str = ".") -> None:
    """The next calls into nodes show this breach."""
    with pytest.raises(Broken, match=pattern) as raised:
        world.simulation.advance(2)
    assert raised.value.promise == promise


def of(world: World, place: int, subject: int) -> NodeRegister:
    """What one place holds of the node at another."""
    return world.at(place).node.state.replica.nodes[world.at(subject).node.node_id]


def test_a_calm_cluster_breaks_nothing_and_its_settled_reports_are_counted() -> None:
    world = calm()
    assert world.checks.tally["settled reports"] >= 6
    assert world.checks.tally["MemberJoinedGroup"] == 3
    world.come_to_rest()


def test_only_the_subject_raises_its_incarnation() -> None:
    world = calm()
    register = of(world, 0, 1)
    world.at(0).node.state.merge(register.become(Status.ALIVE, 5), 0.0)
    broken(world, "incarnation", "incarnation 5")


def test_an_incarnation_does_not_go_back() -> None:
    world = calm()
    node = world.at(0).node
    node._learning.refute(0, world.simulation.now)
    world.simulation.advance(1.2)
    node.state.replica._replace(node.state.own, node.state.own.become(Status.ALIVE, 0))
    broken(world, "incarnation", "went back")


def test_nobody_comes_back_from_dead_at_the_same_incarnation() -> None:
    world = calm()
    alive = of(world, 0, 1)
    state = world.at(0).node.state
    world.simulation.pause(world.at(1))
    state.merge(alive.become(Status.DEAD), 0.0)
    world.simulation.advance(1.2)
    state.replica._replace(state.replica.nodes[alive.node_id], alive)
    broken(world, "status", "DEAD at incarnation 0 to (ALIVE|SUSPECT) at 0")


def test_one_incarnation_has_one_content() -> None:
    world = calm()
    register = of(world, 0, 1)
    world.at(0).node.state.merge(replace(register, name="zzzzzz"), 0.0)
    broken(world, "content")


def test_nobody_holds_a_node_that_never_ran() -> None:
    world = calm()
    stranger = NodeRegister(NodeId(b"stranger"), 0, Status.ALIVE, address_of(9), "stranger")
    world.at(0).node.state.merge(stranger, 0.0)
    broken(world, "incarnation", "never ran")


def test_epochs_and_presences_do_not_go_back() -> None:
    world = calm()
    replica = world.at(0).node.state.replica
    replica._replace(replica.groups["red"], GroupRegister("red", 0))
    broken(world, "epoch")

    world = calm()
    replica = world.at(0).node.state.replica
    held = replica.presences["red"]["a"]
    replica._replace(held, replace(held, clock=0))
    broken(world, "presence")


def test_one_presence_has_one_content() -> None:
    world = calm()
    replica = world.at(0).node.state.replica
    held = replica.presences["red"]["a"]
    replica._replace(held, replace(held, capabilities=b"\x02"))
    broken(world, "content")


def test_a_view_is_that_of_the_maps() -> None:
    world = calm()
    state = world.at(0).node.state
    node_id = world.at(0).node.node_id
    state.views._views["red"] = {"ghost": PresenceRegister("red", "ghost", 1, node_id, 1, b"\x01")}
    world.simulation.submit(world.at(1), Join("red", "b", b"\x01"))
    broken(world, "view", "ghost")


def test_a_register_does_not_vanish() -> None:
    world = calm()
    replica = world.at(0).node.state.replica
    replica.drop(replica.presences["red"]["a"])
    broken(world, "maps")


def test_a_view_that_others_have_not_held_is_not_settled() -> None:
    world = calm()
    node = world.at(0).node
    world.simulation.medium.cut(world.at(0).host, world.at(1).host)
    world.simulation.submit(world.at(0), Join("red", "b", b"\x01"))
    settlement = node._convergence["red"]
    settlement.bits = 0b111
    broken(world, "truth", "never held this view")


def test_a_stamp_has_one_view() -> None:
    world = calm()
    node = world.at(0).node
    node._convergence["red"].stamp -= 1
    broken(world, "order")


ALTERNATIONS: list[list[Event]] = [
    [GroupCreated("red", True)],
    [GroupDeleted("red", False)],
    [MemberJoinedGroup("red", False, "a")],
    [MemberLeftGroup("red", False, "b", "left")],
    [MemberCapabilitiesUpdated("red", False, "b")],
    [MemberJoinedGroup("new", False, "a")],
    [NodeJoined(NodeId(b"stranger"), "x", address_of(9))] * 2,
    [NodeFailed(NodeId(b"stranger"), "x", address_of(9))],
]


@pytest.mark.parametrize("events", ALTERNATIONS, ids=lambda events: type(events[0]).__name__)
def test_events_alternate(events: list[Event]) -> None:
    world = calm()
    with pytest.raises(Broken) as raised:
        world.checks.called(world.at(0), events, [])
    assert raised.value.promise == "alternation"


def test_events_add_up_to_the_view() -> None:
    world = calm()
    with pytest.raises(Broken) as raised:
        world.checks.called(world.at(0), [MemberJoinedGroup("red", False, "b")], [])
    assert raised.value.promise == "sum"


@pytest.mark.parametrize("outcomes", [[Done(9, True)], [Applied(1)], [Done(1, True)]])
def test_an_operation_ends_once(outcomes: list[Applied | Done]) -> None:
    world = calm()
    with pytest.raises(Broken) as raised:
        world.checks.called(world.at(0), [], outcomes)
    assert raised.value.promise == "outcome"


def _relays(process: Process) -> None:
    for number in range(RELAYS + 1):
        relay = Relay(process.node.node_id, process.address, process.node.state.own.peer, number, 1e9, 1e9)
        process.node._prober.relays[number] = relay


def _farewells(process: Process) -> None:
    process.node._settler._farewells.update(
        {Peer(process.node.node_id, address_of(each)): None for each in range(FAREWELLS + 1)}
    )


def _awareness(process: Process) -> None:
    process.node._prober.awareness.score = CONFIG.awareness_limit + 1


def _tombstones(process: Process) -> None:
    process.node.state.tombstones._since.update(dict.fromkeys(range(100), 0.0))


def _bits(process: Process) -> None:
    process.node._convergence["red"].bits = 1 << 8


@pytest.mark.parametrize("overfill", [_relays, _farewells, _awareness, _tombstones, _bits])
def test_what_grows_past_its_limit_is_seen(overfill: Callable[[Process], None]) -> None:
    world = calm()
    check_limits(world.at(0), 3)
    overfill(world.at(0))
    with pytest.raises(Broken) as raised:
        check_limits(world.at(0), 3)
    assert raised.value.promise == "limit"


def test_more_nodes_than_ever_ran_are_seen() -> None:
    world = calm()
    with pytest.raises(Broken, match="3 nodes of 2"):
        check_limits(world.at(0), 2)


@pytest.mark.parametrize("what", LIMITS)
def test_a_calm_node_is_far_from_its_limits(what: str) -> None:
    has, may_have = LIMITS[what]
    node = calm().at(0).node
    assert has(node) <= may_have(node)


def test_a_datagram_has_a_limit() -> None:
    world = calm()
    check_datagram(world.at(0), bytes(DATAGRAM_BYTES))
    with pytest.raises(Broken):
        check_datagram(world.at(0), bytes(DATAGRAM_BYTES + 1))


def test_what_is_missing_to_rest_is_named() -> None:
    world = calm()
    simulation = world.simulation
    simulation.medium.partition([world.at(0).host])
    simulation.submit(world.at(0), Create("green"))
    simulation.advance(0.1)
    text = "; ".join(world.checks.missing(world.running.values()))
    assert "has another digest" in text
    assert "not settled" in text
    assert "Create(group='green') waits" in text
    simulation.advance(20)
    assert "'node-0': 'dead'" in "; ".join(world.checks.missing(world.running.values()))
    world.come_to_rest()
    assert world.checks.missing(world.running.values()) == []


def test_no_rest_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    world = calm()
    monkeypatch.setattr(World, "calm", lambda self: None)
    world.partition([[0]])
    with pytest.raises(Broken) as raised:
        world.come_to_rest()
    assert raised.value.promise == "rest"


def test_the_bound_of_rest_grows_with_the_constants() -> None:
    bound = rest_seconds(CONFIG, 8)
    assert rest_seconds(CONFIG.but(probe_period=2.0), 8) > bound
    assert rest_seconds(CONFIG.but(suspicion_multiplier=4.0), 8) > bound
    assert rest_seconds(CONFIG.but(reach_interval=2.0), 8) > bound
    assert rest_seconds(CONFIG, 9) > bound


def test_what_may_be_forgotten_may_vanish() -> None:
    world = calm(forget_after=20.0)
    world.simulation.submit(world.at(1), Create("short"))
    world.simulation.advance(1)
    world.simulation.submit(world.at(1), Delete("short"))
    world.simulation.submit(world.at(0), Leave("red", "a"))
    world.simulation.crash(world.at(2))
    world.simulation.advance(60)
    world.come_to_rest()
    for place in (0, 1):
        node = world.at(place).node
        assert set(node.state.replica.groups) == {"red"}
        assert len(node.state.replica.nodes) == 2
        assert world.checks._holdings[node.node_id].forgotten == 3
    node = world.at(0).node
    node.state.forget(node.state.replica.groups["red"])
    broken(world, "maps", "before its time")


def test_a_budget_that_gives_too_much_is_seen() -> None:
    budget = Meter(Budget(10, 20), "a budget")
    assert all(budget.spend(4, now) for now in (0.0, 0.0, 0.0, 0.0, 0.0, 0.4))
    assert not budget.spend(1, 0.4)
    budget._left = 1000.0
    budget.burst = 20
    with pytest.raises(Broken, match="a budget"):
        budget.spend(5, 0.41)


def test_every_operation_of_an_application_is_drawn() -> None:
    made = {type(make("g", "m", b"")) for _, _, make in OPERATIONS.values()}
    assert made == set(get_args(Command))


# Strangers and faulty insiders.


def sent_by(
    world: World, place: int, number: int = 2**40, twin: Process | None = None
) -> tuple[bytes, Process]:
    """A datagram from a place, or a twin, to the next place, as the checks know it, and who gets it."""
    source, target = twin or world.at(place), world.at(place + 1)
    node = source.node
    header = Header(node.node_id, target.node.node_id, number).pack()
    datagram = node._seal.seal(header, pack_payload([pack_section(Nack(1))]))
    world.checks.sent(source, datagram, target.address, ())
    return datagram, target


def test_what_is_taken_in_twice_or_by_another_or_from_nobody_is_seen() -> None:
    world = calm()
    datagram, target = sent_by(world, 0)
    home = world.at(0).address
    world.checks.received(target, datagram, home)
    world.checks.taken(target, datagram, home, None)
    with pytest.raises(Broken, match="twice"):
        world.checks.taken(target, datagram, home, None)
    with pytest.raises(Broken, match="to another node"):
        world.checks.taken(world.at(2), datagram, home, None)
    to_it = Header(NodeId(b"stranger"), target.node.node_id, 1).pack()
    made_up = target.node._seal.seal(to_it, pack_payload([pack_section(Nack(1))]))
    with pytest.raises(Broken, match="no node has sent"):
        world.checks.taken(target, made_up, home, None)


def twin_of(world: World, place: int) -> Process:
    """A twin of the node at a place, which runs from now on."""
    FAULTS["twin"].act(world, place, 0.0)
    return world.twins[world.at(place).node.node_id]


def test_a_number_that_counts_twice_is_seen_whether_the_twin_has_sent_it_or_the_original() -> None:
    world = calm(sealed=True)
    twin, home = twin_of(world, 0), world.at(0).address
    own, target = sent_by(world, 0, 7000)
    twins, _ = sent_by(world, 0, 7000, twin)
    assert own != twins
    world.checks.received(target, own, home)
    world.checks.taken(target, own, home, None)
    for again in (own, twins):
        with pytest.raises(Broken, match="twice"):
            world.checks.taken(target, again, home, None)


def test_who_forgets_a_node_hears_its_twin_once_that_has_counted_past_it_and_takes_in_nothing_again() -> None:

    class Recorder(Watcher):
        last = b""

        def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
            if (process, target) == (original, here.address):
                self.last = datagram

    recorder = Recorder()
    world = World(1, 2, groups=("red",), sealed=True, forget_after=20.0, watchers=[recorder])
    world.start(0)
    world.start(1)
    here, original = world.at(0), world.at(1)
    world.simulation.advance(2)
    twin = twin_of(world, 1)
    world.simulation.pause(twin)
    world.simulation.advance(10)
    world.simulation.crash(original, silent=True)
    world.simulation.advance(40)
    assert original.node.node_id not in here.node.state.replica.nodes
    replay = partial(world.simulation.arrive, recorder.last, original.address, here.address)
    replay()
    world.simulation.advance(1)
    assert world.checks.tally["refused: replayed"] == 1
    world.simulation.resume(twin)
    in_its_name = partial(world.checks._holdings.in_name_of, twin.node.node_id)
    assert len(in_its_name()) == 1
    world.simulation.advance(1)
    assert world.checks.tally["refused: replayed"] > 1
    assert world.checks.tally["twin taken in"] == 0
    assert world.simulation.advance_until(lambda: world.checks.tally["twin taken in"] > 0, 200.0)
    assert len(in_its_name()) == 2
    replay()
    world.simulation.advance(1)
    world.come_to_rest()


@pytest.mark.parametrize(
    ("listened", "looked_at", "pattern"),
    [
        (True, True, None),
        (False, True, "node-1:1000 never held this view$"),
        (True, False, "at most some time before"),
    ],
)
def test_what_a_twin_has_held_counts_once_somebody_has_listened_to_it(
    listened: bool, looked_at: bool, pattern: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = calm(2)
    here, twin = world.at(0), twin_of(world, 1)
    for each in (world.at(1), twin):
        world.simulation.medium.cut(here.host, each.host)
    if not looked_at:
        monkeypatch.setattr(Settled, "look_at_twin", lambda *_: None)
    world.simulation.submit(here, Join("red", "b", b"\x01"))
    twin.node._learn(here.node.state.replica.presences["red"]["b"], twin.node._clock.now)
    world.simulation.advance(0.1)
    holdings = world.checks._holdings
    mark = holdings[here.node.node_id].of("red")
    assert mark in holdings.of_twin(twin).had["red"]
    assert mark not in holdings[twin.node.node_id].had["red"]
    if listened:
        holdings.listened(twin.address)
    here.node._convergence["red"].bits = 0b11  # as if the twin had sent its own
    if pattern is None:
        world.simulation.advance(0.1)
        assert here.node._convergence.is_settled("red")
        assert world.checks._settled.who_did_not_witness(here, "red") is None
    else:
        broken(world, "truth", pattern)


def test_what_is_dropped_and_changes_something_or_without_reason_is_seen() -> None:
    world = calm()
    datagram, target = sent_by(world, 0)
    home = world.at(0).address
    world.checks.received(target, datagram, home)
    world.checks.taken(target, datagram, home, "replayed")
    for reason in ("forged", "encoding", "elsewhere"):
        with pytest.raises(Broken, match=f"refused a datagram of .*{reason}") as raised:
            world.checks.taken(target, datagram, home, reason)
        assert raised.value.promise == "datagrams"
    world.checks.taken(target, datagram, address_of(77), "elsewhere")
    target.node.state.merge(GroupRegister("new", 1), 0.0)
    with pytest.raises(Broken, match="holds something else"):
        world.checks.taken(target, datagram, home, "replayed")


@pytest.mark.parametrize("sealed", [False, True])
def test_who_answers_a_stranger_with_more_than_it_sent_is_seen(sealed: bool) -> None:
    world = calm(sealed=sealed)
    process = world.at(0)

    def answer(number: int, section: Section) -> bytes:
        header = Header(process.node.node_id, NodeId(b"stranger"), number).pack()
        return process.node._seal.seal(header, pack_payload([pack_section(section)]))

    cookie, ack = answer(2**40, Cookie(1, bytes(8))), answer(2**40 + 1, Ack(1, 0))
    with pytest.raises(Broken, match="bytes more"):
        world.checks.sent(process, cookie, HOMES[0], ())
    world.checks.received(process, bytes(200), HOMES[0])
    world.checks.sent(process, cookie, HOMES[0], ())
    if sealed:
        with pytest.raises(Broken, match="to a stranger"):
            world.checks.sent(process, ack, HOMES[0], ())
    else:
        world.checks.sent(process, ack, HOMES[0], ())


@pytest.mark.parametrize("sealed", [False, True])
def test_a_twin_is_refused_and_its_original_not_suspected(sealed: bool) -> None:
    world = calm(sealed=sealed)
    world.simulation.advance(5)
    events = world.checks.tally.copy()
    twin = twin_of(world, 1)
    assert twin.node.node_id == world.at(1).node.node_id
    assert twin.node._seal is not world.at(1).node._seal or not sealed
    world.simulation.advance(60)
    assert world.checks.tally["refused: elsewhere"] > 20
    assert world.checks.tally["twin taken in"] == 0
    for what in ("status suspect", "status dead", "NodeSuspected", "NodeFailed"):
        assert world.checks.tally[what] == events[what]
    assert not any(process.node.stats.refutations for process in world.running.values())
    # The twin itself is cut off, and finds that out.
    assert not any(each.status is Status.ALIVE for each in others(twin))
    world.come_to_rest()
    assert not twin.running


def others(process: Process) -> list[NodeRegister]:
    node = process.node
    return [each for each in node.state.replica.nodes.values() if each.node_id != node.node_id]


def test_who_listens_to_a_twin_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Admission, "_may_speak", lambda *_: True)
    world = calm()
    twin_of(world, 1)
    broken(world, "admission", "listened to the twin")


@pytest.mark.parametrize("periods", FAULTS["clock ahead"].amount.usual)  # type: ignore[union-attr]
def test_a_clock_that_is_far_ahead_does_no_harm(periods: float) -> None:
    world = calm(4)
    FAULTS["clock ahead"].act(world, 1, periods)
    world.simulation.advance(40)
    assert world.checks.tally["status suspect"] == 0
    crashed = world.at(2)
    world.simulation.crash(crashed, silent=True)
    world.simulation.advance(20)
    assert all(len(process.node.state.live) == 3 for process in world.running.values())
    world.come_to_rest()


def test_who_speaks_another_version_is_counted_and_gets_nothing() -> None:
    out = io.StringIO()
    world = calm(watchers=[Trace(out)])
    FAULTS["other version"].act(world, 0, 0.0)
    world.simulation.advance(10)
    other = next(
        each for each in world.simulation.processes.values() if each.address in world.checks.outsiders
    )
    assert f"{other.address!s:<18} > {world.at(0).address!s:<18} Proof Ping" in out.getvalue()
    ours, target = sent_by(world, 0)
    assert other.node.receive(ours, target.address, world.simulation.now) == "version"
    for process in world.running.values():
        assert process.node.stats.refused["version"] > 2
        assert len(process.node.state.replica.nodes) == 3
    world.come_to_rest()
    world.checks.outsiders[address_of(88)] = "other version"
    with pytest.raises(Broken, match="another version"):
        world.checks.sent(world.at(0), sent_by(world, 0)[0], address_of(88), ())


def test_a_flood_of_changes_settles_after_it_stops() -> None:
    world = calm()
    FAULTS["flood"].act(world, 1, 100.0)
    world.simulation.advance(1)
    assert world.checks.tally["MemberCapabilitiesUpdated"] > 10
    world.simulation.advance(4)
    assert world.checks.missing(world.running.values()) == []
    last = [process.node.state.views["red"]["member-1"].capabilities for process in world.running.values()]
    assert last == [encode_capabilities([199])] * 3


TWO_VOICES = """
{"seed": 20463, "nodes": 3, "up": 3, "head_start": 0.5, "together": 1, "groups": ["red", "green"],
 "recorded": 0.2, "forget_after": 20.0, "steps": [
    {"do": "partition", "sides": [[0]]}, {"do": "fault", "what": "twin", "place": 1},
    {"do": "wait", "seconds": 8.0}, {"do": "fault", "what": "crash", "place": 2},
    {"do": "operate", "what": "join or create", "place": 1, "group": "green", "apt": false},
    {"do": "fault", "what": "crash", "place": 2}, {"do": "wait", "seconds": 0.5},
    {"do": "fault", "what": "start", "place": 0}, {"do": "partition", "sides": [[1]]},
    {"do": "wait", "seconds": 0.5}]}
"""
"""A node that starts anew listens to the twin of one that has settled with others before."""


def test_a_node_and_its_twin_may_witness_two_views_at_one_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = load(TWO_VOICES)
    finish(schedule, begin(schedule, []))
    monkeypatch.setattr(Settled, "_has_one_voice", lambda self, nodes: bool(nodes))
    with pytest.raises(Broken, match=r"agreement: .* settled root differently"):
        finish(schedule, begin(schedule, []))
