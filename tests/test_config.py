"""The config: checked when it is made, never changed after."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from gossipgroups.config import DATAGRAM_BYTES, MAY_BE_ZERO, PRESETS, Config
from gossipgroups.errors import GossipError, InvalidValue


def test_presets_are_there_by_name_and_the_default_is_lan() -> None:
    assert {name: make() for name, make in PRESETS.items()} == {
        "local": Config.local(),
        "lan": Config(),
        "wan": Config.wan(),
    }
    assert Config.local().probe_period < Config.lan().probe_period < Config.wan().probe_period
    assert DATAGRAM_BYTES == 1400


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_leave_time_for_refuting_and_for_indirect_probes(preset: str) -> None:
    config = PRESETS[preset]()
    assert config.probe_timeout < config.probe_period
    assert config.refused_timeout < config.suspicion_multiplier * config.probe_period
    assert config.settle_retry < config.convergence_deadline
    assert config.convergence_deadline < config.forget_after


def test_a_copy_has_the_changes_and_the_original_has_not() -> None:
    config = Config.lan()
    other = config.but(fanout=5, gossip_interval=0.1)
    assert (other.fanout, other.gossip_interval) == (5, 0.1)
    assert config == Config.lan()
    assert other.but(fanout=3, gossip_interval=0.2) == config
    with pytest.raises(FrozenInstanceError):
        config.fanout = 4  # type: ignore[misc]


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 1e9, "1", None, True])
def test_a_value_out_of_range_is_refused_for_every_field(value: object) -> None:
    for field in fields(Config):
        with pytest.raises(InvalidValue, match=f"Config.{field.name} is"):
            Config.lan().but(**{field.name: value})


def test_zero_is_refused_where_it_turns_nothing_off() -> None:
    for field in fields(Config):
        if field.name in MAY_BE_ZERO:
            assert getattr(Config.lan().but(**{field.name: 0}), field.name) == 0
        else:
            with pytest.raises(InvalidValue, match=f"Config.{field.name} is 0: it must be a number over 0"):
                Config.lan().but(**{field.name: 0})


def test_whole_numbers_must_be_whole() -> None:
    with pytest.raises(InvalidValue, match=r"Config\.fanout is 2\.5: it must be a whole number"):
        Config(fanout=2.5)  # type: ignore[arg-type]
    assert Config(probe_period=2).probe_period == 2


@pytest.mark.parametrize("timeout", [1.0, 2.0])
def test_the_probe_time_out_leaves_time_for_indirect_probes(timeout: float) -> None:
    with pytest.raises(InvalidValue, match="probe_timeout"):
        Config(probe_timeout=timeout)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(InvalidValue, match="no field fan_out, probes"):
        Config.lan().but(fan_out=3, probes=1, fanout=2)
    assert issubclass(InvalidValue, GossipError)


def test_the_document_says_what_each_field_trades() -> None:
    document = (Path(__file__).parent.parent / "docs" / "tuning.md").read_text("utf-8")
    (table,) = re.findall(r"^\| field \| smaller \| larger \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", document, re.M)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    assert [row[0] for row in rows] == [f"`{field.name}`" for field in fields(Config)]
    assert all(smaller and larger for _, smaller, larger in rows)
