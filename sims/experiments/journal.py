"""A run as far as it got: the rows of each finished case, so that one that is broken off can go on.

Law: a line for the run, then one for each case, on the disk before the next. Rows count only for the run that
they were made in: same commit, same command, same interpreter. A last line that was cut short is a case that
was not finished.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sims.tables import Cell

CASES = "cases.jsonl"
"""Its file, which is there only until the run is whole."""
DIRTY = "-dirty"
"""What git says of a tree with changes that no commit holds."""
INSTEAD = "Without --resume a run starts anew there; --out names another folder"


class OtherRun(click.ClickException):
    """What is in the folder cannot be gone on with: the message says why, and what to do."""


class Journal:
    """The finished cases of a run in a folder. `facts` are what makes two runs the same one.

    With `resume`, those of a run that was broken off are read; otherwise they are dropped. Raises `OtherRun`.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], *, resume: bool) -> None:
        self._path = folder / CASES
        self.rows: dict[int, Sequence[Mapping[str, Cell]]] = {}
        """Of each finished case, by its place."""
        self._seconds = 0.0
        self._since = time.monotonic()
        kept = _whole_lines(self._path) if resume else []
        if kept:
            check_same(self._path, kept[0], facts)
        else:
            self._path.write_text(_line(facts), "utf-8")
        for line in kept[1:]:
            self.rows[line["case"]] = line["rows"]
            self._seconds += line["seconds"]

    @property
    def seconds(self) -> float:
        """How long the run has taken, with the parts before it was broken off."""
        return self._seconds + time.monotonic() - self._since

    def note(self, case: int, rows: Sequence[Mapping[str, Cell]]) -> None:
        """A case is finished."""
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        self._seconds += seconds
        self.rows[case] = rows
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line({"case": case, "seconds": seconds, "rows": list(rows)}))
            file.flush()
            os.fsync(file.fileno())

    def end(self) -> None:
        """The run is whole, and its rows are elsewhere."""
        self._path.unlink()


def read_facts(path: Path) -> dict[str, Any]:
    """What a whole run was, by its file. Raises `OtherRun` for another file."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise OtherRun(f"{path} cannot be read ({error}). {INSTEAD}") from error


def check_same(path: Path, found: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Raise `OtherRun` unless what was found in a file is of the run of these facts."""
    differ = [
        f"{key} was {found.get(key)!r}, is {value!r}"
        for key, value in facts.items()
        if found.get(key) != value
    ]
    if facts.get("commit") is None:
        differ.append("outside of a checkout nobody can tell whether the program is still the same")
    elif facts["commit"].endswith(DIRTY):
        differ.append(
            "the tree has changes that no commit holds, and nobody can tell whether it had the same then"
        )
    if differ:
        raise OtherRun(f"{path} is of a run that cannot be gone on with: {'; '.join(differ)}. {INSTEAD}")


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(dict(content), separators=(",", ":")) + "\n"


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """What the lines of a file say, of which a last one that was cut short is cut off."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    whole = content[: content.rfind(b"\n") + 1]
    os.truncate(path, len(whole))
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise OtherRun(f"{path} cannot be read ({error}). {INSTEAD}") from error
