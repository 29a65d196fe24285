"""When rumours travel, and to whom.

Law: news goes on at once, within a budget, and never to those that this turn's news came from; what is not
new is told again each interval, to a few nodes drawn at random; every other datagram to a live node carries
what fits.

    about groups   along the tree that its hash names, and now and then to one more: each is told about once
    about nodes    to a few at random: those in between may be the very ones that are gone
    much at once   to a few at random: one datagram carries it all

Chatter, that is accusations and refutations, has a budget of its own: the first of it goes on at once too,
but nodes that are accused and refute over and over cannot keep the others busy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from math import inf

from gossipgroups.budget import Budget
from gossipgroups.config import Config
from gossipgroups.ids import NodeId, Peer, Random
from gossipgroups.spanning import tree_of
from gossipgroups.state import State
from gossipgroups.swim.dissemination import Age, RumourQueue, retransmit_limit
from gossipgroups.wire.outbox import Outbox

CHATTER_ROUNDS = 5
"""Rounds of chatter that may be sent at once, before it takes the pace of the gossip interval."""
FEW = 2
"""So many new things go along trees, each along its own."""
BESIDE_TREES = 0.5
"""Share of the nodes that tell one more at random: for what was lost, or is left out by unequal trees."""


def has_trees(nodes: int, config: Config) -> bool:
    """Whether news of groups goes along trees among so many nodes: a round that has all others is quicker."""
    return nodes - 1 > config.fanout


class Gossip:
    """The rounds of gossip of one node."""

    def __init__(
        self,
        me: NodeId,
        state: State,
        rumours: RumourQueue,
        outbox: Outbox,
        config: Config,
        random: Random,
        age: Age,
        now: float,
    ) -> None:
        self._me = me
        self._state = state
        self._rumours = rumours
        self._outbox = outbox
        self._config = config
        self._random = random
        self._age = age
        self._news = Budget(config.news_rate, max(config.news_rate / 4, config.fanout))
        rate = config.fanout / config.gossip_interval
        self._chatter = Budget(rate, CHATTER_ROUNDS * config.fanout)
        self._news_from: set[NodeId] = set()
        self._at = now

    @property
    def limit(self) -> int:
        """How often a rumour is told by this node."""
        return retransmit_limit(self._config.retransmit_multiplier, len(self._state.live))

    def heard_news(self, sender: NodeId) -> None:
        """Something new came from this node: it need not be told this turn."""
        self._news_from.add(sender)

    def send(self, now: float) -> None:
        """Begin a round, if one is due."""
        self._rumours.stop_telling(self._config.fanout)
        told = self._news_from
        if told:
            self._news_from = set()
        if not self._has_news():
            return
        self._go_along_trees(told, now)
        at_once = any(budget.spend(self._config.fanout, now) for budget in self._budgets())
        if at_once or self._at <= now:
            self._at = now + self._config.gossip_interval
            for peer in self.draw(self._config.fanout, told if at_once else ()):
                self._outbox.open(peer)

    def deadline(self, now: float) -> float:
        """When the next round is due; infinity when there is nothing to tell."""
        if not self._has_news():
            return inf
        ready = (budget.ready_at(self._config.fanout, now) for budget in self._budgets())
        return min((self._at, *ready))

    def fill(self, room: int) -> list[bytes]:
        """Sections of rumours for a datagram with so much room."""
        return self._rumours.take(room, self.limit, self._age) if self._rumours else []

    def draw(self, count: int, but: Iterable[NodeId] = ()) -> list[Peer]:
        """Up to so many live nodes, at random."""
        live = self._state.live
        without = {self._me, *but}
        others = [node_id for node_id in live.ids if node_id not in without]
        chosen = []
        for _ in range(min(count, len(others))):
            place = self._random.randrange(len(others))
            others[place], others[-1] = others[-1], others[place]
            chosen.append(self._state.replica.nodes[others.pop()].peer)
        return chosen

    def _go_along_trees(self, told: Collection[NodeId], now: float) -> None:
        """Tell what is new about groups, if it is little, to those next to us in its trees."""
        live = self._state.live
        news = self._rumours.group_news(FEW)
        place = live.place(self._me) if news else None
        if place is None or not has_trees(len(live), self._config):
            return
        trees = [tree_of(live, register.hash) for register in news]
        targets = {live.ids[each]: None for tree in trees for each in tree.neighbours(place)}
        beside = self.draw(int(self._random.random() < BESIDE_TREES), {*targets, *told})
        peers = [self._state.replica.nodes[each].peer for each in targets if each not in told]
        if not self._news.spend(len(peers) + len(beside), now):
            return
        if len(news) == len(self._rumours):
            self._at = now + self._config.gossip_interval
        self._rumours.start_telling(news)
        for peer in peers + beside:
            self._outbox.open(peer)

    def _budgets(self) -> Iterator[Budget]:
        """What may pay for telling something at once that was never told."""
        if self._rumours.fresh_news:
            yield self._news
        if self._rumours.fresh_chatter:
            yield self._chatter

    def _has_news(self) -> bool:
        return bool(self._rumours) and len(self._state.live) > self._state.own.status.live
