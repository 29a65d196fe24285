"""Counters of one node: what came, what went, and what was refused and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """Running totals since the start of the node."""

    received: int = 0
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    unsent: int = 0
    """Datagrams, counted in `sent`, that the system did not take: a full buffer, or no route."""
    refused: Counter[str] = field(default_factory=Counter)
    """Datagrams dropped unprocessed, by reason."""
    disbelieved: Counter[str] = field(default_factory=Counter)
    """Reports of closed ports that were not believed, by reason: `unquoted` (it quotes no datagram that this
    node has sent there of late), `too many`."""
    over_limit: Counter[str] = field(default_factory=Counter)
    """Registers refused or put out because a limit was reached, by the limit: nodes, groups, members (of one
    group), presences."""
    stalls: int = 0
    """Wake-ups that came too late by more than `Config.stall_tolerance`."""
    refutations: int = 0
    """Times that this node cleared itself of a suspicion or death."""
