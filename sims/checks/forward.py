"""Epochs and presences only move forward.

Law: per observer a group's epoch only rises, and so does (epoch, clock, node id) of a presence; a presence of
one rank has one content everywhere.
"""

from __future__ import annotations

from gossipgroups.registers import GroupRegister, PresenceRegister
from sims.checks.broken import Broken
from sims.checks.holdings import Pair
from sims.engine import Process


class Forward:
    """The check of group and presence registers."""

    def __init__(self) -> None:
        self._contents: dict[tuple[object, ...], bytes] = {}

    def changed(self, process: Process, pairs: list[Pair]) -> None:
        """Check what a node has learnt of groups and presences."""
        for old, new in pairs:
            if isinstance(new, GroupRegister):
                before = old.epoch if isinstance(old, GroupRegister) else 0
                if new.epoch <= before:
                    raise Broken(
                        "epoch", f"{process.name}: {new.group} went back from {before} to {new.epoch}"
                    )
            elif isinstance(new, PresenceRegister):
                if isinstance(old, PresenceRegister) and _rank(new) < _rank(old):
                    raise Broken("presence", f"{process.name} went back from {old} to {new}")
                known = self._contents.setdefault((new.group, new.member, *_rank(new)), new.packed)
                if known != new.packed:
                    raise Broken("content", f"{process.name} holds {new}, another held {known!r}")


def _rank(presence: PresenceRegister) -> tuple[int, int, bytes]:
    return presence.epoch, presence.clock, presence.node_id
