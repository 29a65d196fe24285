"""The outbox: all sections of a turn, in order, in as few datagrams as hold them, none over the limit."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.ids import Peer
from gossipgroups.wire.codec import pack_section
from gossipgroups.wire.messages import MAX_SECTIONS, Cookie, Nack, Rumours, Section, Want
from gossipgroups.wire.outbox import ROOM, Outbox
from gossipgroups.wire.seal import SEAL_BYTES, TAGGED_BYTES, TaggedSeal
from tests.nodes import CLUSTER, a_peer, an_address, an_id, opened


def _outbox() -> Outbox:
    return Outbox(an_id(1), TaggedSeal(CLUSTER))


def _nothing(room: int) -> list[bytes]:
    return []


def _ask(peer: Peer) -> bytes:
    return pack_section(Cookie(0, bytes(8)))


sections: st.SearchStrategy[Section] = st.one_of(
    st.builds(Nack, st.integers(0, 2**32 - 1)),
    st.integers(0, 150).map(lambda count: Want(bytes(8 * count))),
)


@given(st.lists(st.tuples(st.integers(0, 2), sections), max_size=80))
def test_every_section_is_sent_once_and_in_order(added: list[tuple[int, Section]]) -> None:
    outbox = _outbox()
    for number, section in added:
        outbox.add(a_peer(number), pack_section(section))
    assert all((a_peer(number) in outbox) == any(to == number for to, _ in added) for number in range(3))
    datagrams = outbox.drain(_nothing, _ask)
    assert a_peer(0) not in outbox
    received: dict[int, list[Section]] = {0: [], 1: [], 2: []}
    for datagram, address in datagrams:
        assert len(datagram) <= DATAGRAM_BYTES
        message = opened(datagram)
        assert message.sender == an_id(1)
        assert 1 <= len(message.sections) <= MAX_SECTIONS
        received[[an_address(0), an_address(1), an_address(2)].index(address)] += message.sections
    for number, all_of_it in received.items():
        assert all_of_it == [section for each, section in added if each == number]


@given(st.lists(sections, max_size=60))
def test_no_datagram_is_sent_that_the_one_before_had_room_for(added: list[Section]) -> None:
    outbox = _outbox()
    for section in added:
        outbox.add(a_peer(0), pack_section(section))
    parcels = [opened(datagram).sections for datagram, _ in outbox.drain(_nothing, _ask)]
    for first, second in pairwise(parcels):
        size = sum(len(pack_section(each)) for each in first)
        assert size + len(pack_section(second[0])) > ROOM or len(first) >= MAX_SECTIONS - 3


def test_room_that_is_left_is_offered_and_used() -> None:
    outbox = _outbox()
    first = pack_section(Want(bytes(800)))
    outbox.add(a_peer(0), first)
    outbox.open(a_peer(0))
    offered: list[int] = []

    def fill(room: int) -> list[bytes]:
        offered.append(room)
        return [pack_section(Rumours([bytes(room - 7)]))]

    ((datagram, _),) = outbox.drain(fill, _ask)
    assert offered == [ROOM + SEAL_BYTES - TAGGED_BYTES - len(first)]
    assert DATAGRAM_BYTES - 4 <= len(datagram) <= DATAGRAM_BYTES
    assert [type(each) for each in opened(datagram).sections] == [Want, Rumours]


def test_many_small_sections_are_spread_so_that_rumours_still_fit_their_count() -> None:
    outbox = _outbox()
    for number in range(100):
        outbox.add(a_peer(0), pack_section(Nack(number)))
    outbox.open(a_peer(0))
    rumours = [pack_section(Rumours([b"r"]))] * 3
    counts = [len(opened(datagram).sections) for datagram, _ in outbox.drain(lambda room: rumours, _ask)]
    assert max(counts) <= MAX_SECTIONS
    assert sum(counts) == 100 + 3


def test_rumours_are_offered_once_to_an_address_that_gets_several_datagrams() -> None:
    outbox = _outbox()
    for _ in range(4):
        outbox.add(a_peer(0), pack_section(Rumours([bytes(250)] * 4)))
    outbox.open(a_peer(0))
    rumour = pack_section(Rumours([b"r"]))
    kinds = [
        [type(each) for each in opened(datagram).sections]
        for datagram, _ in outbox.drain(lambda room: [rumour], _ask)
    ]
    assert kinds == [[Rumours], [Rumours], [Rumours], [Rumours, Rumours]]


def test_an_opened_address_gets_a_datagram_if_there_are_rumours() -> None:
    outbox = _outbox()
    outbox.open(a_peer(0))
    assert outbox.drain(_nothing, _ask) == []
    outbox.open(a_peer(0))
    outbox.open(a_peer(0))
    rumour = pack_section(Rumours([b"r"]))
    assert len(outbox.drain(lambda room: [rumour], _ask)) == 1


def test_strangers_are_told_no_rumours() -> None:
    outbox = _outbox()
    outbox.add(a_peer(0), pack_section(Nack(1)))
    ((datagram, _),) = outbox.drain(lambda room: [pack_section(Rumours([b"r"]))], _ask)
    assert opened(datagram).sections == [Nack(1)]


def test_opening_an_address_that_is_written_to_adds_no_datagram() -> None:
    outbox = _outbox()
    outbox.add(a_peer(0), pack_section(Nack(1)))
    outbox.open(a_peer(0))
    assert len(outbox.drain(_nothing, _ask)) == 1


@given(st.lists(st.tuples(st.booleans(), sections), max_size=80), st.integers(1, 4000), st.integers(1, 3))
def test_a_peer_at_its_limit_is_answered_with_no_more_than_it_has_sent(
    added: list[tuple[bool, Section]], size: int, datagrams: int
) -> None:
    outbox = _outbox()
    for _ in range(datagrams):
        outbox.limit(a_peer(0), size)
    answered = []
    for to_peer, section in added:
        if outbox.answer(a_peer(0 if to_peer else 1), pack_section(section)) and to_peer:
            answered.append(section)
    assert outbox.limited(a_peer(0))
    out = outbox.drain(_nothing, _ask)
    mine = [datagram for datagram, address in out if address == an_address(0)]
    assert sum(len(datagram) for datagram in mine) <= size * datagrams
    got = [section for datagram in mine for section in opened(datagram).sections]
    asked = [section for section in got if isinstance(section, Cookie)]
    assert [section for section in got if section not in asked] == answered
    assert len(asked) <= (len(answered) < sum(to_peer for to_peer, _ in added))
    others = [
        section
        for datagram, address in out
        if address != an_address(0)
        for section in opened(datagram).sections
    ]
    assert others == [section for to_peer, section in added if not to_peer]


def test_what_was_not_answered_is_asked_proof_for_and_a_proof_lifts_the_limit() -> None:
    outbox = _outbox()
    outbox.limit(a_peer(0), 80)
    assert not outbox.answer(a_peer(0), pack_section(Want(bytes(80))))
    ((datagram, _),) = outbox.drain(_nothing, _ask)
    assert opened(datagram).sections == [Cookie(0, bytes(8))]
    outbox.limit(a_peer(0), 80)
    assert not outbox.answer(a_peer(0), pack_section(Want(bytes(80))))
    outbox.unlimit(a_peer(0))
    assert outbox.answer(a_peer(0), pack_section(Want(bytes(80))))
    ((datagram, _),) = outbox.drain(_nothing, _ask)
    assert opened(datagram).sections == [Want(bytes(80))]


def test_datagrams_are_numbered_from_one_whomever_they_go_to() -> None:
    outbox = _outbox()
    for place in range(3):
        outbox.add(a_peer(place), pack_section(Nack(1)))
    assert [opened(datagram).number for datagram, _ in outbox.drain(_nothing, _ask)] == [1, 2, 3]
    outbox.add(a_peer(1), pack_section(Nack(1)))
    ((datagram, _),) = outbox.drain(_nothing, _ask)
    assert (opened(datagram).number, opened(datagram).receiver) == (4, an_id(1))


def test_those_at_their_limit_are_asked_in_the_order_in_which_they_reached_it() -> None:
    outbox = _outbox()
    order = [5, 2, 7, 1, 6, 3, 8, 4]
    for number in order:
        outbox.limit(a_peer(number), TAGGED_BYTES + 20)
        assert not outbox.answer(a_peer(number), pack_section(Want(bytes(80))))
    assert [address for _, address in outbox.drain(_nothing, _ask)] == [an_address(each) for each in order]
