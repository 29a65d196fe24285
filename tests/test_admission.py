"""Admission: each datagram has an effect once at most, at the node and in the run that it was sent to."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.admission import COOKIES_A_SECOND, STRANGERS, STRAY, UNPROVED, Admission
from gossipgroups.config import Config
from gossipgroups.errors import BadPacket
from gossipgroups.groups.replica import Replica
from gossipgroups.groups.rules import Create, Delete
from gossipgroups.ids import ANYBODY, Address, NodeId, Peer
from gossipgroups.intake import FLOOD, HOST_RATE, HOSTS, STRANGERS_RATE, Intake
from gossipgroups.keys import Key, KeyRing
from gossipgroups.node import Node
from gossipgroups.state import State
from gossipgroups.status import Status
from gossipgroups.wire.codec import pack_payload, pack_section
from gossipgroups.wire.cookies import COOKIE_SECONDS, Cookies
from gossipgroups.wire.header import Header, Message
from gossipgroups.wire.messages import (
    NO_COOKIE,
    ROOT,
    Ack,
    AskSettling,
    Buckets,
    Cookie,
    Entry,
    Nack,
    Ping,
    Proof,
    Rumours,
    Section,
    Settling,
    Want,
)
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.seal import TaggedSeal, make_seal
from gossipgroups.wire.window import WINDOW, Window
from sims.engine import Simulation, Watcher
from sims.engine.process import Process
from sims.engine.simulation import address_of
from tests.nodes import CLUSTER, Wire, a_node, a_peer, an_address, an_id, meet, opened, sealed, sealed_as

ME = an_id(0)


# The window.


@given(st.lists(st.integers(0, 3 * WINDOW), max_size=60))
def test_no_number_is_accepted_twice_and_none_that_is_new_is_refused(numbers: list[int]) -> None:
    window, seen, highest = Window(), set[int](), 0
    for number in numbers:
        fresh = number not in seen and number > 0 and highest - number < WINDOW
        assert window.accept(number) == fresh
        if fresh:
            seen.add(number)
            highest = max(highest, number)


def test_what_is_overtaken_by_a_window_is_refused() -> None:
    window = Window()
    assert window.accept(1)
    assert window.accept(WINDOW + 1)
    assert not window.accept(1)
    assert window.accept(2)
    assert window.accept(2**48 - 1)
    assert not window.accept(WINDOW)


@given(st.integers(1, 2**48 - 1), st.integers(0, 2 * WINDOW))
def test_a_window_that_begins_at_a_number_accepts_none_below_it(first: int, below: int) -> None:
    window = Window()
    window.begin_at(first)
    assert not window.accept(max(0, first - 1 - below))
    assert window.accept(first)
    assert not window.accept(first)
    assert window.accept(first + 1)


# Cookies.


def test_a_cookie_is_good_for_one_node_at_one_address_for_a_while() -> None:
    cookies = Cookies(random.Random(1))
    cookie = cookies.make(a_peer(1), 10.0)
    assert cookies.good(a_peer(1), cookie, 10.0)
    assert cookies.good(a_peer(1), cookie, 10.0 + COOKIE_SECONDS)
    assert not cookies.good(a_peer(1), cookie, 10.0 + 2 * COOKIE_SECONDS)
    assert not cookies.good(Peer(an_id(1), an_address(2)), cookie, 10.0)
    assert not cookies.good(Peer(an_id(2), an_address(1)), cookie, 10.0)
    assert not cookies.good(a_peer(1), NO_COOKIE, 10.0)
    assert not Cookies(random.Random(2)).good(a_peer(1), cookie, 10.0)


# The rule.


class Rig:
    """The admission of node 0, which knows nodes 1 and 2 by their registers."""

    def __init__(self, *, sealed: bool = True) -> None:
        self.replica = Replica()
        for number in range(3):
            self.replica.merge(a_node(number))
        self.outbox = Outbox(ME, TaggedSeal(CLUSTER))
        self.awaited: set[int] = set()
        self.went: Address | None = None
        """Where the pings of these numbers went, if not home."""
        self.admission = Admission(ME, self.replica, self.outbox, random.Random(1), self, sealed=sealed)
        self.numbers = dict.fromkeys(range(STRANGERS + 10), 0)

    def is_answer(self, message: Message) -> bool:
        return any(
            isinstance(each, Ack | Cookie) and each.number in self.awaited for each in message.sections
        )

    def pinged_at(self, message: Message) -> Address | None:
        home = self.replica.nodes.get(message.sender)
        at = self.went or (None if home is None else home.address)
        return at if self.is_answer(message) else None

    def asked(self) -> list[Peer]:
        """Who was asked for proof since the last look."""
        return [
            Peer(opened(datagram).receiver, address)
            for datagram, address in self.outbox.drain(lambda room: [], lambda peer: b"")
            for section in opened(datagram).sections
            if isinstance(section, Cookie)
        ]

    def give(
        self,
        sender: int,
        *sections: Section,
        number: int | None = None,
        to: NodeId = ME,
        source: Address | None = None,
        now: float = 0.0,
    ) -> str | None:
        """Why it was refused."""
        if number is None:
            self.numbers[sender] += 1
            number = self.numbers[sender]
        message = Message(an_id(sender), to, number, list(sections))
        try:
            self.admission.check(Header(*message[:3]))
            self.admission.admit(message, source or an_address(sender), 1000, now)
        except BadPacket as error:
            return error.reason
        return None


def test_each_number_of_a_sender_is_taken_in_once() -> None:
    rig = Rig()
    assert rig.give(1, number=5) is None
    assert rig.give(1, number=5) == "replayed"
    assert rig.give(2, number=5) is None
    assert rig.give(1, number=4) is None
    assert rig.give(1, number=4) == "replayed"


def test_what_was_for_another_is_not_taken_in_of_whom_was_never_heard() -> None:
    rig = Rig()
    assert rig.give(7, to=an_id(2)) == STRAY
    assert len(rig.admission) == 0


def test_a_sender_is_heard_from_home_and_from_elsewhere_with_proof_from_home_only() -> None:
    rig = Rig()
    assert rig.give(1, source=an_address(50), now=0.0) == "elsewhere"
    assert rig.asked() == [a_peer(1)], "it is asked at home, where a twin is not"
    assert len(rig.admission) == 0, "what is refused opens no window"
    assert rig.give(1, source=an_address(1), now=1.0) is None
    assert rig.give(1, source=an_address(50), now=1.0) == "elsewhere"
    assert rig.asked() == [a_peer(1)]
    assert rig.give(1, source=an_address(50), now=1.5) == "elsewhere"
    assert rig.asked() == [], "once a second"
    assert rig.give(1, source=an_address(1), now=2.0) is None
    elsewhere = rig.admission._cookies.make(Peer(an_id(1), an_address(50)), 2.0)
    assert rig.give(1, Proof(elsewhere), source=an_address(50), now=2.0) == "elsewhere"
    rig.awaited, rig.went = {5}, an_address(50)
    assert rig.give(1, Ack(5, 0), source=an_address(50), now=2.0) == "elsewhere"
    cookie = rig.admission._cookies.make(a_peer(1), 2.0)
    assert rig.give(1, Proof(cookie), source=an_address(50), now=2.0) is None
    assert rig.give(1, source=an_address(50), now=1e6) is None
    assert rig.give(1, source=an_address(51), now=1e6) == "elsewhere"
    assert rig.give(1, source=an_address(1), now=1e6) is None


def test_a_seed_that_no_register_names_yet_may_answer_from_another_address() -> None:
    rig = Rig()
    assert rig.give(7, source=an_address(50)) is None
    assert rig.give(7, source=an_address(51)) == "elsewhere"
    assert rig.asked() == [], "where it is at home nobody knows"
    rig.awaited = {5}
    assert rig.give(7, Ack(5, 0), source=an_address(51)) is None


def test_what_was_for_another_does_not_move_its_sender_and_is_seen() -> None:
    rig = Rig()
    cookie = Proof(rig.admission._cookies.make(a_peer(1), 0.0))
    assert rig.give(1, cookie, source=an_address(50)) is None
    assert rig.give(1, number=9, to=an_id(2)) is None, "the node answers that it is another"
    assert rig.give(1, number=9, to=an_id(2)) == "replayed"
    assert rig.give(1, number=9) == "replayed"
    assert rig.give(1, number=10, source=an_address(50)) is None, "it was not moved"
    assert rig.give(2, number=4, to=an_id(1)) is None, "a register names it"
    assert rig.give(2, number=4) == "replayed"
    assert rig.give(7, to=an_id(1)) == STRAY
    rig.admission.forget(an_id(2))
    assert rig.give(2, number=5, to=an_id(1)) == STRAY, "it would open a window without proof"


def test_a_question_to_anybody_is_answered_once_to_who_was_heard() -> None:
    rig = Rig()
    assert rig.give(1) is None
    assert rig.give(1, Ping(3, 0, 0), number=5, to=ANYBODY) is None
    assert rig.asked() == [a_peer(1)]
    with pytest.raises(BadPacket, match="replayed"):
        rig.admission.check(Header(an_id(1), ANYBODY, 5))


def test_a_question_smaller_than_the_cookie_gets_none_and_so_does_the_one_over_the_budget() -> None:
    rig = Rig()
    message = Message(an_id(9), ANYBODY, 1, [Ping(2**31, 0, 0)])
    rig.admission.admit(message, an_address(9), 48, 0.0)
    assert rig.asked() == []
    for _ in range(int(COOKIES_A_SECOND) + 5):
        rig.admission.admit(message, an_address(9), 49, 0.0)
    assert len(rig.asked()) == COOKIES_A_SECOND
    rig.admission.admit(message, an_address(9), 49, 0.01)
    assert rig.asked() == [a_peer(9)]


def test_once_a_sender_was_forgotten_whoever_is_new_must_prove_to_be_fresh() -> None:
    rig = Rig()
    assert rig.give(1, number=7) is None
    rig.admission.forget(an_id(2))
    assert rig.give(1, number=8) is None, "node 2 was not known"
    before = rig.admission._cookies.make(a_peer(1), 5.0)
    rig.admission.forget(an_id(1))
    assert rig.give(1, Ping(3, 0, 0), number=8) == "replayed"
    assert rig.give(1, Ping(3, 0, 0), number=9) == UNPROVED
    assert rig.give(1, Proof(before), number=9, now=5.0) == UNPROVED, "it was recorded, maybe"
    cookie = rig.admission._cookies.make(a_peer(1), 5.0)
    assert rig.give(1, Proof(bytes(8)), number=9, now=5.0) == UNPROVED
    assert rig.give(2, Proof(cookie), now=5.0) == UNPROVED
    assert rig.give(1, Proof(cookie), number=9, now=5.0 + 2 * COOKIE_SECONDS) == UNPROVED
    assert rig.give(1, Proof(cookie), number=10, now=5.0) is None
    assert rig.give(1, number=10, now=5.0) == "replayed"
    assert rig.give(1, number=9, now=5.0) == "replayed", "it may have been taken in before"
    assert rig.give(1, number=11, now=5.0) is None
    rig.awaited = {77}
    assert rig.give(2, Ack(76, 0)) == UNPROVED
    assert rig.give(2, Ack(77, 0)) is None


def test_a_twin_that_is_heard_after_the_node_was_forgotten_brings_back_none_of_its_numbers() -> None:
    rig = Rig()
    assert rig.give(1, number=90) is None
    assert rig.give(1, number=100) is None
    rig.replica.drop(rig.replica.nodes[an_id(1)])
    rig.admission.forget(an_id(1))
    there = Peer(an_id(1), an_address(50))
    proof = Proof(rig.admission._cookies.make(there, 5.0))
    assert rig.give(1, proof, number=20, source=there.address, now=5.0) == "replayed"
    assert rig.give(1, number=100, now=5.0) == "replayed"
    assert rig.give(1, proof, number=101, source=there.address, now=5.0) is None, "it has counted past"
    assert rig.give(1, number=100, source=there.address, now=5.0) == "replayed"
    assert rig.give(1, number=102, source=there.address, now=5.0) is None


@pytest.mark.parametrize("sealed", [True, False], ids=["with keys", "without keys"])
def test_what_a_sender_that_was_dropped_for_others_has_sent_counts_once(sealed: bool) -> None:
    rig = Rig(sealed=sealed)
    rig.give(1)
    rig.admission.forget(an_id(1))

    def prove(sender: int, number: int) -> str | None:
        return rig.give(sender, Proof(rig.admission._cookies.make(a_peer(sender), 5.0)), number=number)

    cookie = Proof(rig.admission._cookies.make(a_peer(3), 0.0))
    assert rig.give(3, cookie, number=5) is None
    for sender in range(4, 4 + STRANGERS):
        assert prove(sender, 1) is None
    assert len(rig.admission) == STRANGERS
    assert rig.give(3, cookie, number=5) == "replayed"
    assert rig.give(3, cookie, number=6) == (UNPROVED if sealed else None), "strangers void no cookies"
    for sender in range(2000, 2000 + 3 * STRANGERS):
        assert prove(sender, 1) is None
    assert len(rig.admission._floors) == STRANGERS


def test_no_sender_has_sent_a_number_0() -> None:
    rig = Rig()
    assert rig.give(1, number=0) == "replayed"
    assert rig.give(7, number=0) == "replayed"
    assert len(rig.admission) == 0
    assert rig.give(1, number=1) is None
    rig.admission.forget(an_id(1))
    assert rig.give(7, Proof(rig.admission._cookies.make(a_peer(7), 0.0)), number=0) == "replayed"


def test_without_keys_whom_no_register_names_must_prove_to_be_fresh() -> None:
    rig = Rig(sealed=False)
    assert rig.give(1) is None
    assert rig.give(5) == UNPROVED
    assert rig.give(5, Proof(rig.admission._cookies.make(a_peer(5), 0.0))) is None
    assert rig.give(5) is None


def test_a_question_is_not_answered_by_another() -> None:
    rig = Rig(sealed=False)
    assert rig.give(8, Cookie(0, bytes(8))) == "unproved"
    assert rig.asked() == []
    assert rig.give(8, Nack(1)) == "unproved"
    assert rig.give(8, Ping(5, 0, 0), Cookie(0, bytes(8))) == "unproved"
    assert len(rig.asked()) == 2


def test_whoever_is_to_prove_itself_is_asked_at_home_once_a_second_though_it_was_never_heard() -> None:
    rig = Rig(sealed=False)
    for now in (0.0, 0.5, 0.9, 1.1):
        for _ in range(3):
            assert rig.give(1, Nack(1), source=an_address(9), now=now) == "elsewhere"
    assert rig.asked() == [a_node(1).peer] * 2


def test_an_answer_from_elsewhere_to_a_ping_that_went_home_is_heard() -> None:
    rig = Rig()
    away = an_address(9)
    assert rig.give(1, Ack(5, 0), source=away) == "elsewhere"
    rig.awaited.add(5)
    assert rig.give(1, Ack(5, 0), source=away) is None
    rig.awaited.clear()
    assert rig.give(1, Nack(1), source=away) is None, "that is its place now"


class Moved(Wire):
    """Some nodes send from another address than that of their register."""

    def __init__(self) -> None:
        super().__init__(0)
        self.sends_from: dict[Address, Address] = {}

    def _push(self, at: float, node: Node, datagram: bytes | None, address: Address) -> None:
        super()._push(at, node, datagram, self.sends_from.get(address, address))


def test_who_sends_from_elsewhere_and_must_have_proof_of_all_hears_who_joins_and_is_heard() -> None:
    wire = Moved()
    seed = wire.add()
    one = wire.add(seeds=[seed])
    wire.run(5)
    wire.sends_from = {one.state.own.address: an_address(900)}
    wire.run(20)
    for node in wire.nodes:
        node._admission._dropped = True
    other = wire.add(seeds=[seed])
    wire.run(60)
    wire.crash(seed)
    wire.run(30)
    assert [len(node.state.live) for node in (one, other)] == [2, 2]


def test_two_that_have_forgotten_each_other_do_not_question_each_other_for_ever() -> None:
    wire = Wire(0)
    one, other = wire.add(), wire.add()
    wire.run(1)
    before = one.stats.sent + other.stats.sent
    forged = sealed_as(
        Header(one.node_id, other.node_id, 1 << 20), *[Nack(number) for number in range(7, 13)]
    )
    other.receive(forged, one.state.own.address, wire.now)
    wire.turn(other)
    wire.run(1)
    assert one.stats.sent + other.stats.sent - before <= 2


def test_senders_that_no_register_names_are_bounded_and_the_first_goes_first() -> None:
    rig = Rig()
    assert rig.give(1) is None
    for sender in range(3, 3 + STRANGERS):
        assert rig.give(sender) is None
    assert len(rig.admission) == STRANGERS + 1
    assert rig.give(STRANGERS + 5) is None
    assert len(rig.admission) == STRANGERS + 1
    assert rig.give(3) == UNPROVED
    assert rig.give(1) is None, "it has a register"
    assert rig.give(4) is None


# A whole node.


def a_lone_node(ring: KeyRing | None = None, number: int = 0) -> Node:
    return Node(
        name=f"n{number}",
        address=an_address(number),
        seal=make_seal(CLUSTER, ring, random.Random(number).randbytes),
        config=Config.lan(),
        random=random.Random(number),
        now=0.0,
    )


def told(node: Node, datagram: bytes, source: Address = an_address(9), now: float = 1.0) -> list[bytes]:  # noqa: B008
    node.receive(datagram, source, now)
    node.tick(now)
    return [sent for sent, address in node.datagrams(now) if address == source]


QUESTIONS: list[list[Section]] = [
    [Ping(1, 2**63, 0)],
    [Proof(NO_COOKIE), Ping(1, 2**63, 0)],
    [Buckets(2**64 - 1, bytes(range(1, 65)) * 8), Ping(2**32 - 1, 1, 0)],
    [Buckets(0, b"")],
    [Want(bytes(16))],
    [Rumours([a_node(9).packed]), Buckets(0, b""), Ping(1, 2**63, 0)],
    [Ping(number, 0, 0) for number in range(24)],
]


@pytest.mark.parametrize("to_anybody", [True, False], ids=["to anybody", "to the node"])
@pytest.mark.parametrize("sections", QUESTIONS, ids=[f"question {n}" for n in range(len(QUESTIONS))])
def test_without_keys_nobody_gets_more_bytes_than_he_sent_before_he_proved_his_address(
    sections: list[Section], to_anybody: bool
) -> None:
    node = a_lone_node()
    for number in range(300):
        node._learn(a_node(number + 20), 0.0)
    node.tick(0.5)
    node.datagrams(0.5)
    sent = 0
    for number in range(1, 5):
        datagram = sealed_as(Header(an_id(9), ANYBODY if to_anybody else node.node_id, number), *sections)
        sent += len(datagram)
        got = told(node, datagram)
        assert sum(map(len, got)) <= len(datagram)
    if to_anybody:
        assert an_id(9) not in node.state.replica.nodes
        assert all(type(each) is Cookie for datagram in got for each in opened(datagram).sections)


def _one_of_many(node: Node, count: int = 300) -> None:
    """Let a node hold many live nodes, and node 9, which has left."""
    for number in range(20, 20 + count):
        node._learn(a_node(number), 0.0)
    node._learn(a_node(9, 0, Status.LEFT), 0.0)
    for now in (0.5, 1.0):
        node.tick(now)
        node.datagrams(now)


def test_a_leaver_gets_no_more_bytes_than_it_sent_before_it_proved_its_address_in_later_turns() -> None:
    node = a_lone_node()
    _one_of_many(node)
    assert ROOT in node._convergence.open
    datagram = sealed(9, node.node_id, AskSettling(0, []))
    got = told(node, datagram)
    node._convergence.open.clear()  # the root settles
    for now in (2.0, 3.0, 4.0):
        node.tick(now)
        got += [sent for sent, address in node.datagrams(now) if address == an_address(9)]
    assert sum(map(len, got)) <= len(datagram)


def test_a_leaver_that_has_proved_its_address_is_told_when_its_leave_has_settled() -> None:
    node = a_lone_node()
    _one_of_many(node)
    meet(node, 9, 1.0)
    assert told(node, sealed(9, node.node_id, AskSettling(0, []))) == []
    node._convergence.open.clear()
    node.tick(2.0)
    (farewell,) = [sent for sent, address in node.datagrams(2.0) if address == an_address(9)]
    assert [type(section) for section in opened(farewell).sections] == [Settling]


@pytest.mark.parametrize("proved", [False, True])
def test_who_has_not_proved_its_address_is_not_told_who_holds_a_view_either(proved: bool) -> None:
    node = a_lone_node()
    _one_of_many(node)
    if proved:
        meet(node, 25, 1.0)
    entry = Entry(ROOT, 0, node._convergence[ROOT].digest, b"")
    datagram = sealed(25, node.node_id, AskSettling(node.state.live.digest, [entry] * 30))
    told_of = [
        each
        for answer in told(node, datagram, an_address(25))
        for section in opened(answer).sections
        if isinstance(section, Settling)
        for each in section.entries
    ]
    assert len(told_of) == 1, "each scope once"
    one = sealed(25, node.node_id, AskSettling(node.state.live.digest, [entry]))
    got = told(node, one, an_address(25))
    assert (sum(map(len, got)) > len(one)) == proved


def test_who_sends_the_cookie_back_is_answered_in_full() -> None:
    node = a_lone_node()
    for number in range(100):
        node._learn(a_node(number + 20), 0.0)
    request: list[Section] = [Buckets(2**63, bytes(8)), Ping(2**31, 2**63, 0)]
    (first,) = told(node, sealed(9, node.node_id, *request))
    assert [type(each) for each in opened(first).sections] == [Cookie]
    (question,) = told(node, sealed(9, ANYBODY, Proof(NO_COOKIE), Ping(6, 1, 0)))
    (section,) = opened(question).sections
    assert isinstance(section, Cookie)
    answers = told(node, sealed(9, node.node_id, Proof(section.cookie), *request))
    assert sum(map(len, answers)) > 2000


def test_a_question_to_anybody_changes_nothing_at_all() -> None:
    node = a_lone_node()
    node.datagrams(0.0)
    before = (node.state.replica.digest, len(node._admission), node.next_deadline())
    for number in range(1, 100):
        told(node, sealed_as(Header(an_id(9), ANYBODY, number), Rumours([a_node(9).packed]), Ping(1, 0, 0)))
    assert (node.state.replica.digest, len(node._admission), node.next_deadline()) == before


def test_a_pinged_node_that_asks_for_proof_is_pinged_again_and_not_suspected() -> None:
    """A forgets B for long enough to ask it for proof; B's probe of A succeeds all the same."""
    wire = Wire(3)
    wire.run(5)
    asker, *others = wire.nodes
    for other in others:
        asker._admission.forget(other.node_id)
    wire.run(20)
    assert not any(node.state.live.suspects for node in wire.nodes)
    assert not any(node.stats.refutations for node in wire.nodes)
    assert all(
        node._admission.has_proved(other.state.own.peer)
        for node in wire.nodes
        for other in wire.nodes
        if node is not other
    )


