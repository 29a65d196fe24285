"""What must occur in a campaign: one that never saw a fault, a status or an event shows nothing about it."""

from __future__ import annotations

from collections import Counter

from sims.schedules.faults import FAULTS
from sims.schedules.operations import OPERATIONS
from sims.schedules.stranger import ATTACKS

INSIDERS = ("twin", "other version", "clock ahead", "flood")
DISTINCT_CUTS = 50
"""Partitions, told apart by their sides, that a campaign of `SEEDS_FOR_CUTS` seeds or more must have."""
SEEDS_FOR_CUTS = 1000

MUST_OCCUR: dict[str, tuple[str, ...]] = {
    "operation": (*OPERATIONS, "member taken over"),
    "process": (
        *(what for what in FAULTS if what not in ("skew", "jump", *INSIDERS)),
        *("quick", "stopped, told", "stopped, not told", "stalls", "port refused", "overflow"),
    ),
    "clock": ("skew", "jump forward", "jump back"),
    "network": (
        *("latency constant", "latency uniform", "latency exponential", "latency lognormal"),
        *("latency recorded", "condition of egress", "condition of ingress"),
        *("cut one way", "cut both ways", "mend", "partition in 2", "partition in 3", "heal"),
    ),
    "datagram": (
        *("lost", "duplicated", "reordered", "overtaken", "cut", "no room", "too large"),
        *("lost in flight", "repeated in flight"),
    ),
    "stranger": (*ATTACKS, "stranger answered", "brought by a stranger"),
    "insider": (*INSIDERS, "twin taken in"),
    "refused": (
        *("refused: replayed", "refused: elsewhere", "refused: unproved", "refused: for another"),
        *("refused: own datagram", "refused: version", "refused: forged", "refused: unknown key"),
        *("refused: not sealed", "refused: sealed", "refused: cluster or checksum", "refused: size"),
    ),
    "status": (
        *("status alive", "status suspect", "status dead", "status left", "status dead to alive"),
        *("refutations", "repairs", "forgotten"),
    ),
    "settled": ("settled group", "settled root", "settled whole"),
    "event": (
        *("NodeJoined", "NodeSuspected", "NodeFailed", "NodeLeft"),
        *("GroupCreated", "GroupCreated unconverged", "GroupDeleted", "MemberCapabilitiesUpdated"),
        *("MemberJoinedGroup", "MemberJoinedGroup unconverged"),
        *("MemberLeftGroup", "MemberLeftGroup unconverged", "left", "failed", "deleted"),
    ),
    "outcome": (
        *("done", "done unconverged", "GroupAlreadyExists", "GroupNotCreated", "GroupNotEmpty"),
        *("MemberAlreadyJoined", "MemberNotJoined"),
    ),
}
"""By class: the names under which things are counted."""


def never_occurred(tally: Counter[str]) -> list[str]:
    """What a campaign never saw."""
    return [what for whats in MUST_OCCUR.values() for what in whats if not tally[what]]
