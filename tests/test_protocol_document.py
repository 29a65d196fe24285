"""docs/protocol.md against the code: every table and every byte in it.

Law: what the document states is read from the document; the code is asked whether it is so. The second
implementation at the end knows the document's rules alone: it uses no wire code, and joins a real node.
"""

from __future__ import annotations

import hashlib
import importlib
import random
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import pytest

from gossipgroups.config import PRESETS, Config
from gossipgroups.digest import interval
from gossipgroups.errors import BadPacket
from gossipgroups.groups.replica import Replica
from gossipgroups.groups.rules import Create, Join
from gossipgroups.ids import Address, NodeId, Peer, unpack_address
from gossipgroups.node import Node
from gossipgroups.operations import Done
from gossipgroups.reconcile import Reconciler
from gossipgroups.registers import (
    GroupRegister,
    NodeRegister,
    PresenceRegister,
    Register,
    decode_register,
    hash_bytes,
)
from gossipgroups.status import Status
from gossipgroups.swim.dissemination import retransmit_limit
from gossipgroups.swim.order import phase, skip
from gossipgroups.swim.suspicion import Suspicion
from gossipgroups.wire import messages
from gossipgroups.wire.codec import pack_payload, pack_section, unpack_payload
from gossipgroups.wire.header import unpack_header
from gossipgroups.wire.messages import CHECKS, KINDS, Buckets, Section
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.seal import TAGGED_BYTES, TaggedSeal

DOCUMENT = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text("utf-8")
CLUSTER = "demo"
A, B = NodeId(b"\xa1" * 8), NodeId(b"\xb2" * 8)
AT_A, AT_B = Address("10.0.0.1", 7946), Address("10.0.0.2", 7946)
PEER_A, PEER_B = Peer(A, AT_A), Peer(B, AT_B)


# Reading the document.


class Example(NamedTuple):
    """A fenced block: what it is, its title, and its lines of bytes with the words beside them."""

    what: str
    title: str
    lines: list[tuple[bytes, str]]

    @property
    def octets(self) -> bytes:
        return b"".join(octets for octets, _ in self.lines)

    @property
    def stated(self) -> list[tuple[str, str]]:
        """The fields that the words beside the bytes name, in order."""
        return [
            (name, value)
            for _, words in self.lines
            for name, equals, value in [words.partition(" = ")]
            if equals
        ]


def _examples() -> dict[str, Example]:
    found: dict[str, Example] = {}
    for what, body in re.findall(r"^```(datagram|section|register)\n(.*?)^```$", DOCUMENT, re.M | re.S):
        title, *lines = body.splitlines()
        parts = [re.split(r"\s{2,}", line, maxsplit=1) for line in lines]
        found[title.removeprefix("# ")] = Example(
            what, title.removeprefix("# "), [(bytes.fromhex(octets), words) for octets, words in parts]
        )
    return found


def _table(*head: str) -> list[list[str]]:
    """The rows of the one table of the document with this head."""
    pattern = r"^\| *" + r" *\| *".join(map(re.escape, head)) + r" *\|\n\|[-:| ]+\|\n((?:\|.*\|\n)+)"
    bodies = re.findall(pattern, DOCUMENT, re.M)
    assert len(bodies) == 1, f"{len(bodies)} tables with the head {head}"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in bodies[0].splitlines()]


def _number(cell: str) -> float:
    return float(cell.replace(",", "").removesuffix(" s"))


EXAMPLES = _examples()


# What the bytes of the examples say.


def _text(value: bytes | str) -> str:
    return f'"{value.decode() if isinstance(value, bytes) else value}"'


def _eights(value: bytes) -> str:
    return " ".join(value[at : at + 8].hex() for at in range(0, len(value), 8)) or "none"


def _register_of(packed: bytes) -> Register:
    register = decode_register(packed)
    assert register is not None
    return register


def _hash(value: int) -> str:
    return f"{value:016x}"


def _scope(value: int | bytes | str) -> str:
    return ("root", "whole")[value] if isinstance(value, int) else _text(value)


def _address(value: bytes | Address) -> str:
    return str(unpack_address(value) if isinstance(value, bytes) else value)


