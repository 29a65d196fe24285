"""The Lifeguard experiment, in small: who stalls raises false positives, and what Lifeguard does about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from sims.experiments import lifeguard
from sims.experiments.experiment import Row, Scale
from sims.experiments.lifeguard import CONFIGURATIONS, Case

STALLING = Case("SWIM", lifeguard.ALPHA, stalled=6, stall=16.0, interval=0.5, seed=3)
"""Long enough that a stalled member's own suspicions run out."""


def _run(case: Case) -> Row:
    (row,) = lifeguard.run(replace(case, nodes=20, seconds=34.0))
    return row


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    return {name: _run(replace(STALLING, configuration=name)) for name in CONFIGURATIONS}


def test_stalled_members_of_plain_swim_declare_healthy_ones_dead(rows: dict[str, Row]) -> None:
    assert (
        int(rows["SWIM"]["false_positives"] or 0) >= int(rows["SWIM"]["false_positives_at_healthy"] or 0) > 0
    )


def test_lifeguard_has_fewer_of_them_and_we_hardly_any(rows: dict[str, Row]) -> None:
    assert int(rows["Lifeguard"]["false_positives"] or 0) < int(rows["SWIM"]["false_positives"] or 0)
    assert int(rows["gossipgroups"]["false_positives"] or 0) <= 0.02 * int(
        rows["SWIM"]["false_positives"] or 0
    )


def test_one_case_has_one_row(rows: dict[str, Row]) -> None:
    assert _run(STALLING) == rows["SWIM"]
    assert _run(replace(STALLING, seed=4)) != rows["SWIM"]


def test_a_member_that_stalls_for_long_is_detected() -> None:
    row = _run(Case("SWIM", 2.0, stalled=2, stall=30.0, interval=0.0, seed=1))
    assert row["first_detection"] is not None
    assert row["full_detection"] is not None
    assert 2.0 < float(row["first_detection"]) <= float(row["full_detection"]) < 30.0
    short = _run(Case("SWIM", 2.0, stalled=2, stall=1.0, interval=0.0, seed=1))
    assert short["first_detection"] is None


def test_runs_without_detection_count_as_never(rows: dict[str, Row]) -> None:
    def shown(*times: float | None) -> object:
        stalls = [{**rows["SWIM"], "interval": 0.0, "full_detection": each} for each in times]
        return lifeguard.tables([*rows.values(), *stalls])[1].rows[0][2]

    assert shown(10.0, None, 30.0) == 30.0
    assert shown(10.0, None, None) is None


def test_the_cases_pair_each_configuration_with_the_same_stalls() -> None:
    cases = lifeguard.cases(Scale(quick=False, seed=7))
    stalls = {
        name: [
            (each.stalled, each.stall, each.interval, each.seed)
            for each in cases
            if each.configuration == name and each.alpha == lifeguard.ALPHA
        ]
        for name in CONFIGURATIONS
    }
    assert all(each == stalls["SWIM"] for each in stalls.values())
    assert {each[:2] for each in stalls["SWIM"] if each[2]} == {
        (count, stall) for count in lifeguard.STALLED for stall in lifeguard.DURATIONS
    }


def test_the_rows_end_up_in_tables_and_plot(rows: dict[str, Row]) -> None:
    measured = list(rows.values())
    shares, detection = lifeguard.tables(measured)
    assert [row[0] for row in shares.rows] == list(CONFIGURATIONS)
    assert shares.rows[0][1] == 100.0
    assert detection.rows[0][0] == "SWIM"
    figure = Figure()
    lifeguard.plot(measured, figure)
    assert len(figure.axes) == 2
