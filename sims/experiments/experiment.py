"""What an experiment is, and its command line.

Law: an experiment is data and three pure functions: cases in, rows out of each, tables and a plot out of all
rows. Rows are written as CSV and read back before anything is drawn from them, so the report, made from the
files alone, shows what the command showed.
"""

from __future__ import annotations

import csv
import json
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

import gossipgroups
from sims.sweep import Where, options, sweep
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Cell]
"""One line of the CSV file. All rows of an experiment have the same columns."""

RESULTS = Path("results")
"""Where results go unless told otherwise: one folder for each experiment."""


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

    def carry_out(self, scale: Scale, where: Where, folder: Path, *, label: str = "") -> list[Row]:
        """Run all cases, and write `rows.csv`, `run.json`, `tables.md` and `plot.svg` into the folder."""
        started = time.monotonic()
        cases = self.cases(scale)
        results = sweep(self.run, cases, where, label=label)
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(folder / "rows.csv", (row for rows in results for row in rows))
        facts = {
            "experiment": self.name,
            "command": f"python -m sims.experiments.{self.name}"
            + (" --quick" if scale.quick else "")
            + (f" --seed {scale.seed}" if scale.seed else ""),
            "version": gossipgroups.__version__,
            "python": platform.python_version(),
            "cases": len(cases),
            "seconds": round(time.monotonic() - started, 1),
        }
        (folder / "run.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        rows = read_rows(folder / "rows.csv")
        (folder / "tables.md").write_text("\n".join(each.markdown() for each in self.tables(rows)), "utf-8")
        self.draw(rows).savefig(folder / "plot.svg")
        return rows

    def draw(self, rows: Sequence[Row]) -> Figure:
        """The plot of these rows."""
        import matplotlib as mpl  # noqa: PLC0415  (slow to import, and --help needs it not)
        from matplotlib.figure import Figure  # noqa: PLC0415

        # Equal rows give equal bytes.
        mpl.rcParams.update({"svg.hashsalt": self.name, "font.size": 9.0})
        figure = Figure(figsize=(9.0, 4.5), layout="constrained")
        self.plot(rows, figure)
        return figure

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
        @options
        def command(quick: bool, seed: int, out: Path, where: Where) -> None:
            folder = out / self.name
            rows = self.carry_out(Scale(quick, seed), where, folder, label=self.name)
            console = Console()
            for table in self.tables(rows):
                console.print(table.rich())
            console.print(f"{folder}: rows.csv, run.json, tables.md, plot.svg")

        return command


def main(name: str) -> None:
    """Run the command of an experiment: the last line of its module.

    By its name, so that its functions are those of a module which other processes can import, not of
    `__main__`.
    """
    experiment: Experiment = import_module(f"sims.experiments.{name}").EXPERIMENT
    sys.exit(experiment.command().main(prog_name=f"python -m sims.experiments.{name}"))


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, each as it comes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)


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
