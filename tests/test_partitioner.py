"""The measurement of tooz partitioners: a short run of each kind, with real processes."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest
import trio

from sims.loopback.progress import Progress
from sims.partitioner.crew import Member, open_crew, troubles
from sims.partitioner.measure import churn, failover
from sims.partitioner.seed import running_seed

CHANCE = 1


async def test_the_others_take_over_from_one_that_was_killed() -> None:
    with running_seed() as seed:
        found = await failover(f"gossip://{seed}?preset=local", 0.05, 2, random.Random(CHANCE), Progress())
    assert found.troubles == ()
    assert found.table.rows[0][0] == 2, "runs"


async def test_rings_are_right_after_churn() -> None:
    with running_seed() as seed:
        found = await churn(f"gossip://{seed}?preset=local", 0.05, 4, random.Random(CHANCE), Progress())
    assert found.troubles == ()
    assert "right" in found.table.rows[0]


async def test_a_member_that_ends_by_itself_is_a_trouble(capfd: pytest.CaptureFixture[str]) -> None:
    async with open_crew("gossip://127.0.0.1:1?join_timeout=0.2", 0.05) as crew:
        member: Member = await crew.join()
        assert await crew.agree() is not None, "nobody is left"
        assert troubles([member]) == [f"{member.name} has ended with status 1"]
    assert "no answer" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("import sys; sys.stdin.read()", []),
        (
            "import sys; sys.stdin.read(); sys.exit(3)",
            ["member-1 was asked to stop and has ended with status 3"],
        ),
        ("import time; time.sleep(1000)", ["member-1 was asked to stop and has not ended in 0.2 s"]),
    ],
)
async def test_a_member_that_does_not_stop_well_is_a_trouble(
    program: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_process = trio.lowlevel.open_process

    async def open_other(command: list[str], **settings: Any) -> trio.Process:
        return await open_process([sys.executable, "-c", program], **settings)

    monkeypatch.setattr(trio.lowlevel, "open_process", open_other)
    if "not ended" in str(found):
        monkeypatch.setattr("sims.partitioner.crew.LIMIT", 0.2)
    async with open_crew("gossip://", 0.05) as crew:
        await crew.stop(await crew.join())
        await crew.gone()
        assert troubles(crew.all) == found