FORMATS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(
        ("sender", "target", "node_id", "subject", "accuser"), lambda value: value.hex() or "anybody"
    ),
    **dict.fromkeys(("digest", "live", "first", "last", "mask"), _hash),
    **dict.fromkeys(("hashes", "digests", "cookie"), _eights),
    **dict.fromkeys(("name", "group", "member"), _text),
    "bits": lambda value: bin(int.from_bytes(value, "big")),
    "scope": _scope,
    "address": _address,
    "status": lambda value: Status(value).name.lower(),
    "evidence": lambda value: ("silent", "refused")[value],
    "capabilities": lambda value: "none" if value is None else value.hex(" "),
}

REGISTER_FIELDS: dict[type, tuple[str, ...]] = {
    NodeRegister: ("node_id", "incarnation", "status", "address", "name", "protocols", "key_ids"),
    GroupRegister: ("group", "epoch"),
    PresenceRegister: ("group", "member", "clock", "node_id", "epoch", "capabilities"),
}

REGISTER_KINDS = {shape.__name__: shape.KIND for shape in (NodeRegister, GroupRegister, PresenceRegister)}


def _said(name: str, value: Any) -> str:
    return FORMATS.get(name, str)(value)


def _of_register(packed: bytes) -> Iterator[tuple[str, str]]:
    register = _register_of(packed)
    for name in REGISTER_FIELDS[type(register)]:
        if name != "key_ids" or getattr(register, name):
            yield name, _said(name, getattr(register, name))


