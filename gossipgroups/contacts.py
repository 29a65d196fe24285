"""Reaching out: to seeds, and to the dead in case they are only cut off.

Law: a coordinator never stops looking for others. An address is asked who is there; whoever answers with a
cookie is greeted by its id. Until a seed has answered, seeds are asked often; after
that, those that are not live nodes now and then, with jitter. Each dead node is called about once per
`reach_interval` by somebody, unless a live node has its address; and once in ten where its port was refused,
as a firewall that rejects does, too.
So a healed partition re-merges even after each side has declared the other dead.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from gossipgroups.budget import Budget
from gossipgroups.config import Config
from gossipgroups.groups.replica import Replica
from gossipgroups.ids import ANYBODY, Address, NodeId, Peer, Random
from gossipgroups.status import Status
from gossipgroups.swim.live import LiveSet
from gossipgroups.swim.probe import Numbers
from gossipgroups.wire.messages import NO_COOKIE, Ack, Cookie, Ping, Section

RARELY = 0.1
"""How often a dead node is called whose port was refused, as a share of the others."""
PENDING = 256
"""Contacts remembered while unanswered."""
GREETINGS = 200.0
"""Live nodes that want proof of us, unasked, and get it in a second."""
JOIN_GROWTH = 4
"""The longest wait before the seeds are asked again while joining, in first waits."""
CATCH_UP = 8
"""Times that a joiner asks at once for what is still missing, before it waits its turn."""


class Contact(NamedTuple):
    """A ping to send to somebody who may not know us, with the cookie that he gave, or `NO_COOKIE`."""

    peer: Peer
    number: int
    cookie: bytes


class Contacts:
    """Decides whom to contact and when; the node sends what `due` returns."""

    def __init__(
        self, replica: Replica, live: LiveSet, numbers: Numbers, config: Config, random: Random, own: Address
    ) -> None:
        self._replica = replica
        self._live = live
        self._numbers = numbers
        self._config = config
        self._random = random
        self._pending: dict[int, Address] = {}
        self._dead: dict[NodeId, None] = {}
        """Those that are called: some of them may only be cut off."""
        self._closed: dict[NodeId, None] = {}
        """Those dead whose port was refused."""
        self._refused: set[Address] = set()
        self._own = own
        self._ours = {own}
        self._wait = config.join_retry
        self._seeds_at = inf
        self._reach_at = inf
        self._theirs: int | None = None
        self._catch_up: dict[Peer, None] = {}
        self._greet: dict[Peer, bytes] = {}
        self._greetings = Budget(GREETINGS, GREETINGS)
        self._catch_ups = 0
        self._live_seeds: dict[Address, NodeId] = {}
        """The live node at the address of a seed, when last looked for."""
        self.seeds: tuple[Address, ...] = ()
        self.answered = False
        """Whether any node has answered."""
        self.joined = False
        """Whether our state was equal to that of a node that answered, or `CATCH_UP` did not suffice."""

    def seek(self, seeds: tuple[Address, ...], now: float) -> None:
        """Contact these addresses from now on, at once when none has answered yet."""
        new = set(seeds) - set(self.seeds)
        self.seeds = seeds
        self._refused &= set(seeds)
        self._live_seeds = {}
        if seeds and (self._seeds_at == inf or (new and not self.answered)):
            self._seeds_at = now

    def due(self, now: float) -> list[Contact]:
        """Whom to ping now."""
        if self.deadline > now:
            return []
        known = {**dict.fromkeys(self._catch_up, NO_COOKIE), **self._greet}
        self._catch_up, self._greet = {}, {}
        addresses: list[Address] = []
        if self._seeds_at <= now:
            addresses += self._due_seeds()
            longest = JOIN_GROWTH * self._config.join_retry
            wait = self._config.seed_interval if self.joined else self._wait
            self._seeds_at = now + wait * (0.75 + self._random.random() / 2)
            self._wait = min(2 * self._wait, longest)
        if self._reach_at <= now:
            self._reach_at = now + self._config.reach_interval * (0.75 + self._random.random() / 2)
            addresses += self._due_dead()
        peers = {**{Peer(ANYBODY, address): NO_COOKIE for address in addresses}, **known}
        return [Contact(peer, self._remember(peer.address), cookie) for peer, cookie in peers.items()]

    def awaits(self, number: int) -> bool:
        """Whether the ping of this number is under way."""
        return number in self._pending

    def pinged(self, number: int) -> Address | None:
        """Where the ping of this number went, if it is under way."""
        return self._pending.get(number)

    def on_cookie(self, sender: NodeId, cookie: Cookie, now: float) -> None:
        """Whoever is there wants proof; a node that we know may, at any time."""
        address = self._pending.pop(cookie.number, None)
        if address is not None:
            self._not_ours(address)
            self._greet[Peer(sender, address)] = cookie.cookie
        elif sender in self._live and self._greetings.spend(1, now):
            self._greet[self._replica.nodes[sender].peer] = cookie.cookie

    def status_changed(self, node_id: NodeId, status: Status, now: float) -> None:
        """A node's status was learnt: the dead are called, for as long as there are any."""
        self.forget(node_id)
        if status is not Status.DEAD:
            return
        self._dead[node_id] = None
        if self._reach_at == inf:
            self._reach_at = now + self._config.reach_interval * self._random.random()

    def on_ack(self, sender: NodeId, ack: Ack) -> None:
        """A contact may have answered."""
        address = self._pending.pop(ack.number, None)
        if address is None:
            return
        self.answered = True
        self._refused.discard(address)
        self._not_ours(address)
        if not self.joined:
            self._theirs = ack.digest
            self._catch_up = {Peer(sender, address): None}

    def on_own(self, sections: Iterable[Section], source: Address) -> None:
        """Our own datagram came back: the address that it was sent to may be another one of ours.

        It is asked on all the same, now and then: whoever has recorded the datagram can have sent it back.
        """
        for section in sections:
            if isinstance(section, Ping):
                address = self._pending.get(section.number)
                if address is not None and (source == address or source in self._ours):
                    del self._pending[section.number]
                    self._ours.add(address)

    def turn_ended(self) -> None:
        """All that waited has been merged: compare with the node that answered."""
        if self._theirs is None:
            return
        self.joined = self.joined or self._theirs == self._replica.digest or self._catch_ups >= CATCH_UP
        self._catch_ups += 1
        self._theirs = None
        if self.joined:
            self._catch_up = {}

    def on_refused(self, address: Address) -> None:
        """Nobody listens there: the dead node of this address is called rarely."""
        if address in self.seeds:
            self._refused.add(address)
        for node_id in [each for each in self._dead if self._replica.nodes[each].address == address]:
            del self._dead[node_id]
            self._closed[node_id] = None

    @property
    def hopeless(self) -> bool:
        """Whether every seed is this node itself or a closed port."""
        return all(seed in self._ours or seed in self._refused for seed in self.seeds)

    @property
    def own_seed(self) -> bool:
        """Whether one of the seeds is this node itself."""
        return not self._ours.isdisjoint(self.seeds)

    def forget(self, node_id: NodeId) -> None:
        """Call this node no more: it is not dead, or was dropped from the replica."""
        self._dead.pop(node_id, None)
        self._closed.pop(node_id, None)

    @property
    def deadline(self) -> float:
        """When something is due; infinity when nothing is."""
        return 0.0 if self._catch_up or self._greet else min(self._seeds_at, self._reach_at)

    def _not_ours(self, address: Address) -> None:
        """Another node has answered from there."""
        if address != self._own:
            self._ours.discard(address)

    def _remember(self, address: Address) -> int:
        number = self._numbers.draw()
        while len(self._pending) >= PENDING:
            del self._pending[next(iter(self._pending))]
        self._pending[number] = address
        return number

    def _due_seeds(self) -> list[Address]:
        # Until it has joined it asks seeds that are live nodes too: their answer may have been lost.
        return [
            seed for seed in self.seeds if seed != self._own and not (self.joined and self._is_live(seed))
        ]

    def _is_live(self, seed: Address) -> bool:
        """Whether a live node has this address: the one that had it last time, or else any of them."""
        nodes = self._replica.nodes
        last = nodes.get(self._live_seeds.get(seed, ANYBODY))
        if last is not None and last.status.live and last.address == seed:
            return True
        found = next((node_id for node_id in self._live.ids if nodes[node_id].address == seed), None)
        if found is None:
            self._live_seeds.pop(seed, None)
            return False
        self._live_seeds[seed] = found
        return True

    def _due_dead(self) -> list[Address]:
        if not self._dead and not self._closed:
            self._reach_at = inf
            return []
        calls = len(self._dead) + RARELY * len(self._closed)
        drawn = self._random.random() * max(len(self._live), calls)
        if drawn >= calls:
            return []
        those = self._dead if drawn < len(self._dead) else self._closed
        nodes = self._replica.nodes
        node_id = list(those)[self._random.randrange(len(those))]
        address = nodes[node_id].address
        if address == self._own or any(nodes[each].address == address for each in self._live.ids):
            del those[node_id]  # another is there now
            return []
        return [address]
