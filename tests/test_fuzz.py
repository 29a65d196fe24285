"""Hostile datagrams, a part of what `python -m sims.fuzz` gives: none does harm, and a fault is found."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from gossipgroups.node import Node
from gossipgroups.wire.codec import unpack_payload
from gossipgroups.wire.messages import KINDS as SECTIONS
from sims.fuzz import __main__ as command
from sims.fuzz.campaign import Case
from sims.fuzz.corpus import PLACE, payloads, record
from sims.fuzz.makers import KINDS, shaped
from sims.fuzz.target import Broken, Target, fuzz, fuzz_forged, fuzz_replayed

EACH = 12_000


@pytest.mark.parametrize("keyed", [False, True], ids=["without keys", "with keys"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_input_does_harm(kind: str, keyed: bool) -> None:
    tally = fuzz(KINDS[kind], keyed=keyed, seed=1, count=EACH)
    assert tally.datagrams == EACH
    assert tally.processed + tally.refused.total() == EACH
    if kind == "raw bytes":
        assert tally.processed == 0
    else:
        assert tally.processed > EACH // 20
        assert len(tally.refused) >= 3


def test_no_forged_datagram_is_processed() -> None:
    tally = fuzz_forged(seed=1, count=EACH)
    assert tally.processed == 0
    assert tally.refused.keys() == {"forged", "size"} or tally.refused.keys() == {"forged"}


@pytest.mark.parametrize("keyed", [False, True], ids=["without keys", "with keys"])
def test_no_replayed_datagram_is_processed(keyed: bool) -> None:
    tally = fuzz_replayed(keyed=keyed, seed=1, count=EACH)
    assert tally.processed == 0
    assert tally.refused.keys() == {"replayed", "unproved", "for another"}
    assert tally.refused["replayed"] > EACH // 20


def test_the_makers_make_every_kind_of_section() -> None:
    chance = random.Random(1)
    made = {type(each) for _ in range(400) for each in unpack_payload(shaped(chance))}
    assert made == set(SECTIONS)


def test_the_corpus_has_every_kind_of_section_and_is_what_is_recorded() -> None:
    assert {type(each) for payload in payloads() for each in unpack_payload(payload)} >= set(SECTIONS) - {
        section for section in SECTIONS if section.__name__ == "NotMe"
    }
    recorded = record()
    assert [payload.hex() for payload in recorded] == [payload.hex() for payload in payloads()]
    assert Path(__file__).parent / "corpus" / "payloads.txt" == PLACE


def _raises(node: Node, *arguments: object) -> str | None:
    raise KeyError("a defect")


def _counts_nothing(node: Node, *arguments: object) -> str | None:
    return "lost"


def _forgets_to_refuse(node: Node, *arguments: object) -> str | None:
    return None


@pytest.mark.parametrize(
    ("fault", "rule"),
    [(_raises, "was raised"), (_counts_nothing, "not counted"), (_forgets_to_refuse, "stranger")],
)
def test_a_node_with_a_fault_is_found(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[..., str | None], rule: str
) -> None:
    target = Target(keyed=True, seed=1)
    monkeypatch.setattr(Node, "receive", fault)
    with pytest.raises(Broken, match=rule) as caught:
        target.give(b"\x02datagram", stranger=True)
    assert caught.value.datagram == b"\x02datagram"


def test_a_change_by_what_was_dropped_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(keyed=False, seed=1)
    real = Node.receive

    def learns_first(node: Node, datagram: bytes, *arguments: object) -> str | None:
        reason = real(node, datagram, *arguments)  # type: ignore[arg-type]
        node.state.forget(node.state.replica.groups["g"])
        return reason

    monkeypatch.setattr(Node, "receive", learns_first)
    with pytest.raises(Broken, match="changed the state"):
        target.give(b"no datagram")


def test_the_command_says_what_was_given() -> None:
    result = CliRunner().invoke(command.main, ["--datagrams", "50", "--jobs", "1"])
    assert result.exit_code == 0, result.output
    assert "550 datagrams" in result.output
    assert "no rule was broken" in result.output


def test_the_command_ends_with_status_1_and_the_datagram(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(case: Case) -> None:
        raise Broken("a rule", b"\xab\xcd")

    monkeypatch.setattr(command, "carry_out", broken)
    result = CliRunner().invoke(command.main, ["--datagrams", "50", "--jobs", "1"])
    assert result.exit_code == 1
    assert "a rule: abcd" in result.output


def test_the_work_can_be_shared_by_processes() -> None:
    """What is sent to them must be found there by name, which nothing of a `__main__` is."""
    assert {vars(command)["carry_out"].__module__, Case.__module__} == {"sims.fuzz.campaign"}
