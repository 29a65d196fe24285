"""What holds for every experiment: its files, that they read back as written, and its command line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import gossipgroups
from sims.experiments import NAMES, experiment
from sims.experiments.__main__ import main as run_several
from sims.experiments.experiment import (
    PLOT,
    ROWS,
    RUN,
    TABLES,
    Experiment,
    Row,
    Scale,
    main,
    read_rows,
    write_rows,
)
from sims.experiments.journal import CASES, Journal, OtherRun
from sims.sweep import CaseFailed, Where
from tests.tiny_experiment import EXPERIMENT, Case, run

QUICK = Scale(quick=True, seed=3)


def test_rows_read_back_as_they_were_written(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"n": 8, "mean": 0.1 + 0.2, "name": 'a "b", c\nd', "none": None, "tiny": 1e-300},
        {"n": -1, "mean": 5e20, "name": "é", "none": 2.0, "tiny": 0},
    ]
    write_rows(tmp_path / ROWS, rows)
    again = read_rows(tmp_path / ROWS)
    assert again == rows
    assert [type(cell) for cell in again[0].values()] == [int, float, str, type(None), float]


@pytest.mark.parametrize("cell", ["12", "1.5", "nan", "", "1_000"])
def test_a_text_that_would_not_read_back_is_refused(tmp_path: Path, cell: str) -> None:
    with pytest.raises(ValueError, match=f"column 'name'.*{cell!r}.*read back"):
        write_rows(tmp_path / ROWS, [{"name": cell}])


def test_truth_is_written_as_a_number(tmp_path: Path) -> None:
    write_rows(tmp_path / ROWS, [{"settled": True}, {"settled": False}])
    assert read_rows(tmp_path / ROWS) == [{"settled": 1}, {"settled": 0}]


def test_rows_have_equal_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\['a', 'c'\].*\['a', 'b'\]"):
        write_rows(tmp_path / ROWS, [{"a": 1, "b": 2}, {"a": 1, "c": 3}])


def test_equal_runs_write_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        EXPERIMENT.carry_out(QUICK, Where(), tmp_path / name)
    for file in (ROWS, TABLES, PLOT):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    assert EXPERIMENT.carry_out(Scale(True, 4), Where(), tmp_path / "other") != read_rows(
        tmp_path / "one" / ROWS
    )


def test_the_files_hold_what_was_run(tmp_path: Path) -> None:
    rows = EXPERIMENT.carry_out(QUICK, Where(), tmp_path)
    assert rows == [row for nodes in (2, 3) for seed in (3, 4, 5) for row in run(Case(nodes, seed))]
    assert (tmp_path / TABLES).read_text() == EXPERIMENT.tables(rows)[0].markdown()
    assert (tmp_path / PLOT).read_text().startswith("<?xml")
    facts = json.loads((tmp_path / RUN).read_text())
    assert facts.pop("seconds") >= 0
    commit = facts.pop("commit")
    assert commit is None or re.fullmatch(r"[\w.-]+", commit)
    assert facts == {
        "experiment": "tiny",
        "command": "python -m sims.experiments.tiny --quick --seed 3",
        "version": gossipgroups.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "cases": 6,
    }


def test_a_run_that_breaks_off_leaves_no_sign_of_a_whole_one(tmp_path: Path) -> None:
    EXPERIMENT.carry_out(QUICK, Where(), tmp_path)
    break_off(tmp_path)
    assert not (tmp_path / RUN).exists()


@pytest.fixture
def commit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets what git says; at first a clean tree, whatever that of the tests is."""

    def say(text: str) -> None:
        monkeypatch.setattr(experiment, "_commit", lambda: text)

    say("abc1234")
    return say


def break_off(folder: Path) -> None:
    """At the second of six cases."""
    with pytest.raises(CaseFailed, match="seed 4"):
        replace(EXPERIMENT, run=fails_at_seed_4).carry_out(QUICK, Where(), folder)


