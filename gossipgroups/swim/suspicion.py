"""A suspicion: the time that a suspect has to refute, shrinking as others confirm (Lifeguard, section IV.B).

Law: the time-out never grows, never falls below its minimum, and only accusers that were not counted yet
shorten it. Two accusers that saw the port refused by the kernel leave just enough time for refuting.
"""

from __future__ import annotations

from math import log, log10

from gossipgroups.config import Config
from gossipgroups.ids import NodeId
from gossipgroups.wire.messages import REFUSED

REFUSALS_NEEDED = 2
"""Accusers with a refused port: one may stand behind a firewall that rejects."""


class Suspicion:
    """One suspect at one incarnation, with its accusers."""

    __slots__ = (
        "_config",
        "_longest",
        "_needed",
        "_refusals_needed",
        "_shortest",
        "_started",
        "accusers",
        "incarnation",
    )

    def __init__(self, incarnation: int, live: int, config: Config, now: float) -> None:
        self.incarnation = incarnation
        self._started = now
        self._config = config
        others = max(0, live - 2)
        self._shortest = config.suspicion_multiplier * max(1.0, log10(max(1, live))) * config.probe_period
        self._longest = self._shortest * config.suspicion_max_factor
        self._needed = min(config.confirmations, max(0, others - 1))
        self._refusals_needed = max(1, min(REFUSALS_NEEDED, others + 1))
        self.accusers: dict[NodeId, int] = {}

    def confirm(self, accuser: NodeId, evidence: int) -> bool:
        """Count an accuser; whether that was news worth telling others."""
        known = self.accusers.get(accuser)
        if known is not None and known >= evidence:
            return False
        if evidence == REFUSED:
            worth = self._refusals() < self._refusals_needed
        else:
            worth = len(self.accusers) <= self._needed
        self.accusers[accuser] = evidence
        return worth

    @property
    def deadline(self) -> float:
        """When the suspect is dead, unless it has refuted (seconds on the clock given at the start)."""
        if self._refusals() >= self._refusals_needed:
            return self._started + self._config.refused_timeout
        confirmed = max(0, len(self.accusers) - 1)
        if confirmed >= self._needed:
            return self._started + self._shortest
        share = log(confirmed + 1) / log(self._needed + 1)
        return self._started + max(self._shortest, self._longest - (self._longest - self._shortest) * share)

    def _refusals(self) -> int:
        return sum(1 for evidence in self.accusers.values() if evidence == REFUSED)
