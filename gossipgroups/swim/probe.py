"""One probe: ping, then others ping for us, then it has failed (SWIM, section 3.1).

Law: a probe is in exactly one stage, goes only forward, and ends once: by an ack, or as failed.

    DIRECT  --ack-------------------------> answered
    DIRECT  --time-out, or port refused---> INDIRECT   (k others are asked)
    INDIRECT --ack------------------------> answered
    INDIRECT --end of the period----------> failed

A doubt asks nobody: it has failed when its time-out has passed or its port is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from gossipgroups.ids import Address, NodeId, Peer, Random
from gossipgroups.wire.messages import SILENT


class Purpose(Enum):
    """Why a node is probed."""

    ROUND = "its turn"
    CORROBORATE = "another suspects it"
    CHALLENGE = "a member id that it holds is wanted"
    DOUBT = "others hold it dead, and we hold it live"


class Stage(Enum):
    """How far a probe is."""

    DIRECT = 1
    INDIRECT = 2


@dataclass(slots=True)
class Probe:
    """A probe that is under way. Times are on the node's clock, in seconds."""

    number: int
    target: NodeId
    address: Address
    purpose: Purpose
    begun: float
    deadline: float
    """When the next transition is due without an ack."""
    until: float
    """When it has failed without one, once others are asked."""
    stage: Stage = Stage.DIRECT
    evidence: int = SILENT
    asked: set[NodeId] = field(default_factory=set)
    nacked: set[NodeId] = field(default_factory=set)


@dataclass(slots=True)
class Relay:
    """A ping that we sent for another node."""

    target: NodeId
    address: Address
    origin: Peer
    origin_number: int
    nack_at: float
    until: float
    nacked: bool = False

    @property
    def deadline(self) -> float:
        """When the origin gets a nack, or else when the relay is forgotten."""
        return self.until if self.nacked else self.nack_at


class Numbers:
    """Ping numbers: 32 random bits each, so that nobody can answer a ping that did not reach him."""

    __slots__ = ("_random",)

    def __init__(self, random: Random) -> None:
        self._random = random

    def draw(self) -> int:
        """A number; never 0, which stands for no ping."""
        return self._random.randrange(1, 2**32)
