"""What was refused, in the log: datagrams that mean a mistake in a configuration, and what is too much.

Law: each reason is said again only when its count has grown tenfold, so whoever floods the port or the
cluster does not flood the log; what a datagram held that was dropped is never shown.
"""

from __future__ import annotations

import logging

from gossipgroups.groups.replica import Replica
from gossipgroups.ids import Address
from gossipgroups.registers import GroupRegister, NodeRegister, Register
from gossipgroups.stats import Stats

logger = logging.getLogger("gossipgroups")

SAID = {
    "not sealed": "it is not sealed, and this node has keys: give that one keys too, or stop it",
    "sealed": "it is sealed, and this node has no keys: start it with the cluster's keys",
    "unknown key": "it is sealed with a key that is not held here: add that key, or remove it there",
    "forged": "it was not sealed with the key that it names, or for another cluster",
    "elsewhere": "its sender is heard from another address. Two processes have one node id, as when a "
    "machine is cloned while it runs: restart the one there",
    "version": "it is of another version of the protocol, or of another program",
}
"""What is worth a word, and what to do about it."""


def say_refused(name: str, stats: Stats, reason: str, source: Address) -> None:
    """Say that a datagram was dropped; `name` is that of the coordinator that did."""
    count = stats.refused[reason]
    if reason in SAID and count == 10 ** (len(str(count)) - 1):
        logger.warning(
            "coordinator %r has dropped %d datagram(s), the last from %s: %s",
            name,
            count,
            source,
            SAID[reason],
        )


class LimitLog:
    """Says when a replica has reached a limit, and who has taken the most room."""

    __slots__ = ("_at", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._at: dict[str, int] = {}

    def say(self, replica: Replica) -> None:
        """Say what was over a limit since the last call, if that is due; called each turn."""
        for limit, count in replica.over_limit.items():
            if count >= self._at.get(limit, 1):
                self._at[limit] = 10 ** len(str(count))
                logger.warning(
                    "coordinator %r holds as many %s as the limit allows: %d time(s) one was not kept, "
                    "last %s%s",
                    self._name,
                    "members of a group" if limit == "members" else limit,
                    count,
                    _named(replica.last_over_limit[limit]),
                    _more(limit, replica),
                )


def _named(register: Register) -> str:
    if isinstance(register, NodeRegister):
        return f"node {register.name!r} at {register.address}"
    if isinstance(register, GroupRegister):
        return f"group {register.group!r}"
    return f"member {register.member!r} of group {register.group!r}"


def _more(limit: str, replica: Replica) -> str:
    """What else helps. Costs a look at all nodes, but no more often than the log has a line."""
    if limit == "nodes" and replica.aside:
        return "; it is itself beyond it, so no other node holds it"
    if limit not in ("members", "presences"):
        return ""
    node_id, held = max(replica.held_by.items(), key=lambda item: len(item[1]))
    node = replica.nodes.get(node_id)
    who = f"node {node_id.hex()}" if node is None else f"node {node.name!r} at {node.address}"
    return f"; most, {len(held)}, were written by {who}"
