"""The tuning experiment in small: knobs do what the document says that they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from gossipgroups.config import Config
from sims.experiments.experiment import Row, Scale
from sims.experiments.tuning import EXPERIMENT, KNOBS, Case, run
from sims.measures.rows import number

TINY = Case("silent_timeout", 0.8, nodes=6, seconds=60.0, joins=2, crashes=3, seed=2)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return _rows(0.2, 0.8, 3.2)


def _rows(*values: float) -> list[Row]:
    return [row for value in values for row in run(replace(TINY, value=value))]


def _column(rows: Sequence[Row], column: str) -> list[float]:
    return [number(row, column) for row in rows]


def test_a_longer_silence_finds_machines_later_and_forgives_pauses(rows: list[Row]) -> None:
    times, dead = _column(rows, "machine_s"), _column(rows, "paused_dead")
    assert max(times[:2]) < times[2] - 1
    assert dead[0] > dead[2]
    assert _column(rows, "false_deaths") == [0, 0, 0]


def test_one_case_has_one_row(rows: list[Row]) -> None:
    assert _rows(0.8) == [rows[1]]


def test_tables_and_plot(rows: list[Row]) -> None:
    (table,) = EXPERIMENT.tables(rows)
    assert [row[:2] for row in table.rows] == [
        ("silent_timeout", "0.2"),
        ("silent_timeout", "**0.8**"),
        ("silent_timeout", "3.2"),
    ]
    drawing = Figure()
    EXPERIMENT.plot(rows, drawing)
    # Times, multiples and pauses of one knob, and two places that are left.
    assert [len(axes.get_lines()) for axes in drawing.axes] == [6, 0, 0, 1]
    assert [axes.get_legend() is not None for axes in drawing.axes] == [False, True, False, False]


@pytest.mark.parametrize("quick", [True, False])
def test_every_knob_is_tried_at_its_usual_value_too(quick: bool) -> None:
    for case in EXPERIMENT.cases(Scale(quick, 0)):
        Config.lan().but(**{case.knob: case.value})
    for knob, values in KNOBS.items():
        assert getattr(Config.lan(), knob) in values
        assert list(values) == sorted(set(values))
