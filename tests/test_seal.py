"""The envelope: only datagrams of this version and cluster, undamaged, and of our keys, are opened."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.errors import BadPacket, InvalidValue
from gossipgroups.keys import Key, KeyRing
from gossipgroups.wire.header import HEADER_BYTES
from gossipgroups.wire.seal import SEAL_BYTES, TAGGED_BYTES, KeyedSeal, Seal, TaggedSeal

SEAL = TaggedSeal("one")
HEADER = bytes(range(HEADER_BYTES))
payloads = st.binary(min_size=1, max_size=DATAGRAM_BYTES - TAGGED_BYTES)


@given(payloads)
def test_what_was_sealed_is_opened(payload: bytes) -> None:
    datagram = SEAL.seal(HEADER, payload)
    assert len(datagram) == len(payload) + TAGGED_BYTES
    assert TaggedSeal("one").open(datagram) == (HEADER, payload)


@given(payloads, st.data())
def test_any_damage_is_found(payload: bytes, data: st.DataObject) -> None:
    datagram = bytearray(SEAL.seal(HEADER, payload))
    datagram[data.draw(st.integers(0, len(datagram) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadPacket, match=r"version|sealed|checksum"):
        SEAL.open(bytes(datagram))


@given(st.binary(max_size=100))
def test_bytes_of_a_stranger_are_refused(datagram: bytes) -> None:
    with pytest.raises(BadPacket):
        SEAL.open(datagram)


def test_another_cluster_cannot_open_it() -> None:
    with pytest.raises(BadPacket, match="cluster or checksum"):
        TaggedSeal("two").open(SEAL.seal(HEADER, b"payload"))


def test_another_version_is_refused_as_such() -> None:
    datagram = bytes((99,)) + SEAL.seal(HEADER, b"payload")[1:]
    with pytest.raises(BadPacket, match="version"):
        SEAL.open(datagram)


@pytest.mark.parametrize("size", [0, 1, TAGGED_BYTES, DATAGRAM_BYTES + 1])
def test_sizes_out_of_range_are_refused_unread(size: int) -> None:
    datagram = SEAL.seal(HEADER, bytes(max(0, size - TAGGED_BYTES)))[:size]
    with pytest.raises(BadPacket, match="size"):
        SEAL.open(datagram)


def test_the_largest_datagram_is_opened() -> None:
    payload = bytes(DATAGRAM_BYTES - TAGGED_BYTES)
    assert SEAL.open(SEAL.seal(HEADER, payload)) == (HEADER, payload)


# With keys.

ONE, TWO = Key(bytes(range(32))), Key(bytes(range(1, 33)))
sealable = st.binary(min_size=1, max_size=DATAGRAM_BYTES - SEAL_BYTES)


def keyed(*keys: Key, cluster: str = "one", seed: int = 1) -> KeyedSeal:
    return KeyedSeal(cluster, KeyRing(keys), random.Random(seed).randbytes)


@given(sealable)
def test_what_was_sealed_with_a_key_is_opened_with_it(payload: bytes) -> None:
    datagram = keyed(ONE, seed=2).seal(HEADER, payload)
    assert len(datagram) == len(payload) + SEAL_BYTES
    for seal in (keyed(ONE), keyed(TWO, ONE)):
        assert seal.open(datagram) == (HEADER, payload)


@given(sealable, st.data())
def test_any_damage_of_a_sealed_datagram_is_found(payload: bytes, data: st.DataObject) -> None:
    datagram = bytearray(keyed(ONE).seal(HEADER, payload))
    datagram[data.draw(st.integers(0, len(datagram) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadPacket, match=r"version|not sealed|unknown key|forged"):
        keyed(ONE).open(bytes(datagram))


@given(st.binary(max_size=DATAGRAM_BYTES + 1), st.sampled_from([b"", b"\x02", b"\x02" + ONE.packed_id]))
def test_bytes_of_a_stranger_are_never_opened(rest: bytes, head: bytes) -> None:
    with pytest.raises(BadPacket):
        keyed(ONE, TWO).open(head + rest)


@pytest.mark.parametrize(
    ("sealer", "opener", "why"),
    [
        (keyed(ONE, cluster="two"), keyed(ONE), "forged"),
        (keyed(TWO), keyed(ONE), "unknown key"),
        (keyed(TWO, ONE), keyed(ONE), "unknown key"),
        (TaggedSeal("one"), keyed(ONE), "not sealed"),
        (keyed(ONE), TaggedSeal("one"), "sealed"),
    ],
)
def test_who_has_other_keys_or_none_is_refused_for_it(sealer: Seal, opener: Seal, why: str) -> None:
    with pytest.raises(BadPacket) as caught:
        opener.open(sealer.seal(HEADER, b"payload"))
    assert caught.value.reason == why


@pytest.mark.parametrize("make", [lambda: keyed(ONE), lambda: TaggedSeal("one")])
def test_the_overhead_is_what_is_added(make: Callable[[], Seal]) -> None:
    seal = make()
    assert len(seal.seal(HEADER, bytes(10))) == 10 + seal.overhead


def test_equal_payloads_never_make_equal_datagrams() -> None:
    seal = keyed(ONE)
    sealed = [seal.seal(HEADER, bytes(40)) for _ in range(1000)]
    assert len({datagram[25:33] for datagram in sealed}) == 1000  # salts
    assert len({datagram[33:] for datagram in sealed}) == 1000


def test_twins_with_one_chance_never_share_a_salt_for_different_payloads() -> None:
    """A clone of a machine may get the same numbers from its system: what it says differs."""
    one, twin = keyed(ONE, seed=7), keyed(ONE, seed=7)
    assert one.seal(HEADER, b"one")[25:33] != twin.seal(HEADER, b"two")[25:33]
    assert one.seal(HEADER, b"both") == twin.seal(HEADER, b"both")


def test_a_rotation_loses_no_datagram_and_ends_the_old_key() -> None:
    seal, other = keyed(ONE), keyed(ONE)
    before = seal.seal(HEADER, b"before")
    for ring in (KeyRing([ONE, TWO]), KeyRing([TWO, ONE])):
        seal.use(ring)
        other.open(seal.seal(HEADER, b"either")) if ring.keys[0] == ONE else other.use(ring)
        assert other.open(seal.seal(HEADER, b"both")) == (HEADER, b"both")
        assert seal.open(before) == (HEADER, b"before")
    seal.use(KeyRing([TWO]))
    with pytest.raises(BadPacket, match="unknown key"):
        seal.open(before)


def test_the_envelope_is_that_of_the_document() -> None:
    """As docs/protocol.md says it, without the code that seals."""
    entropy = random.Random(4).randbytes(16)
    salting = hashlib.blake2b(digest_size=8, key=ONE.secret, person=b"gossipgroups slt")
    salting.update(entropy + HEADER + b"payload")
    salt = salting.digest()
    key_id = hashlib.blake2b(ONE.secret, digest_size=2, person=b"gossipgroups id").digest()
    head = b"\x02" + key_id + HEADER + salt
    key = hashlib.blake2b(HEADER + salt, digest_size=32, key=ONE.secret, person=b"gossipgroups key").digest()
    datagram = head + ChaCha20Poly1305(key).encrypt(bytes(12), b"payload", head + "né".encode())
    assert keyed(ONE, cluster="né").open(datagram) == (HEADER, b"payload")
    assert keyed(ONE, cluster="né", seed=4).seal(HEADER, b"payload") == datagram


def test_a_system_without_the_cipher_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(key: bytes) -> None:
        raise UnsupportedAlgorithm("not in FIPS mode")

    monkeypatch.setattr("cryptography.hazmat.primitives.ciphers.aead.ChaCha20Poly1305", unsupported)
    with pytest.raises(InvalidValue, match="ChaCha20-Poly1305"):
        KeyedSeal("c", KeyRing([Key(bytes(32))]), random.Random(1).randbytes)
