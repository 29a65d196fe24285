"""What an experiment is, and its command line.

Law: an experiment is data and three pure functions: cases in, rows out of each, tables and a plot out of all
rows. Rows are written as CSV and read back before anything is drawn from them, so the report, made from the
files alone, shows what the command showed. Equal rows give equal files; `run.json` is written last, so a
folder without it holds a run that was broken off, and a journal of the cases that it had finished.
"""

from __future__ import annotations

import csv
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

import gossipgroups
from sims.experiments.journal import CASES, Journal, check_same, read_facts
from sims.sweep import Where, options, sweep
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Cell]
"""One line of the CSV file. All rows of an experiment have the same columns."""

RESULTS = Path("results")
"""Where results go unless told otherwise: one folder for each experiment."""
ROWS, RUN, TABLES, PLOT = "rows.csv", "run.json", "tables.md", "plot.svg"
"""The files of a run: its rows, what was run, and what is drawn from the rows."""
RESUME = "Go on with a run that was broken off: what it had finished is not run again."
"""Help for `--resume`."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of an experiment to run."""

    quick: bool
    """A few minutes' worth at most, on one core: enough to see the shape, not to quote a figure."""
    seed: int
    """The first seed; all others follow from it."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment. `run` must be a function of its module, so that other processes find it."""

    name: str
    """That of its module."""
    title: str
    source: str
    """Where the figures come from that ours stand beside."""
    cases: Callable[[Scale], Sequence[Any]]
    run: Callable[[Any], Sequence[Row]]
    tables: Callable[[Sequence[Row]], Sequence[Table]]
    plot: Callable[[Sequence[Row], Figure], None]
    about: str = ""
    """What is done and counted, for `--help` and the report."""

    def carry_out(
        self, scale: Scale, where: Where, folder: Path, *, resume: bool = False, label: str = ""
    ) -> list[Row]:
        """Run all cases, and write `rows.csv`, `run.json`, `tables.md` and `plot.svg` into the folder.

        With `resume`, cases that the same run has finished here are not run again. Raises `OtherRun` where
        another one is, and `ValueError` for rows that would not be read back the same.
        """
        cases = self.cases(scale)
        facts = self._facts(scale, len(cases))
        if resume and (folder / RUN).is_file() and not (folder / CASES).exists():
            check_same(folder / RUN, read_facts(folder / RUN), facts)
            return read_rows(folder / ROWS)
        folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(folder, facts, resume=resume)
        (folder / RUN).unlink(missing_ok=True)
        if label and journal.rows:
            click.echo(f"{label}: {len(journal.rows)} of {len(cases)} cases were finished before", err=True)
        left = [place for place in range(len(cases)) if place not in journal.rows]
        with closing(sweep(self.run, [cases[place] for place in left], where, label=label)) as results:
            for place, found in zip(left, results, strict=True):
                for row in found:
                    check_row(row)
                journal.note(place, found)
        write_rows(folder / ROWS, (row for place in range(len(cases)) for row in journal.rows[place]))
        rows = read_rows(folder / ROWS)
        (folder / TABLES).write_text("\n".join(each.markdown() for each in self.tables(rows)), "utf-8")
        self.save_plot(rows, folder / PLOT)
        facts["seconds"] = round(journal.seconds, 1)
        unfinished = folder / f"{RUN}.new"
        unfinished.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        unfinished.replace(folder / RUN)
        journal.end()
        return rows

    def _facts(self, scale: Scale, cases: int) -> dict[str, Any]:
        return {
            "experiment": self.name,
            "command": f"python -m sims.experiments.{self.name}"
            + (" --quick" if scale.quick else "")
            + (f" --seed {scale.seed}" if scale.seed else ""),
            "version": gossipgroups.__version__,
            "commit": _commit(),
            "python": platform.python_version(),
            "cases": cases,
        }

    def draw(self, rows: Sequence[Row]) -> Figure:
        """The plot of these rows."""
        import matplotlib as mpl  # noqa: PLC0415  (slow to import, and --help needs it not)
        from matplotlib.figure import Figure  # noqa: PLC0415

        with mpl.rc_context({"font.size": 9.0}):
            figure = Figure(figsize=(9.0, 4.5), layout="constrained")
            self.plot(rows, figure)
        return figure

    def save_plot(self, rows: Sequence[Row], path: Path) -> None:
        """Write the plot of these rows as SVG."""
        import matplotlib as mpl  # noqa: PLC0415  (see above)

        # Without these, the ids are drawn at random and the file holds the time.
        with mpl.rc_context({"svg.hashsalt": self.name, "font.size": 9.0}):
            self.draw(rows).savefig(path, format="svg", metadata={"Date": None})

    def command(self) -> click.Command:
        """The command line of this experiment."""

        @click.command(self.name, help=f"{self.title}\n\n{self.about}\n\nBeside: {self.source}")
        @click.option("--quick", is_flag=True, help="Fewer and shorter runs: the shape, not the figures.")
        @click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first seed.")
        @click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            default=RESULTS,
            show_default=True,
            help="Folder for the CSV file, the tables and the plot; each experiment has its own in it.",
        )
        @click.option("--resume", is_flag=True, help=RESUME)
        @options
        def command(quick: bool, seed: int, out: Path, resume: bool, where: Where) -> None:
            folder = out / self.name
            rows = self.carry_out(Scale(quick, seed), where, folder, resume=resume, label=self.name)
            console = Console()
            for table in self.tables(rows):
                console.print(table.rich())
            console.print(f"{folder}: {ROWS}, {RUN}, {TABLES}, {PLOT}", soft_wrap=True)

        return command


def _commit() -> str | None:
    """What the figures were made with, as git tells it; nothing outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return None
    said = subprocess.run(
        [git, "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or None


def main(name: str) -> None:
    """Run the command of an experiment: the last line of its module.

    By its name, so that its functions are those of a module which other processes can import, not of
    `__main__`.
    """
    experiment: Experiment = import_module(f"sims.experiments.{name}").EXPERIMENT
    sys.exit(experiment.command().main(prog_name=f"python -m sims.experiments.{name}"))


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, each as it comes. Raises `ValueError` for what would not be read back the same."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            if list(row) != list(writer.fieldnames):
                raise ValueError(
                    f"a row has the columns {list(row)}, but the first had {list(writer.fieldnames)}"
                )
            check_row(row)
            writer.writerow(
                {key: int(cell) if cell is True or cell is False else cell for key, cell in row.items()}
            )


def check_row(row: Row) -> None:
    """Raise `ValueError` for a text that would be read back as something else."""
    for column, cell in row.items():
        if isinstance(cell, str) and _cell(cell) != cell:
            raise ValueError(
                f"column {column!r} holds the text {cell!r}, which would be read back as "
                f"{_cell(cell)!r}: give the number, or another text"
            )


def read_rows(path: Path) -> list[Row]:
    """Read rows back, with numbers as numbers and nothing as `None`."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: _cell(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _cell(text: str) -> Cell:
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
