"""Contacts: seeds until they answer and now and then after, and each dead node about once per interval."""

from __future__ import annotations

import random
from itertools import pairwise
from math import inf

import pytest

from gossipgroups.config import Config
from gossipgroups.contacts import CATCH_UP, JOIN_GROWTH, PENDING, Contacts
from gossipgroups.ids import Address
from gossipgroups.registers import NodeRegister
from gossipgroups.state import State
from gossipgroups.status import Status
from gossipgroups.swim.probe import Numbers
from gossipgroups.wire.messages import Ack, Cookie, Ping
from tests.nodes import Wire, a_node, an_address, an_id

CONFIG = Config.lan()
ME = 0
SEED, OTHER_SEED = an_address(100), an_address(101)


class Rig:
    """The contacts of node 0 among n."""

    def __init__(self, nodes: int = 1) -> None:
        self.state = State(an_id(ME), 1000.0)
        for number in range(nodes):
            self.state.merge(a_node(number), 0.0)
        self.contacts = Contacts(
            self.state.replica,
            self.state.live,
            Numbers(random.Random(6)),
            CONFIG,
            random.Random(5),
            an_address(ME),
        )

    def due(self, now: float) -> list[Address]:
        return [peer.address for peer, _, _ in self.contacts.due(now)]

    def kill(self, number: int, now: float = 0.0) -> None:
        self.state.merge(a_node(number, 0, Status.DEAD), now)
        self.contacts.status_changed(an_id(number), Status.DEAD, now)

    def answer(self, now: float, digest: int) -> None:
        ((_, number, _),) = self.contacts.due(now)
        self.contacts.on_ack(an_id(99), Ack(number, digest))

    def times(self, until: float, now: float = 0.0) -> list[float]:
        """When something is due, up to a time."""
        times = []
        while (due := self.contacts.deadline) <= until:
            now = max(now, due)
            if self.due(now):
                times.append(now)
        return times


def test_without_seeds_nobody_is_contacted() -> None:
    rig = Rig(3)
    assert rig.contacts.deadline == inf
    assert rig.due(100.0) == []
    rig.contacts.seek((), 0.0)
    assert rig.contacts.deadline == inf
    assert rig.contacts.hopeless


def test_seeds_are_asked_at_once_and_often_and_then_ever_more_seldom() -> None:
    rig = Rig()
    rig.contacts.seek((SEED,), 0.0)
    times = rig.times(100.0)
    gaps = [second - first for first, second in pairwise(times)]
    assert times[0] == 0.0
    expected = CONFIG.join_retry
    for gap in gaps:
        assert 0.75 * expected <= gap <= 1.25 * expected
        expected = min(2 * expected, JOIN_GROWTH * CONFIG.join_retry)
    assert len(set(gaps)) == len(gaps)


def test_while_it_joins_it_asks_live_seeds_too_for_their_answer_may_be_lost() -> None:
    rig = Rig(2)
    rig.contacts.seek((an_address(ME), an_address(1), SEED), 0.0)
    assert set(rig.due(0.0)) == {an_address(1), SEED}


def test_only_seeds_that_are_neither_us_nor_live_nodes_are_asked_after_it() -> None:
    rig = Rig(2)
    rig.contacts.joined = True
    rig.contacts.seek((an_address(ME), an_address(1), SEED), 0.0)
    assert rig.due(0.0) == [SEED]
    rig.kill(1)
    assert set(rig.due(100.0)) == {an_address(1), SEED}


def test_an_answer_is_noted_and_new_seeds_are_then_asked_in_their_turn() -> None:
    rig = Rig()
    rig.contacts.seek((SEED,), 0.0)
    rig.answer(0.0, rig.state.replica.digest)
    assert rig.contacts.answered
    assert not rig.contacts.joined
    rig.contacts.turn_ended()
    assert rig.contacts.joined
    due = rig.contacts.deadline
    rig.contacts.seek((SEED, OTHER_SEED), 0.1)
    assert rig.contacts.seeds == (SEED, OTHER_SEED)
    assert rig.contacts.deadline == due


def test_new_seeds_are_asked_at_once_while_none_has_answered() -> None:
    rig = Rig()
    rig.contacts.seek((SEED,), 0.0)
    rig.due(0.0)
    rig.contacts.seek((SEED,), 0.1)
    assert rig.due(0.1) == []
    rig.contacts.seek((SEED, OTHER_SEED), 0.1)
    assert rig.due(0.1) == [SEED, OTHER_SEED]


