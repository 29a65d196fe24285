"""Reading rows: cells of the columns that hold numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from sims.tables import Cell

Row = TypeVar("Row", bound=Mapping[str, Cell])


def number(row: Mapping[str, Cell], column: str) -> float:
    """The number in a column. Raises `TypeError` when there is none."""
    cell = row[column]
    if not isinstance(cell, int | float):
        raise TypeError(f"column {column} holds {cell!r}: a number is needed")
    return cell


def numbers(rows: Iterable[Mapping[str, Cell]], column: str) -> list[float]:
    """The numbers in a column, without those that could not be taken."""
    return [number(row, column) for row in rows if row[column] is not None]


def grouped(rows: Iterable[Row], *columns: str) -> dict[tuple[Cell, ...], list[Row]]:
    """The rows that are alike in these columns, by what they have there, in the order in which they come."""
    groups: dict[tuple[Cell, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups
