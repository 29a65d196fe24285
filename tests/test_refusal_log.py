"""What the log says of dropped datagrams: whom it names, whatever others send, and in how many lines."""

from __future__ import annotations

import logging

import pytest

from gossipgroups.groups.rules import Create
from gossipgroups.ids import Address
from gossipgroups.node import Node
from gossipgroups.transport.refusals import HOSTS, LINES, MEMBERS, SAID, LimitLog, RefusalLog
from gossipgroups.wire.header import Header
from gossipgroups.wire.messages import Nack
from tests.nodes import Wire, a_node, a_presence, an_address, replica_of, sealed_as

NAMELESS = ["not sealed", "sealed", "unknown key", "forged", "cluster or checksum", "version"]


class Rig:
    """A node of three, and the log of what it drops."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.wire = Wire(3)
        self.wire.run(5)
        self.node: Node = self.wire.nodes[0]
        self.other: Node = self.wire.nodes[1]
        self.log = RefusalLog("us", self.node.state, self.node.stats)
        self._caplog = caplog
        caplog.set_level(logging.WARNING, logger="gossipgroups")

    def drop(self, reason: str, source: Address, datagram: bytes = b"", after: float = 0.0) -> None:
        self.node.stats.refused[reason] += 1
        self.log.say(reason, datagram, source, self.wire.now + after)

    def receive(self, datagram: bytes, source: Address) -> None:
        reason = self.node.receive(datagram, source, self.wire.now)
        if reason is not None:
            self.log.say(reason, datagram, source, self.wire.now)

    def said(self) -> list[str]:
        lines = [record.getMessage() for record in self._caplog.records]
        self._caplog.clear()
        return lines


def _stranger(number: int) -> Address:
    return Address(f"192.0.{number // 250}.{number % 250 + 1}", 9)


@pytest.mark.parametrize("reason", NAMELESS)
def test_noise_of_strangers_hides_no_member(caplog: pytest.LogCaptureFixture, reason: str) -> None:
    rig = Rig(caplog)
    for number in range(2000):
        rig.drop(reason, _stranger(number))
    noise = rig.said()
    assert len(noise) <= LINES + 4
    assert SAID[reason] in noise[0]
    for _ in range(3):
        rig.drop(reason, an_address(1))
    (line,) = rig.said()
    assert f"last from {an_address(1)}: {SAID[reason]}" in line
    assert "has dropped 2001 datagram(s)" in line


def test_a_reason_that_is_new_is_said_whoever_sends_it(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(caplog)
    for number in range(2000):
        rig.drop("forged", _stranger(number))
    rig.said()
    rig.drop("unknown key", _stranger(2))
    assert len(rig.said()) == 1


def test_another_stranger_is_said_when_the_budget_has_it_again(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(caplog)
    for number in range(50):
        rig.drop("forged", _stranger(number))
    rig.said()
    rig.drop("forged", _stranger(60))
    assert rig.said() == []
    rig.drop("forged", _stranger(60), after=10.0)
    (line,) = rig.said()
    assert str(_stranger(60)) in line
    rig.drop("forged", _stranger(60), after=30.0)
    assert rig.said() == []


def test_a_reason_is_said_again_when_its_number_has_grown_tenfold(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(caplog)
    for _ in range(10_000):
        rig.drop("version", _stranger(1))
    assert [line.split()[4] for line in rig.said()] == ["1", "10", "100", "1000", "10000"]


def test_lines_are_bounded_whoever_sends(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(caplog)
    for number in range(10_000):
        rig.drop("forged", _stranger(number))
    assert len(rig.said()) <= LINES + 5
    assert len(rig.log._strangers) <= HOSTS
    for number in range(3, 1503):
        rig.node._learn(a_node(number), rig.wire.now)
    for reason in NAMELESS:
        for number in range(3, 1503):
            rig.drop(reason, an_address(number))
    assert len(rig.said()) <= MEMBERS + 4 * len(NAMELESS)


def test_a_twin_is_named_by_name_whatever_else_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(caplog)
    for number in range(200):
        rig.drop("elsewhere", _stranger(number))
    rig.said()
    original = rig.other
    twin = sealed_as(Header(original.node_id, rig.node.node_id, 10**5), Nack(1))
    rig.receive(twin, an_address(2))
    (line,) = rig.said()
    assert str(an_address(2)) in line
    assert f"in the name of node {original.state.own.name!r} ({original.node_id.hex()})" in line


def test_what_is_sent_again_is_said_only_from_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(caplog)
    rig.wire.submit(rig.other, Create("g"))
    rig.wire.run(1)
    datagram = rig.wire.last_sent(rig.other, rig.node)
    for _ in range(20):
        rig.receive(datagram, rig.other.state.own.address)
    assert rig.said() == [], "the network repeats datagrams, too"
    rig.receive(datagram, an_address(9))
    (line,) = rig.said()
    assert str(an_address(9)) in line
    assert repr(rig.other.state.own.name) in line
    rig.receive(datagram, an_address(9))
    assert rig.said() == []


def test_a_limit_that_is_said_when_nothing_is_held_any_more_is_said(caplog: pytest.LogCaptureFixture) -> None:
    replica = replica_of([a_node(1)])
    replica.over_limit["members"] += 1
    replica.last_over_limit["members"] = a_presence("g", "one more", 1)
    LimitLog("us").say(replica)
    assert "last member 'one more' of group 'g'" in caplog.text


def test_other_reasons_are_not_said(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(caplog)
    assert set(SAID) == {*NAMELESS, "elsewhere", "replayed"}
    for reason in ("flood", "for another", "unproved", "encoding", "size"):
        rig.drop(reason, an_address(1))
    rig.drop("replayed", an_address(9), b"of nobody that is held")
    assert rig.said() == []
