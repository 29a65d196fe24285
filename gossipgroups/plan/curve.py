"""Distributions of times: the probability that something has happened by a moment, on an even grid.

Law: a curve never falls, and stays within 0 … 1; before its grid it is 0, after it as at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gossipgroups.plan.network import Atoms


@dataclass(frozen=True, slots=True)
class Curve:
    """P(happened by `place · step` seconds), by place."""

    step: float
    values: Sequence[float]

    def later(self, seconds: float) -> Curve:
        """The same, so many seconds later."""
        return self.mixed(((seconds, 1.0),))

    def mixed(self, delays: Atoms) -> Curve:
        """The same after one of these delays, in seconds, each with its probability; they may sum to less."""
        size = len(self.values)
        total = [0.0] * size
        for seconds, probability in delays:
            whole, part = divmod(seconds / self.step, 1.0)
            shift = int(whole)
            if shift >= size:
                continue
            near, far = probability * (1 - part), probability * part
            total[shift] += near * self.values[0]
            for place, (before, value) in enumerate(
                zip(self.values[: size - shift - 1], self.values[1 : size - shift], strict=True), shift + 1
            ):
                total[place] += near * value + far * before
        return Curve(self.step, total)

    def both(self, other: Curve) -> Curve:
        """When this and another, independent one have happened."""
        return Curve(self.step, [one * two for one, two in zip(self.values, other.values, strict=True)])

    def either(self, other: Curve) -> Curve:
        """When the first of this and another, independent one has happened."""
        return Curve(
            self.step,
            [1 - (1 - one) * (1 - two) for one, two in zip(self.values, other.values, strict=True)],
        )

    def blend(self, other: Curve, share: float) -> Curve:
        """This with a probability, and otherwise the other."""
        pairs = zip(self.values, other.values, strict=True)
        return Curve(self.step, [share * one + (1 - share) * two for one, two in pairs])

    def power(self, exponent: float) -> Curve:
        """When so many independent ones like this have happened."""
        return Curve(self.step, [value**exponent for value in self.values])

    def at(self, seconds: float) -> float:
        """The probability that it has happened by then."""
        return self.values[min(int(seconds / self.step), len(self.values) - 1)]

    def sooner_by(self, seconds: float) -> float:
        """The probability that this happens before another, independent one like it by more than that."""
        shifted = self.later(seconds).values
        rises = (one - before for before, one in pairwise(self.values))
        means = ((one + before) / 2 for before, one in pairwise(shifted))
        return sum(rise * mean for rise, mean in zip(rises, means, strict=True))

    def quantile(self, share: float) -> float:
        """The seconds by which it has happened with this probability."""
        before = 0.0
        for place, value in enumerate(self.values):
            if value >= share:
                part = (share - before) / (value - before) if value > before else 0.0
                return (place - 1 + part) * self.step if place else 0.0
            before = value
        return len(self.values) * self.step

    def atoms(self, count: int = 50) -> Atoms:
        """The distribution as so many values of equal probability."""
        return tuple((self.quantile((place + 0.5) / count), 1 / count) for place in range(count))
