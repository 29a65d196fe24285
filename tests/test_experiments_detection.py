"""The detection experiment: crashes are found, and false deaths are counted where there are some."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure

from gossipgroups.config import PRESETS
from sims.experiments.detection import EXPERIMENT, LATENCIES, Case, run
from sims.experiments.experiment import Scale
from sims.measures.rows import number, numbers

TINY = Case("lan", 8, "process", 0.0, 0, crashes=2, seed=4)


def test_a_refused_port_is_found_much_sooner_than_a_silent_machine() -> None:
    refused, silent = run(TINY), run(replace(TINY, crash="machine"))
    assert max(numbers(refused, "last_s")) < 1.5
    assert min(numbers(silent, "last_s")) > 1.5
    assert max(numbers(silent, "last_s")) < 4
    for row in (*refused, *silent):
        assert number(row, "first_s") <= number(row, "last_s")
        assert (row["missed"], row["false_healthy"], row["false_stalled"]) == (0, 0, 0)
    rows = [*refused, *silent]
    assert [line[:4] for line in EXPERIMENT.tables(rows)[0].rows] == [
        ("lan", 8, "process, port refused", 2),
        ("lan", 8, "machine, silence", 2),
    ]
    EXPERIMENT.plot(rows, Figure())


def test_stalled_members_are_held_dead_falsely_and_healthy_ones_are_not() -> None:
    rows = run(replace(TINY, stalled=2, seed=5))
    print(rows)
    assert sum(numbers(rows, "false_stalled")) > 0, "no stall was noticed"
    assert sum(numbers(rows, "false_healthy")) == 0
    assert sum(numbers(rows, "missed")) == 0


def test_one_seed_has_one_result() -> None:
    lossy = replace(TINY, loss=0.25, crashes=1)
    assert run(lossy) == run(lossy)


def test_every_preset_is_put_through_every_condition() -> None:
    cases = EXPERIMENT.cases(Scale(quick=False, seed=0))
    assert set(LATENCIES) == set(PRESETS) == {case.preset for case in cases}
    assert len(set(cases)) == len(cases)
    assert {(case.loss, case.stalled) for case in cases if case.preset == "wan"} == {
        (case.loss, case.stalled) for case in cases if case.preset == "lan"
    }
