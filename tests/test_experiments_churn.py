"""The churn experiment in small."""

from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from sims.experiments.churn import EXPERIMENT, HOLD_BACK, Case, run
from sims.experiments.experiment import Row, Scale
from sims.measures.rows import number

AT_ONCE = Case(nodes=8, loss=0.05, rate=60.0, hold_back=0.0, seconds=4.0, seed=2)
HELD_BACK = replace(AT_ONCE, hold_back=HOLD_BACK)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [*run(AT_ONCE), *run(HELD_BACK)]


def test_the_same_changes_are_made_and_all_are_told(rows: list[Row]) -> None:
    at_once, held_back = rows
    assert at_once["changes"] == held_back["changes"]
    assert 150 < number(at_once, "changes") < 350
    assert at_once["untold"] == held_back["untold"] == 0


def test_holding_back_waits_and_settles_more(rows: list[Row]) -> None:
    at_once, held_back = rows
    assert at_once["held_s"] == 0
    assert 0 < number(held_back, "held_s") < HOLD_BACK
    # At this rate and loss a member changes again before its last change was told.
    assert number(at_once, "unconverged") > number(held_back, "unconverged")


def test_few_changes_all_converge() -> None:
    (row,) = run(Case(nodes=8, loss=0.0, rate=1.0, hold_back=0.0, seconds=8.0, seed=2))
    assert row["unconverged"] == 0
    # Each of the nine watchings of a change, and the creation of the group at each.
    assert row["events"] == 8 * (number(row, "changes") + 1)
    assert 0 < number(row, "p50_s") <= number(row, "p99_s") < 0.1


def test_tables_and_plot(rows: list[Row]) -> None:
    (table,) = EXPERIMENT.tables(rows)
    assert [row[:3] for row in table.rows] == [(8, "5%", 60.0)]
    drawing = Figure()
    EXPERIMENT.plot(rows, drawing)
    assert [len(axes.get_lines()) for axes in drawing.axes] == [2, 2]


@pytest.mark.parametrize("quick", [True, False])
def test_every_case_has_its_counterpart(quick: bool) -> None:
    cases = EXPERIMENT.cases(Scale(quick, 0))
    held = {replace(case, hold_back=0.0) for case in cases if case.hold_back}
    assert held == {case for case in cases if not case.hold_back}
