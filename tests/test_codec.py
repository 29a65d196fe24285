"""Datagrams: every section is read back, anything else is `BadPacket`, and no bytes harm a node."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipgroups.config import DATAGRAM_BYTES, Config
from gossipgroups.errors import BadPacket
from gossipgroups.groups.rules import Join
from gossipgroups.ids import Address, NodeId
from gossipgroups.node import Node
from gossipgroups.registers import MAX_COUNTER, GroupRegister
from gossipgroups.wire.codec import pack_payload, pack_section, unpack_payload
from gossipgroups.wire.header import HEADER_BYTES, Header, unpack_header
from gossipgroups.wire.messages import (
    CHECKS,
    KINDS,
    MAX_ENTRIES,
    MAX_LIVE,
    MAX_SECTIONS,
    ROOT,
    WHOLE,
    Accusation,
    Accusations,
    Ack,
    AskSettling,
    Buckets,
    Cookie,
    Entry,
    Hashes,
    Interval,
    Nack,
    NotMe,
    Ping,
    PingReq,
    Proof,
    Repair,
    Rumours,
    Section,
    Settling,
    Want,
)
from gossipgroups.wire.seal import TAGGED_BYTES, TaggedSeal
from tests.nodes import (
    CLUSTER,
    NOTHING,
    a_node,
    a_presence,
    an_address,
    an_id,
    meet,
    registers,
    sealed,
    sealed_as,
)

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
counters = st.integers(0, MAX_COUNTER)
ids = st.builds(NodeId, st.binary(min_size=8, max_size=8))
hash_lists = st.integers(0, 20).flatmap(lambda count: st.binary(min_size=8 * count, max_size=8 * count))
packed_registers = st.lists(registers.map(lambda register: register.packed), max_size=5)
scopes = st.sampled_from([ROOT, WHOLE]) | st.text(min_size=1, max_size=20)
entries = st.lists(st.builds(Entry, scopes, counters, u64, st.binary(max_size=20)), max_size=4)
one_of_each: list[st.SearchStrategy[Section]] = [
    st.builds(Ping, u32, u64, counters),
    st.builds(Ack, u32, u64),
    st.builds(PingReq, u32, ids),
    st.builds(Nack, u32),
    st.builds(NotMe, u32, ids),
    st.builds(Rumours, packed_registers),
    st.builds(
        Accusations, st.lists(st.builds(Accusation, ids, counters, ids, st.integers(0, 1)), max_size=4)
    ),
    st.builds(Settling, u64, entries),
    st.builds(AskSettling, u64, entries),
    st.builds(Buckets, u64, st.integers(0, 64).map(lambda count: bytes(8 * count))),
    st.builds(Hashes, st.lists(st.builds(Interval, u64, u64, hash_lists), max_size=4)),
    st.builds(Want, hash_lists),
    st.builds(Repair, packed_registers, st.lists(u32, max_size=5)),
    st.builds(Cookie, u32, st.binary(min_size=8, max_size=8)),
    st.builds(Proof, st.binary(min_size=8, max_size=8)),
]
sections = st.one_of(one_of_each)
ME = an_id(7)


def _payload(*values: Any) -> bytes:
    return msgpack.packb([*values])  # type: ignore[no-any-return]


def test_every_kind_of_section_has_its_number_and_its_grammar() -> None:
    assert set(KINDS.values()) == set(CHECKS) == set(range(1, len(one_of_each) + 1))


@pytest.mark.parametrize("strategy", one_of_each, ids=[shape.__name__ for shape in KINDS])
@settings(max_examples=20)
@given(data=st.data())
def test_a_section_is_read_back(strategy: st.SearchStrategy[Section], data: st.DataObject) -> None:
    section = data.draw(strategy)
    (read,) = unpack_payload(pack_payload([pack_section(section)]))
    assert read == section
    assert type(read) is type(section)


@given(st.lists(sections, max_size=MAX_SECTIONS))
def test_a_payload_is_read_back_section_by_section(sent: list[Section]) -> None:
    payload = pack_payload([pack_section(each) for each in sent])
    if len(payload) < DATAGRAM_BYTES:
        assert unpack_payload(payload) == sent


@given(ids, ids, counters)
def test_a_header_is_read_back(sender: NodeId, receiver: NodeId, number: int) -> None:
    header = Header(sender, receiver, number)
    assert unpack_header(header.pack()) == header
    assert len(header.pack()) == HEADER_BYTES


def test_names_that_are_not_utf8_travel() -> None:
    entry = Entry("\udcff\udc80", 1, 2, b"")
    assert unpack_payload(pack_payload([pack_section(Settling(0, [entry]))])) == [Settling(0, [entry])]


@pytest.mark.parametrize("kind", [0, 16, 99, 2**32, -1])
@pytest.mark.parametrize("fields", [[], [1], [b"x", [1, [2]], None, True]])
def test_an_unknown_kind_is_skipped_and_the_rest_is_read(kind: int, fields: list[Any]) -> None:
    assert unpack_payload(_payload([4, 1], [kind, *fields], [4, 2])) == [Nack(1), Nack(2)]


MALFORMED: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "encoding"),
    ("trailing byte", _payload([4, 1]) + b"\xc0", "encoding"),
    ("truncated", _payload([4, 1])[:-1], "encoding"),
    ("reserved byte", b"\xc1", "encoding"),
    ("text", _payload([4, "1"]), "encoding"),
    ("map", _payload([4, {1: 1}]), "encoding"),
    ("map for a message", msgpack.packb({0: ME}), "encoding"),
    ("extension type", _payload([4, msgpack.ExtType(1, b"x")]), "encoding"),
    ("timestamp", _payload([4, msgpack.Timestamp(1)]), "encoding"),
    ("too many items", _payload([4, list(range(129))]), "encoding"),
    ("nested without end", b"\x91" * 1300 + b"\xc0", "encoding"),
    ("a length beyond the bytes", b"\xdd\xff\xff\xff\xff", "encoding"),
    ("a long bytes length", b"\x92\xc6\xff\xff\xff\xffx", "encoding"),
    ("integer in two bytes for one", b"\x91\x92\x04\xcc\x01", "canonical"),
    ("integer in eight bytes", b"\x91\x92\x04\xcf" + bytes(7) + b"\x01", "canonical"),
    ("signed form of an unsigned", b"\x91\x92\x04\xd0\x01", "canonical"),
    ("list in three bytes for one", b"\xdc\x00\x01\x92\x04\x01", "canonical"),
    ("bytes in a longer form", b"\x91\x93\x0e\x01\xc5\x00\x08" + bytes(8), "canonical"),
    ("no list", msgpack.packb(7), "shape"),
    ("too many sections", _payload(*[[4, 1]] * (MAX_SECTIONS + 1)), "shape"),
    ("section is a number", _payload(4), "section"),
    ("section is empty", _payload([]), "section"),
    ("kind is a bool", _payload([True, 1, b"", 1, 1]), "section"),
    ("kind is a float", _payload([4.0, 1]), "section"),
    ("kind is bytes", _payload([b"4", 1]), "section"),
    ("too few fields", _payload([2, 1]), "fields"),
    ("too many fields", _payload([4, 1, 1]), "fields"),
    ("bool for an integer", _payload([4, True]), "integer"),
    ("float for an integer", _payload([4, 1.0]), "integer"),
    ("nothing for an integer", _payload([4, None]), "integer"),
    ("negative", _payload([4, -1]), "integer"),
    ("over 32 bits", _payload([4, 2**32]), "integer"),
    ("clock over the counter limit", _payload([1, 1, 1, MAX_COUNTER + 1]), "integer"),
    ("incarnation over the limit", _payload([7, [[ME, MAX_COUNTER + 1, ME, 0]]]), "integer"),
    ("unknown evidence", _payload([7, [[ME, 0, ME, 2]]]), "integer"),
    ("target of four bytes", _payload([3, 1, bytes(4)]), "length"),
    ("cookie of seven bytes", _payload([14, 1, bytes(7)]), "length"),
    ("proof of nothing", _payload([15, b""]), "length"),
    ("target missing in a request", _payload([3, 1, b""]), "length"),
    ("list for bytes", _payload([3, 1, [1]]), "bytes"),
    ("bytes for a list", _payload([6, b"x"]), "list"),
    ("too many registers", _payload([6, [b"x"] * (MAX_ENTRIES + 1)]), "list"),
    ("register of 1,201 bytes", _payload([6, [bytes(1201)]]), "length"),
    ("accusation without evidence", _payload([7, [[ME, 0, ME]]]), "fields"),
    ("accusation is bytes", _payload([7, [b"x"]]), "fields"),
    ("scope 2", _payload([8, 0, [[2, 1, 1, b""]]]), "scope"),
    ("scope is a bool", _payload([8, 0, [[False, 1, 1, b""]]]), "scope"),
    ("scope is nameless", _payload([8, 0, [[b"", 1, 1, b""]]]), "scope"),
    ("scope is a long name", _payload([8, 0, [[bytes(256), 1, 1, b""]]]), "scope"),
    ("bits for too many nodes", _payload([8, 0, [[0, 1, 1, bytes(MAX_LIVE // 8 + 1)]]]), "length"),
    ("half a digest", _payload([10, 1, bytes(4)]), "length"),
    ("too many digests", _payload([10, 1, bytes(520)]), "length"),
    ("half a hash", _payload([11, [[0, 1, bytes(12)]]]), "length"),
    ("interval over 64 bits", _payload([12, 2**64 - 1]), "bytes"),
    ("half a wanted hash", _payload([12, bytes(9)]), "length"),
    ("age is a bool", _payload([13, [b"x"], [True]]), "integer"),
]


@pytest.mark.parametrize(
    ("payload", "reason"), [each[1:] for each in MALFORMED], ids=[e[0] for e in MALFORMED]
)
def test_anything_else_is_refused_with_its_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(BadPacket, match=reason):
        unpack_payload(payload)


def test_no_extension_type_passes_not_even_an_empty_one() -> None:
    with pytest.raises(BadPacket):
        unpack_payload(_payload([99, msgpack.ExtType(1, b"")]))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_bad_packet(payload: bytes) -> None:
    try:
        sections = unpack_payload(payload)
    except BadPacket:
        return
    assert all(type(each) in KINDS for each in sections)


def _node() -> Node:
    """A node in the middle of things: three peers, one a suspect, a group, two members, a probe under way."""
    node = Node(
        name="n0",
        address=an_address(0),
        seal=TaggedSeal(CLUSTER),
        config=Config.lan(),
        random=random.Random(7),
        now=0.0,
    )
    known = [a_node(1), a_node(2), a_node(3), GroupRegister("g", 1), a_presence("g", "a", 1)]
    for number in (0, 1, 4, 9):
        meet(node, number, address=an_address(number + 100 * (number == 0)))
    node.receive(sealed(1, node.node_id, Rumours([each.packed for each in known])), an_address(1), 0.0)
    node.receive(
        sealed(1, node.node_id, Accusations([Accusation(an_id(2), 0, an_id(1), 0)])), an_address(1), 0.1
    )
    node.submit(Join("g", "b", NOTHING), 0.1)
    _turn(node, 0.1)
    _turn(node, 2.0)
    return node


def _turn(node: Node, now: float) -> list[bytes]:
    node.tick(now)
    sent = [datagram for datagram, _ in node.datagrams(now)]
    node.events()
    node.outcomes()
    assert node.next_deadline() >= 0
    return sent


def _state(node: Node) -> tuple[Any, ...]:
    return (
        node.state.replica.digest,
        dict(node.state.replica.by_hash),
        list(node.state.live.ids),
        set(node.state.live.suspects),
        dict(node.state.views.digests),
        list(node.state.events),
        node.answered,
        node.joined,
    )


NINE = an_address(9)


def _survives(node: Node, datagram: bytes, source: Address = NINE) -> bool:
    """Whether the node processed it; it must go on either way, and forget what it refused."""
    before = _state(node)
    refused = node.stats.refused.total()
    received = node.stats.received
    node.receive(datagram, source, 2.0)
    assert node.stats.received == received + 1
    taken = node.stats.refused.total() == refused
    if not taken:
        assert node.stats.refused.total() == refused + 1
        assert _state(node) == before
    for each in _turn(node, 2.0) + _turn(node, 2.01):
        assert len(each) <= DATAGRAM_BYTES
    return taken


@given(st.binary(max_size=DATAGRAM_BYTES + 50))
def test_raw_bytes_are_counted_and_dropped(datagram: bytes) -> None:
    assert not _survives(_node(), datagram)


def _splice(original: bytes) -> Callable[[tuple[int, int, bytes]], bytes]:
    return lambda change: (
        original[: change[0] % len(original)] + change[2] + original[change[0] % len(original) + change[1] :]
    )


def _real_payloads() -> list[bytes]:
    seal = TaggedSeal(CLUSTER)
    node = _node()
    sent = _turn(node, 3.0)
    for _ in range(3):
        node.receive(sealed(3, node.node_id, Buckets(1, bytes(8)), Ping(3, 4, 5)), an_address(3), 3.0)
        sent += _turn(node, 3.1)
    hashes = Hashes([Interval(0, 2**64 - 1, bytes(16))])
    asks = sealed(3, node.node_id, hashes, AskSettling(0, [Entry("g", 1, 2, b"\x0f")]))
    return [seal.open(each)[1] for each in [*sent, asks]]


def _addressed(node: Node, payload: bytes, number: int = 2**40) -> bytes:
    return TaggedSeal(CLUSTER).seal(Header(an_id(9), node.node_id, number).pack(), payload)


mutated = st.sampled_from(_real_payloads()).flatmap(
    lambda original: st.tuples(st.integers(0, 1400), st.integers(0, 3), st.binary(max_size=3)).map(
        _splice(original)
    )
)


@given(st.lists(mutated, min_size=1, max_size=3))
def test_damaged_real_datagrams_are_processed_or_dropped(payloads: list[bytes]) -> None:
    node = _node()
    for number, payload in enumerate(payloads):
        _survives(node, _addressed(node, payload, number + 2**40))


anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.binary(max_size=20),
        st.text(max_size=5),
        registers.map(lambda register: register.packed),
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.tuples(st.integers(0, 16), st.lists(anything, max_size=5)), max_size=4))
def test_well_formed_nonsense_is_processed_or_dropped(nonsense: list[tuple[int, list[Any]]]) -> None:
    payload = msgpack.packb([[kind, *fields] for kind, fields in nonsense])
    if len(payload) <= DATAGRAM_BYTES - TAGGED_BYTES:
        node = _node()
        _survives(node, _addressed(node, payload))


known = st.sampled_from([an_id(number) for number in range(5)])
of_this_cluster: st.SearchStrategy[Section] = st.one_of(
    st.builds(Ping, u32, u64, counters),
    st.builds(PingReq, u32, known),
    st.builds(NotMe, u32, known),
    st.builds(
        Accusations,
        st.lists(
            st.builds(Accusation, known, st.integers(0, 2) | counters, known, st.integers(0, 1)), max_size=4
        ),
    ),
    st.builds(
        AskSettling,
        u64,
        st.lists(st.builds(Entry, scopes | st.just("g"), counters, u64, st.binary()), max_size=3),
    ),
    sections,
)


@given(st.integers(0, 4), st.lists(of_this_cluster, max_size=6))
def test_any_sections_of_any_sender_are_processed(sender: int, sent: list[Section]) -> None:
    ages_fit = all(len(each.ages) in (0, len(each.registers)) for each in sent if isinstance(each, Repair))
    node = _node()
    datagram = sealed(sender, node.node_id, *sent)
    if len(datagram) <= DATAGRAM_BYTES:
        assert _survives(node, datagram, an_address(sender or 100)) == ages_fit


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (Rumours([a_node(5).packed, b"junk"]), "register"),
        (Repair([a_node(5).packed], [1, 2]), "ages"),
        (Repair([a_node(5).packed, a_node(6).packed], [1]), "ages"),
    ],
)
def test_one_bad_register_refuses_the_whole_datagram(section: Section, reason: str) -> None:
    node = _node()
    assert not _survives(node, sealed(1, node.node_id, Rumours([a_node(4).packed]), section))
    assert any(reason in each for each in node.stats.refused)
    assert an_id(4) not in node.state.replica.nodes


def test_a_datagram_of_ones_own_is_dropped() -> None:
    node = _node()
    own = sealed_as(Header(node.node_id, an_id(1), 1), Nack(1))
    assert not _survives(node, own)
    assert node.stats.refused == {"own datagram": 1}


def test_a_datagram_of_another_cluster_is_dropped() -> None:
    node = _node()
    assert not _survives(node, TaggedSeal("other").seal(Header(an_id(1), node.node_id, 1).pack(), b"\x90"))
    assert node.stats.refused == {"cluster or checksum": 1}
