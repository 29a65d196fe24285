"""The schedules that `docs/simulation.md` shows are schedules, and come to rest."""

from __future__ import annotations

import pytest

from sims.schedules import load, replay
from tests.test_documents import ROOT, Block, blocks_of

SCHEDULES = [block for block in blocks_of(ROOT / "docs" / "simulation.md") if block.language == "json"]


@pytest.mark.parametrize("block", SCHEDULES, ids=str)
def test_schedules_replay(block: Block) -> None:
    schedule = load(block.code)
    world = replay(schedule)
    assert world.cuts == {"0 1 | 2 3 4"}, f"seed {schedule.seed}"
    assert world.tally["crash"] == 1, f"seed {schedule.seed}"
    views = [sorted(process.node.state.views["red"]) for process in world.running.values()]
    assert views == [["member-0", "member-3"]] * 4, f"seed {schedule.seed}"


def test_there_is_one() -> None:
    assert SCHEDULES
