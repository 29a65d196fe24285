"""The command that measures the cost of a datagram, in small: each case is what it says, and has a figure."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from gossipgroups.keys import Key, KeyRing
from sims.cost.__main__ import main
from sims.cost.cases import CASES, cost
from sims.cost.scene import Scene

RINGS = {"clear": None, "sealed": KeyRing([Key(bytes(range(32)))])}


@pytest.mark.parametrize("ring", RINGS.values(), ids=RINGS)
def test_each_case_works_over_and_over_beside_the_others(ring: KeyRing | None) -> None:
    scene = Scene(6, ring)
    for _ in range(3):
        for case in CASES.values():
            assert cost(scene, case, 2) > 0
    assert not scene.node.stats.refused
    assert not scene.node.state.live.suspects


def test_it_prints_what_it_measured() -> None:
    result = CliRunner().invoke(main, ["--nodes", "4", "--count", "2", "--runs", "1"])
    assert result.exit_code == 0, result.output
    for what in (*CASES, "ping in, ack out by sockets, 8 at once", "ping in, ack out by sockets, 1 at once"):
        assert what in " ".join(result.output.split())