def resumed(folder: Path, scale: Scale = QUICK) -> tuple[list[Row], list[Case]]:
    """What a run that goes on returns, and the cases that it ran."""
    ran: list[Case] = []

    def noted(case: Case) -> Sequence[Row]:
        ran.append(case)
        return run(case)

    rows = replace(EXPERIMENT, run=noted).carry_out(scale, Where(), folder, resume=True)
    return rows, ran


@pytest.mark.usefixtures("commit")
def test_a_run_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    EXPERIMENT.carry_out(QUICK, Where(), tmp_path / "whole")
    broken = tmp_path / "broken"
    break_off(broken)
    rows, ran = resumed(broken)
    assert Case(2, 3) not in ran
    assert len(ran) == 5
    assert rows == read_rows(tmp_path / "whole" / ROWS)
    for folder in (broken, tmp_path / "whole"):
        assert sorted(path.name for path in folder.iterdir()) == sorted([ROWS, RUN, TABLES, PLOT])
    assert (broken / ROWS).read_bytes() == (tmp_path / "whole" / ROWS).read_bytes()
    assert json.loads((broken / RUN).read_text())["cases"] == 6


@pytest.mark.usefixtures("commit")
def test_a_whole_run_is_not_run_again_when_it_is_to_go_on(tmp_path: Path) -> None:
    EXPERIMENT.carry_out(QUICK, Where(), tmp_path)
    assert resumed(tmp_path) == (read_rows(tmp_path / ROWS), [])


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize("damage", ["{", "[1]", "3"])
def test_a_run_that_nobody_can_read_is_not_gone_on_with(tmp_path: Path, damage: str) -> None:
    (tmp_path / RUN).write_text(damage)
    with pytest.raises(OtherRun, match=r"cannot be read.*[Ww]ithout --resume"):
        resumed(tmp_path)


