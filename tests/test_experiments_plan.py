"""The experiment that holds predictions against measurements, in small."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from sims.experiments.experiment import Row, Scale
from sims.experiments.plan import EXPERIMENT, LOSSES, Case, ratio, run
from sims.measures.rows import grouped, number

TINY = Case("lan", 5, idle_periods=20, joins=10, crashes=2, seed=1)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(run(TINY))


def test_every_figure_is_measured_under_every_loss(rows: list[Row]) -> None:
    figures = grouped(rows, "figure")
    everywhere = {name for (name,), some in figures.items() if [row["loss"] for row in some] == list(LOSSES)}
    assert everywhere == {
        *("idle, datagrams", "idle, bytes", "false suspicions", "change, p50", "change, p99"),
        *("process crash, p50", "machine crash, p50"),
    }
    assert {name for (name,) in figures} - everywhere == {
        *("change, datagrams", "change, bytes", "memory, bytes"),
    }


def test_what_is_certain_is_predicted_exactly(rows: list[Row]) -> None:
    (idle,) = (row for row in rows if row["figure"] == "idle, datagrams" and not row["loss"])
    assert number(idle, "measured") == pytest.approx(number(idle, "predicted"), rel=0.02)


def test_a_figure_that_was_not_measured_has_no_ratio(rows: list[Row]) -> None:
    (none,) = (row for row in rows if row["figure"] == "false suspicions" and not row["loss"])
    assert none["measured"] == 0
    assert number(none, "predicted") < 1e-9
    assert ratio(none) is None


def test_tables_and_plot(rows: list[Row]) -> None:
    summary, misses = EXPERIMENT.tables(rows)
    within = [str(row[-1]).split(" of ") for row in summary.rows if row[-1] is not None]
    assert len(misses.rows) == sum(int(all_) - int(some) for some, all_ in within)
    counted = {row[0]: row[-1] for row in summary.rows}
    assert counted["idle, datagrams"] == "4 of 4"
    assert counted["false suspicions"] is None
    drawing = Figure()
    EXPERIMENT.plot(rows, drawing)
    times, traffic = drawing.axes
    # One line for each figure, and three for where it should be.
    assert (len(times.get_lines()), len(traffic.get_lines())) == (4 + 3, 5 + 3)


@pytest.mark.parametrize("quick", [True, False])
def test_one_cluster_for_each_preset_and_size(quick: bool) -> None:
    cases = EXPERIMENT.cases(Scale(quick, 0))
    assert len({(case.preset, case.nodes) for case in cases}) == len(cases)
    assert {case.preset for case in cases} == {"local", "lan", "wan"}