class Recorder(Watcher):
    """Every datagram that was sent, and where to; and those that were refused when they first came."""

    def __init__(self) -> None:
        self.sent_to: list[tuple[bytes, Address, Address]] = []
        self.refused: set[bytes] = set()

    def sent(self, process: Process, datagram: bytes, target: Address, arrivals: object) -> None:
        self.sent_to.append((datagram, process.address, target))

    def taken(self, process: Process, datagram: bytes, source: Address, reason: str | None) -> None:
        if reason is not None:
            self.refused.add(datagram)


@pytest.mark.parametrize("keys", [None, KeyRing([Key(bytes(range(32)))])], ids=["without keys", "with keys"])
def test_a_datagram_is_taken_in_once_whatever_is_sent_again(keys: KeyRing | None) -> None:
    """All traffic of a small cluster's life, sent again to everybody, from home and from elsewhere."""
    recorder = Recorder()
    simulation = Simulation(3, keys=keys, watchers=[recorder])
    processes = [simulation.start(address_of(at), seeds=[address_of(0)] if at else []) for at in range(4)]
    simulation.advance(10.0)
    simulation.submit(processes[0], Create("g"))
    simulation.advance(2.0)
    simulation.submit(processes[1], Delete("g"))
    simulation.crash(processes[3])
    simulation.advance(15.0)
    again = simulation.start(address_of(3), seeds=[address_of(0)])
    simulation.advance(10.0)
    simulation.stop(processes[2])
    simulation.advance(5.0)
    running = [processes[0], processes[1], again]
    now = simulation.now
    for process in running:
        node = process.node
        node.datagrams(node._clock.now)
        digest, events = node.state.replica.digest, node.state.events
        refused = node.stats.refused.copy()
        tried = 0
        for datagram, home, _ in recorder.sent_to:
            for source in (home, an_address(99)):
                to_anybody = node.read(datagram).receiver == ANYBODY
                reason = node.receive(datagram, source, now)
                assert to_anybody or reason is not None or datagram in recorder.refused
                tried += reason not in (None, "own datagram")
        assert (node.state.replica.digest, node.state.events) == (digest, events)
        refused = node.stats.refused - refused
        assert sum(refused[why] for why in ("replayed", "elsewhere", "unproved", STRAY)) == tried > 500
        assert refused["replayed"] > 20
        assert refused[STRAY] > 20
    simulation.advance(10.0)
    assert not any(process.node.stats.refutations for process in running)


