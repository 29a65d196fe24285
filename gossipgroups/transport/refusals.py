"""What was refused, in the log: datagrams that mean a mistake in a configuration, and what is too much.

Law: whoever floods the port or the cluster does not flood the log, and hides nobody in it. A reason is said
when its count has grown tenfold, and for a host of which it was not said yet: once for each host of a node
that is held, and for others within a budget. What a datagram held that was dropped is never shown.
"""

from __future__ import annotations

import logging

from gossipgroups.admission import ELSEWHERE, REPLAYED
from gossipgroups.budget import Budget
from gossipgroups.groups.replica import Replica
from gossipgroups.ids import Address
from gossipgroups.registers import GroupRegister, NodeRegister, Register
from gossipgroups.state import State
from gossipgroups.stats import Stats
from gossipgroups.wire.header import unpack_header
from gossipgroups.wire.seal import quoted_header

logger = logging.getLogger("gossipgroups")

SAID = {
    "not sealed": "it is not sealed, and this node has keys: give that one keys too, or stop it",
    "sealed": "it is sealed, and this node has no keys: start it with the cluster's keys",
    "unknown key": "it is sealed with a key that is not held here: add that key, or remove it there",
    "forged": "it was not sealed with the key that it names, or for another cluster",
    "cluster or checksum": "it is of a cluster of another name, or damaged: give all nodes one cluster name",
    ELSEWHERE: "its sender is heard from another address. Two processes have one node id, as when a "
    "machine is cloned while it runs: restart the one there",
    REPLAYED: "it was recorded, and sent again from another address than its sender's. Or two processes have "
    "one node id, as when a machine is cloned while it runs: then restart the one there",
    "version": "it is of another version of the protocol, or of another program",
}
"""What is worth a word, and what to do about it."""
HOSTS = 64
"""Hosts and reasons kept as said, of hosts where no node is held."""
MEMBERS = 1024
"""Hosts and reasons said at most, of hosts where a node is held."""
LINES, SECONDS_A_LINE = 10.0, 10.0
"""Lines at once for hosts where no node is held, and how long one takes to come back."""


class RefusalLog:
    """Says that datagrams were dropped; `name` is that of the coordinator that did. Times are in seconds."""

    __slots__ = ("_budget", "_hosts", "_members", "_name", "_state", "_stats", "_strangers", "_version")

    def __init__(self, name: str, state: State, stats: Stats) -> None:
        self._name = name
        self._state = state
        self._stats = stats
        self._budget = Budget(1 / SECONDS_A_LINE, LINES)
        self._strangers: dict[tuple[str, str], None] = {}
        self._members: set[tuple[str, str]] = set()
        self._hosts: set[str] = set()
        self._version = -1

    def say(self, reason: str, datagram_untrusted: bytes, source: Address, now: float) -> None:
        """Say that this datagram was dropped, if it is due."""
        if reason not in SAID:
            return
        sender = self._sender(datagram_untrusted) if reason in (ELSEWHERE, REPLAYED) else None
        if reason == REPLAYED and (sender is None or sender.address == source):
            return  # the network repeats datagrams, too
        count = self._stats.refused[reason]
        if self._is_new(reason, source.host, now) or count == 10 ** (len(str(count)) - 1):
            logger.warning(
                "coordinator %r has dropped %d datagram(s), the last from %s%s: %s",
                self._name,
                count,
                source,
                "" if sender is None else f", in the name of node {sender.name!r} ({sender.node_id.hex()})",
                SAID[reason],
            )

    def _sender(self, datagram_untrusted: bytes) -> NodeRegister | None:
        header = quoted_header(datagram_untrusted)
        return None if header is None else self._state.replica.nodes.get(unpack_header(header).sender)

    def _is_new(self, reason: str, host: str, now: float) -> bool:
        """Whether this was not said of the host, and is to be; it is as good as said then."""
        said = (reason, host)
        if said in self._strangers or said in self._members:
            return False
        if self._is_members(host) and len(self._members) < MEMBERS:
            self._members.add(said)
            return True
        if not self._budget.spend(1, now):
            return False
        self._strangers[said] = None
        if len(self._strangers) > HOSTS:
            del self._strangers[next(iter(self._strangers))]
        return True

    def _is_members(self, host: str) -> bool:
        """Whether a node is held there. The set is made when somebody new is refused, who may be many."""
        if self._version != self._state.live.version:
            self._version = self._state.live.version
            self._hosts = {register.address.host for register in self._state.replica.nodes.values()}
        return host in self._hosts


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
    node_id, held = max(replica.held_by.items(), key=lambda item: len(item[1]), default=(None, ()))
    if node_id is None:
        return ""  # what was at the limit is gone since
    node = replica.nodes.get(node_id)
    who = f"node {node_id.hex()}" if node is None else f"node {node.name!r} at {node.address}"
    return f"; most, {len(held)}, were written by {who}"
