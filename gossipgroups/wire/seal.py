"""The envelope of a datagram: with keys it is sealed, without it carries a tag.

Law: what is refused here is refused before its payload is looked at, and nothing about it is answered or
remembered. With keys only what was sealed with one of them is opened, without keys only what was not. The
header is in the clear, and cannot be changed.

    tagged   01  tag (8)     header (22)            payload
    sealed   02  key id (2)  header (22)  salt (8)  ciphertext of the payload, and its tag (16)

Each datagram is sealed with a key of its own, derived from the cluster's key, the header and a salt. The
header is used once: its sender's id is random, and numbers its datagrams. A process that was forked or
cloned while it ran shares both with its twin, but not the salt: it is made of fresh entropy and the payload.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.errors import BadPacket, InvalidValue
from gossipgroups.ids import encode_name
from gossipgroups.keys import KEY_ID_BYTES, Entropy, Key, KeyRing
from gossipgroups.wire.header import HEADER_BYTES

TAGGED = 1
SEALED = 2
TAG_BYTES = 8
TAGGED_BYTES = 1 + TAG_BYTES + HEADER_BYTES
"""What the envelope adds without keys."""
SALT_BYTES = 8
ENTROPY_BYTES = 16
SALTED = 1 + KEY_ID_BYTES + HEADER_BYTES + SALT_BYTES
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

    def seal(self, header: bytes, payload: bytes) -> bytes:
        """The datagram around a header and a payload."""

    def open(self, datagram_untrusted: bytes) -> tuple[bytes, bytes]:
        """The header and the payload of a datagram. Raises `BadPacket`."""


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

    def _tag(self, content: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(content)
        return keyed.digest()

    def seal(self, header: bytes, payload: bytes) -> bytes:
        """The datagram around a header and a payload."""
        content = header + payload
        return b"".join((_VERSIONS[TAGGED], self._tag(content), content))

    def open(self, datagram_untrusted: bytes) -> tuple[bytes, bytes]:
        """The header and the payload of a datagram. Raises `BadPacket`."""
        if not TAGGED_BYTES < len(datagram_untrusted) <= DATAGRAM_BYTES or datagram_untrusted[0] != TAGGED:
            raise BadPacket(_fault(datagram_untrusted, TAGGED, "sealed"))
        content = datagram_untrusted[1 + TAG_BYTES :]
        if self._tag(content) != datagram_untrusted[1 : 1 + TAG_BYTES]:
            raise BadPacket("cluster or checksum")
        return content[:HEADER_BYTES], content[HEADER_BYTES:]


class KeyedSeal:
    """With keys: ChaCha20-Poly1305 (RFC 8439), header and cluster's name bound to every datagram."""

    __slots__ = ("_cipher", "_cluster", "_derivations", "_entropy", "_head", "_invalid", "_salting", "ring")
    overhead = SEAL_BYTES

    def __init__(self, cluster: str, ring: KeyRing, entropy: Entropy) -> None:
        """Raises `InvalidValue` where the system has no such cipher."""
        # Loaded when the first key is: the package takes 10 MB that a program without keys can keep.
        from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

        self._cluster = encode_name(cluster)
        self._entropy = entropy
        self._cipher = ChaCha20Poly1305
        self._invalid = InvalidTag
        try:
            self._cipher(bytes(32))
        except UnsupportedAlgorithm:
            raise InvalidValue(
                "keys need ChaCha20-Poly1305, which the OpenSSL of the package cryptography does not have, "
                "as in FIPS mode: use another build of it"
            ) from None
        self.use(ring)

    def use(self, ring: KeyRing) -> None:
        """Seal and open with the keys of this ring from now on."""
        self.ring = ring
        self._derivations = {key.packed_id: _derivation(key) for key in ring.keys}
        self._head = _VERSIONS[SEALED] + ring.keys[0].packed_id
        self._salting = blake2b(key=ring.keys[0].secret, digest_size=SALT_BYTES, person=b"gossipgroups slt")

    def seal(self, header: bytes, payload: bytes) -> bytes:
        """The datagram around a header and a payload."""
        head = b"".join((self._head, header, self._salt(header, payload)))
        return head + self._cipher(self._derive(head)).encrypt(NONCE, payload, head + self._cluster)

    def open(self, datagram_untrusted: bytes) -> tuple[bytes, bytes]:
        """The header and the payload of a datagram. Raises `BadPacket`."""
        if not SEAL_BYTES < len(datagram_untrusted) <= DATAGRAM_BYTES or datagram_untrusted[0] != SEALED:
            raise BadPacket(_fault(datagram_untrusted, SEALED, "not sealed"))
        head = datagram_untrusted[:SALTED]
        if head[1 : 1 + KEY_ID_BYTES] not in self._derivations:
            raise BadPacket("unknown key")
        try:
            payload = self._cipher(self._derive(head)).decrypt(
                NONCE, datagram_untrusted[SALTED:], head + self._cluster
            )
        except self._invalid:
            raise BadPacket("forged") from None
        return head[1 + KEY_ID_BYTES : -SALT_BYTES], payload

    def _salt(self, header: bytes, payload: bytes) -> bytes:
        """Two that seal different payloads have different salts, should chance itself have been cloned."""
        salting = self._salting.copy()
        salting.update(b"".join((self._entropy(ENTROPY_BYTES), header, payload)))
        return salting.digest()

    def _derive(self, head: bytes) -> bytes:
        """The key of one datagram."""
        derivation = self._derivations[head[1 : 1 + KEY_ID_BYTES]].copy()
        derivation.update(head[1 + KEY_ID_BYTES :])
        return derivation.digest()


_VERSIONS = {version: bytes((version,)) for version in (TAGGED, SEALED)}
_HEADER_AT = {TAGGED: 1 + TAG_BYTES, SEALED: 1 + KEY_ID_BYTES}


def _fault(datagram_untrusted: bytes, version: int, if_other: str) -> str:
    """What is wrong with a datagram that has not this version, or not its size."""
    if not 1 <= len(datagram_untrusted) <= DATAGRAM_BYTES or datagram_untrusted[0] == version:
        return "size"
    return if_other if datagram_untrusted[0] in _VERSIONS else "version"


def _derivation(key: Key) -> blake2b:
    return blake2b(key=key.secret, digest_size=32, person=b"gossipgroups key")


def quoted_header(quoted_untrusted: bytes) -> bytes | None:
    """The header of what begins as a datagram, which nothing proves; `None` if it is too short, or none."""
    at = _HEADER_AT.get(quoted_untrusted[0]) if quoted_untrusted else None
    if at is None or len(quoted_untrusted) < at + HEADER_BYTES:
        return None
    return quoted_untrusted[at : at + HEADER_BYTES]


def make_seal(cluster: str, ring: KeyRing | None, entropy: Entropy) -> Seal:
    """The seal of a cluster with these keys, or without any."""
    return TaggedSeal(cluster) if ring is None else KeyedSeal(cluster, ring, entropy)
