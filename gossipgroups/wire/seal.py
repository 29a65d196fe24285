"""The envelope of a datagram: version byte, tag, payload.

Law: a datagram of another version, another cluster or with a damaged byte is refused before its payload is
looked at. The tag is BLAKE2b keyed with the cluster's name: it separates clusters and finds accidents; it is
no secret, and proves nothing about who sent it.
"""

from __future__ import annotations

from hashlib import blake2b

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.errors import BadPacket
from gossipgroups.ids import encode_name

VERSION = 1
_VERSION = bytes((VERSION,))
TAG_BYTES = 8
SEAL_BYTES = 1 + TAG_BYTES


class ClusterSeal:
    """Seals and opens the datagrams of one cluster."""

    __slots__ = ("_keyed",)

    def __init__(self, cluster: str) -> None:
        key = blake2b(encode_name(cluster), digest_size=32, person=b"gossipgroups").digest()
        self._keyed = blake2b(key=key, digest_size=TAG_BYTES)

    def _tag(self, payload: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(payload)
        return keyed.digest()

    def seal(self, payload: bytes) -> bytes:
        """The datagram around a payload."""
        return b"".join((_VERSION, self._tag(payload), payload))

    def open(self, datagram_untrusted: bytes) -> bytes:
        """The payload of a datagram. Raises `BadPacket`."""
        if not SEAL_BYTES < len(datagram_untrusted) <= DATAGRAM_BYTES:
            raise BadPacket("size")
        if datagram_untrusted[0] != VERSION:
            raise BadPacket("version")
        payload = datagram_untrusted[SEAL_BYTES:]
        if self._tag(payload) != datagram_untrusted[1:SEAL_BYTES]:
            raise BadPacket("cluster or checksum")
        return payload
