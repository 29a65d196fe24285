"""Registers: one encoding each, a total order per key, and strict decoding."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.errors import BadPacket, InvalidValue, LimitExceeded
from gossipgroups.ids import ANYBODY, MAX_NAME, Address
from gossipgroups.registers import (
    MAX_CAPABILITIES,
    MAX_COUNTER,
    GroupRegister,
    NodeRegister,
    PresenceRegister,
    Register,
    decode_capabilities,
    decode_register,
    encode_capabilities,
    hash_bytes,
    successor,
)
from gossipgroups.status import Status
from tests.nodes import NOTHING, a_node, a_presence, an_id, registers

counters = st.integers(0, MAX_COUNTER)
ids = st.binary(min_size=8, max_size=8)
names = st.binary(min_size=1, max_size=MAX_NAME).map(lambda name: name.decode("utf-8", "surrogateescape"))
ports = st.integers(0, 65535)
addresses = st.builds(Address, st.ip_addresses().map(lambda ip: ip.compressed), ports)
somebody = ids.filter(lambda node_id: node_id != ANYBODY)
any_register: st.SearchStrategy[Register] = st.one_of(
    st.builds(
        NodeRegister, somebody, counters, st.sampled_from(Status), addresses, names, st.integers(0, 255)
    ),
    st.builds(GroupRegister, names, counters),
    st.builds(
        PresenceRegister,
        names,
        names,
        counters,
        ids,
        counters,
        st.none() | st.binary(max_size=MAX_CAPABILITIES),
    ),
)


@given(any_register)
def test_a_register_is_read_back_from_its_bytes(register: Register) -> None:
    again = decode_register(register.packed)
    assert again is not None
    assert again == register
    assert dataclasses.astuple(again) == dataclasses.astuple(register)
    assert again.hash == register.hash == hash_bytes(register.packed)
    assert hash(again) == hash(register)


@given(st.binary(max_size=80) | any_register.map(lambda register: register.packed), st.data())
def test_bytes_are_refused_or_are_the_one_encoding_of_a_register(packed: bytes, data: st.DataObject) -> None:
    if packed:
        at = data.draw(st.integers(0, len(packed) - 1))
        packed = packed[:at] + data.draw(st.binary(max_size=2)) + packed[at + data.draw(st.integers(0, 2)) :]
    try:
        register = decode_register(packed)
    except BadPacket:
        return
    if register is not None:
        assert register.packed == packed


@given(registers, registers)
def test_ranks_of_one_key_are_in_one_order(one: Register, other: Register) -> None:
    if one.key != other.key:
        assert one != other
        return
    ranks: Any = (one.rank, other.rank)
    assert (ranks[0] < ranks[1]) + (ranks[0] > ranks[1]) + (one == other) == 1


def test_a_higher_incarnation_wins_over_any_status_and_then_the_worse_status_wins() -> None:
    ordered = [a_node(1, incarnation, status) for incarnation in (0, 1) for status in sorted(Status)]
    assert all(lower.rank < higher.rank for lower, higher in pairwise(ordered))


def test_a_higher_clock_wins_and_then_the_higher_node_id() -> None:
    first = a_presence("g", "a", 9, clock=1)
    assert a_presence("g", "a", 1, clock=2).rank > first.rank > a_presence("g", "a", 8, clock=1).rank
    # A later epoch wins whatever the clock: the earlier presence is void.
    assert a_presence("g", "a", 1, clock=1, epoch=3).rank > first.rank
    # The rule "one writer per rank" is broken here: the encoding decides, alike everywhere.
    assert a_presence("g", "a", 9, capabilities=b"\x01").rank != first.rank


def test_a_register_is_equal_to_its_like_only_and_cannot_be_changed() -> None:
    register = GroupRegister("g", 1)
    assert register == GroupRegister("g", 1)
    assert register != GroupRegister("g", 2)
    assert register != register.packed
    assert len({register, GroupRegister("g", 1), decode_register(register.packed)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        register.epoch = 3  # type: ignore[misc]


def test_become_changes_status_and_incarnation_alone() -> None:
    node = a_node(1, 4)
    assert node.become(Status.DEAD) == a_node(1, 4, Status.DEAD)
    assert node.become(Status.ALIVE, 7) == a_node(1, 7)


def _packed(*values: Any) -> bytes:
    return msgpack.packb(values)  # type: ignore[no-any-return]


NODE = (0, an_id(1), 0, 0, bytes(6), b"n", 0x11)
PRESENCE = (2, b"g", b"a", 1, an_id(1), 1, NOTHING)


def _with(values: tuple[Any, ...], place: int, value: Any) -> bytes:
    return _packed(*values[:place], value, *values[place + 1 :])


def test_the_examples_below_are_well_formed_but_for_what_they_change() -> None:
    assert isinstance(decode_register(_packed(*NODE)), NodeRegister)
    assert isinstance(decode_register(_packed(1, b"g", 1)), GroupRegister)
    assert isinstance(decode_register(_packed(*PRESENCE)), PresenceRegister)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"", "encoding"),
        (_packed(1, b"g", 1)[:-1], "encoding"),
        (_packed(1, b"g", 1) + b"\x00", "encoding"),
        (b"\xc1", "encoding"),
        (_packed(1, msgpack.ExtType(5, b"x"), 1), "encoding"),
        (_packed(1, {1: 2}, 1), "encoding"),
        (b"\x93\x01\xa1\xff\x01", "encoding"),
        (_packed(), "shape"),
        (msgpack.packb({b"g": 1}), "encoding"),
        (msgpack.packb(7), "shape"),
        (_packed(True, b"g", 1), "shape"),
        (_packed(b"g", 1), "shape"),
        (_packed(1, b"g"), "shape"),
        (_packed(1, b"g", 1, 1), "shape"),
        (_packed(1, "g", 1), "encoding"),
        (_packed(1, b"", 1), "name"),
        (_packed(1, bytes(MAX_NAME + 1), 1), "name"),
        (_packed(1, b"g", True), "counter"),
        (_packed(1, b"g", 1.0), "counter"),
        (_packed(1, b"g", -1), "counter"),
        (_packed(1, b"g", MAX_COUNTER + 1), "counter"),
        (b"\x93\x01\xc4\x01g\xcc\x01", "canonical"),
        (b"\x93\x01\xc5\x00\x01g\x01", "canonical"),
        (b"\xdc\x00\x03\x01\xc4\x01g\x01", "canonical"),
        (_with(NODE, 1, bytes(7)), "node id"),
        (_with(NODE, 1, 12345678), "node id"),
        (_with(NODE, 3, 4), "status"),
        (_with(NODE, 3, False), "status"),
        (_with(NODE, 4, bytes(5)), "address"),
        (_with(NODE, 4, 1270), "address"),
        (_with(NODE, 6, 256), "protocols"),
        (_with(NODE, 6, None), "protocols"),
        (_with(PRESENCE, 6, bytes(MAX_CAPABILITIES + 1)), "capabilities"),
        (_with(PRESENCE, 6, 7), "capabilities"),
        (_with(PRESENCE, 6, [1]), "capabilities"),
        (_with(PRESENCE, 4, None), "node id"),
    ],
)
def test_a_malformed_register_is_refused_with_its_reason(packed: bytes, reason: str) -> None:
    with pytest.raises(BadPacket, match=reason):
        decode_register(packed)


@pytest.mark.parametrize("value", [None, 1, -1.5, "é", b"\xff", [1, [2, {}]], {"slots": 4, 7: None}])
def test_capabilities_come_back_as_they_were_and_fresh(value: object) -> None:
    packed = encode_capabilities(value)
    assert decode_capabilities(packed) == value
    if isinstance(value, list | dict):
        assert decode_capabilities(packed) is not decode_capabilities(packed)


@pytest.mark.parametrize("fields", [(), (b"g", 1), ([[1]], None, -5, True)])
def test_a_kind_that_only_a_later_version_knows_is_no_error(fields: tuple[Any, ...]) -> None:
    assert decode_register(_packed(3, *fields)) is None
    assert decode_register(_packed(-1, *fields)) is None


def test_counters_grow_by_one_up_to_their_limit() -> None:
    assert successor(0, "the epoch") == 1
    assert successor(MAX_COUNTER - 1, "the epoch") == MAX_COUNTER
    with pytest.raises(LimitExceeded, match="the epoch has"):
        successor(MAX_COUNTER, "the epoch")


def test_capabilities_up_to_the_limit_and_not_over_it() -> None:
    assert len(encode_capabilities(bytes(MAX_CAPABILITIES - 3))) == MAX_CAPABILITIES
    with pytest.raises(LimitExceeded) as caught:
        encode_capabilities(bytes(MAX_CAPABILITIES - 2))
    assert (caught.value.size, caught.value.limit) == (MAX_CAPABILITIES + 1, MAX_CAPABILITIES)


@pytest.mark.parametrize("value", [object(), {1, 2}, 2**70, "\ud800", [object()]])
def test_capabilities_that_msgpack_cannot_hold_are_refused(value: object) -> None:
    with pytest.raises(InvalidValue, match="cannot be encoded"):
        encode_capabilities(value)


def test_capabilities_that_hold_themselves_are_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(InvalidValue, match="cannot be encoded"):
        encode_capabilities(endless)


def test_capabilities_that_cannot_be_read_back_are_refused() -> None:
    with pytest.raises(InvalidValue):
        encode_capabilities({(1, 2): 3})


@pytest.mark.parametrize("packed", [b"", b"\xc1", b"\x92\x01", b"\x01\x01", b"\xa1\xff"])
def test_capabilities_of_a_stranger_that_cannot_be_decoded_come_back_as_bytes(packed: bytes) -> None:
    assert decode_capabilities(packed) == packed
