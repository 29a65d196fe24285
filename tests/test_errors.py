"""Errors: one base, the values at hand, and a message that says what to do."""

from __future__ import annotations

import inspect

import pytest

import gossipgroups
from gossipgroups import errors
from gossipgroups.errors import (
    BadPacket,
    CoordinatorClosed,
    GossipError,
    GroupAlreadyExists,
    GroupNotCreated,
    GroupNotEmpty,
    InvalidValue,
    KeyInUse,
    KeyNotHeld,
    LimitExceeded,
    MemberAlreadyJoined,
    MemberNotJoined,
    SeedsUnreachable,
    WatchCallbackNotFound,
)


def test_every_error_but_the_internal_one_is_a_gossip_error_and_public() -> None:
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) > 10
    for each in classes:
        assert issubclass(each, GossipError) == (each is not BadPacket)
        assert (each.__name__ in gossipgroups.__all__) == (each is not BadPacket)
    assert issubclass(InvalidValue, ValueError)


def on_join() -> None:
    """A callback to be named in a message."""


@pytest.mark.parametrize(
    ("error", "values", "parts"),
    [
        (GroupAlreadyExists("g"), {"group_id": "g"}, ["'g'", "already exists", "join it"]),
        (GroupNotCreated("g"), {"group_id": "g"}, ["'g'", "does not exist", "create"]),
        (GroupNotEmpty("g", 3), {"group_id": "g", "members": 3}, ["'g'", "3 member", "must leave"]),
        (
            MemberAlreadyJoined("g", "m"),
            {"group_id": "g", "member_id": "m"},
            ["'g'", "'m'", "use another member id"],
        ),
        (MemberNotJoined("g", "m"), {"group_id": "g", "member_id": "m"}, ["'g'", "'m'", "join it first"]),
        (
            WatchCallbackNotFound("g", on_join),
            {"group_id": "g", "callback": on_join},
            ["'g'", "on_join", "watch_"],
        ),
        (WatchCallbackNotFound("g", 7), {"callback": 7}, ["callback 7"]),
        (
            SeedsUnreachable(("a:1", "b:2"), 2.5),
            {"seeds": ("a:1", "b:2"), "seconds": 2.5},
            ["a:1, b:2", "2.5 s", "seeds=()"],
        ),
        (
            SeedsUnreachable(("a:1",), 2.5, "127.0.0.1:5"),
            {"seeds": ("a:1",), "seconds": 2.5},
            ["bound to 127.0.0.1:5", "only this machine", "bind='0.0.0.0:0'"],
        ),
        (
            LimitExceeded("capabilities", 600, 512),
            {"what": "capabilities", "size": 600, "limit": 512},
            ["600 bytes", "512", "smaller"],
        ),
        (LimitExceeded("members", 9, 8, "members"), {"size": 9}, ["9 members"]),
        (InvalidValue("port 70000 is not in 0 … 65535"), {}, ["70000"]),
        (CoordinatorClosed("stopped"), {}, ["stopped"]),
        (BadPacket("size"), {"reason": "size"}, ["size"]),
    ],
)
def test_an_error_carries_its_values_and_says_what_to_do(
    error: Exception, values: dict[str, object], parts: list[str]
) -> None:
    for name, value in values.items():
        assert getattr(error, name) == value
    for part in parts:
        assert part in str(error)


@pytest.mark.parametrize("error", [KeyInUse, KeyNotHeld])
def test_names_of_other_nodes_add_no_line_to_a_message_and_are_few(
    error: type[KeyInUse] | type[KeyNotHeld],
) -> None:
    said = str(error("9c41", ("evil\nWARNING all is well", "bad\udcff")))
    assert r"'evil\nWARNING all is well', 'bad\udcff'" in said
    assert said.isprintable()
    many = error("9c41", tuple(f"{number:0200}" for number in range(8000)))
    assert len(str(many)) < 2000
    assert "and 7992 more" in str(many)
    assert len(many.nodes) == 8000
