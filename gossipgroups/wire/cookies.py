"""Cookies: who sends one back reads what is sent to an address, and has been here a moment ago.

Law: a cookie is computed, not remembered: strangers cost no memory. It is good for one sender at one address,
for `COOKIE_SECONDS` to twice that, and for this node's run only.
"""

from __future__ import annotations

from hashlib import blake2b

from gossipgroups.ids import Peer, Random, pack_address
from gossipgroups.wire.messages import COOKIE_BYTES

COOKIE_SECONDS = 30.0


class Cookies:
    """The cookies of one node. Times are on the node's clock, in seconds."""

    __slots__ = ("_keyed", "_random")

    def __init__(self, random: Random) -> None:
        self._random = random
        self.renew()

    def renew(self) -> None:
        """No cookie that was made before is good any more."""
        key = self._random.randbytes(32)
        self._keyed = blake2b(key=key, digest_size=COOKIE_BYTES, person=b"gossipgroups ck")

    def make(self, peer: Peer, now: float) -> bytes:
        """The cookie for a node at an address."""
        return self._of(peer, int(now // COOKIE_SECONDS))

    def good(self, peer: Peer, cookie_untrusted: bytes, now: float) -> bool:
        """Whether this is a cookie that was made for this node at this address not long ago."""
        period = int(now // COOKIE_SECONDS)
        return cookie_untrusted in (self._of(peer, period), self._of(peer, period - 1))

    def _of(self, peer: Peer, period: int) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(peer.node_id + period.to_bytes(8, "big", signed=True) + pack_address(peer.address))
        return keyed.digest()
