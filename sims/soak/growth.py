"""Growth: whether a series of samples is larger in the last third of a run than in the middle third.

Law: the first third is warm-up, and is not looked at. Both the median and the peak count: a leak lifts both,
a table that is not emptied after a bad moment lifts the peak first. Too few samples are an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from sims.tables import Cell, Table

LEAST = 9
"""Samples that a verdict needs: three in each third."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much larger the last third may be: a share of the middle third and `slack`, in the series' unit."""

    share: float
    slack: float
    peak_share: float
    peak_slack: float
    bound: float | None = None
    """What has a bound of its own may fill up to it, and nothing else is asked of it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One series, third by third, in its own unit."""

    name: str
    middle: float
    last: float
    middle_peak: float
    last_peak: float
    tolerance: Tolerance

    @property
    def grew(self) -> bool:
        """Whether the last third was larger than is tolerated."""
        allowed = self.tolerance
        if allowed.bound is not None:
            return self.last_peak > allowed.bound
        return (
            self.last > self.middle * (1 + allowed.share) + allowed.slack
            or self.last_peak > self.middle_peak * (1 + allowed.peak_share) + allowed.peak_slack
        )

    @property
    def complaint(self) -> str:
        """What grew, by how much."""
        return (
            f"{self.name} grew: median {self.middle:,.4g}, then {self.last:,.4g}; "
            f"peak {self.middle_peak:,.4g}, then {self.last_peak:,.4g}"
        )


def judge(name: str, samples: Sequence[float], tolerance: Tolerance) -> Verdict:
    """The verdict on a series of samples at even distances. Raises `ValueError` on fewer than `LEAST`."""
    if len(samples) < LEAST:
        raise ValueError(f"{name}: {len(samples)} samples, a verdict needs {LEAST}")
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[-third:]
    return Verdict(name, median(middle), median(last), max(middle), max(last), tolerance)


def series_of(samples: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """The series of each name; what a sample does not name is 0 there."""
    names = dict.fromkeys(name for sample in samples for name in sample)
    return {name: [sample.get(name, 0.0) for sample in samples] for name in names}


def table(title: str, verdicts: Iterable[Verdict], note: str) -> Table:
    """The verdicts as a table; what was empty all the time is left out."""
    rows: list[tuple[Cell, ...]] = [
        (
            each.name,
            each.middle,
            each.last,
            each.middle_peak,
            each.last_peak,
            "grew" if each.grew else "no",
        )
        for each in verdicts
        if each.grew or each.middle_peak or each.last_peak
    ]
    head = (
        "what",
        "median of the middle third",
        "of the last",
        "peak of the middle third",
        "of the last",
        "grew",
    )
    return Table(title, head, tuple(rows), note)
