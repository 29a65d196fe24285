"""The envelope of a datagram: with keys it is sealed, without it carries a tag.

Law: what is refused here is refused before its payload is looked at, and nothing about it is answered or
remembered. With keys only what was sealed with one of them is opened, without keys only what was not.

    tagged   01  tag (8)                                   payload
    sealed   02  key id (2)  salt (16)                     ciphertext of the payload, and its tag (16)

Each datagram is sealed with a key of its own, derived from the cluster's key and a salt of 128 fresh bits. So
a nonce can repeat only if chance repeats itself: no counter has to survive a restart, a fork or the clone of
a machine, and no two nodes have to agree who counts where.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.errors import BadPacket
from gossipgroups.ids import encode_name
from gossipgroups.keys import KEY_ID_BYTES, Entropy, Key, KeyRing

TAGGED = 1
SEALED = 2
TAG_BYTES = 8
TAGGED_BYTES = 1 + TAG_BYTES
"""What the envelope adds without keys."""
SALT_BYTES = 16
SALTED = 1 + KEY_ID_BYTES + SALT_BYTES
AEAD_BYTES = 16
SEAL_BYTES = SALTED + AEAD_BYTES
"""What the envelope adds with keys."""
NONCE = bytes(12)
"""Each key seals one datagram only, so its nonce need not vary."""


class Seal(Protocol):
    """Seals and opens the datagrams of one cluster."""

    @property
    def overhead(self) -> int:
        """The bytes that it adds to a payload."""

    @property
    def ring(self) -> KeyRing | None:
        """The keys that it seals and opens with; `None` without."""

    def seal(self, payload: bytes) -> bytes:
        """The datagram around a payload."""

    def open(self, datagram_untrusted: bytes) -> bytes:
        """The payload of a datagram. Raises `BadPacket`."""


class TaggedSeal:
    """Without keys. The tag is BLAKE2b keyed with the cluster's name.

    It separates clusters and finds accidents; it is no secret, and proves nothing about who sent it.
    """

    __slots__ = ("_keyed",)
    overhead = TAGGED_BYTES
    ring = None

    def __init__(self, cluster: str) -> None:
        key = blake2b(encode_name(cluster), digest_size=32, person=b"gossipgroups").digest()
        self._keyed = blake2b(key=key, digest_size=TAG_BYTES)

    def _tag(self, payload: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(payload)
        return keyed.digest()

    def seal(self, payload: bytes) -> bytes:
        """The datagram around a payload."""
        return b"".join((_VERSIONS[TAGGED], self._tag(payload), payload))

    def open(self, datagram_untrusted: bytes) -> bytes:
        """The payload of a datagram. Raises `BadPacket`."""
        _check_head(datagram_untrusted, TAGGED, TAGGED_BYTES, "sealed")
        payload = datagram_untrusted[TAGGED_BYTES:]
        if self._tag(payload) != datagram_untrusted[1:TAGGED_BYTES]:
            raise BadPacket("cluster or checksum")
        return payload


class KeyedSeal:
    """With keys: ChaCha20-Poly1305 (RFC 8439), the cluster's name bound to every datagram."""

    __slots__ = ("_cipher", "_cluster", "_derivations", "_entropy", "_head", "_invalid", "ring")
    overhead = SEAL_BYTES

    def __init__(self, cluster: str, ring: KeyRing, entropy: Entropy) -> None:
        # Loaded when the first key is: the package takes 10 MB that a program without keys can keep.
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

        self._cluster = encode_name(cluster)
        self._entropy = entropy
        self._cipher = ChaCha20Poly1305
        self._invalid = InvalidTag
        self.use(ring)

    def use(self, ring: KeyRing) -> None:
        """Seal and open with the keys of this ring from now on."""
        self.ring = ring
        self._derivations = {key.packed_id: _derivation(key) for key in ring.keys}
        self._head = _VERSIONS[SEALED] + ring.keys[0].packed_id

    def seal(self, payload: bytes) -> bytes:
        """The datagram around a payload."""
        head = self._head + self._entropy(SALT_BYTES)
        return head + self._cipher(self._derive(head)).encrypt(NONCE, payload, head + self._cluster)

    def open(self, datagram_untrusted: bytes) -> bytes:
        """The payload of a datagram. Raises `BadPacket`."""
        _check_head(datagram_untrusted, SEALED, SEAL_BYTES, "not sealed")
        head = datagram_untrusted[:SALTED]
        if head[1 : 1 + KEY_ID_BYTES] not in self._derivations:
            raise BadPacket("unknown key")
        try:
            return self._cipher(self._derive(head)).decrypt(
                NONCE, datagram_untrusted[SALTED:], head + self._cluster
            )
        except self._invalid:
            raise BadPacket("forged") from None

    def _derive(self, head: bytes) -> bytes:
        """The key of one datagram."""
        derivation = self._derivations[head[1 : 1 + KEY_ID_BYTES]].copy()
        derivation.update(head[1 + KEY_ID_BYTES :])
        return derivation.digest()


_VERSIONS = {version: bytes((version,)) for version in (TAGGED, SEALED)}


def _check_head(datagram_untrusted: bytes, version: int, overhead: int, if_other: str) -> None:
    if not 1 <= len(datagram_untrusted) <= DATAGRAM_BYTES:
        raise BadPacket("size")
    if datagram_untrusted[0] != version:
        raise BadPacket(if_other if datagram_untrusted[0] in _VERSIONS else "version")
    if len(datagram_untrusted) <= overhead:
        raise BadPacket("size")


def _derivation(key: Key) -> blake2b:
    return blake2b(key=key.secret, digest_size=32, person=b"gossipgroups key")


def make_seal(cluster: str, ring: KeyRing | None, entropy: Entropy) -> Seal:
    """The seal of a cluster with these keys, or without any."""
    return TaggedSeal(cluster) if ring is None else KeyedSeal(cluster, ring, entropy)
