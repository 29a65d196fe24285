"""What is measured: how long until the others have taken over, and whether rings are right after churn."""

from __future__ import annotations

import random
from dataclasses import dataclass

import trio

from sims.loopback.figures import quantile
from sims.loopback.progress import Progress
from sims.partitioner.crew import open_crew, troubles
from sims.tables import Table

MEMBERS = 3
FEWEST, MOST = 2, 8
"""Members between which churn goes on."""
CHANGE_SECONDS = 0.5
"""Mean time between two changes of churn."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a measurement found, and whether all was well."""

    table: Table
    troubles: tuple[str, ...]


async def failover(url: str, poll: float, runs: int, chance: random.Random, progress: Progress) -> Found:
    """Kill one of three members, again and again; seconds until the rings of the other two are theirs."""
    took: list[float] = []
    missed = 0
    async with open_crew(url, poll) as crew:
        for _ in range(MEMBERS):
            await crew.join()
        for number in range(runs):
            progress.doing(f"kill -9, {number + 1} of {runs}")
            if await crew.agree() is None:
                missed += 1
                break
            await trio.sleep(chance.uniform(0, 2 * poll + 1))
            killed = crew.kill(chance.choice(crew.live))
            taken = await crew.agree()
            if taken is None:
                missed += 1
                break
            took.append(taken - killed)
            await crew.join()
            progress.step()
    table = Table(
        "From kill -9 of one of three members until the others own every partition, in seconds",
        ("runs", "p50", "p99", "max"),
        ((len(took), *(quantile(took, share) for share in (0.5, 0.99, 1))),),
        f"run_watchers every {poll:g} s.",
    )
    return Found(table, (*troubles(crew.all), *(["the rings did not become right"] * missed)))


async def churn(url: str, poll: float, seconds: float, chance: random.Random, progress: Progress) -> Found:
    """Let members join, stop and die at random; then compare every ring with the live set."""
    done = {"join": 0, "stop": 0, "kill": 0}
    async with open_crew(url, poll) as crew:
        for _ in range(FEWEST):
            await crew.join()
        progress.doing("joins, stops and kills")
        until = trio.current_time() + seconds
        while trio.current_time() < until:
            what = _draw(len(crew.live), chance)
            done[what] += 1
            if what == "join":
                await crew.join()
            else:
                member = chance.choice(crew.live)
                if what == "stop":
                    await crew.stop(member)
                else:
                    crew.kill(member)
            await trio.sleep(chance.expovariate(1 / CHANGE_SECONDS))
            progress.step()
        ended = trio.current_time()
        progress.doing("waiting for equal rings")
        equal = await crew.agree()
        took = trio.current_time() - ended
        progress.doing("waiting for the end of who was stopped")
        await crew.gone()
        size = len(crew.live)
    raised = troubles(crew.all)
    unknown = sum("UnknownNode" in each for each in raised)
    table = Table(
        "Rings after churn",
        (
            "seconds of churn",
            "joins",
            "stops",
            "kills",
            "live at the end",
            "rings",
            "after, s",
            "UnknownNode",
        ),
        (
            (
                seconds,
                done["join"],
                done["stop"],
                done["kill"],
                size,
                "wrong" if equal is None else "right",
                None if equal is None else took,
                unknown,
            ),
        ),
        f"run_watchers every {poll:g} s. Right: every live member's ring is the live set.",
    )
    return Found(table, (*raised, *(["the rings did not become right"] if equal is None else [])))


def _draw(live: int, chance: random.Random) -> str:
    if live <= FEWEST:
        return "join"
    if live >= MOST:
        return chance.choice(("stop", "kill"))
    return chance.choice(("join", "join", "stop", "kill"))
