"""What a node keeps in memory, and how large the limits let a cluster grow.

Law: the constants were measured on CPython 3.11: all that can be reached from one node of a running cluster
(`sims/measures/memory.py`), fitted over 2 to 256 nodes. `python -m sims.experiments.plan` holds them against
what it finds. The interpreter, and what a coordinator adds for its readers, come on top.
"""

from __future__ import annotations

from dataclasses import dataclass

from gossipgroups.config import Config
from gossipgroups.groups.limits import LIMITS
from gossipgroups.wire.messages import MAX_LIVE

NODE_ITSELF = 17_500
"""Bytes of a node that knows nobody."""
KNOWN_NODE = 1_080
"""Bytes of a node that is known: its register, its windows, what it has proved."""
GROUP = 1_100
"""Bytes of a group without members."""
PRESENCE = 800
"""Bytes of a member in a group, with few capabilities."""


def held(nodes: int, groups: int, presences: int) -> int:
    """Bytes of one node's tables."""
    return NODE_ITSELF + KNOWN_NODE * nodes + GROUP * groups + PRESENCE * presences


@dataclass(frozen=True, slots=True)
class Largest:
    """What the limits allow."""

    nodes: int
    """Live nodes in one cluster: as many as the bits of a settling entry have room for."""
    starts_an_hour: float
    """Starts of nodes in an hour that can be remembered until they are forgotten, beside the live nodes."""
    groups: int
    members: int
    """Members of one group, those that have left but are not forgotten too."""
    presences: int
    """Members of all groups together."""


def largest(config: Config, nodes: int) -> Largest:
    """The limits for a cluster of so many live nodes."""
    return Largest(
        MAX_LIVE,
        3600 * max(0, LIMITS.nodes - nodes) / config.forget_after,
        LIMITS.groups,
        LIMITS.members,
        LIMITS.presences,
    )
