"""Parts of the failure detector, left out: what is left is SWIM's, and does without them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from gossipgroups.ids import NodeId
from gossipgroups.status import Status
from gossipgroups.swim.live import LiveSet
from gossipgroups.swim.parts import Part
from gossipgroups.swim.shuffled import ShuffledOrder
from sims.engine import Process, Simulation, address_of
from tests.nodes import an_id


def _live(count: int) -> LiveSet:
    live = LiveSet()
    for number in range(count):
        live.add(an_id(number))
    return live


def _passes(order: ShuffledOrder, live: LiveSet, probes: int) -> list[tuple[NodeId, float]]:
    started = []
    for _ in range(probes):
        due = order.next(live, 5.0)
        assert due is not None
        started.append(due)
        order.done(live, 1, due[1])
    return started


@pytest.mark.parametrize("count", [2, 3, 8, 33])
def test_a_pass_probes_everybody_else_once_a_period_apart(count: int) -> None:
    live = _live(count)
    started = _passes(ShuffledOrder(live.ids[0], 0.5, Random(count)), live, 3 * (count - 1))
    assert set(Counter(target for target, _ in started).values()) == {3}
    assert live.ids[0] not in dict(started)
    assert all(later - due == pytest.approx(0.5) for (_, due), (_, later) in pairwise(started))
    assert 5.0 <= started[0][1] < 5.5


def test_an_answered_probe_brings_the_next_one_forward() -> None:
    live = _live(3)
    order = ShuffledOrder(live.ids[0], 1.0, Random(3))
    ((_, begun),) = _passes(order, live, 1)
    order.done(live, 3, 0.0)
    order.resume(live, begun + 1.0)
    due = order.next(live, begun + 1.0)
    assert due is not None
    assert due[1] == pytest.approx(begun + 2.0)


def test_the_passes_differ() -> None:
    live = _live(9)
    targets = [target for target, _ in _passes(ShuffledOrder(live.ids[0], 1.0, Random(1)), live, 16)]
    assert targets[:8] != targets[8:]


def test_one_that_is_gone_is_not_probed_and_nobody_probes_nobody() -> None:
    live = _live(3)
    order = ShuffledOrder(live.ids[0], 1.0, Random(2))
    due = order.next(live, 0.0)
    assert due is not None
    live.remove(due[0])
    other = order.next(live, 0.0)
    assert other is not None
    assert other[0] != due[0]
    live.remove(other[0])
    assert order.next(live, 0.0) is None


def _cluster(*omit: Part) -> tuple[Simulation, list[Process]]:
    simulation = Simulation(7)
    processes = [
        simulation.start(address_of(place), seeds=[address_of(0)] if place else [], omit=omit)
        for place in range(8)
    ]
    simulation.advance(10.0)
    return simulation, processes


def _statuses(processes: list[Process], subject: Process) -> set[Status]:
    return {each.node.state.replica.nodes[subject.node.node_id].status for each in processes}


@pytest.mark.parametrize("omit", [(), tuple(Part)], ids=["none", "all"])
def test_a_crash_is_found_with_and_without_all_of_them(omit: tuple[Part, ...]) -> None:
    simulation, processes = _cluster(*omit)
    dead = processes.pop()
    simulation.crash(dead, silent=True)
    assert simulation.advance_until(lambda: _statuses(processes, dead) == {Status.DEAD}, within=40.0)
    for each in processes:
        assert _statuses(processes, each) == {Status.ALIVE}


def test_without_even_probes_a_node_may_be_probed_twice_in_a_period() -> None:
    def probed(*omit: Part) -> set[int]:
        simulation, processes = _cluster(*omit)
        before = [each.node.stats.received for each in processes]
        simulation.advance(60.0)
        return {each.node.stats.received - old for each, old in zip(processes, before, strict=True)}

    assert max(probed(Part.EVEN_PROBES)) > max(probed())
