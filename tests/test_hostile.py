"""The hostile test, run small: attacks are counted, and a node that takes in what it should not is found.

Law: figures must be there and counts must be right; how long anything took is never asserted.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.errors import BadPacket
from gossipgroups.ids import Address
from gossipgroups.keys import Key, KeyRing
from gossipgroups.wire.codec import unpack_payload
from gossipgroups.wire.seal import TaggedSeal, make_seal
from sims.loopback.figures import Assault, Figure, Life, Skipped
from sims.loopback.hostile import measure
from sims.loopback.hostile.pen import Pen, flood_of
from sims.loopback.hostile.scene import Source
from sims.loopback.hostile.wire import packet, udp
from sims.loopback.namespaces import obstacle
from sims.loopback.options import Options, parse
from sims.loopback.report import rows
from tests.nodes import an_address, an_id

SMALL = Options(phases=("hostile",), preset="local", seconds=0.6, rate=500, bound=60, limit=10)
KEY = Key(bytes(range(32)))


async def attack(*names: str, keyed: bool, prefix: tuple[str, ...] = ()) -> dict[str, Figure]:
    """The figure of each attack, and of the life meanwhile, without what says whether there were keys."""
    found = await measure.measure_hostile(SMALL, lambda text: None, keyed=keyed, names=names, prefix=prefix)
    label = "with keys: " if keyed else "without keys: "
    assert list(found) == [label + each for each in ("before", *names, "meanwhile")]
    return {name.removeprefix(label): figure for name, figure in found.items()}


def assault(figure: Figure) -> Assault:
    assert isinstance(figure, Assault)
    return figure


def faulty(tmp_path: Path, patch: str) -> tuple[str, ...]:
    """What starts a worker whose code was changed by this line."""
    path = tmp_path / "faulty.py"
    path.write_text(
        "import runpy, sys\n"
        "from gossipgroups.admission import Admission\n"
        "from gossipgroups.wire.outbox import Outbox\n"
        "from gossipgroups.wire.window import Window\n"
        f"{patch}\n"
        "sys.argv = ['worker', *sys.argv[-2:]]\n"
        "runpy.run_module('sims.loopback.worker', run_name='__main__')\n"
    )
    return sys.executable, str(path)


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "obstacle", lambda: "pretended")


@pytest.fixture
def _few_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "CALM_KILLS", 1)


pytestmark = pytest.mark.usefixtures("_few_kills")


async def test_without_keys_attacks_are_counted_and_get_nowhere() -> None:
    found = await attack("flood, tiny", "questions", "forged source", "replays", keyed=False)
    questions, replays, life = assault(found["questions"]), assault(found["replays"]), found["meanwhile"]
    assert questions.sound, questions.broken
    assert 0 < questions.returned < questions.sent
    assert 0 < questions.returned_bytes <= questions.sent_bytes
    assert questions.refused["unproved"] > 0
    assert replays.sound, replays.broken
    assert {"replayed", "for another", "own datagram"} <= replays.refused.keys()
    flood = assault(found["flood, tiny"])
    assert flood.returned == 0 < flood.refused["size"] < flood.sent
    assert isinstance(life, Life)
    assert life.kill.count == 4 - (obstacle() is not None)
    assert life.join.count == life.leave.count > 0
    assert life.join.missed == life.leave.missed == life.kill.missed == life.failures == 0
    if obstacle() is None:
        forged = assault(found["forged source"])
        assert forged.sound, forged.broken
        assert 0 < forged.returned_bytes <= forged.sent_bytes
        assert replays.refused["replayed"] > 0


@pytest.mark.usefixtures("_no_network")
async def test_without_a_network_of_its_own_a_relay_records_what_is_replayed() -> None:
    found = await attack("misshapen", "forged source", "replays", keyed=True)
    misshapen, replays = assault(found["misshapen"]), assault(found["replays"])
    assert misshapen.sound, misshapen.broken
    assert misshapen.returned == 0
    assert found["forged source"] == Skipped("pretended")
    assert replays.sound, replays.broken
    assert {"for another", "own datagram"} <= replays.refused.keys()
    # What comes through a relay and not from its sender's home may have been refused when it was first sent.
    assert {"replayed", "elsewhere"} & replays.refused.keys()


@pytest.mark.usefixtures("_no_network")
async def test_a_node_that_takes_replays_in_is_found(tmp_path: Path) -> None:
    patch = "\n".join(
        (
            "Window.has_seen = lambda *arguments: False",
            "Window.accept = Admission._may_speak = lambda *arguments: True",
        )
    )
    prefix = faulty(tmp_path, patch)
    replays = assault((await attack("replays", keyed=True, prefix=prefix))["replays"])
    assert any("has taken in" in each for each in replays.broken), replays.broken
    assert not replays.sound


@pytest.mark.usefixtures("_no_network")
async def test_a_node_that_answers_strangers_at_length_is_found(tmp_path: Path) -> None:
    patch = "\n".join(
        ("Admission._must_prove = lambda *arguments: False", "Outbox.limit = lambda *arguments: None")
    )
    questions = assault((await attack("questions", keyed=False, prefix=faulty(tmp_path, patch)))["questions"])
    assert any("bytes and got" in each for each in questions.broken), questions.broken


# What strangers write.


def test_nothing_misshapen_is_opened_by_anybody() -> None:
    for key in (None, KEY):
        ring = None if key is None else KeyRing([key])
        pen, seal = Pen("c", key, random.Random(1)), make_seal("c", ring, bytes)
        reasons = set()
        for _ in range(300):
            with pytest.raises(BadPacket) as refusal:
                unpack_payload(seal.open(pen.misshapen(an_id(1)))[1])
            reasons.add(refusal.value.reason)
        assert {"size", "version"} < reasons


def test_without_keys_questions_are_well_formed_and_with_keys_nobody_opens_them() -> None:
    others = [an_id(number) for number in range(5)]
    plain = Pen("c", None, random.Random(1))
    keyed, seal = Pen("c", KEY, random.Random(1)), make_seal("c", KeyRing([KEY]), bytes)
    reasons = set()
    for _ in range(300):
        for sections in (plain.repair(), plain.question(an_address(1), others, bytes(8))):
            datagram = plain.write(an_id(1), sections)
            assert len(datagram) <= DATAGRAM_BYTES
            assert unpack_payload(TaggedSeal("c").open(datagram)[1]) == sections
            with pytest.raises(BadPacket) as refusal:
                seal.open(keyed.write(an_id(1), sections))
            reasons.add(refusal.value.reason)
    assert reasons == {"not sealed", "unknown key", "forged"}


def test_a_flood_has_datagrams_of_one_size() -> None:
    chance = random.Random(1)
    for size in (24, DATAGRAM_BYTES):
        assert {len(flood_of(size, KEY, chance)) for _ in range(100)} == {size}


def test_a_packet_names_the_source_that_was_asked_for() -> None:
    forged = packet(Address("10.0.0.1", 5353), Address("10.0.0.2", 7946), b"x")
    assert (forged[12:16], forged[16:20]) == (bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    assert forged[20:28] == bytes.fromhex("14e9 1f0a 0009 0000")
    assert forged[28:] == b"x"


def test_what_comes_back_is_counted_where_it_was_sent_from() -> None:
    here, there = (udp(None, Address("127.0.0.1", 0)) for _ in range(2))
    with there:
        source = Source(here, Address(*here.getsockname()), None)
        assert source.send(b"four", Address(*there.getsockname()))
        there.sendto(b"seven..", source.address)
        source.collect()
        assert (source.sent, source.sent_bytes, source.returned, source.returned_bytes) == (1, 4, 1, 7)
        source.close()


def test_a_bound_that_is_broken_is_said_and_not_sound() -> None:
    figure = Assault(1, 60, 1, 61, {"unproved": 1}, ["10.0.0.1:9 sent 60 bytes and got 61"])
    assert not figure.sound
    ((_, value, remark),) = rows({"without keys: questions": figure})
    assert value == "sent 1, 60 bytes  back 1, 61 bytes"
    assert remark == "refused: unproved 1; BROKEN: 10.0.0.1:9 sent 60 bytes and got 61"


def test_the_option_takes_its_seconds_and_bound() -> None:
    options = parse(["--hostile", "--seconds", "5", "--bound", "2"])
    assert (options.phases, options.seconds, options.bound) == (("hostile",), 5, 2)
