"""The Rapid experiment in small: ten faults become two, 1,000 nodes a dozen."""

from __future__ import annotations

from functools import cache

import pytest
from matplotlib.figure import Figure

from gossipgroups.config import Config
from gossipgroups.testing.medium import HEADER_BYTES, Line
from sims.engine import Simulation, address_of
from sims.experiments.experiment import Row, Scale
from sims.experiments.rapid import EXPERIMENT, MOST_NODES
from sims.experiments.rapid.scenarios import FAULTS, SPREADS, Case, run
from sims.measures.membership import Membership
from sims.measures.traffic import Traffic

SMALL = {
    "machines crash": 30.0,
    "processes crash": 5.0,
    "ingress flips": 40.0,
    "egress loss": 5.0,
    "ingress loss": 5.0,
}


@cache
def rows_of(scenario: str) -> list[Row]:
    return run(Case(scenario, nodes=12, seed=3, watched=SMALL.get(scenario, 0.0), faulty=2))


def figure(scenario: str, name: str) -> float:
    values = [row["value"] for row in rows_of(scenario) if row["figure"] == name and row["at"] is None]
    assert len(values) == 1, (scenario, name, values)
    assert isinstance(values[0], int | float), (scenario, name, values)
    return values[0]


def test_a_start_is_seen_by_all_and_settles_in_few_views() -> None:
    assert 0 < figure("start", "all see all, s") <= figure("start", "all settled, s") < 5
    assert 1 < figure("start", "settled views") <= 10
    assert figure("start", "removals") == 0


def test_each_of_those_that_join_one_after_the_other_makes_a_view() -> None:
    assert figure("start over 10 s", "settled views") > figure("start", "settled views")


def test_a_crash_is_known_to_all_and_costs_no_healthy_node() -> None:
    assert figure("machines crash", "all ten known to all, s") >= figure("machines crash", "first removal, s")
    assert figure("machines crash", "removals of each faulty") == 1
    assert figure("machines crash", "held live at the end") == 0
    assert figure("machines crash", "false removals") == 0
    assert figure("machines crash", "settled views") >= 2


def test_a_closed_port_is_known_at_once() -> None:
    assert figure("processes crash", "all ten known to all, s") < 1.3
    assert figure("machines crash", "first removal, s") > 1.3


def test_a_deaf_node_is_removed_and_comes_back() -> None:
    assert figure("ingress flips", "removals of each faulty") >= 0.5
    assert figure("ingress flips", "held live at the end") == 1
    assert figure("ingress flips", "false removals") == 0


@pytest.mark.parametrize("scenario", ["egress loss", "ingress loss"])
def test_loss_at_some_removes_no_other(scenario: str) -> None:
    assert figure(scenario, "false removals") == 0
    assert figure(scenario, "sent mean, KB/s") > figure("machines crash", "sent mean, KB/s")


def test_tables_and_plot() -> None:
    rows = [row for scenario in (*SPREADS, *FAULTS) for row in rows_of(scenario)]
    start, faults, rates = EXPERIMENT.tables(rows)
    assert [row[0] for row in start.rows] == ["memberlist", "Rapid", *SPREADS]
    assert [row[0] for row in faults.rows] == list(FAULTS)
    assert len(rates.rows) == 3 + len(SPREADS) + len(FAULTS)
    drawing = Figure()
    EXPERIMENT.plot(rows, drawing)
    assert [axes.get_title() for axes in drawing.axes if axes.axison] == [*SPREADS, *FAULTS]


def test_the_cases_cover_every_scenario() -> None:
    for quick in (True, False):
        assert {case.scenario for case in EXPERIMENT.cases(Scale(quick, 0))} == {*SPREADS, *FAULTS}
    assert max(case.nodes for case in EXPERIMENT.cases(Scale(False, 0))) == MOST_NODES


def test_equal_cases_have_equal_rows() -> None:
    case = Case("processes crash", nodes=8, seed=5, watched=3.0, faulty=1)
    assert run(case) == run(case)


def test_traffic_is_what_the_nodes_count() -> None:
    traffic = Traffic()
    simulation = Simulation(2, Config.lan(), line=Line(loss=0.2), watchers=[traffic])
    processes = [
        simulation.start(address_of(place), seeds=[address_of(0)] if place else []) for place in (0, 1, 2)
    ]
    simulation.advance(6.0)
    simulation.medium.line = Line(loss=1.0)
    simulation.advance(2.0)
    received, sent = traffic.rates(0, 8)
    for rate, count, size in ((received, "received", "received_bytes"), (sent, "sent", "sent_bytes")):
        total = sum(getattr(each.node.stats, size) for each in processes)
        headers = HEADER_BYTES * sum(getattr(each.node.stats, count) for each in processes)
        assert rate.mean * 1000 * 8 * len(processes) == pytest.approx(total + headers)
        assert rate.mean <= rate.highest
    assert received.mean < sent.mean
    without_one = traffic.rates(0, 8, {processes[0].address})
    assert without_one != (received, sent)


def test_a_live_set_told_at_the_deadline_is_no_settled_view() -> None:
    """Three nodes that hear nothing of each other: none learns that the others hold its view."""
    membership = Membership(1)
    config = Config.lan().but(convergence_deadline=0.3)
    simulation = Simulation(4, config, watchers=[membership])
    first = simulation.start(address_of(0))
    second = simulation.start(address_of(1), seeds=[address_of(0)])
    simulation.advance(3.0)
    membership.restart()
    assert membership.settled() == 1
    late = simulation.start(address_of(2), seeds=[address_of(0)])
    simulation.advance_until(lambda: len(first.node.state.live) == 3, within=1.0, every=0.0001)
    simulation.medium.partition([late.host], [second.host], [first.host])
    simulation.lose_in_flight(100)
    simulation.advance(0.4)  # nobody is suspected yet, and excused
    sight = membership.sights[first.address]
    assert (sight.size, sight.unconverged, len(sight.settled)) == (3, 1, 1)
    assert membership.settled() == 1
