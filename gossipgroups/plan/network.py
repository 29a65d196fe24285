"""The network that a plan is made for: how long a datagram takes, how many are lost, and what a probe meets.

Law: latencies are log-normal, datagrams are lost independently. Everything here is one node's view of one
exchange; what a whole cluster makes of it is in the other files.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import exp
from statistics import NormalDist

from gossipgroups.config import Config
from gossipgroups.errors import InvalidValue
from gossipgroups.swim.probing import INDIRECT_WAITS
from gossipgroups.swim.round_trips import DEVIATIONS, FALL, RISE

LATENCIES = {"local": 0.00011, "lan": 0.0011, "wan": 0.06}
"""Median latency of a datagram one way, by preset, in seconds: those of the simulator's experiments."""
SPREAD = 0.5
"""Standard deviation of the logarithm of a latency: one in a hundred takes three times the median."""
TURN = 0.0005
"""Seconds that a node takes to read, decide and send: the simulator's, and about that of CPython."""
TURNS = 1.25
"""Turns until an answer leaves: a datagram that comes amid one waits for its end."""
MOST_SPREAD = 2.0
"""One datagram in forty takes more than fifty times the median then."""
MOST_LOSS = 0.5
"""Beyond this share hardly any probe is answered, and no formula here holds."""

_CUTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.97, 0.985, 0.995, 0.999, 1.0)
_NORMAL = NormalDist()
Atoms = tuple[tuple[float, float], ...]
"""A distribution as its values, each with its probability."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network. Raises `InvalidValue` on values out of range."""

    latency: float
    """Median seconds of a datagram one way."""
    loss: float = 0.0
    """Share of the datagrams that are lost, 0 … 0.5."""
    spread: float = SPREAD
    """How much the seconds one way vary: the standard deviation of their logarithm, 0 … 2."""
    turn: float = TURN
    """Seconds of work for one turn of a node."""

    def __post_init__(self) -> None:
        if not 0 <= self.loss <= MOST_LOSS:
            raise InvalidValue(f"loss is {self.loss!r}: it must be a share from 0 to {MOST_LOSS}")
        if not 0 < self.latency <= 10:
            raise InvalidValue(f"latency is {self.latency!r}: it must be seconds, over 0 and at most 10")
        if not 0 <= self.spread <= MOST_SPREAD:
            raise InvalidValue(f"spread is {self.spread!r}: it must be from 0 to {MOST_SPREAD:g}")
        if not 0 <= self.turn <= 10:
            raise InvalidValue(f"turn is {self.turn!r}: it must be seconds, from 0 to 10")

    @property
    def arrives(self) -> float:
        """The probability that a datagram arrives."""
        return 1 - self.loss

    @property
    def work(self) -> float:
        """Seconds from the arrival of a datagram to the answer: the turn, and the end of the one before."""
        return TURNS * self.turn

    @property
    def hop(self) -> float:
        """Median seconds from one node's news to the next node's, its turn included."""
        return self.latency + self.work

    def latencies(self) -> Atoms:
        """Seconds under way, by probability."""
        return tuple(
            (self.latency * exp(self.spread * _NORMAL.inv_cdf((low + high) / 2)), high - low)
            for low, high in pairwise(_CUTS)
        )

    def hops(self) -> Atoms:
        """Seconds from one node's turn to the next node's, by probability."""
        return tuple((seconds + self.work, p) for seconds, p in self.latencies())

    def round_trips(self) -> Atoms:
        """Seconds from a ping to its ack, by probability."""
        there = self.latencies()
        return tuple((one + other + self.work, p * r) for one, p in there for other, r in there)

    def wait(self, config: Config) -> float:
        """The wait for an ack that a node's measured round trips lead to, in seconds.

        The deviation rises faster than it falls, so it rests where the weights of both sides are equal.
        """
        trips = self.round_trips()
        mean = sum(p * seconds for seconds, p in trips)
        errors = [(abs(seconds - mean), p) for seconds, p in trips]
        low, high = 0.0, max(error for error, _ in errors)
        for _ in range(20):
            middle = (low + high) / 2
            more = sum(p * (error - middle) for error, p in errors if error > middle)
            less = sum(p * (middle - error) for error, p in errors if error < middle)
            low, high = (middle, high) if RISE * more > FALL * less else (low, middle)
        return min(max(mean + DEVIATIONS * low, config.probe_timeout_min), config.probe_timeout)

    def failure(self, config: Config) -> float:
        """The seconds after which a probe has failed."""
        return min(INDIRECT_WAITS * self.wait(config), config.probe_period)

    def unanswered(self, config: Config) -> float:
        """The probability that a direct ping of a live node gets no ack within the wait."""
        return 1 - self.arrives**2 * self._back_within(self.wait(config))

    def false_probe(self, config: Config, nodes: int) -> float:
        """The probability that a probe of a live node fails: no ack of its own, and none by way of others."""
        relays = min(config.indirect_probes, max(0, nodes - 2))
        wait, failure = self.wait(config), self.failure(config)
        no_ack = 1 - self.arrives**2 * self._back_within(failure)
        # Over a relay it is two round trips, and each of the four datagrams may be lost.
        by_relay = self.arrives**4 * self._back_within((failure - wait) / 2)
        return no_ack * (1 - by_relay) ** relays

    def _back_within(self, seconds: float) -> float:
        """The probability that a round trip on which nothing is lost takes no longer."""
        return sum(p for trip, p in self.round_trips() if trip <= seconds)
