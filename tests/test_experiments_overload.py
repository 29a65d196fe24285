"""The overload experiment: it starves indeed, a cluster comes back, and its measures can tell a storm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.figure import Figure

from gossipgroups.config import Config
from gossipgroups.events import Event
from gossipgroups.operations import Outcome
from sims.engine import Cost, Process, Simulation, Watcher, address_of
from sims.experiments.overload import EXPERIMENT
from sims.experiments.overload.machines import CrowdedSimulation, Machine
from sims.experiments.overload.quiet import HOLD, Second, first_quiet, quiet_since
from sims.experiments.overload.run import COST, IDLE_NEED, Case, quiet_bound, run, trust_bound
from sims.measures.rows import number, numbers

CALM = Second(0.0, 20, 0, 0, 0, 0.0, 0, 0, settled=True)
IDLE = 20.0


class Turns(Watcher):
    """When each process had a turn."""

    def __init__(self) -> None:
        self.at: list[tuple[float, int]] = []

    def began(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        self.at.append((self.simulation.now, process.number))


def test_a_machine_gives_its_processors_to_so_many_at_a_time_and_in_order() -> None:
    turns = Turns()
    simulation = CrowdedSimulation(1, Config.lan(), cost=Cost(turn=0.1), watchers=[turns])
    machine = Machine(processors=2, speed=0.5)
    for place in range(5):
        simulation.place(simulation.start(address_of(place)), machine)
    turns.at.clear()
    simulation.advance(0.5)
    # Each turn keeps a processor for 0.1 / 0.5 s, so two begin every 0.2 s.
    assert [(round(at, 6), number) for at, number in turns.at] == [
        (0.0, 1), (0.0, 2), (0.2, 3), (0.2, 4), (0.4, 5),
    ]  # fmt: skip


def test_a_release_serves_those_who_wait_at_once() -> None:
    turns = Turns()
    simulation = CrowdedSimulation(1, Config.lan(), cost=Cost(turn=0.1), watchers=[turns])
    machine = Machine(processors=1, speed=0.001)
    for place in range(3):
        simulation.place(simulation.start(address_of(place)), machine)
    simulation.advance(1.0)
    turns.at.clear()
    simulation.set_speed(machine, 1.0)
    simulation.advance(0.15)
    assert [(round(at, 6), number) for at, number in turns.at] == [(1.0, 2), (1.1, 3)]


def test_an_idle_node_costs_what_the_benchmark_says() -> None:
    # docs/benchmarks.md: 0.65 to 0.80 ms of processor time per node and second.
    assert 0.00065 <= IDLE_NEED <= 0.0008
    assert COST.turn > COST.received


def test_quiet_needs_calm_seconds_on_end() -> None:
    loud = replace(CALM, sent=25)
    assert first_quiet([CALM] * (HOLD - 1), IDLE) is None
    assert first_quiet([loud] + [CALM] * HOLD, IDLE) == 1
    assert first_quiet([CALM] * (HOLD - 1) + [loud] + [CALM] * HOLD, IDLE) == HOLD
    assert quiet_since([CALM] * HOLD + [loud], IDLE) is None
    assert quiet_since([loud] + [CALM] * HOLD, IDLE) == 1


@pytest.mark.parametrize(
    "unrest",
    [{"sent": 25}, {"suspicions": 1}, {"deaths": 1}, {"refutations": 1}, {"blind": 1}, {"settled": False}],
)
def test_each_kind_of_unrest_is_told_from_calm(unrest: dict[str, Any]) -> None:
    assert CALM.is_calm(IDLE)
    assert not replace(CALM, **unrest).is_calm(IDLE)


def test_a_starved_quarter_is_held_dead_and_comes_back_within_the_bound() -> None:
    case = Case("run", 16, "own", 1 / 10, "quarter", lasting=20.0, limit=120.0, seed=3)
    rows = run(case)
    print(case)
    assert sum(numbers(rows, "deaths")) > 0, "nobody was held dead: the starvation did nothing"
    assert sum(numbers(rows, "refutations")) > 0
    assert number(rows[0], "quiet_s") <= quiet_bound(Config.lan(), 16)
    assert number(rows[0], "trusted_s") <= trust_bound(Config.lan(), 16)
    assert rows[-1]["blind"] == 0


@pytest.mark.parametrize("machines", ["own", "shared"])
def test_all_starved_send_less_accuse_nobody_and_are_quiet_soon_after(machines: str) -> None:
    case = Case("run", 16, machines, 1 / 10, "all", lasting=20.0, limit=120.0, seed=3)
    rows = run(case)
    print(case)
    starved = [row for row in rows if number(row, "at_s") <= 0]
    assert max(numbers(starved, "awareness")) > 1, "nobody noticed that it was starved"
    assert max(numbers(starved[1:], "datagrams")) < number(rows[0], "idle") / 2
    assert sum(numbers(rows, "deaths")) == 0
    assert number(rows[0], "quiet_s") <= quiet_bound(Config.lan(), 16)


def test_a_start_under_starvation_becomes_whole() -> None:
    case = Case("start", 16, "shared", 1 / 30, "all", lasting=10.0, limit=120.0, seed=3)
    rows = run(case)
    print(case)
    assert any(row["blind"] for row in rows), "it was whole before it was released"
    assert number(rows[0], "quiet_s") <= quiet_bound(Config.lan(), 16)
    assert run(case) == rows
    tables = EXPERIMENT.tables(rows)
    assert tables[0].rows[0][:6] == ("start", 16, "shared", "all", "1/30", "1 of 1")
    EXPERIMENT.plot(rows, Figure())
