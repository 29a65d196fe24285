"""The partition experiment: sides drift apart, the heal is whole, and its measures tell when it is not."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from sims.engine import Simulation, address_of
from sims.experiments import partition
from sims.experiments.partition import EXPERIMENT, Case, run
from sims.measures.cluster import is_whole, make_whole, start_nodes
from sims.measures.rows import number

SMALL: dict[str, Any] = {"smallest": 8, "largest": 10, "longest": 30.0}


def test_partitions_heal_and_tell_no_false_leave() -> None:
    rows = [row for seed in range(3) for row in run(Case(seed, **SMALL))]
    print(rows)
    assert any(row["parted"] for row in rows), "nobody was held dead on any side"
    assert all(number(row, "changes") > 0 for row in rows)
    assert all(0 < number(row, "equal_s") <= number(row, "settled_s") < 15 for row in rows)
    assert not any(row["false_leaves"] for row in rows)
    table = EXPERIMENT.tables(rows)[0]
    assert table.rows[-1][:2] == ("all", "3 of 3")
    EXPERIMENT.plot(rows, Figure())


@pytest.mark.parametrize("seed", [105, 225, 275])
def test_a_side_that_suspects_buries_nobody_after_the_heal(seed: int) -> None:
    # One side said suspect, another had said dead: others once believed both together.
    (row,) = run(Case(seed))
    assert row["false_leaves"] == 0


def test_one_seed_has_one_result() -> None:
    assert run(Case(5, **SMALL)) == run(Case(5, **SMALL))


def test_a_partition_that_does_not_heal_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "LIMIT", 2.0)
    monkeypatch.setattr("gossipgroups.testing.medium.Medium.mend", lambda medium: None)
    (row,) = run(Case(1, **SMALL))
    assert row["equal_s"] is None
    assert row["settled_s"] is None
    assert EXPERIMENT.tables([row])[0].rows[-1][1] == "0 of 1"


def test_a_cluster_is_whole_only_when_all_hold_the_same() -> None:
    simulation = Simulation(1)
    processes = start_nodes(simulation, 4)
    assert not is_whole(processes)
    make_whole(simulation)
    assert is_whole(processes)
    simulation.start(address_of(9), seeds=[address_of(0)])
    simulation.advance(1.0)
    assert not is_whole(processes), "one more node is held alive than there should be"