def test_a_whole_run_of_another_commit_is_not_overwritten_by_going_on(
    tmp_path: Path, commit: Callable[[str], None]
) -> None:
    EXPERIMENT.carry_out(QUICK, Where(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    commit("def5678")
    with pytest.raises(OtherRun, match="commit was 'abc1234', is 'def5678'"):
        resumed(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("commit")
def test_a_row_that_would_be_read_back_wrong_ends_the_run_at_once(tmp_path: Path) -> None:
    ran: list[Case] = []

    def odd(case: Case) -> Sequence[Row]:
        ran.append(case)
        return [{"name": "12"}]

    with pytest.raises(ValueError, match="column 'name'"):
        replace(EXPERIMENT, run=odd).carry_out(QUICK, Where(), tmp_path)
    assert len(ran) == 1


@pytest.mark.usefixtures("commit")
def test_a_case_that_was_cut_short_is_run_again(tmp_path: Path) -> None:
    break_off(tmp_path)
    journal = tmp_path / CASES
    whole = journal.read_text()
    journal.write_text(whole + whole.splitlines()[1][:-7])
    rows, ran = resumed(tmp_path)
    assert (len(rows), len(ran)) == (6, 5)


def test_rows_of_two_runs_do_not_mix(tmp_path: Path, commit: Callable[[str], None]) -> None:
    break_off(tmp_path)
    with pytest.raises(OtherRun, match=r"command was '.* --seed 3', is '.* --seed 4'.*Without --resume"):
        resumed(tmp_path, Scale(True, 4))
    commit("def5678")
    with pytest.raises(OtherRun, match="commit was 'abc1234', is 'def5678'"):
        resumed(tmp_path)
    commit("abc1234")
    assert len(resumed(tmp_path)[1]) == 5, "a refusal loses nothing"


def test_nobody_goes_on_from_changes_that_no_commit_holds(
    tmp_path: Path, commit: Callable[[str], None]
) -> None:
    commit("abc1234-dirty")
    break_off(tmp_path)
    with pytest.raises(OtherRun, match="the tree has changes"):
        resumed(tmp_path)


def test_nobody_goes_on_outside_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "_commit", lambda: None)
    break_off(tmp_path)
    with pytest.raises(OtherRun, match="outside of a checkout"):
        resumed(tmp_path)


@pytest.mark.usefixtures("commit")
def test_a_run_that_was_broken_off_as_it_ended_only_ends(tmp_path: Path) -> None:
    EXPERIMENT.carry_out(QUICK, Where(), tmp_path / "whole")
    broken = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            EXPERIMENT.carry_out(QUICK, Where(), broken)
    (broken / RUN).write_text("{")
    rows, ran = resumed(broken)
    assert (rows, ran) == (read_rows(tmp_path / "whole" / ROWS), [])
    assert json.loads((broken / RUN).read_text())["cases"] == 6


def interrupt(journal: Journal) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("commit")
def test_a_journal_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / CASES).write_text("no json\n")
    with pytest.raises(OtherRun, match=r"cannot be read.*Without --resume"):
        resumed(tmp_path)
    assert len(EXPERIMENT.carry_out(QUICK, Where(), tmp_path)) == 6


@pytest.mark.usefixtures("commit")
def test_the_command_goes_on(tmp_path: Path) -> None:
    break_off(tmp_path / "tiny")
    arguments = ("--quick", "--seed", "3", "--jobs", "1", "--out", str(tmp_path))
    result = invoke(*arguments, "--resume")
    assert result.exit_code == 0, result.output
    assert "tiny: 1 of 6 cases were finished before" in result.stderr
    break_off(tmp_path / "tiny")
    refused = invoke("--jobs", "1", "--out", str(tmp_path), "--resume")
    assert refused.exit_code == 1
    assert "cases was 6, is 9" in refused.stderr


def fails_at_seed_4(case: Case) -> Sequence[Row]:
    if case.seed == 4:
        raise RuntimeError("four")
    return run(case)


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(EXPERIMENT.command(), arguments, catch_exceptions=False)


def test_the_command_writes_and_prints(tmp_path: Path) -> None:
    result = invoke("--quick", "--seed", "3", "--jobs", "1", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    rows = read_rows(tmp_path / "tiny" / ROWS)
    assert [row["seed"] for row in rows] == [3, 4, 5] * 2
    assert "Start <at once>" in result.stdout
    assert "mean s" in result.stdout
    assert f"{tmp_path / 'tiny'}: rows.csv" in result.stdout
    assert "tiny" in result.stderr, "the progress bar is on standard error"


def test_the_command_does_the_same_with_two_processes(tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        assert invoke("--jobs", jobs, "--out", str(tmp_path / jobs)).exit_code == 0
    one, two = ((tmp_path / jobs / "tiny" / ROWS).read_bytes() for jobs in ("1", "2"))
    assert one == two
    assert len(one.splitlines()) == 1 + 9, "the full run has more cases than the quick one"


def test_help_says_what_is_done_beside_what() -> None:
    text = invoke("--help").output
    for part in (
        "A start <small>",
        "Second paragraph.",
        "Beside: nobody & nothing",
        "--quick",
        "--dask ADDRESS",
    ):
        assert part in text, part


@pytest.fixture
def swim_is_tiny(monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """The tiny experiment stands in for the first of all."""
    experiment = replace(EXPERIMENT, name=NAMES[0])
    module = ModuleType(f"sims.experiments.{NAMES[0]}")
    module.EXPERIMENT = experiment  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return experiment


def test_several_run_by_their_names(swim_is_tiny: Experiment, tmp_path: Path) -> None:
    arguments = [swim_is_tiny.name, "--quick", "--jobs", "1", "--out", str(tmp_path)]
    result = CliRunner().invoke(run_several, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / swim_is_tiny.name).iterdir()) == sorted(
        [ROWS, RUN, TABLES, PLOT]
    )
    assert CliRunner().invoke(run_several, ["nothing"]).exit_code == 2


def test_a_module_runs_by_its_name(
    swim_is_tiny: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["swim.py", "--quick", "--jobs", "1", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as exit_:
        main(swim_is_tiny.name)
    assert exit_.value.code == 0
    assert (tmp_path / swim_is_tiny.name / RUN).is_file()