def _of_section(section: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    for name, value in section._asdict().items():  # type: ignore[attr-defined]
        if name == "registers":
            for packed in value:
                yield from _of_register(packed)
        elif isinstance(value, list):
            for each in value:
                yield from _of_section(each) if isinstance(each, tuple) else [(name, _said(name, each))]
        else:
            yield name, _said(name, value)


def _decoded(example: Example) -> list[tuple[str, str]]:
    """The fields of an example as the code reads them, after a round trip through its encoder."""
    octets = example.octets
    if example.what == "register":
        assert _register_of(octets).packed == octets
        return list(_of_register(octets))
    payload = b"\x91" + octets if example.what == "section" else TaggedSeal(CLUSTER).open(octets)[1]
    sections = unpack_payload(payload)
    assert pack_payload([pack_section(each) for each in sections]) == payload
    return [each for section in sections for each in _of_section(section)]


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_decodes_to_the_fields_beside_it(title: str) -> None:
    assert EXAMPLES[title].stated == _decoded(EXAMPLES[title])


@pytest.mark.parametrize("title", EXAMPLES)
def test_each_field_of_an_example_stands_beside_its_own_bytes(title: str) -> None:
    for octets, words in EXAMPLES[title].lines:
        name, equals, value = words.partition(" = ")
        if equals:
            assert _said(name, msgpack.unpackb(octets)) == value


@pytest.mark.parametrize("title", EXAMPLES)
def test_each_head_of_an_example_is_named_rightly(title: str) -> None:
    names = {each.__name__: kind for each, kind in KINDS.items()}
    names |= {
        f"{name.removesuffix('Register').lower()} register": kind for name, kind in REGISTER_KINDS.items()
    }
    for octets, words in EXAMPLES[title].lines:
        if head := re.fullmatch(r"array of (\d+): ([\w ]+), kind (\d+)", words):
            size, name, kind = head.groups()
            assert octets == bytes((0x90 | int(size), int(kind)))
            assert names[name] == int(kind)
        elif counted := re.fullmatch(r"(?:\w+: )?list of (\d+)", words):
            assert octets == bytes((0x90 | int(counted[1]),))


def test_every_kind_of_section_and_register_has_an_example() -> None:
    seen: set[type] = set()
    for example in EXAMPLES.values():
        if example.what == "register":
            seen.add(type(_register_of(example.octets)))
        else:
            octets = example.octets
            payload = octets[TAGGED_BYTES:] if example.what == "datagram" else b"\x91" + octets
            seen |= {type(section) for section in unpack_payload(payload)}
    assert seen == {*KINDS, *REGISTER_FIELDS}


@pytest.mark.parametrize(
    ("register", "stated"),
    [(title, example) for title, example in EXAMPLES.items() if example.what == "register"],
)
def test_the_hash_of_an_example_register_is_the_stated_one(register: str, stated: Example) -> None:
    ((_, size, key, bucket),) = [
        row for row in _table("register", "bytes", "hash", "bucket") if row[0] == register
    ]
    value = _register_of(stated.octets).hash
    assert (int(size), key.strip("`"), int(bucket)) == (len(stated.octets), _hash(value), value >> 58)
    assert interval(int(bucket))[0] <= value <= interval(int(bucket))[1]


# The tables.


def _limits() -> dict[str, list[int]]:
    """The limits that the table of types states, by the type."""
    return {
        name: [int(_number(each)) for each in re.findall(r"(?:at most|1 to) ([\d,]+)", meaning)]
        for names, meaning in _table("type", "is")
        for name in names.split(", ")
    }


def _all_samples() -> dict[str, tuple[list[Any], list[Any]]]:
    """For each plain type what a field of it accepts at the stated limits, and what it refuses."""
    limits = _limits()
    hashes, digests = limits["hashes"]
    (bits,), (name,), (items, register) = limits["bits"], limits["scope"], limits["[x]"]
    return {
        "u32": ([0, 2**32 - 1], [-1, 2**32, True, None, b""]),
        "u48": ([0, 2**48 - 1], [-1, 2**48, 1.0]),
        "u64": ([0, 2**64 - 1], [-1, None]),
        "flag": ([0, 1], [2, True]),
        "id": ([bytes(8)], [b"", bytes(7), bytes(9), 1]),
        "cookie": ([bytes(8)], [b"", bytes(7), bytes(9), 1]),
        "hashes": ([b"", bytes(hashes)], [bytes(7), bytes(hashes + 8)]),
        "digests": ([b"", bytes(digests)], [bytes(9), bytes(digests + 8)]),
        "bits": ([b"", bytes(bits)], [bytes(bits + 1), 0]),
        "scope": ([0, 1, b"g", b"g" * name], [2, b"", b"g" * (name + 1), False]),
        "[register]": (
            [[], [b""] * items, [bytes(register)]],
            [[b""] * (items + 1), [bytes(register + 1)], b""],
        ),
        "[u32]": ([[], [0] * items], [[0] * (items + 1), [-1]]),
    }


SAMPLES = _all_samples()


def _fields(cell: str) -> list[tuple[str, str]]:
    return re.findall(r"`(\w+)` ([^,]+)", cell)


def _items() -> dict[str, list[tuple[str, str]]]:
    return {item.strip("`"): _fields(cell) for item, cell in _table("item", "fields in order")}


def _samples(kind: str) -> tuple[list[Any], list[Any]]:
    if kind in SAMPLES:
        return SAMPLES[kind]
    parts = [_samples(each)[0] for _, each in _items()[kind.strip("[]")]]
    good = [part[0] for part in parts]
    bad = [[*good[:-1]], [*good, 0]]
    for place, (_, each) in enumerate(_items()[kind.strip("[]")]):
        bad += [[*good[:place], wrong, *good[place + 1 :]] for wrong in _samples(each)[1]]
    items = _limits()["[x]"][0]
    return [[], [good] * items], [[good] * (items + 1), *([each] for each in bad)]


def test_the_table_of_sections_is_the_grammar() -> None:
    rows = _table("kind", "section", "fields in order")
    assert {int(kind): name.strip("`") for kind, name, _ in rows} == {
        number: shape.__name__ for shape, number in KINDS.items()
    }
    for kind, name, cell in rows:
        stated = _fields(cell)
        assert [each for each, _ in stated] == list(getattr(messages, name.strip("`"))._fields)
        good = [_samples(each)[0][-1] for _, each in stated]
        check = CHECKS[int(kind)]
        check(good)
        for wrong in ([*good, 0], good[:-1]):
            with pytest.raises(BadPacket):
                check(wrong)
        for place, (_, each) in enumerate(stated):
            accepted, refused = _samples(each)
            for value in accepted:
                check([*good[:place], value, *good[place + 1 :]])
            for value in refused:
                with pytest.raises(BadPacket):
                    check([*good[:place], value, *good[place + 1 :]])


def test_the_items_are_those_of_the_code() -> None:
    for name, stated in _items().items():
        assert [each for each, _ in stated] == list(getattr(messages, name)._fields)


def test_every_section_says_what_its_receiver_does() -> None:
    assert [row[0].strip("`") for row in _table("section", "what the receiver does")] == [
        shape.__name__ for shape in KINDS
    ]


def test_the_table_of_registers_is_the_code() -> None:
    rows = _table("register", "kind", "key", "order", "fields in order")
    stated = {name: (int(kind), [each for each, _ in _fields(cell)]) for name, kind, _, _, cell in rows}
    assert stated == {
        shape.__name__.removesuffix("Register").lower(): (shape.KIND, list(names))  # type: ignore[attr-defined]
        for shape, names in REGISTER_FIELDS.items()
    }


def test_the_table_of_the_config_has_every_field_with_its_values() -> None:
    rows = _table("field", "`lan`", "`local`", "`wan`", "what it sets")
    assert [row[0].strip("`") for row in rows] == [field.name for field in fields(Config)]
    for name, *values, meaning in rows:
        presets = [getattr(PRESETS[preset](), name.strip("`")) for preset in ("lan", "local", "wan")]
        assert [_number(value) for value in values] == presets, name
        assert meaning


def test_the_table_of_limits_is_the_code() -> None:
    for name, value, _ in _table("constant", "value", "what it limits"):
        module, _, constant = name.strip("`").rpartition(".")
        assert getattr(importlib.import_module(f"gossipgroups.{module}"), constant) == _number(value), name


def test_every_field_named_in_the_text_exists() -> None:
    prose = re.sub(r"^```.*?^```$", "", DOCUMENT, flags=re.M | re.S)
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", prose))
    known = {field.name for field in fields(Config)} | {"digest_size"}
    known |= {name for names in REGISTER_FIELDS.values() for name in names}
    assert {"probe_period", "settle_retry", "forget_after"} <= named <= known


def test_the_table_of_suspicions_is_the_code() -> None:
    for preset, nodes, *stated in _table("preset", "n", "1 accuser", "2", "3", "4"):
        computed = []
        for accusers in range(1, 5):
            suspicion = Suspicion(0, PRESETS[preset.strip("`")](), 0.0)
            for each in range(accusers):
                suspicion.confirm(NodeId(bytes([each] * 8)), messages.SILENT, 0.0)
            computed.append(f"{suspicion.deadline(int(nodes), int(nodes) - 2):.1f}")
        assert stated == computed, (preset, nodes)


def test_the_table_of_the_probe_order_is_the_code() -> None:
    for nodes, *stated in _table("n", *(f"r = {round_}" for round_ in range(8))):
        assert [int(each) for each in stated] == [skip(round_, int(nodes)) for round_ in range(8)]
    ((target, moment),) = _table("target", "phase")
    assert f"{phase(NodeId(bytes.fromhex(target.strip('`'))))}".startswith(moment)


def test_the_table_of_retransmissions_is_the_code() -> None:
    head = ("n", "9", "10", "99", "100", "999", "1,000")
    ((_, *stated),) = _table(*head)
    computed = [retransmit_limit(Config().retransmit_multiplier, int(_number(each))) for each in head[1:]]
    assert [int(each) for each in stated] == computed


def test_the_table_of_sizes_is_the_code() -> None:
    full, node = 2**64 - 1, NodeRegister(A, 0, Status.ALIVE, AT_A, "host-1")
    group = EXAMPLES["group register"].octets
    presence = EXAMPLES["presence register"].octets
    entry = messages.Entry(messages.ROOT, 300, full, bytes(16))
    ping, ack = messages.Ping(2**31, full, 2**20), messages.Ack(2**31, full)
    charge = messages.Accusation(A, 1, B, messages.SILENT)
    sizes: dict[str, list[Section]] = {
        "ping": [ping],
        "ack": [ack],
        "ping-req": [messages.PingReq(2**31, B)],
        "nack": [messages.Nack(2**31)],
        "not-me": [messages.NotMe(2**31, B)],
        "ping to anybody": [messages.Proof(messages.NO_COOKIE), ping],
        "cookie": [messages.Cookie(2**31, bytes(8))],
        "hello of a joiner": [
            messages.Proof(bytes(8)),
            ping,
            Buckets(1, bytes(8)),
            messages.Rumours([node.packed]),
        ],
        "ping with one presence": [ping, messages.Rumours([presence])],
        "group and presence, told at once": [messages.Rumours([group, presence])],
        "one accusation": [messages.Accusations([charge])],
        "settling, root, 128 nodes": [messages.Settling(full, [entry])],
        "settling, root and group, 128 nodes": [
            messages.Settling(full, [entry, messages.Entry("workers", 300, full, bytes(16))])
        ],
        "buckets, all 64 in use": [Buckets(full, bytes(512))],
    }
    rows = _table("datagram", "bytes")
    assert {name: int(size) for name, size in rows} == {
        name: TAGGED_BYTES + len(pack_payload([pack_section(each) for each in sections]))
        for name, sections in sizes.items()
    }


# The examples as exchanges between real rooms.


def _replica(*titles: str) -> Replica:
    replica = Replica()
    for title in titles:
        replica.merge(_register_of(EXAMPLES[title].octets))
    return replica


def test_the_digests_of_the_examples_are_those_of_their_registers() -> None:
    both = _replica("node register of A", "node register of B")
    for title in ("ping", "ack"):
        assert dict(EXAMPLES[title].stated)["digest"] == _hash(both.digest)
    entries = dict(EXAMPLES["settling, root"].stated)
    assert entries["digest"] == _hash(_register_of(EXAMPLES["group register"].octets).hash)
    assert entries["live"] == _hash(_blake(A) ^ _blake(B))


def test_the_exchange_of_a_repair_is_that_of_two_reconcilers() -> None:
    nodes = ("node register of A", "node register of B")
    outboxes = {each: Outbox(each, TaggedSeal(CLUSTER)) for each in (A, B)}
    asks, answers = (
        Reconciler(_replica(*nodes, own), outboxes[each], Config(), lambda _: 0, random.Random(1), 0.0)
        for each, own in ((A, "group register"), (B, "presence register"))
    )

    def sent(by: NodeId, to: Peer) -> list[Section]:
        ((datagram, address),) = outboxes[by].drain(lambda room: [], lambda peer: b"")
        header, payload = TaggedSeal(CLUSTER).open(datagram)
        assert (unpack_header(header).receiver, address) == to
        return unpack_payload(payload)

    def packed(sections: Sequence[Section]) -> bytes:
        return b"".join(map(pack_section, sections))

    assert asks.start(PEER_B, 0.0)
    (buckets,) = sent(A, PEER_B)
    assert packed([buckets]) == EXAMPLES["1. A → B: buckets"].octets
    answers.on_buckets(PEER_A, buckets)  # type: ignore[arg-type]
    answers.flush(0.0)
    (hashes,) = sent(B, PEER_A)
    assert packed([hashes]) == EXAMPLES["2. B → A: hashes"].octets
    asks.on_hashes(PEER_B, hashes)  # type: ignore[arg-type]
    asks.flush(0.0)
    repair, want = sent(A, PEER_B)
    assert packed([repair]) == EXAMPLES["3. A → B: repair"].octets
    assert packed([want]) == EXAMPLES["4. A → B: want"].octets
    answers.on_want(PEER_A, want, 0.0)  # type: ignore[arg-type]
    assert packed(sent(B, PEER_A)) == EXAMPLES["5. B → A: repair"].octets


# A second implementation, from the document's rules alone: struct and hashlib, and msgpack to read.


def _uint(value: int) -> bytes:
    for limit, head in ((0x80, ""), (0x100, "cc"), (0x10000, "cd"), (0x100000000, "ce")):
        if value < limit:
            return bytes.fromhex(head) + value.to_bytes(max(1, (limit - 1).bit_length() // 8), "big")
    return b"\xcf" + struct.pack(">Q", value)


def _bin(value: bytes) -> bytes:
    return (
        struct.pack(">BB", 0xC4, len(value)) if len(value) < 256 else struct.pack(">BH", 0xC5, len(value))
    ) + value


def _array(*items: bytes) -> bytes:
    head = bytes([0x90 | len(items)]) if len(items) < 16 else struct.pack(">BH", 0xDC, len(items))
    return head + b"".join(items)


def _blake(data: bytes) -> int:
    return int(struct.unpack(">Q", hashlib.blake2b(data, digest_size=8).digest())[0])


class Stranger:
    """Another implementation's node: it joins, answers pings, and holds nodes and groups that it hears of."""

    def __init__(self, node_id: bytes, name: bytes, address: bytes) -> None:
        self.node_id = node_id
        self.own = _array(_uint(0), _bin(node_id), _uint(0), _uint(0), _bin(address), _bin(name), _uint(0x11))
        self.held: dict[tuple[Any, ...], tuple[tuple[Any, ...], bytes]] = {}
        self.learn(self.own)
        self.number = 0
        self.peer = bytes(8)
        self._key = hashlib.blake2b(CLUSTER.encode(), digest_size=32, person=b"gossipgroups").digest()

    def learn(self, packed: bytes) -> None:
        values = msgpack.unpackb(packed)
        kind = values[0]
        key = {0: values[:2], 1: values[:2], 2: values[:3]}[kind]
        order = {0: values[2:4], 1: values[2:3], 2: values[5:6] + values[3:5]}[kind]
        rank = (*order, packed)
        if tuple(key) not in self.held or self.held[tuple(key)][0] < rank:
            self.held[tuple(key)] = (rank, packed)

    def registers(self, kind: int) -> list[bytes]:
        return [packed for key, (_, packed) in self.held.items() if key[0] == kind]

    def live(self) -> list[bytes]:
        return sorted(key[1] for key, (rank, _) in self.held.items() if key[0] == 0 and rank[1] < 2)

    @property
    def digest(self) -> int:
        total = 0
        for _, packed in self.held.values():
            total ^= _blake(packed)
        return total

    def scopes(self) -> dict[int | bytes, int]:
        """The digest of each scope by its id on the wire, where nobody has left a group."""
        root = 0
        for packed in self.registers(1):
            root ^= _blake(packed) if msgpack.unpackb(packed)[2] % 2 else 0
        found: dict[int | bytes, int] = {0: root}
        for packed in self.registers(2):
            group = msgpack.unpackb(packed)[1]
            found[group] = found.get(group, 0) ^ _blake(packed)
        return found

    def datagram(self, to: bytes, *sections: bytes) -> bytes:
        self.number += 1
        content = self.node_id + to + struct.pack(">HI", 0, self.number) + _array(*sections)
        return b"\x01" + hashlib.blake2b(content, digest_size=8, key=self._key).digest() + content

    def opened(self, datagram: bytes) -> list[Any]:
        content = datagram[9:]
        assert datagram[:1] == b"\x01"
        assert datagram[1:9] == hashlib.blake2b(content, digest_size=8, key=self._key).digest()
        assert content[8:16] == self.node_id
        self.peer = content[:8]
        sections: list[Any] = msgpack.unpackb(content[22:])
        for kind, *body in sections:
            for packed in body[0] if kind in (6, 13) else ():
                self.learn(packed)
        return sections

    def ping(self, number: int) -> bytes:
        return _array(_uint(1), _uint(number), _uint(self.digest), _uint(0))

    def knock(self, number: int) -> bytes:
        return self.datagram(bytes(8), _array(_uint(15), _bin(bytes(8))), self.ping(number))

    def hello(self, number: int, cookie: bytes) -> bytes:
        own = _blake(self.own)
        buckets = _array(_uint(10), _uint(1 << (own >> 58)), _bin(struct.pack(">Q", own)))
        proof, rumour = _array(_uint(15), _bin(cookie)), _array(_uint(6), _array(_bin(self.own)))
        return self.datagram(self.peer, proof, self.ping(number), buckets, rumour)

    def joins(self, node: Node, now: float) -> list[bytes]:
        """Knock, and send the cookie back; the answers to that."""
        knock = self.knock(8)
        (answer,) = _told(node, knock, now)
        ((kind, number, cookie),) = self.opened(answer)
        assert (kind, number, len(answer) <= len(knock)) == (14, 8, True)
        return _told(node, self.hello(9, cookie), now)

    def answers(self, datagram: bytes) -> bytes | None:
        """The answer to a datagram by the rules: acks for pings, our bit for views that are ours."""
        sections = []
        for kind, *body in self.opened(datagram):
            if kind == 1:
                sections.append(_array(_uint(2), _uint(body[0]), _uint(self.digest)))
            elif kind in (8, 9):
                live, entries = body
                total = 0
                for node_id in self.live():
                    total ^= _blake(node_id)
                own_bit = 1 << self.live().index(self.node_id)
                mine = [
                    _array(
                        _bin(scope) if isinstance(scope, bytes) else _uint(scope),
                        _uint(stamp),
                        _uint(digest),
                        _bin((int.from_bytes(bits, "big") | own_bit).to_bytes(1, "big")),
                    )
                    for scope, stamp, digest, bits in entries
                    if live == total and self.scopes().get(scope) == digest
                ]
                if mine:
                    sections.append(_array(_uint(8), _uint(live), _array(*mine)))
        return self.datagram(self.peer, *sections) if sections else None


def _node() -> Node:
    return Node(
        name="host-1",
        address=AT_A,
        seal=TaggedSeal(CLUSTER),
        config=Config(),
        random=random.Random(5),
        now=0.0,
    )


def _told(node: Node, datagram: bytes, now: float) -> list[bytes]:
    """What a node sends to B on a datagram from there."""
    node.receive(datagram, AT_B, now)
    node.tick(now)
    assert not node.stats.refused
    return [sent for sent, address in node.datagrams(now) if address == AT_B]


def test_a_ping_made_from_the_document_alone_is_that_of_the_code() -> None:
    one = Stranger(A, b"host-1", bytes([10, 0, 0, 1]) + struct.pack(">H", 7946))
    assert one.own == EXAMPLES["node register of A"].octets
    one.learn(EXAMPLES["node register of B"].octets)
    one.number = 299
    section = _array(_uint(1), _uint(7), _uint(one.digest), _uint(256))
    assert one.datagram(B, section) == EXAMPLES["ping"].octets


def test_a_node_answers_the_ping_of_a_stranger() -> None:
    node = _node()
    stranger = Stranger(B, b"host-2", bytes([10, 0, 0, 2]) + struct.pack(">H", 7946))
    stranger.joins(node, 0.5)
    (answer,) = _told(node, stranger.datagram(node.node_id, stranger.ping(77)), 1.0)
    assert [2, 77, node.state.replica.digest] in stranger.opened(answer)
    assert node.receive(stranger.datagram(b"somebody", stranger.ping(78)), AT_B, 2.0) == "for another"
    ((answer, _),) = node.datagrams(2.0)
    assert [5, 78, b"somebody"] in stranger.opened(answer)


def test_a_stranger_joins_by_its_hello() -> None:
    node = _node()
    node.submit(Create("workers"), 0.5)
    node.tick(0.5)
    stranger = Stranger(B, b"host-2", bytes([10, 0, 0, 2]) + struct.pack(">H", 7946))
    for answer in stranger.joins(node, 1.0):
        sections = stranger.opened(answer)
    assert [2, 9, node.state.replica.digest] in sections
    assert stranger.digest == node.state.replica.digest
    assert stranger.live() == sorted([node.node_id, B]) == node.state.live.ids


def test_a_change_settles_between_a_node_and_a_stranger() -> None:
    node = _node()
    stranger = Stranger(B, b"host-2", bytes([10, 0, 0, 2]) + struct.pack(">H", 7946))
    waiting = stranger.joins(node, 1.0)
    node.submit(Join("workers", "host-1", b"\xc0", create=True), 1.5)
    node.tick(1.5)
    waiting += [datagram for datagram, _ in node.datagrams(1.5)]
    outcomes = []
    for turn in range(20):
        answers = [answer for datagram in waiting if (answer := stranger.answers(datagram))]
        waiting = [sent for answer in answers for sent in _told(node, answer, 1.6 + turn / 10)]
        node.tick(1.6 + turn / 10)
        waiting += [datagram for datagram, _ in node.datagrams(1.6 + turn / 10)]
        outcomes += [each for each in node.outcomes() if isinstance(each, Done)]
        if outcomes:
            break
    assert outcomes == [Done(1, True)]


def test_the_hash_of_the_document_is_the_hash_of_the_code() -> None:
    assert hash_bytes(EXAMPLES["group register"].octets) == _blake(EXAMPLES["group register"].octets)
