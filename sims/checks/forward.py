"""Epochs and presences only move forward.

Law: per observer a group's epoch only rises, and so does (epoch, clock, node id) of a presence; a presence of
one rank has one content everywhere, until it is forgotten somewhere: its writer may then begin anew, with an
epoch and a clock that were used before. Even then all merge alike, which is checked at rest.
"""

from __future__ import annotations

from gossipgroups.registers import GroupRegister, PresenceRegister, Register
from sims.checks.broken import Broken
from sims.checks.holdings import Pair
from sims.engine import Process


class Forward:
    """The check of group and presence registers."""

    def __init__(self) -> None:
        self._contents: dict[tuple[object, ...], bytes] = {}
        self._forgotten: set[tuple[str, str]] = set()

    def forgotten(self, register: Register) -> None:
        """Note that a node has forgotten this."""
        if isinstance(register, PresenceRegister):
            self._forgotten.add((register.group, register.member))

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
                if known != new.packed and (new.group, new.member) not in self._forgotten:
                    raise Broken("content", f"{process.name} holds {new}, another held {known!r}")


def _rank(presence: PresenceRegister) -> tuple[int, int, bytes]:
    return presence.epoch, presence.clock, presence.node_id
