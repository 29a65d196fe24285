"""Tables: one value, three looks, and numbers that say no more and no less than they should."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from sims.tables import Cell, Table, shown

TABLE = Table(
    "Loss & <time>",
    ("who|what", "seconds", "count"),
    (("a|b", 1.23456, 1234567), ("<b>", None, 0)),
    "Ours is <worse>.",
)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "–"),
        ("1.50", "1.50"),
        (0, "0"),
        (1234567, "1,234,567"),
        (1.58198, "1.58"),
        (0.000123456, "0.000123"),
        (99.94, "99.9"),
        (123.456, "123"),
        (12345.6, "12,346"),
        (-2.0, "-2"),
        (100.0, "100"),
    ],
)
def test_numbers_are_shown_with_three_digits_or_all_their_units(cell: Cell, text: str) -> None:
    assert shown(cell) == text


def test_markdown() -> None:
    assert TABLE.markdown() == (
        "**Loss & <time>**\n"
        "\n"
        "| who\\|what | seconds | count |\n"
        "| :-- | --: | --: |\n"
        "| a\\|b | 1.23 | 1,234,567 |\n"
        "| <b> | – | 0 |\n"
        "\n"
        "Ours is <worse>.\n"
    )
    assert Table("No note", ("a",), ((1,),)).markdown().endswith("| 1 |\n")


def test_html_is_escaped() -> None:
    html = TABLE.html()
    assert "<caption>Loss &amp; &lt;time&gt;</caption>" in html
    assert '<th scope="col" class="text">who|what</th><th scope="col">seconds</th>' in html
    assert '<tr><td class="text">&lt;b&gt;</td><td>–</td><td>0</td></tr>' in html
    assert html.endswith('<p class="note">Ours is &lt;worse&gt;.</p>')


def test_the_terminal_shows_the_same_cells() -> None:
    out = io.StringIO()
    Console(file=out, width=100).print(TABLE.rich())
    lines = out.getvalue().splitlines()
    assert lines[0].strip() == "Loss & <time>"
    assert re.search(r"a\|b\s.*1\.23\s.*1,234,567", out.getvalue())


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"table 'T': \(1, 2\) has 2 cells, not 1"):
        Table("T", ("a",), ((1, 2),))