def test_an_answer_that_is_sent_again_does_not_keep_a_dead_node_alive() -> None:
    wire = Wire(3)
    wire.run(5)
    victim = wire.nodes[2]
    wire.crash(victim)
    acks = [datagram for _, node, datagram, _ in wire.sent if node is victim]
    assert acks
    for _ in range(40):
        wire.run(0.5)
        for node in wire.nodes[:2]:
            for datagram in acks[-20:]:
                node.receive(datagram, victim.state.own.address, wire.now)
            wire.turn(node)
    for node in wire.nodes[:2]:
        assert not node.state.replica.nodes[victim.node_id].status.live


def test_a_twin_is_named_and_not_listened_to() -> None:
    """A machine was cloned while it ran: the same id and numbers, at another address."""
    wire = Wire(3)
    wire.run(5)
    node, original = wire.nodes[0], wire.nodes[1]
    twin = sealed_as(Header(original.node_id, node.node_id, 10**5), Nack(1))
    assert node.receive(twin, an_address(77), wire.now) == "elsewhere"
    wire.run(10)
    assert not any(each.state.live.suspects or each.stats.refutations for each in wire.nodes)
    assert node.stats.refused == {"elsewhere": 1}


# How much of strangers.


def test_a_flood_from_one_host_takes_no_more_than_its_share() -> None:
    node = a_lone_node(KeyRing([Key(bytes(range(32)))]))
    spam = [node.receive(b"spam", Address("10.9.9.9", port), 0.0) for port in range(10_000)]
    assert spam.count("flood") == 10_000 - HOST_RATE
    assert node.receive(b"spam", an_address(8), 0.0) == "version"
    assert node.receive(b"spam", Address("10.9.9.9", 1), 0.001) == "version"
    assert node.stats.refused["flood"] == spam.count("flood")