def test_an_answer_of_a_stranger_does_not_count() -> None:
    rig = Rig()
    rig.contacts.seek((SEED,), 0.0)
    ((_, number, _),) = rig.contacts.due(0.0)
    rig.contacts.on_ack(an_id(99), Ack(number + 1, 0))
    assert not rig.contacts.answered


def test_a_joiner_asks_again_at_once_until_it_has_what_the_other_has_and_not_for_ever() -> None:
    rig = Rig()
    rig.contacts.seek((SEED,), 0.0)
    for _ in range(CATCH_UP):
        rig.answer(0.0, 12345)
        rig.contacts.turn_ended()
        assert not rig.contacts.joined
        assert rig.contacts.deadline == 0.0
    rig.answer(0.0, 12345)
    rig.contacts.turn_ended()
    assert rig.contacts.joined
    assert rig.due(0.0) == []
    rig.contacts.turn_ended()


def test_once_answered_the_seeds_are_asked_at_their_interval() -> None:
    rig = Rig()
    rig.contacts.seek((SEED,), 0.0)
    rig.answer(0.0, rig.state.replica.digest)
    rig.contacts.turn_ended()
    times = rig.times(100.0)
    gaps = [second - first for first, second in pairwise(times)]
    assert all(0.75 * CONFIG.seed_interval <= gap <= 1.25 * CONFIG.seed_interval for gap in gaps)
    assert len(gaps) > 10


def test_it_is_hopeless_when_every_seed_is_us_or_a_closed_port() -> None:
    rig = Rig()
    rig.contacts.seek((an_address(ME), SEED), 0.0)
    assert not rig.contacts.hopeless
    rig.contacts.on_refused(OTHER_SEED)
    assert not rig.contacts.hopeless
    rig.contacts.on_refused(SEED)
    assert rig.contacts.hopeless
    assert rig.due(0.0) == [SEED]
    rig.contacts.seek((SEED, OTHER_SEED), 0.0)
    assert not rig.contacts.hopeless


def test_a_seed_that_brings_our_own_datagram_back_is_us() -> None:
    rig = Rig()
    rig.contacts.seek((SEED,), 0.0)
    ((_, number, _),) = rig.contacts.due(0.0)
    rig.contacts.on_own([Ping(number + 1, 0, 0)], SEED)
    assert not rig.contacts.own_seed
    rig.contacts.on_own([Ping(number, 0, 0)], an_address(77))
    assert not rig.contacts.own_seed, "it came back from elsewhere"
    rig.contacts.on_own([Ping(number, 0, 0)], SEED)
    assert rig.contacts.own_seed
    assert rig.contacts.hopeless


def test_a_seed_that_seemed_to_be_us_is_asked_on_and_may_answer() -> None:
    """A stranger that has recorded a question can send it back, be it sealed."""
    rig = Rig()
    rig.contacts.seek((SEED,), 0.0)
    ((_, number, _),) = rig.contacts.due(0.0)
    rig.contacts.on_own([Ping(number, 0, 0)], SEED)
    assert rig.contacts.own_seed
    ((peer, number, _),) = rig.contacts.due(100.0)
    assert peer.address == SEED
    rig.contacts.on_cookie(an_id(7), Cookie(number, bytes(8)), 100.0)
    assert not rig.contacts.own_seed
    assert not rig.contacts.hopeless


def test_a_closed_port_that_answers_later_is_not_hopeless() -> None:
    rig = Rig()
    rig.contacts.seek((SEED,), 0.0)
    rig.contacts.on_refused(SEED)
    rig.answer(0.0, 0)
    assert not rig.contacts.hopeless


@pytest.mark.parametrize(("live", "dead"), [(1, 1), (1, 4), (5, 1), (20, 10)])
def test_each_dead_node_is_called_about_once_per_interval_by_somebody(live: int, dead: int) -> None:
    rig = Rig(live + dead)
    for number in range(live, live + dead):
        rig.kill(number)
    called = len(rig.times(2000.0))
    # This node's share; each call is to one of the dead. With more dead than live it calls one each time.
    expected = 2000 / CONFIG.reach_interval * min(1.0, dead / live)
    assert 0.85 * expected < called < 1.15 * expected


