"""The convergence experiment in small."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from matplotlib.figure import Figure

from sims.experiments.convergence import BAD, EXPERIMENT, Case, run
from sims.experiments.experiment import Row, Scale
from sims.measures.rows import number
from sims.measures.settling import NAMES, RULES, SETTLED

BAD_CASE = Case(nodes=8, loss=0.0, one_bad=True, changes=10, seed=1)
CALM_CASE = Case(nodes=8, loss=0.0, one_bad=False, changes=2, seed=1)


def total(rows: Iterable[Row], rule: str, column: str) -> float:
    return sum(number(row, column) for row in rows if row["rule"] == rule)


def test_with_one_bad_node_the_other_rules_speak_too_early_and_ours_never() -> None:
    rows = run(BAD_CASE)
    assert {row["rule"] for row in rows} == set(NAMES)
    assert total(rows, SETTLED, "early") == 0, BAD_CASE
    assert total(rows, SETTLED, "said") >= 10 * 7, BAD_CASE
    for since_heard in (False, True):
        names = [rule.name for rule in RULES if rule.since_heard == since_heard]
        assert sum(total(rows, name, "early") for name in names) > 0, (BAD_CASE, names)
    assert total(rows, SETTLED, "unlearnt") > 0, (
        "no change that the bad node missed: nothing was put to the test"
    )


def test_in_calm_ours_is_the_fastest_and_costs_a_known_traffic() -> None:
    rows = run(CALM_CASE)
    for change in range(CALM_CASE.changes):
        last = {row["rule"]: number(row, "last_s") for row in rows if row["change"] == change}
        assert last[SETTLED] == min(last.values()), (CALM_CASE, last)
        assert last[SETTLED] < 0.1, (CALM_CASE, last)
    for row in rows:
        assert row["early"] == 0
        assert row["said"] == CALM_CASE.nodes
        assert (row["bytes"] is None) == (row["rule"] != SETTLED)
        if row["bytes"] is not None:
            # News goes to seven of eight, bits up and down; one datagram may carry both. Half tell one more.
            assert 2.5 * 7 / 8 <= number(row, "datagrams") <= 3 * 7 / 8 + 1, (CALM_CASE, row)


def test_waits_are_those_of_their_rules() -> None:
    rows = run(CALM_CASE)
    for rule in RULES:
        for row in rows:
            if row["rule"] == rule.name:
                learnt = number(row, "learnt_s")
                expected = rule.wait(CALM_CASE.nodes, 0.2)
                slack = 0.2 if rule.since_heard else 0.0
                assert expected <= number(row, "last_s") <= expected + learnt + slack + 1e-6, (rule, row)


def test_tables_and_plot() -> None:
    rows = [*run(CALM_CASE), *run(Case(nodes=8, loss=0.05, one_bad=False, changes=1, seed=1)), *run(BAD_CASE)]
    times, rules = EXPERIMENT.tables(rows)
    assert [row[:3] for row in times.rows] == [(8, "0% loss", 2), (8, "5% loss", 1), (8, BAD, 10)]
    assert len(rules.rows) == 3 * len(NAMES)
    drawing = Figure()
    EXPERIMENT.plot(rows, drawing)
    assert [len(axes.get_lines()) for axes in drawing.axes] == [3, 3]


@pytest.mark.parametrize("quick", [True, False])
def test_the_cases_cover_all_conditions(quick: bool) -> None:
    conditions = {case.condition for case in EXPERIMENT.cases(Scale(quick, 0))}
    assert conditions == {"0% loss", "5% loss", "25% loss", BAD}
