"""What a node sends: when nothing happens but loss, and for one change.

Law: sizes are those of real datagrams, packed and measured here; a datagram counts with its headers of IPv4
and UDP. A datagram counts where it is sent, lost or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp

from gossipgroups.config import Config
from gossipgroups.convergence import ASKED, IMPATIENCE
from gossipgroups.gossip import BESIDE_TREES, has_trees
from gossipgroups.ids import Address, NodeId
from gossipgroups.plan.hearing import COMING, asking_times
from gossipgroups.plan.network import Network
from gossipgroups.plan.spreading import Settling
from gossipgroups.registers import NodeRegister, PresenceRegister
from gossipgroups.spanning import BRANCHES
from gossipgroups.status import Status
from gossipgroups.swim.dissemination import retransmit_limit
from gossipgroups.wire.codec import pack_payload, pack_section
from gossipgroups.wire.messages import (
    SILENT,
    Accusation,
    Accusations,
    Ack,
    Entry,
    Nack,
    Ping,
    PingReq,
    Rumours,
    Section,
)
from gossipgroups.wire.messages import Settling as SettlingSection
from gossipgroups.wire.outbox import ROOM
from gossipgroups.wire.seal import SEAL_BYTES, TAGGED_BYTES

TOLD_TWICE = 0.2
"""Of those told at random, the share to which that comes first: fitted to the simulator."""
IP_BYTES = 28
"""Headers of IPv4 and UDP."""
_A, _B = NodeId(b"a" * 8), NodeId(b"b" * 8)
_FULL = 2**64 - 1
_PING, _ACK = Ping(2**31, _FULL, 2**20), Ack(2**31, _FULL)
_ACCUSED = Accusations([Accusation(_A, 1, _B, SILENT)])
_REFUTED = Rumours([NodeRegister(_A, 1, Status.ALIVE, Address("10.0.0.1", 7946), "10.0.0.1").packed])
_JOINED = Rumours([PresenceRegister("workers", "member-1", 1, _A, 1, b"\xc0").packed])


@dataclass(frozen=True, slots=True)
class Rate:
    """What one node sends."""

    datagrams: float
    bytes: float

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.datagrams + other.datagrams, self.bytes + other.bytes)

    def times(self, factor: float) -> Rate:
        """So many times as much."""
        return Rate(self.datagrams * factor, self.bytes * factor)


def _sent(sections: Sequence[Section], sealed: bool, datagrams: float = 1.0) -> Rate:
    envelope = IP_BYTES + (SEAL_BYTES if sealed else TAGGED_BYTES)
    payload = len(pack_payload([pack_section(each) for each in sections]))
    return Rate(datagrams, datagrams * (envelope + payload))


def idle(config: Config, network: Network, nodes: int, sealed: bool) -> Rate:
    """What a node sends in a second while nothing happens but loss."""
    probes = _probes(config, network, nodes, sealed).times(1 / config.probe_period)
    return probes + _suspicions(config, network, nodes, sealed)


def stray_datagrams(config: Config, network: Network, nodes: int) -> float:
    """How often in a second something besides a probe of its own comes to a node: rumours, requests.

    The pings of all relays of one probe come together, and count once.
    """
    unanswered = network.unanswered(config) / config.probe_period
    requests = unanswered * (1 + min(config.indirect_probes, nodes - 2))
    return requests + _suspicions(config, network, nodes, sealed=False).datagrams


def false_suspicions(config: Config, network: Network, nodes: int) -> float:
    """How often a node that runs is suspected, in an hour."""
    return 3600 / config.probe_period * network.false_probe(config, nodes)


def change(config: Config, network: Network, nodes: int, sealed: bool, settles: Settling) -> Rate:
    """What a node sends, on average, for one change of one group, which settles so."""
    news = float(min(config.fanout, nodes - 1))
    if has_trees(nodes, config):
        # Along the tree; whoever hears from another first tells the one above, too.
        news = (nodes - 1) / nodes + BESIDE_TREES * (1 + (0 if nodes <= 1 + BRANCHES else TOLD_TWICE))
    # Up the tree and down, less what goes to somebody to whom news goes as well.
    pushes = 2 * (nodes - 1) / nodes - news / (nodes - 1)
    # Who waits asks, and is answered, though nothing may be lost but its patience.
    above = ceil((nodes - 1) / BRANCHES) / nodes
    asks = network.loss
    for share, asking, asked, done in ((above, IMPATIENCE, ASKED, settles.up), (1.0, 1.0, 1, settles.each)):
        waits = asking_times(config, asking)
        asks += share * asked * sum(1 - done.at(at + COMING * network.hop) for at in waits)
    asks *= 1 + network.arrives
    entry = SettlingSection(_FULL, [Entry("workers", 300, _FULL, bytes((nodes + 7) // 8))])
    empty = _sent((), sealed).bytes
    # What has settled is not told any more on the way down.
    told = min(news + 1.0, retransmit_limit(config.retransmit_multiplier, nodes))
    return Rate(
        news + pushes + asks,
        (news + pushes + asks) * empty
        + (2 * (nodes - 1) / nodes + asks) * (_sent([entry], sealed).bytes - empty)
        + told * (_sent([_JOINED], sealed).bytes - empty),
    )


def _probes(config: Config, network: Network, nodes: int, sealed: bool) -> Rate:
    """In one period: a ping, an ack, and what others are asked for where an ack was missed."""
    arrives = network.arrives
    asked = network.unanswered(config) * min(config.indirect_probes, nodes - 2)
    pings, acks = 1 + asked * arrives, arrives + asked * (arrives**2 + arrives**3)
    return (
        _sent([_PING], sealed, pings)
        + _sent([_ACK], sealed, acks)
        + _sent([PingReq(2**31, _A)], sealed, asked)
        + _sent([Nack(2**31)], sealed, asked * arrives * (1 - arrives**2))
    )


def _suspicions(config: Config, network: Network, nodes: int, sealed: bool) -> Rate:
    """In one second: rumours of false suspicions and of their refutations, as far as the budgets let them."""
    rate = nodes * false_suspicions(config, network, nodes) / 3600
    fanout = min(config.fanout, nodes - 1)
    tellings = retransmit_limit(config.retransmit_multiplier, nodes)
    busy = max(0.0, tellings / fanout - 1) * config.gossip_interval
    rounds = (1 - exp(-rate * busy)) / config.gossip_interval
    # Each suspicion is told at once, and its refutation: as far as there is a budget for chatter.
    at_once = 2 * rate / (1 + rate * config.gossip_interval)
    datagrams = fanout * (rounds + at_once)
    empty = _sent((), sealed)
    items = _sent([_ACCUSED, _REFUTED], sealed).bytes - empty.bytes
    return Rate(datagrams, datagrams * empty.bytes + min(rate * tellings * items, datagrams * ROOM))
