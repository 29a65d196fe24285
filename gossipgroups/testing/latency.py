"""How long a datagram is under way: distributions of latency, as frozen values.

Law: a distribution draws from the generator that it is given, and from nothing else; no draw is negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import Protocol

from gossipgroups.errors import InvalidValue

MOST_SIGMA = 10.0
"""Largest standard deviation of a logarithm: one in a hundred takes ten thousand million medians there."""


class Chance(Protocol):
    """The part of `random.Random` that a simulated network draws from."""

    def random(self) -> float:
        """A number in 0 … 1, 1 excluded."""
        ...

    def expovariate(self, lambd: float, /) -> float:
        """From the exponential distribution of this rate."""
        ...

    def gauss(self, mu: float, sigma: float, /) -> float:
        """From the normal distribution."""
        ...


class Latency(Protocol):
    """Draws the seconds that one datagram is under way."""

    def draw(self, chance: Chance, /) -> float:
        """Seconds, 0 or more."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    seconds: float

    def __post_init__(self) -> None:
        _check("seconds", self.seconds)

    def draw(self, chance: Chance) -> float:
        """The same seconds each time."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class Uniform:
    """Anything between two bounds, alike."""

    shortest: float
    longest: float

    def __post_init__(self) -> None:
        _check("shortest", self.shortest)
        _check("longest - shortest", self.longest - self.shortest)

    def draw(self, chance: Chance) -> float:
        """Seconds between the bounds."""
        return self.shortest + (self.longest - self.shortest) * chance.random()


@dataclass(frozen=True, slots=True)
class Exponential:
    """A fixed shortest time, and an exponential rest of the given mean."""

    mean: float
    shortest: float = 0.0

    def __post_init__(self) -> None:
        _check("mean", self.mean)
        _check("shortest", self.shortest)

    def draw(self, chance: Chance) -> float:
        """Seconds; the tail has no bound."""
        return self.shortest + (chance.expovariate(1 / self.mean) if self.mean else 0.0)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """The heavy tail of real networks: half of the datagrams take less than the median."""

    median: float
    sigma: float
    """Standard deviation of the logarithm; at 1.0 one in a hundred takes ten times the median."""

    def __post_init__(self) -> None:
        _check("median", self.median)
        _check("sigma", self.sigma)
        if self.sigma > MOST_SIGMA:
            raise InvalidValue(f"sigma is {self.sigma}: over {MOST_SIGMA} no datagram arrives in any time")

    def draw(self, chance: Chance) -> float:
        """Seconds; the tail has no bound."""
        return self.median * exp(chance.gauss(0.0, self.sigma))


@dataclass(frozen=True, slots=True)
class Recorded:
    """Latencies that were measured, drawn alike and independently."""

    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise InvalidValue("recorded latencies are empty: give at least one sample, in seconds")
        for sample in self.samples:
            _check("sample", sample)

    def draw(self, chance: Chance) -> float:
        """One of the samples."""
        return self.samples[int(chance.random() * len(self.samples))]


def _check(what: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise InvalidValue(f"latency {what} is {value!r}: it must be a number of seconds, 0 or more")