def test_who_sends_in_the_name_of_a_member_does_not_silence_it() -> None:
    wire = Wire(3)
    wire.run(3)
    node, other = wire.nodes[:2]
    for _ in range(3 * int(HOST_RATE)):
        assert node.receive(b"spam", other.state.own.address, wire.now) == "version"
    wire.run(10)
    assert not any(each.state.live.suspects or each.stats.refutations for each in wire.nodes)


def test_strangers_have_a_share_together_and_the_hosts_noted_are_bounded() -> None:
    state = State(ME, 1000.0)
    state.merge(a_node(0), 0.0)
    state.merge(a_node(1), 0.0)
    intake = Intake(state)
    for number in range(int(STRANGERS_RATE)):
        intake.charge(Address(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", 1), 0.0)
    assert len(intake._hosts) == HOSTS
    with pytest.raises(BadPacket, match=FLOOD):
        intake.admit(Address("10.77.77.77", 1), 0.0)
    intake.admit(an_address(1), 0.0)
    intake.admit(Address("10.77.77.77", 1), 0.01)


def test_a_host_that_owes_nothing_any_more_is_not_kept() -> None:
    intake = Intake(State(ME, 1000.0))
    for number in range(100):
        intake.charge(Address(f"10.0.0.{number}", 1), 0.0)
    flood = Address("10.9.9.9", 1)
    for _ in range(int(HOST_RATE)):
        intake.charge(flood, 1.5)
    for number in range(60):
        intake.charge(Address(f"10.0.1.{number}", 1), 2.0)
    assert len(intake._hosts) == 61
    assert flood.host in intake._hosts


def test_of_an_ipv6_host_half_the_address_counts() -> None:
    intake = Intake(State(ME, 1000.0))
    for number in range(int(HOST_RATE)):
        intake.charge(Address(f"fd00::{number:x}", 1), 0.0)
    with pytest.raises(BadPacket, match=FLOOD):
        intake.admit(Address("fd00::ffff:1", 1), 0.0)
    intake.admit(Address("fd00:0:0:1::1", 1), 0.0)


def test_with_keys_a_sender_that_no_register_names_is_sent_no_more_bytes_than_came() -> None:
    """A stranger brings what it has recorded before the sender itself does, from an address of its own."""
    ring = KeyRing([Key(bytes(range(32)))])
    node = a_lone_node(ring)
    for number in range(300):
        node._learn(a_node(number + 20), 0.0)
    node.tick(0.5)
    node.datagrams(0.5)
    seal = make_seal(CLUSTER, ring, random.Random(2).randbytes)
    questions: list[list[Section]] = [[Ping(1, 1, 0)], [Buckets(2**63, bytes(8)), Ping(2, 1, 0)]]
    for number, sections in enumerate(questions, 1):
        header = Header(an_id(9), node.node_id, number).pack()
        datagram = seal.seal(header, pack_payload([pack_section(each) for each in sections]))
        got = told(node, datagram)
        assert node.stats.refused.total() == 0
        assert sum(map(len, got)) <= len(datagram)