def test_calls_go_to_all_the_dead() -> None:
    rig = Rig(4)
    for number in (1, 2, 3):
        rig.kill(number)
    called = set()
    for _ in range(100):
        due = rig.contacts.deadline
        called |= set(rig.due(due))
    assert called == {an_address(1), an_address(2), an_address(3)}


def test_the_dead_whose_port_is_closed_are_called_rarely() -> None:
    rig = Rig(2)
    rig.kill(1)
    often = len(rig.times(10_000.0))
    rig.contacts.on_refused(an_address(1))
    rarely = len(rig.times(110_000.0, 10_000.0))
    # Its port may be closed, or a firewall says so that is opened again one day.
    assert often / 2 < rarely < 2 * often
    rig.contacts.forget(an_id(1))
    rig.times(120_000.0, 110_000.0)
    assert rig.contacts.deadline == inf


def test_who_is_found_dead_once_more_is_called_as_often_as_others() -> None:
    rig = Rig(2)
    rig.kill(1)
    rig.contacts.on_refused(an_address(1))
    rig.contacts.status_changed(an_id(1), Status.DEAD, 1.0)
    assert len(rig.contacts._dead) + len(rig.contacts._closed) == 1
    assert rig.times(20.0, 1.0) != []


def test_nodes_that_a_firewall_parts_by_rejecting_come_together_again() -> None:
    wire = Wire(3)
    wire.run(3)
    seed, *others = wire.nodes
    seed.leave(wire.now)
    wire.turn(seed)
    wire.run(2)
    wire.crash(seed)
    wire.cut = lambda source, target: True
    wire.closed_ports_answer = True
    open_ports = dict(wire._at)
    wire._at.clear()
    wire.run(40)
    assert [len(node.state.live) for node in others] == [1, 1]
    wire.cut = lambda source, target: False
    wire._at.update(open_ports)
    # Each calls the other in one of ten intervals, on average.
    assert wire.run_until(lambda: [len(node.state.live) for node in others] == [2, 2], 600)


def test_live_nodes_that_refuse_are_not_taken_for_gone() -> None:
    rig = Rig(2)
    rig.contacts.on_refused(an_address(1))
    rig.kill(1)
    assert rig.times(20.0) != []


@pytest.mark.parametrize("taken_by", [ME, 2])
def test_the_dead_whose_address_another_has_are_called_no_more(taken_by: int) -> None:
    rig = Rig(3)
    moved = NodeRegister(an_id(1), 0, Status.DEAD, an_address(taken_by), "n1")
    rig.state.merge(moved, 0.0)
    rig.contacts.status_changed(an_id(1), Status.DEAD, 0.0)
    assert rig.times(100.0) == []
    assert rig.contacts.deadline == inf


def test_the_departed_are_not_called() -> None:
    rig = Rig(2)
    rig.state.merge(a_node(1, 0, Status.LEFT), 0.0)
    rig.contacts.status_changed(an_id(1), Status.LEFT, 0.0)
    assert rig.contacts.deadline == inf


def test_a_node_that_came_back_after_a_refusal_is_called_when_it_is_cut_off_later() -> None:
    rig = Rig(2)
    rig.kill(1)
    rig.contacts.on_refused(an_address(1))
    rig.state.merge(a_node(1, 1), 10.0)
    rig.contacts.status_changed(an_id(1), Status.ALIVE, 10.0)
    rig.state.merge(a_node(1, 1, Status.DEAD), 20.0)
    rig.contacts.status_changed(an_id(1), Status.DEAD, 20.0)
    assert rig.times(60.0, 20.0) != []


def test_unanswered_contacts_are_bounded() -> None:
    rig = Rig()
    seeds = tuple(an_address(number) for number in range(1, PENDING + 50))
    rig.contacts.seek(seeds, 0.0)
    numbers = [number for _, number, _ in rig.contacts.due(0.0)]
    assert len(numbers) == len(seeds)
    rig.contacts.on_ack(an_id(99), Ack(numbers[0], 0))
    assert not rig.contacts.answered
    rig.contacts.on_ack(an_id(99), Ack(numbers[-1], 0))
    assert rig.contacts.answered
