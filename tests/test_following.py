"""Following a key file: what the log says of nodes that a step cuts off."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from gossipgroups import Key, KeyRing
from gossipgroups.transport.following import follow_keys

OLD, NEW = Key(bytes(range(32))), Key(bytes(range(1, 33)))
EVIL = "evil\nWARNING coordinator 'me' all is well"


async def test_a_ring_that_could_not_be_used_is_tried_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    rings = iter([KeyRing([NEW])])
    file: Any = SimpleNamespace(changed=lambda: next(rings, None))
    held: Any = SimpleNamespace(without_key=lambda key_id: (), sealing_with=lambda key_id: ())
    tries: list[KeyRing] = []

    def use(ring: KeyRing) -> None:
        tries.append(ring)
        if len(tries) < 3:
            raise ValueError("not now")
        scope.cancel()

    with trio.CancelScope() as scope:
        await follow_keys(file, KeyRing([OLD]), "me", use, lambda: held)
    assert tries == [KeyRing([NEW])] * 3
    assert caplog.text.count("not now") == 1


async def test_names_of_nodes_add_no_line_to_the_log_and_are_few(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    names = (EVIL, "bad\udcff", *("n" * 200 for _ in range(8000)))
    file: Any = SimpleNamespace(changed=lambda: KeyRing([NEW]))
    held: Any = SimpleNamespace(without_key=lambda key_id: names, sealing_with=lambda key_id: names)
    with trio.CancelScope() as scope:
        await follow_keys(file, KeyRing([OLD]), "me", lambda ring: scope.cancel(), lambda: held)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2
    for warning in warnings:
        assert warning.isprintable()
        assert repr(EVIL) in warning
        assert "and 7994 more" in warning
        assert len(warning) < 2000
