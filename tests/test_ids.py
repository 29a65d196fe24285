"""Names and addresses: one text and one byte form each, and limits that are said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.errors import InvalidValue, LimitExceeded
from gossipgroups.ids import (
    MAX_NAME,
    Address,
    check_name,
    decode_name,
    encode_name,
    pack_address,
    unpack_address,
)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_is_read_back_from_its_bytes(host: object, port: int) -> None:
    address = Address(str(host), port)
    packed = pack_address(address)
    assert len(packed) in (6, 18)
    assert pack_address(unpack_address(packed)) == packed
    assert unpack_address(packed).port == port


@given(st.binary(min_size=6, max_size=6) | st.binary(min_size=18, max_size=18))
def test_all_bytes_of_the_right_length_are_one_address(packed: bytes) -> None:
    assert pack_address(unpack_address(packed)) == packed


def test_addresses_as_text() -> None:
    assert str(Address("127.0.0.1", 7946)) == "127.0.0.1:7946"
    assert str(Address("::1", 7946)) == "[::1]:7946"


@pytest.mark.parametrize("host", ["localhost", "", "1.2.3", "::g", "1.2.3.4:5"])
def test_a_host_that_is_not_numeric_is_refused(host: str) -> None:
    with pytest.raises(InvalidValue, match="not a numeric IP address"):
        pack_address(Address(host, 1))


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(InvalidValue, match=str(port)):
        pack_address(Address("127.0.0.1", port))


@pytest.mark.parametrize("size", [0, 5, 7, 17, 19])
def test_bytes_of_another_length_are_no_address(size: int) -> None:
    with pytest.raises(InvalidValue, match=f"not {size}"):
        unpack_address(bytes(size))


@given(st.binary())
def test_every_byte_string_is_the_bytes_of_one_name(packed: bytes) -> None:
    assert encode_name(decode_name(packed)) == packed


@given(st.binary(min_size=1, max_size=MAX_NAME))
def test_bytes_and_text_of_a_name_are_the_same_name(packed: bytes) -> None:
    name = check_name("group id", packed)
    assert check_name("group id", name) == name
    assert encode_name(name) == packed


@pytest.mark.parametrize("name", ["g" * MAX_NAME, "é" * 127, b"\xff" * MAX_NAME])
def test_the_longest_names_pass(name: str | bytes) -> None:
    assert len(encode_name(check_name("group id", name))) in (MAX_NAME, MAX_NAME - 1)


@pytest.mark.parametrize("name", ["g" * (MAX_NAME + 1), "é" * 128, b"\xff" * (MAX_NAME + 1)])
def test_a_longer_name_is_refused_with_its_size(name: str | bytes) -> None:
    with pytest.raises(LimitExceeded, match="group id has 256 bytes, the limit is 255") as caught:
        check_name("group id", name)
    assert (caught.value.what, caught.value.size, caught.value.limit) == ("group id", 256, 255)


@pytest.mark.parametrize("name", ["", b""])
def test_an_empty_name_is_refused(name: str | bytes) -> None:
    with pytest.raises(InvalidValue, match="member id is empty"):
        check_name("member id", name)


@pytest.mark.parametrize("name", [None, 7, ["g"]])
def test_what_is_no_text_is_refused(name: object) -> None:
    with pytest.raises(InvalidValue, match="must be str or bytes"):
        check_name("member id", name)  # type: ignore[arg-type]


def test_text_that_utf8_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidValue, match="cannot be encoded"):
        check_name("member id", "\ud800")


def test_text_of_undecodable_bytes_is_the_text_that_all_agree_on() -> None:
    # The escaped bytes of "é" are "é": both spellings are one name on the wire, so they are one name here.
    assert check_name("group id", "\udcc3\udca9") == "é"
