"""The scene of the measurement: one node of a quiet cluster, and members that send it datagrams.

Law: the cluster was brought up by the simulator, so nothing about the node is made up, and the members'
addresses are proved. The node's own probes are put off for ever: what it does, it does because of what it is
sent. Time is that of the processor, for whole turns: read, tick, send, and all that the driver asks after.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from gossipgroups.config import Config
from gossipgroups.ids import Address, NodeId
from gossipgroups.keys import KeyRing
from gossipgroups.node import Node
from gossipgroups.wire.codec import pack_payload, pack_section
from gossipgroups.wire.header import pack_header
from gossipgroups.wire.messages import Section
from gossipgroups.wire.seal import make_seal
from sims.engine import Simulation, address_of
from sims.engine.simulation import CLUSTER
from sims.measures.cluster import join_all, make_whole

GROUP = "measured"
NEVER = 1e8
"""Seconds: longer than anything is measured."""
QUIET = Config.lan().but(probe_period=NEVER, seed_interval=NEVER)
OWN = address_of(0)
DRAIN = 30.0
"""Virtual seconds until nothing is news any more."""
AHEAD = 1 << 20
"""Numbers that members leave out: they have used the lowest of them."""
STEP = 1e-6
"""Seconds of the node's clock from one turn to the next, unless more is said."""

Sent = list[tuple[bytes, Address]]


class Scene:
    """The node, the members, and what the node's turns have taken so far."""

    def __init__(
        self,
        nodes: int,
        keys: KeyRing | None,
        own: Address = OWN,
        members: Sequence[Address] = (),
    ) -> None:
        simulation = Simulation(seed=1, config=QUIET, keys=keys)
        addresses = [*members, *(address_of(place) for place in range(len(members) + 1, nodes))]
        asked = simulation.start(own)
        asking = [simulation.start(each, seeds=[own]) for each in addresses]
        make_whole(simulation)
        join_all(simulation, [asked, *asking], GROUP)
        simulation.advance(DRAIN)
        self.node = asked.node
        self.members = [each.node for each in asking]
        """The others, those at the addresses that were asked for first."""
        self.member = self.members[0]
        self.source = addresses[0]
        self.spent = 0.0
        """Seconds of processor time in the turns that were timed."""
        self.timed = 0
        """How many of them there were."""
        self.stamps = 0
        """Of the entries that were made up."""
        self._seal = make_seal(CLUSTER, keys, simulation.random.randbytes)
        self._now = asked.clock.read(simulation.now)
        self._number = AHEAD

    @property
    def digest(self) -> int:
        """That of the node's replica, and of all others'."""
        return self.node.state.replica.digest

    def begin(self) -> None:
        """Measure anew."""
        self.spent, self.timed = 0.0, 0

    def datagram(self, *sections: Section) -> bytes:
        """The member's next datagram to the node."""
        return self.datagram_from(self.member.node_id, *sections)

    def datagram_from(self, sender: NodeId, *sections: Section) -> bytes:
        """A datagram of any node to the node."""
        self._number += 1
        header = pack_header(sender, self.node.node_id, self._number)
        return self._seal.seal(header, pack_payload([pack_section(each) for each in sections]))

    def turn(self, *datagrams: bytes, step: float = STEP, timed: bool = True) -> Sent:
        """Let time pass, and the node read these datagrams of the member; what it sends."""
        arrived = [(each, self.source) for each in datagrams]
        return self.turn_at(self._now + step, arrived, timed=timed)

    def turn_at(self, now: float, arrived: Sent, *, timed: bool = True) -> Sent:
        """A turn at this time of the node's clock, with what arrived from wherever."""
        self._now = now
        begun = time.process_time()
        sent = whole_turn(self.node, arrived, now)
        spent = time.process_time() - begun
        if timed:
            self.spent += spent
            self.timed += 1
        return sent

    def next_turn(self, arrived: Iterable[tuple[bytes, Address]]) -> Sent:
        """A turn a moment later that somebody else times."""
        self._now += STEP
        return whole_turn(self.node, arrived, self._now)


def whole_turn(node: Node, arrived: Iterable[tuple[bytes, Address]], now: float) -> Sent:
    """All that the driver asks of the node in a turn. Raises `AssertionError` if a datagram is refused."""
    for datagram, source in arrived:
        refused = node.receive(datagram, source, now)
        assert refused is None, refused
    node.tick(now)
    sent = node.datagrams(now)
    node.events()
    node.outcomes()
    node.next_deadline()
    return sent
