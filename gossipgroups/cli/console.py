"""The terminal: one console for tables and live views.

Law: where standard output is no terminal, there are no control codes and nothing is cut to a width.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossipgroups.cli.lines import printable

UNBOUNDED = 10_000
"""The width of what is no terminal: every row is one line."""


def open_console() -> Console:
    """A console on standard output."""
    terminal = sys.stdout.isatty()
    return Console(
        force_terminal=None if terminal else False,
        width=None if terminal else UNBOUNDED,
        highlight=False,
        markup=False,
        emoji=False,
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> Table:
    """A table of text; the columns of `numbers` are right-aligned."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    return drawn
