"""What holds for every experiment: its files, that they read back as written, and its command line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import gossipgroups
from sims.experiments import NAMES
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
    with pytest.raises(CaseFailed, match="seed 4"):
        replace(EXPERIMENT, run=fails_at_seed_4).carry_out(QUICK, Where(), tmp_path)
    assert not (tmp_path / RUN).exists()
    assert read_rows(tmp_path / ROWS) == run(Case(2, 3)), "what was measured before is kept"


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
