"""What a results folder holds: the runs of experiments, read from their files alone.

Law: a run counts when its `run.json` is there, which is written last; everything else of it can then be read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sims.experiments import load
from sims.experiments.experiment import PLOT, ROWS, RUN, Experiment, read_rows
from sims.experiments.journal import CASES
from sims.tables import Table

BROKEN_OFF = "broken off"


@dataclass(frozen=True, slots=True)
class Found:
    """One run of one experiment."""

    experiment: Experiment
    command: str
    facts: str
    """Version, number of cases and time taken, as one line."""
    tables: tuple[Table, ...]
    plot: bytes


@dataclass(frozen=True, slots=True)
class Missing:
    """An experiment without a whole run."""

    name: str
    why: str

    @property
    def command(self) -> str:
        """What would fill the gap."""
        return f"python -m sims.experiments.{self.name}" + (" --resume" if self.why == BROKEN_OFF else "")


def find(folder: Path, names: Sequence[str]) -> tuple[list[Found], list[Missing]]:
    """The runs in a folder, and which experiments of these names have none. Raises `ClickException`."""
    found: list[Found] = []
    missing: list[Missing] = []
    for name in names:
        place = folder / name
        if (place / RUN).is_file():
            found.append(_read(load(name), place))
        else:
            missing.append(Missing(name, BROKEN_OFF if (place / CASES).is_file() else "not run"))
    return found, missing


def _read(experiment: Experiment, place: Path) -> Found:
    try:
        run = json.loads((place / RUN).read_text("utf-8"))
        return Found(
            experiment,
            run["command"],
            _facts(run),
            tuple(experiment.tables(read_rows(place / ROWS))),
            (place / PLOT).read_bytes(),
        )
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise click.ClickException(
            f"{place} holds no run that this version can read ({type(error).__name__}: {error}). "
            f"Run it again: python -m sims.experiments.{experiment.name}"
        ) from error


def _facts(run: dict[str, Any]) -> str:
    seconds = run["seconds"]
    took = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
    commit = f", commit {run['commit']}" if run.get("commit") else ""
    return f"gossipgroups {run['version']}{commit}, CPython {run['python']}, {run['cases']:,} cases, {took}"
