"""The kernel's word that a port is closed: what is believed of it, and what a forger of ICMP achieves."""

from __future__ import annotations

import random

import pytest

from gossipgroups.events import NodeSuspected
from gossipgroups.groups.rules import Create
from gossipgroups.ids import ANYBODY, NodeId
from gossipgroups.keys import Key, KeyRing
from gossipgroups.node import Node
from gossipgroups.ports import REPORTS_A_SECOND, TOO_MANY, UNQUOTED
from gossipgroups.transport.datagrams import QUOTED
from gossipgroups.wire.header import HEADER_BYTES, Header, unpack_header
from gossipgroups.wire.seal import KeyedSeal, Seal, TaggedSeal, quoted_header
from gossipgroups.wire.window import WINDOW
from tests.nodes import CLUSTER, Wire, an_address, an_id, sealed_as

KEYED = KeyedSeal(CLUSTER, KeyRing([Key(bytes(32))]), random.Random(1).randbytes)


@pytest.mark.parametrize("seal", [TaggedSeal(CLUSTER), KEYED], ids=["tagged", "sealed"])
def test_a_header_is_found_in_a_quote_that_is_long_enough(seal: Seal) -> None:
    header = Header(an_id(1), an_id(2), 3)
    datagram = seal.seal(header.pack(), b"payload" * 9)
    at = datagram.index(header.pack())
    for size in range(QUOTED + 1):
        found = quoted_header(datagram[:size])
        assert found == (header.pack() if size >= at + HEADER_BYTES else None)
    assert at + HEADER_BYTES <= QUOTED, "all that is handed up"
    assert quoted_header(b"\x07" + datagram[1:]) is None


def _three() -> tuple[Wire, Node, Node, Node]:
    wire = Wire(3)
    assert wire.run_until(wire.agree, 10)
    wire.run(3)
    asker, target, other = wire.nodes
    return wire, asker, target, other


def _refused(wire: Wire, node: Node, target: Node, quoted: bytes) -> None:
    node.refused(target.state.own.address, quoted, wire.now)
    wire.turn(node)


def test_forged_reports_have_nobody_accused() -> None:
    wire, asker, target, other = _three()
    true = unpack_header(quoted_header(wire.last_sent(asker, target)) or b"")
    wire.sent.clear()
    forged = [
        b"",
        b"\x01" * QUOTED,
        sealed_as(true)[: 1 + HEADER_BYTES],
        sealed_as(true._replace(sender=other.node_id)),
        sealed_as(true._replace(sender=NodeId(b"stranger"))),
        sealed_as(true._replace(receiver=other.node_id)),
        sealed_as(true._replace(receiver=an_id(77))),
        sealed_as(true._replace(number=true.number + 10_000)),
        sealed_as(true._replace(number=0)),
        sealed_as(true._replace(receiver=ANYBODY)),
    ]
    for _ in range(2):
        for quoted in forged:
            _refused(wire, asker, target, quoted)
    assert wire.sent == [], "not even probed"
    assert target.node_id not in asker.state.live.suspects
    wire.run(3)
    assert target.stats.refutations == 0
    assert not any(isinstance(event, NodeSuspected) for events in wire.events.values() for event in events)
    assert asker.stats.disbelieved == {UNQUOTED: 2 * len(forged) - 1}


def test_a_true_report_is_believed_once() -> None:
    wire, asker, target, _ = _three()
    quoted = wire.last_sent(asker, target)
    for _ in range(3):
        _refused(wire, asker, target, quoted)
    assert target.node_id not in asker.state.live.suspects, "it was probed, and has not answered yet"
    _refused(wire, asker, target, wire.last_sent(asker, target))
    assert target.node_id in asker.state.live.suspects, "the probe was refused too"
    assert asker.stats.disbelieved == {UNQUOTED: 2}


def test_several_reports_of_one_turn_are_one() -> None:
    wire, asker, target, _ = _three()
    true = unpack_header(quoted_header(wire.last_sent(asker, target)) or b"")
    for number in (true.number, true.number - 1):
        asker.refused(target.state.own.address, sealed_as(true._replace(number=number)), wire.now)
    assert target.node_id not in asker.state.live.suspects
    assert asker.stats.disbelieved == {}


def test_what_was_sent_long_ago_is_not_believed_to_be_refused_now() -> None:
    wire, asker, target, _ = _three()
    quoted = wire.last_sent(asker, target)
    number = unpack_header(quoted_header(quoted) or b"").number
    wire.submit(asker, Create("g"))
    while asker._outbox.number - number < WINDOW:
        wire.run(1)
    _refused(wire, asker, target, quoted)
    assert asker.stats.disbelieved == {UNQUOTED: 1}


def test_more_reports_than_the_budget_has_are_counted_and_not_heard() -> None:
    wire, asker, target, _ = _three()
    true = unpack_header(quoted_header(wire.last_sent(asker, target)) or b"")
    asker._outbox._number = 5000
    for number in range(4500, 5000):
        _refused(wire, asker, target, sealed_as(true._replace(number=number)))
    assert asker.stats.disbelieved[TOO_MANY] == 500 - REPORTS_A_SECOND


def test_a_seed_that_refuses_is_no_reason_to_wait() -> None:
    wire = Wire()
    wire.closed_ports_answer = True
    node = wire.add()
    node.seek((an_address(50),), wire.now)
    wire.turn(node)
    wire.run(1)
    assert node.alone
