"""The page: one HTML file that loads nothing, made of its template, the film and what experiments found.

Law: every text that is not ours is escaped, and the page forbids itself any request (its content policy).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template

from sims.report.film import Film
from sims.report.results import Found, Missing


def page(found: Sequence[Found], missing: Sequence[Missing], film: Film) -> str:
    """The whole page."""
    return Template(_part("page.html")).substitute(
        style=_part("page.css"),
        script=_part("film.js"),
        # Inside a script nothing is escaped but what would end it.
        record=film.json().replace("<", "\\u003c"),
        nodes=len(film.nodes),
        seed=film.seed,
        group=escape(film.group),
        contents="".join(_contents(found, missing)),
        experiments="".join(part for each in found for part in _experiment(each)),
    )


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _contents(found: Sequence[Found], missing: Sequence[Missing]) -> Iterator[str]:
    yield '<section id="experiments"><h2>Experiments</h2>'
    if found:
        yield '<nav aria-label="Experiments"><ul>'
        for each in found:
            name = escape(each.experiment.name)
            yield f'<li><a href="#{name}">{name}</a>: {escape(each.experiment.title)}</li>'
        yield "</ul></nav>"
    if missing:
        yield "<p>Incomplete. Missing are:</p><ul class='missing'>"
        for gap in missing:
            yield f"<li>{escape(gap.name)}, {escape(gap.why)}: <code>{escape(gap.command)}</code></li>"
        yield "</ul>"
    yield "</section>"


def _experiment(each: Found) -> Iterator[str]:
    experiment = each.experiment
    yield f'<section id="{escape(experiment.name)}"><h2>{escape(experiment.title)}</h2>'
    for paragraph in filter(None, experiment.about.split("\n\n")):
        yield f"<p>{escape(paragraph)}</p>"
    yield f"<p>Beside: {escape(experiment.source)}</p>"
    yield f'<p class="facts"><code>{escape(each.command)}</code><br>{escape(each.facts)}</p>'
    for table in each.tables:
        yield f'<div class="scroll">{table.html()}</div>'
    # As an image each plot keeps its ids to itself.
    plot = b64encode(each.plot).decode("ascii")
    yield f'<img class="plot" alt="Plot: {escape(experiment.title)}" src="data:image/svg+xml;base64,{plot}">'
    yield "</section>"
