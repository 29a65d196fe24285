"""The generated parts of a Markdown document: the tables between `<!-- tables: NAME -->` and `<!-- end -->`.

Law: what stands outside the markers is never touched, and a part without a run stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from sims.report.results import Found

_PART = re.compile(r"(?P<head><!-- tables: (?P<name>[\w-]+) -->\n).*?(?P<end>^<!-- end -->$)", re.S | re.M)
_MARKER = re.compile(r"^<!-- (?:tables: (?P<name>[\w-]+)|end) -->$", re.M)


def names_in(text: str) -> list[str]:
    """The experiments that a document has a part for, in its order. Raises `ClickException`."""
    markers = [match["name"] for match in _MARKER.finditer(text)]
    names, ends = markers[::2], markers[1::2]
    if len(names) != len(ends) or None in names or any(end is not None for end in ends):
        raise click.ClickException(
            "the markers do not pair: each <!-- tables: NAME --> needs an <!-- end --> before the next one"
        )
    return names


def filled(text: str, results: Sequence[Found]) -> str:
    """The document with the tables of these results in their places. Raises `ClickException`."""
    unplaced = [each.experiment.name for each in results if each.experiment.name not in names_in(text)]
    if unplaced:
        raise click.ClickException(
            f"no place for {', '.join(unplaced)}: add <!-- tables: {unplaced[0]} --> and <!-- end -->"
        )
    parts = {each.experiment.name: _part(each) for each in results}

    def fill(match: re.Match[str]) -> str:
        part = parts.get(match["name"])
        return match[0] if part is None else f"{match['head']}\n{part}\n{match['end']}"

    return _PART.sub(fill, text)


def _part(found: Found) -> str:
    tables = "\n".join(each.markdown() for each in found.tables)
    return f"```sh\n{found.command}\n```\n\n{found.facts}.\n\n{tables}"
