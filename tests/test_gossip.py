"""Whom news goes to: along trees what is about groups, at random the rest."""

from __future__ import annotations

from collections import Counter

import pytest

from gossipgroups.config import Config
from gossipgroups.gossip import BESIDE_TREES
from gossipgroups.groups.rules import Create, Join
from gossipgroups.node import Node
from gossipgroups.spanning import BRANCHES
from gossipgroups.status import Status
from gossipgroups.wire.messages import Rumours
from tests.nodes import NOTHING, Wire, opened

LAN = Config.lan()
NODES = 40


def _at_rest(nodes: int = NODES) -> Wire:
    wire = Wire(nodes)
    assert wire.run_until(wire.agree, 5)
    wire.run(3)
    wire.sent.clear()
    return wire


def _told(wire: Wire, *, alone: bool = False) -> list[tuple[Node, Node]]:
    """Who has sent rumours to whom; `alone`: in datagrams with nothing else."""
    which = all if alone else any
    at = {node.state.own.address: node for node in wire.nodes}
    return [
        (source, at[target])
        for _, source, datagram, target in wire.sent
        if which(isinstance(section, Rumours) for section in opened(datagram).sections)
    ]


def _come_to_all(wire: Wire, group: str, within: float) -> bool:
    """Whether all that run hear of a group within so many seconds."""
    return wire.run_until(lambda: all(group in node.state.replica.groups for node in wire.running), within)


def test_news_of_a_group_comes_to_all_in_few_hops_with_about_two_datagrams_each() -> None:
    wire = _at_rest()
    wire.submit(wire.nodes[7], Create("g"))
    started = wire.now
    assert _come_to_all(wire, "g", LAN.gossip_interval / 2)
    assert wire.now - started <= 4.01 * wire.delay, "two hops up to the root, and two down"
    wire.run(LAN.gossip_interval / 4)
    # Each edge of the tree once, or twice where both ends had it from others at the same time.
    assert len(_told(wire, alone=True)) <= 2 * (NODES - 1) + BESIDE_TREES * NODES
    assert max(Counter(source for source, _ in _told(wire)).values()) >= BRANCHES


def test_news_of_a_node_goes_to_as_many_as_a_round_has() -> None:
    wire = _at_rest()
    node = wire.nodes[3]
    told = node.state.own.become(Status.ALIVE, 1)
    node._learn(told, wire.now)
    wire.turn(node)
    assert len(_told(wire)) == LAN.fanout


@pytest.mark.parametrize("first", [1, 9, 17, 25, 33])
def test_the_news_comes_to_all_past_a_node_that_is_gone_and_not_missed_yet(first: int) -> None:
    wire = _at_rest()
    for node in wire.nodes[first : first + 6]:
        wire.crash(node)
    wire.submit(wire.nodes[0], Create("g"))
    assert _come_to_all(wire, "g", 3 * LAN.gossip_interval)


def test_when_few_are_there_all_are_told_at_once() -> None:
    wire = _at_rest(LAN.fanout + 1)
    wire.submit(wire.nodes[1], Create("g"))
    assert [source for source, _ in _told(wire)] == [wire.nodes[1]] * LAN.fanout


def test_much_at_once_goes_to_as_many_as_a_round_has() -> None:
    wire = _at_rest()
    node = wire.nodes[3]
    for each in range(3):
        node.submit(Join(f"g{each}", "a", NOTHING, create=True), wire.now)
    wire.turn(node)
    assert 1 <= len(_told(wire, alone=True)) <= LAN.fanout, "some bring bits, too"
    assert all(_come_to_all(wire, f"g{each}", 1) for each in range(3))


def test_news_goes_on_at_random_when_the_budget_is_too_small_for_a_tree() -> None:
    wire = Wire(NODES, config=LAN.but(news_rate=4 * LAN.fanout))
    assert wire.run_until(wire.agree, 5)
    wire.run(3)
    for each in range(4):
        wire.sent.clear()
        group = f"g{each}"
        wire.submit(wire.nodes[each], Create(group))
        assert _come_to_all(wire, group, 3)
        assert max(Counter(source for source, _ in _told(wire, alone=True)).values()) < BRANCHES
        wire.run(2)


def test_a_rumour_is_told_again_after_the_interval_while_it_has_not_settled() -> None:
    wire = _at_rest()
    asleep = wire.nodes[9]
    wire.pause(asleep)
    wire.submit(wire.nodes[0], Create("g"))
    wire.run(LAN.gossip_interval / 2)
    wire.sent.clear()
    wire.run(LAN.gossip_interval)
    rounds = [source for source, _ in _told(wire)]
    assert len(rounds) >= LAN.fanout * (NODES - 1) / 2, "each node that has it tells it again"
