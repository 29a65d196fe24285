"""A suspicion: the time that a suspect has to refute, shrinking as others confirm (Lifeguard, section IV.B).

Law: more accusers never lengthen the time-out, and only one that was not counted yet shortens it. An accuser
has probed the suspect itself. Two accusers that saw the port refused by the kernel leave just enough time for
refuting from then on, and so does silence that enough of them have met, at a node that still hears others:
whoever hears nobody may be the one that is cut off.
"""

from __future__ import annotations

from math import inf, log, log10

from gossipgroups.config import Config
from gossipgroups.ids import NodeId
from gossipgroups.wire.messages import REFUSED

REFUSALS_NEEDED = 2
"""Accusers with a refused port: one may stand behind a firewall that rejects."""


def refusals_needed(healthy: float) -> int:
    """Accusers with a refused port that are enough, where so many others could confirm."""
    return int(max(1, min(REFUSALS_NEEDED, healthy + 1)))


class Suspicion:
    """One suspect at one incarnation, with its accusers. Times are on the node's clock, in seconds."""

    __slots__ = (
        *("_config", "_counted", "_fewer_refusals_at", "_refused", "_spared_at", "_started"),
        *("_waits_from", "accusers", "incarnation"),
    )

    def __init__(self, incarnation: int, config: Config, now: float) -> None:
        self.incarnation = incarnation
        self._config = config
        self._started = now
        self._waits_from = now
        self._spared_at = self._fewer_refusals_at = -inf
        self.accusers: dict[NodeId, int] = {}
        self._counted: list[float] = []
        """When each accuser was first counted."""
        self._refused: list[float] = []
        """When each first told of a refused port."""

    def confirm(self, accuser: NodeId, evidence: int, now: float) -> bool:
        """Count an accuser; whether that was news worth telling others."""
        known = self.accusers.get(accuser)
        if known is not None and known >= evidence:
            return False
        if evidence == REFUSED:
            worth = len(self._refused) < REFUSALS_NEEDED
            self._refused.append(now)
        else:
            worth = len(self.accusers) <= self._config.confirmations
        if known is None:
            self._counted.append(now)
        self.accusers[accuser] = evidence
        return worth

    def deadline(self, live: int, healthy: int) -> float:
        """When the suspect is dead, unless it has refuted: `concludes` has the last word.

        `live` is the number of live nodes, `healthy` that of those which could still confirm: where there are
        too few of them, nobody waits for their word.
        """
        config = self._config
        due = self._patient_deadline(live, healthy)
        if self._is_refused(healthy):
            known_at = self._refused[refusals_needed(healthy) - 1]
            due = min(due, known_at + config.refused_timeout)
            return max(due, self._fewer_refusals_at + config.refused_timeout)
        met = min(config.confirmations, max(0, healthy))
        if len(self._counted) > met:
            due = min(due, max(self._counted[met], self._waits_from) + config.silent_timeout)
        return max(due, self._spared_at + config.silent_timeout)

    def spare(self, now: float, *, fewer_refusals: bool) -> None:
        """Fewer can confirm from now on: that alone must not end it at once.

        Nor, but once, that fewer refusals are enough.
        """
        self._spared_at = now
        if fewer_refusals and self._fewer_refusals_at == -inf:
            self._fewer_refusals_at = now

    def concludes(self, live: int, healthy: int, hears: bool, now: float) -> bool:
        """Whether the suspect is dead now, at a node that `hears` others, or does not."""
        if self.deadline(live, healthy) > now:
            return False
        if hears or self._is_refused(healthy) or now >= self._patient_deadline(live, healthy):
            return True
        self._waits_from = now
        return False

    def _patient_deadline(self, live: int, healthy: int) -> float:
        config = self._config
        shortest = config.suspicion_multiplier * max(1.0, log10(max(1, live))) * config.probe_period
        needed = min(config.confirmations, max(0, healthy - 1))
        confirmed = max(0, len(self.accusers) - 1)
        wait = shortest
        if confirmed < needed:
            share = log(confirmed + 1) / log(needed + 1)
            wait = shortest * (config.suspicion_max_factor * (1 - share) + share)
        return self._started + wait

    def _is_refused(self, healthy: int) -> bool:
        return len(self._refused) >= refusals_needed(healthy)


class Suspicions(dict[NodeId, Suspicion]):
    """All suspects of one node, by id."""

    __slots__ = ("_config", "_first", "_healthy")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        self._first: tuple[int, int, float] | None = None
        self._healthy: float = inf

    def begin(self, node_id: NodeId, incarnation: int, now: float) -> None:
        """Suspect a node, anew if it was suspected at another incarnation."""
        held = self.get(node_id)
        if held is None or held.incarnation != incarnation:
            self[node_id] = Suspicion(incarnation, self._config, now)
            self._first = None

    def end(self, node_id: NodeId) -> list[NodeId]:
        """Suspect a node no more; its accusers."""
        self._first = None
        suspicion = self.pop(node_id, None)
        return [] if suspicion is None else list(suspicion.accusers)

    def confirm(self, subject: NodeId, accuser: NodeId, evidence: int, now: float) -> bool:
        """Count an accuser of a suspect; whether that was news worth telling others."""
        suspicion = self.get(subject)
        if suspicion is None or suspicion.accusers.get(accuser, -1) >= evidence:
            return False
        self._first = None
        return suspicion.confirm(accuser, evidence, now)

    def deadline(self, live: int, healthy: int) -> float:
        """When the first suspect is dead; infinity without any. Computed anew only after a change."""
        if self._first is None or self._first[:2] != (live, healthy):
            times = (each.deadline(live, healthy) for each in self.values())
            self._first = (live, healthy, min(times, default=inf))
        return self._first[2]

    def over(self, live: int, healthy: int, hears: bool, now: float) -> list[NodeId]:
        """The suspects whose time is over."""
        if healthy < self._healthy and healthy <= self._config.confirmations:
            self._first = None
            fewer_refusals = refusals_needed(healthy) < refusals_needed(self._healthy)
            for suspicion in self.values():
                suspicion.spare(now, fewer_refusals=fewer_refusals)
        self._healthy = healthy
        if self.deadline(live, healthy) > now:
            return []
        self._first = None
        return [node_id for node_id, each in self.items() if each.concludes(live, healthy, hears, now)]
