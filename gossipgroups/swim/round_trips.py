"""How long to wait for an ack, from the round trips that were measured (Jacobson, SIGCOMM 1988, appendix A).

Law: the wait is the mean round trip to all nodes and several times their mean deviation, never outside the
bounds of the config. It rises at once and falls slowly: of many nodes only one may be far. Acks that come too
late but within a period count too, or else a network that has become slow would never be noticed.
"""

from __future__ import annotations

from gossipgroups.config import Config

MEAN_GAIN = 1 / 16
RISE, FALL = 1 / 8, 1 / 64
"""Weights of one round trip in the mean deviation; Jacobson has 1/8 and 1/4 for a single peer."""
DEVIATIONS = 6.0
"""Mean deviations added to the mean; Jacobson's implementation has 4."""


class RoundTrips:
    """The round trips of one node's probes, in seconds."""

    __slots__ = ("_deviation", "_longest", "_mean", "_shortest", "timeout")

    def __init__(self, config: Config) -> None:
        self._shortest, self._longest = config.probe_timeout_min, config.probe_timeout
        self._mean: float | None = None
        self._deviation = 0.0
        self.timeout = self._longest
        """How long to wait for an ack."""

    def note(self, seconds: float) -> None:
        """An ack came so long after its ping."""
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
        else:
            error = seconds - self._mean
            self._mean += MEAN_GAIN * error
            more = abs(error) - self._deviation
            self._deviation += (RISE if more > 0 else FALL) * more
        wait = self._mean + DEVIATIONS * self._deviation
        self.timeout = min(max(wait, self._shortest), self._longest)
