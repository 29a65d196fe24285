"""Tables as values, and their three looks: on a terminal, in Markdown, in HTML.

Law: a number is shown with three significant digits, and never rounded to fewer than its units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from rich.table import Table as RichTable

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """One table with a title, and a note below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: {row} has {len(row)} cells, not {len(self.columns)}")

    def rich(self) -> RichTable:
        """For a terminal."""
        table = RichTable(title=self.title, title_justify="left", caption=self.note or None)
        for at, column in enumerate(self.columns):
            table.add_column(column, justify="left" if self._is_text(at) else "right")
        for row in self.rows:
            table.add_row(*map(shown, row))
        return table

    def markdown(self) -> str:
        """For a document."""
        rules = [":--" if self._is_text(at) else "--:" for at in range(len(self.columns))]
        lines = [self.columns, rules, *(map(shown, row) for row in self.rows)]
        table = "\n".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
        )
        return "\n\n".join(part for part in (f"**{self.title}**", table, self.note) if part) + "\n"

    def html(self) -> str:
        """For the report."""
        return "".join(self._html())

    def _html(self) -> Iterator[str]:
        yield f"<table><caption>{escape(self.title)}</caption><thead><tr>"
        kinds = [' class="text"' if self._is_text(at) else "" for at in range(len(self.columns))]
        for column, kind in zip(self.columns, kinds, strict=True):
            yield f'<th scope="col"{kind}>{escape(column)}</th>'
        yield "</tr></thead><tbody>"
        for row in self.rows:
            yield "<tr>"
            for cell, kind in zip(row, kinds, strict=True):
                yield f"<td{kind}>{escape(shown(cell))}</td>"
            yield "</tr>"
        yield "</tbody></table>"
        if self.note:
            yield f'<p class="note">{escape(self.note)}</p>'

    def _is_text(self, at: int) -> bool:
        return any(isinstance(row[at], str) for row in self.rows)


def shown(cell: Cell) -> str:
    """A cell as text."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"
