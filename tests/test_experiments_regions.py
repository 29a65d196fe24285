"""The five regions in small: distances bound what is measured, and a cut shows on both sides."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from itertools import combinations
from random import Random

import pytest
from matplotlib.figure import Figure

from gossipgroups.ids import Address
from gossipgroups.testing.medium import HEADER_BYTES
from sims.engine import Simulation, address_of
from sims.experiments.experiment import Row, Scale
from sims.experiments.regions import EXPERIMENT, LOSSES, PRESETS
from sims.experiments.regions.run import Case, run
from sims.experiments.regions.world import REGIONS, ROUND_TRIPS, World, one_way, region_of, soonest
from sims.measures.accused import Accused
from sims.measures.cluster import make_whole, start_nodes
from sims.measures.crossings import Crossings
from sims.measures.rows import number, numbers

TINY = Case("lan", 10, 0.01, seed=3)


def of(rows: list[Row], what: str) -> list[Row]:
    return [row for row in rows if row["what"] == what]


def test_every_pair_of_regions_has_its_round_trip() -> None:
    assert set(ROUND_TRIPS) == set(map(frozenset, combinations(REGIONS, 2)))
    assert soonest("Tokyo") == pytest.approx((0.285 + 0.328) / 2)


def test_a_line_is_that_of_the_regions_of_its_ends() -> None:
    simulation = Simulation(1)
    world = World(simulation, 10)
    chance = Random(1)
    for source in range(10):
        for target in set(range(10)) - {source}:
            times = sorted(
                simulation.medium.carry(address_of(source), address_of(target), 100, 0.0, chance)[0]
                for _ in range(201)
            )
            assert times[100] == pytest.approx(one_way(region_of(source), region_of(target)), rel=0.2)
    world.lose(1.0)
    assert not simulation.medium.carry(address_of(0), address_of(1), 100, 0.0)
    assert simulation.medium.carry(address_of(0), address_of(5), 100, 0.0), "they are in one region"


def test_in_a_spike_some_datagrams_of_one_region_are_late_and_no_others() -> None:
    simulation = Simulation(1)
    World(simulation, 5).spike()
    late = set()
    for source, target in (
        (source, target) for source in range(5) for target in range(5) if source != target
    ):
        times = [
            simulation.medium.carry(address_of(source), address_of(target), 100, 0.0)[0] for _ in range(300)
        ]
        if max(times) > 3 * one_way(region_of(source), region_of(target)):
            late.add(frozenset((source, target)))
    assert len(late) == 4
    assert len(frozenset.intersection(*late)) == 1
    simulation.advance(6.0)
    assert simulation.medium.between[address_of(0).host, address_of(1).host].latency.sigma == 0.1  # type: ignore[attr-defined]


def test_news_is_no_faster_than_the_distances_allow_and_crashes_are_found() -> None:
    rows = run(replace(TINY, changes=2, crashes=1))
    print(rows)
    assert [row["what"] for row in rows] == ["change"] * 4 + ["process", "machine"]
    for row in of(rows, "change"):
        # Jitter may help on each of two ways.
        assert number(row, "last_s") > 0.7 * number(row, "soonest_s")
        assert (row["missed"], row["unconverged"]) == (0, 0)
    (process,), (machine,) = of(rows, "process"), of(rows, "machine")
    assert number(process, "first_s") < number(process, "last_s") < number(machine, "first_s")
    tables = EXPERIMENT.tables(rows)
    assert tables[0].rows[0][:4] == ("lan", 10, "1%", 4)
    assert [row[2] for row in tables[1].rows] == ["process, port refused", "machine, silence"]
    EXPERIMENT.plot(rows, Figure())


def test_a_region_that_is_cut_off_for_long_is_told_gone_and_comes_back() -> None:
    (row,) = run(replace(TINY, loss=0.0, long_cuts=1))
    print(row)
    assert (row["one_told"], row["others_told"], row["inside"]) == (1, 1, 0)
    assert 3 < number(row, "others_told_s") < 180
    assert number(row, "whole_s") < 30
    assert EXPERIMENT.tables([row])[2].rows[0][:5] == ("lan", 10, "0%", 180, 1)


def test_what_was_not_told_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("sims.experiments.regions.run"), "CUT", 0.2)
    (row,) = run(replace(TINY, loss=0.0, cuts=1))
    assert (row["one_told"], row["one_told_s"], row["others_told_s"]) == (0, None, None)
    assert EXPERIMENT.tables([row])[2].rows[0][5:9] == (0, None, 0, None)


def test_at_rest_most_is_sent_across_regions() -> None:
    rows = run(replace(TINY, loss=0.0, rest_s=20.0, spikes_s=20.0))
    rest, spikes = rows
    assert (rest["suspicions"], rest["deaths"], rest["seconds"]) == (0, 0, 20.0)
    # A ping and an ack for each node and second, and what a late ack costs.
    assert 10 * 20 * 2 <= number(rest, "datagrams") < 10 * 20 * 4
    # Of nine others, one is in the same region.
    assert number(rest, "datagrams_across") / number(rest, "datagrams") == pytest.approx(8 / 9, abs=0.05)
    assert number(rest, "bytes") > HEADER_BYTES * number(rest, "datagrams")
    assert [line[2] for line in EXPERIMENT.tables(rows)[3].rows] == ["0% lost", "great jitter"]
    assert spikes["what"] == "spikes"


def test_accusations_count_once_while_their_subject_runs_and_never_after() -> None:
    accused = Accused()
    simulation = Simulation(1, watchers=[accused])
    processes = start_nodes(simulation, 6)
    make_whole(simulation)
    simulation.pause(processes[1])
    simulation.advance(20.0)
    assert list(accused.suspected.values()) == list(accused.dead.values()) == [processes[1]]
    accused.restart()
    simulation.resume(processes[1])
    simulation.crash(processes[2], silent=True)
    simulation.advance(20.0)
    assert len(processes[0].node.state.live) == 5, "the crash was found"
    assert processes[2] not in (*accused.suspected.values(), *accused.dead.values())


def test_crossings_tell_what_leaves_a_region() -> None:
    crossings = Crossings()
    simulation = Simulation(1, watchers=[crossings])
    crossings.region_of = World(simulation, 10).region_of
    one, same, other = (simulation.start(address_of(place)) for place in (0, 5, 1))
    crossings.restart()
    for target in (same, other):
        crossings.sent(one, b"12", Address(target.host, 1), ())
    assert (crossings.datagrams, crossings.datagrams_across) == (2, 1)
    assert (crossings.bytes, crossings.bytes_across) == (2 * (2 + HEADER_BYTES), 2 + HEADER_BYTES)


def test_one_seed_has_one_result() -> None:
    case = replace(TINY, loss=0.02, changes=1, rest_s=10.0)
    assert run(case) == run(case)
    assert numbers(run(replace(case, seed=4)), "bytes") != numbers(run(case), "bytes")


def test_presets_are_put_through_the_same() -> None:
    for quick in (False, True):
        cases = EXPERIMENT.cases(Scale(quick, 5))
        lan, wan = ([replace(case, preset="") for case in cases if case.preset == name] for name in PRESETS)
        assert lan == wan
        assert {case.loss for case in cases} == set(LOSSES)
        assert {bool(case.spikes_s) for case in cases} == {False, True}
