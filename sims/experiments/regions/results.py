"""The tables and the plot of the five regions."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from sims.experiments.experiment import Row
from sims.loopback.figures import quantile
from sims.measures.rows import grouped, number, numbers
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND = ("preset", "nodes", "loss")
CRASHED = {"process": "process, port refused", "machine": "machine, silence"}
SHARES = (0.5, 0.99, 1)


def tables(rows: Sequence[Row]) -> Sequence[Table]:
    """News, crashes, cuts and rest."""
    return [
        Table(
            "Five regions: seconds from a join or a leave to the last callback",
            (*KIND, "changes", "p50", "p99", "max", "times the least: p50", "missed", "unconverged"),
            tuple(
                (
                    *_named(kind),
                    len(some),
                    *_quantiles(some, "last_s"),
                    quantile([_over_least(row) for row in some if row["last_s"] is not None], 0.5),
                    *_sums(some, "missed", "unconverged"),
                )
                for kind, some in _of(rows, "change").items()
            ),
            "The least is what the distances allow: the time in which the last node can know that each other "
            "one has the news, 0.25 to 0.33 s, by where it begins. Missed, and unconverged: callbacks, each "
            "at one node.",
        ),
        Table(
            "Five regions: seconds from a crash to the last callback",
            (
                *("preset", "nodes", "crash", "loss", "crashes"),
                *("first: p50", "last: p50", "p99", "max", "missed", "unconverged"),
            ),
            tuple(
                (
                    *kind[:2],
                    CRASHED[what],
                    *_named(kind)[2:],
                    len(some),
                    quantile(numbers(some, "first_s"), 0.5),
                    *_quantiles(some, "last_s"),
                    *_sums(some, "missed", "unconverged"),
                )
                for what in CRASHED
                for kind, some in _of(rows, what).items()
            ),
        ),
        Table(
            "Five regions: one is cut off, and comes back",
            (
                *KIND,
                *("seconds", "cuts", "the others told, %", "all, s: max", "the one told, %", "all, s: max "),
                *("told late, %", "whole after the heal, s: p50", "max", "false inside a side"),
            ),
            tuple(_cut(kind, some) for kind, some in _of(rows, "cut", "seconds").items()),
            "Of the leaves owed at each side about all members of the other, those told before the heal, and "
            "when the last of them was, in the slowest cut, if all were. Told late: of all that are owed, "
            "after the heal. Whole: all hold each other alive, all is settled and told. False inside a side: "
            "leaves about a member on the side of who told them, from the cut until all were whole.",
        ),
        Table(
            "Five regions: at rest",
            (
                *("preset", "nodes", "between regions", "node-hours"),
                *("false suspicions per node-hour", "false deaths"),
                *("datagrams per node and second", "across, %", "bytes per node and second", "across, % "),
            ),
            tuple(
                (*kind[:2], between, *_rest(kind, some))
                for what in ("rest", "spikes")
                for kind, some in _of(rows, what).items()
                for between in ("great jitter" if what == "spikes" else f"{_named(kind)[2]} lost",)
            ),
            "A suspicion or a death counts once for each node and incarnation, and is false as nobody has "
            "crashed. Sent, with IPv4 and UDP headers. Great jitter: every 30 s one region's lines to all "
            "others have log-normal times with σ = 1 for 5 s, so that one datagram in a hundred takes ten "
            "times as long.",
        ),
    ]


def _of(rows: Sequence[Row], what: str, *columns: str) -> dict[tuple[Cell, ...], list[Row]]:
    kinds = grouped([row for row in rows if row["what"] == what], *KIND, *columns)
    return dict(sorted(kinds.items(), key=lambda item: (str(item[0][0]), *map(float, map(str, item[0][1:])))))


def _named(kind: tuple[Cell, ...]) -> tuple[Cell, ...]:
    preset, nodes, loss, *others = kind
    return (preset, nodes, f"{float(str(loss)):.0%}", *others)


def _quantiles(rows: Sequence[Row], column: str) -> tuple[float | None, ...]:
    seconds = numbers(rows, column)
    return tuple(quantile(seconds, share) for share in SHARES)


def _sums(rows: Sequence[Row], *columns: str) -> tuple[int, ...]:
    return tuple(int(sum(numbers(rows, column))) for column in columns)


def _over_least(row: Row) -> float:
    return number(row, "last_s") / number(row, "soonest_s")


def _cut(kind: tuple[Cell, ...], rows: Sequence[Row]) -> tuple[Cell, ...]:
    return (
        *_named(kind),
        len(rows),
        *_told(rows, "others_told"),
        *_told(rows, "one_told"),
        100 * fmean(numbers(rows, "late")),
        quantile(numbers(rows, "whole_s"), 0.5),
        _longest(rows, "whole_s"),
        *_sums(rows, "inside"),
    )


def _told(rows: Sequence[Row], column: str) -> tuple[float, float | None]:
    return 100 * fmean(numbers(rows, column)), _longest(rows, f"{column}_s")


def _longest(rows: Sequence[Row], column: str) -> float | None:
    """The longest of these times; nothing if one of them never came."""
    seconds = numbers(rows, column)
    return max(seconds) if len(seconds) == len(rows) else None


def _rest(kind: tuple[Cell, ...], rows: Sequence[Row]) -> tuple[Cell, ...]:
    seconds = number({"nodes": kind[1]}, "nodes") * sum(numbers(rows, "seconds"))
    suspicions, deaths = _sums(rows, "suspicions", "deaths")
    sent: list[Cell] = []
    for what in ("datagrams", "bytes"):
        every, across = _sums(rows, what, f"{what}_across")
        sent += [every / seconds, 100 * across / every]
    hours = seconds / 3600
    return (hours, suspicions / hours, deaths / hours, *sent)


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """How many of the changes, and of the crashes, were told everywhere by when."""
    axes = figure.subplots(1, 3, sharey=True)
    for each, what in zip(axes, ("change", *CRASHED), strict=True):
        for (preset, nodes, loss), some in _of(rows, what).items():
            seconds = sorted(numbers(some, "last_s"))
            shares = [(place + 1) / len(some) for place in range(len(seconds))]
            colour = f"C{('lan', 'wan').index(str(preset)) * 2 + (number(some[0], 'nodes') > 100)}"
            style = {0.0: "-", 0.01: "--"}.get(float(str(loss)), ":")
            each.step(seconds, shares, style, color=colour, label=f"{preset} {nodes}, {float(str(loss)):.0%}")
        each.set(
            title=CRASHED.get(what, "joins and leaves"), xlabel="seconds to the last callback", xscale="log"
        )
        each.grid(alpha=0.3)
    axes[0].set_ylabel("share")
    axes[0].legend(fontsize="xx-small")
