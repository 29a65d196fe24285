"""Figures: what a run found, as values that become a table or JSON.

Law: a figure that could not be taken is `None`, never 0; `sound` is false when anything was missed.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sims.loopback.ledger import Change, Record


def quantile(values: Iterable[float], share: float) -> float | None:
    """The value at a share of the sorted values, nearest rank; `None` without values."""
    ordered = sorted(values)
    return ordered[int(share * (len(ordered) - 1) + 0.5)] if ordered else None


@dataclass(frozen=True, slots=True)
class Start:
    """Mass starts: seconds until every node held all nodes live; `None` for a run that took too long."""

    runs: list[float | None]
    sound: bool
    median: float | None

    @classmethod
    def of(cls, runs: Sequence[float | None]) -> Start:
        """The figure of these runs."""
        reached = [seconds for seconds in runs if seconds is not None]
        sound = len(reached) == len(runs)
        return cls(list(runs), sound, statistics.median(reached) if sound else None)


@dataclass(slots=True)
class Rounds:
    """Seconds until the last callback of one kind of change, over the rounds."""

    count: int = 0
    p50: float | None = None
    p99: float | None = None
    max: float | None = None
    missed: int = 0
    unconverged: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, change: Change, since: float) -> None:
        """Enter a round whose waiting has ended."""
        self.count += 1
        self.missed += len(change.owed)
        self.unconverged += change.unconverged
        if change.last is not None:
            self.seconds.append(change.last - since)
        self.p50, self.p99, self.max = (quantile(self.seconds, share) for share in (0.5, 0.99, 1))

    @property
    def sound(self) -> bool:
        """Whether nobody missed anything."""
        return self.missed == 0


@dataclass(frozen=True, slots=True)
class Idle:
    """A quiet window: per node and second, CPU, datagrams sent, and bytes with their IP and UDP headers."""

    seconds: float
    cpu_ms: float
    datagrams: float
    bytes: float
    stalls: int
    refutations: int
    sound: bool = True


@dataclass(frozen=True, slots=True)
class Memory:
    """KiB per node: growth of the one process, or the whole of each process; `None` where it is not told."""

    rss: float | None
    pss: float | None
    sound: bool = True


@dataclass(frozen=True, slots=True)
class Strays:
    """Over all phases: callbacks that nothing had called for, and accusations of nodes that were well."""

    unexpected: list[Record]
    suspected: int
    failed: int

    @property
    def sound(self) -> bool:
        """Whether no callback was doubled or false."""
        return not self.unexpected


@dataclass(frozen=True, slots=True)
class Blocked:
    """An application loop that was blocked, as the other four saw it."""

    seconds: float
    suspicions: int
    failures: int
    leaves: int
    change_meanwhile: float | None
    """Seconds until the last of the others was told of a join while the loop was blocked."""
    told_after: float | None
    """Seconds after the end of the block until the blocked application was told of it."""
    sound: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process that was stopped and continued: events about it at each of the others."""

    seconds: float
    leaves: list[int]
    joins: list[int]
    left_after: float | None
    """Seconds from the stop until the last of the others was told of the leave."""
    back_after: float | None
    """Seconds from the continuing until the last of the others was told of the join."""
    false_leaves: int
    """Leaves of the others that the stopped one was told of."""
    sound: bool


@dataclass(frozen=True, slots=True)
class Split:
    """A network split into 3 + 2 nodes and healed; `None` when it did not become whole in time."""

    seconds: float
    seeds: int
    parted_after: float | None
    """Seconds from the cut until the last node was told that the other side is gone."""
    views_after: float | None
    """Seconds from the network's return until every node held all live."""
    groups_after: float | None
    """Seconds from the network's return until the last callback that made the group whole again."""
    missed: int
    unexpected: list[Record]
    sound: bool


@dataclass(frozen=True, slots=True)
class Flood:
    """What the members of a cluster saw while one of them was flooded; memory in KiB."""

    seconds: float
    sent: int
    refused: int
    join: Rounds
    leave: Rounds
    suspicions: int
    failures: int
    memory_before: float | None
    memory_after: float | None
    sound: bool


@dataclass(frozen=True, slots=True)
class Rotation:
    """A change of keys in three steps, and what anybody noticed of it."""

    nodes: int
    seconds: list[float | None]
    """For each step, from its first write until each node held of all that they made it; `None`: never."""
    callbacks: int
    suspicions: int
    failures: int
    refused: int
    """Datagrams refused by any node from before the first step until after the last."""
    known_before: int
    """Nodes that knew the old key before."""
    unknown_after: int
    """Nodes that refused a datagram sealed with it afterwards, as one with an unknown key."""

    @property
    def sound(self) -> bool:
        """Whether it came about, and nobody noticed anything until the old key was refused."""
        noticed = self.callbacks or self.suspicions or self.failures or self.refused
        everywhere = self.known_before == self.unknown_after == self.nodes
        return not noticed and everywhere and None not in self.seconds


@dataclass(frozen=True, slots=True)
class Assault:
    """What one kind of hostile traffic got out of a cluster. Bytes without headers of IP and UDP."""

    sent: int
    sent_bytes: int
    returned: int
    """Datagrams that came back to any of the attacker's addresses, or to those in whose name he sent."""
    returned_bytes: int
    refused: dict[str, int]
    """By reason, of all nodes."""
    broken: list[str]
    """The bounds that were not kept, in words."""
    late: int = 0
    """Replays that were taken in, each of a datagram that had been refused when it came first."""

    @property
    def sound(self) -> bool:
        """Whether every bound was kept."""
        return not self.broken


@dataclass(frozen=True, slots=True)
class Life:
    """What the members of a cluster saw of each other before or during attacks."""

    join: Rounds
    leave: Rounds
    kill: Rounds
    suspicions: int
    failures: int
    growth: int | None
    """KiB by which the process that grew most was larger than at first."""
    broken: list[str]

    @property
    def sound(self) -> bool:
        """Whether every bound was kept."""
        return not self.broken


@dataclass(frozen=True, slots=True)
class Skipped:
    """A phase that cannot run here, and why."""

    reason: str
    sound: bool = True


Figure = (
    Start
    | Rounds
    | Idle
    | Memory
    | Strays
    | Blocked
    | Stopped
    | Split
    | Flood
    | Rotation
    | Assault
    | Life
    | Skipped
)
