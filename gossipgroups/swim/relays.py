"""Pings for others: a relay pings in the asker's place, and says how that went (SWIM, section 3.1).

Law: at most `RELAYS` are under way, and `RELAYS_EACH` for one asker; each ends by the target's ack, which is
passed on, or is forgotten after a period. Without an ack in most of the time-out the asker gets one nack: the
relay is there, the target not heard (Lifeguard, section IV.A).
"""

from __future__ import annotations

from gossipgroups.ids import Address, NodeId, Peer
from gossipgroups.swim.probe import Relay
from gossipgroups.wire.codec import pack_section
from gossipgroups.wire.messages import Ack, Nack, PingReq
from gossipgroups.wire.outbox import Outbox

RELAYS = 64
"""Pings under way for others: more are refused by silence, which costs the asker a nack."""
RELAYS_EACH = 16
"""Of these for one asker, so that nobody takes them from all others."""
NACK_AFTER = 0.8
"""Share of the probe time-out after which a relay says that it has no ack yet (memberlist's figure)."""


class Relays(dict[int, Relay]):
    """The pings that one node has under way for others, by number. Times are on the node's clock."""

    __slots__ = ("_outbox",)

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def has_room(self, origin: Peer, request: PingReq) -> bool:
        """Whether a request can be served: one that is repeated is served already."""
        if len(self) >= RELAYS:
            return False
        of_origin = [relay.origin_number for relay in self.values() if relay.origin == origin]
        return len(of_origin) < RELAYS_EACH and request.number not in of_origin

    def begin(
        self,
        number: int,
        target: Address,
        origin: Peer,
        request: PingReq,
        nack_at: float,
        until: float,
    ) -> None:
        """A ping with this number goes to the target's address for the origin of the request."""
        self[number] = Relay(
            request.target,
            target,
            origin,
            request.number,
            nack_at,
            until,
        )

    def on_ack(self, sender: NodeId, number: int, digest: int) -> None:
        """Pass on the target's ack."""
        relay = self.get(number)
        if relay is not None and sender == relay.target:
            del self[number]
            self._outbox.add(relay.origin, pack_section(Ack(relay.origin_number, digest)))

    def nack(self, relay: Relay) -> None:
        """Say once that there is no ack."""
        if not relay.nacked:
            relay.nacked = True
            self._outbox.add(relay.origin, pack_section(Nack(relay.origin_number)))

    def tick(self, now: float) -> None:
        """Do what is due."""
        for number, relay in list(self.items()):
            if relay.until <= now:
                del self[number]
            elif relay.deadline <= now:
                self.nack(relay)
