"""The envelope: only datagrams of this version and cluster, undamaged, are opened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.errors import BadPacket
from gossipgroups.wire.seal import TAGGED_BYTES, TaggedSeal

SEAL = TaggedSeal("one")
payloads = st.binary(min_size=1, max_size=DATAGRAM_BYTES - TAGGED_BYTES)


@given(payloads)
def test_what_was_sealed_is_opened(payload: bytes) -> None:
    datagram = SEAL.seal(payload)
    assert len(datagram) == len(payload) + TAGGED_BYTES
    assert TaggedSeal("one").open(datagram) == payload


@given(payloads, st.data())
def test_any_damage_is_found(payload: bytes, data: st.DataObject) -> None:
    datagram = bytearray(SEAL.seal(payload))
    datagram[data.draw(st.integers(0, len(datagram) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadPacket, match=r"version|sealed|checksum"):
        SEAL.open(bytes(datagram))


@given(st.binary(max_size=100))
def test_bytes_of_a_stranger_are_refused(datagram: bytes) -> None:
    with pytest.raises(BadPacket):
        SEAL.open(datagram)


def test_another_cluster_cannot_open_it() -> None:
    with pytest.raises(BadPacket, match="cluster or checksum"):
        TaggedSeal("two").open(SEAL.seal(b"payload"))


def test_another_version_is_refused_as_such() -> None:
    datagram = bytes((99,)) + SEAL.seal(b"payload")[1:]
    with pytest.raises(BadPacket, match="version"):
        SEAL.open(datagram)


@pytest.mark.parametrize("size", [0, 1, TAGGED_BYTES, DATAGRAM_BYTES + 1])
def test_sizes_out_of_range_are_refused_unread(size: int) -> None:
    datagram = SEAL.seal(bytes(max(0, size - TAGGED_BYTES)))[:size]
    with pytest.raises(BadPacket, match="size"):
        SEAL.open(datagram)


def test_the_largest_datagram_is_opened() -> None:
    payload = bytes(DATAGRAM_BYTES - TAGGED_BYTES)
    assert SEAL.open(SEAL.seal(payload)) == payload
