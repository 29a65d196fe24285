"""Intake: how much of strangers is looked at.

Law: what is refused, or asked of anybody, is charged to the host that it came from, and to all strangers
together. Who has used up its share is not looked at, and costs a look into a table; but for the addresses of
live nodes, whose word must be heard whatever else comes in their name. The table is bounded.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from itertools import islice

from gossipgroups.budget import Budget
from gossipgroups.errors import BadPacket
from gossipgroups.ids import Address
from gossipgroups.state import State

FLOOD = "flood"
HOST_RATE = 2000.0
"""Datagrams of one host that may be refused in a second, and at once."""
STRANGERS_RATE = 10_000.0
"""The same, of all together."""
HOSTS = 1024
"""Hosts noted; beyond, one of them is noted anew."""
LOOKED_AT = 2
"""Hosts of which it is seen, whenever one is added, whether they need be noted still."""


class Intake:
    """The shares of the hosts that datagrams come from. Times are on the node's clock, in seconds."""

    __slots__ = ("_all", "_hosts", "_members", "_state", "_version")

    def __init__(self, state: State) -> None:
        self._state = state
        self._hosts: dict[str | bytes, Budget] = {}
        self._all = Budget(STRANGERS_RATE, STRANGERS_RATE)
        self._members: set[Address] = set()
        self._version = -1

    def admit(self, source: Address, now: float) -> None:
        """Raise `BadPacket` when a datagram of this address is not to be looked at."""
        if not self._hosts:
            return
        host = self._hosts.get(_host(source.host))
        looked_at = self._all.has(1, now) and (host is None or host.has(1, now))
        if not looked_at and not self._knows(source):
            raise BadPacket(FLOOD)

    def charge(self, source: Address, now: float) -> None:
        """A datagram of this address was of no use."""
        host = _host(source.host)
        budget = self._hosts.get(host)
        if budget is None:
            self._make_room(now)
            budget = self._hosts[host] = Budget(HOST_RATE, HOST_RATE)
        budget.spend(1, now)
        self._all.spend(1, now)

    def _make_room(self, now: float) -> None:
        """Drop hosts that owe nothing any more: two are looked at for each that is added, in turn."""
        for host in list(islice(self._hosts, LOOKED_AT)):
            budget = self._hosts.pop(host)
            if not budget.has(HOST_RATE, now):
                self._hosts[host] = budget
        if len(self._hosts) >= HOSTS:
            del self._hosts[next(iter(self._hosts))]

    def _knows(self, source: Address) -> bool:
        """Whether it is a live node's. The set is made only when there is a flood."""
        live = self._state.live
        if self._version != live.version:
            self._version = live.version
            self._members = {self._state.replica.nodes[node_id].address for node_id in live.ids}
        return source in self._members


@lru_cache(maxsize=HOSTS)
def _host(host: str) -> str | bytes:
    """What one sender can hold: an IPv4 address, or 64 bits of an IPv6 one."""
    return ipaddress.ip_address(host).packed[:8] if ":" in host else host
