"""The members under measurement, each a process, and what each said last of its ring.

Law: only processes started here are signalled, by their handle; when the block ends they are gone.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

ROOT = Path(__file__).parents[2]
LIMIT = 120.0
"""Seconds after which a ring that is not right counts as never right."""


@dataclass(eq=False)
class Member:
    """One process."""

    name: str
    process: trio.Process
    ring: frozenset[str] = frozenset()
    at: float = 0.0
    """When the ring became so."""
    leaving: bool = False
    """It was asked to stop."""
    ended: trio.Event = field(default_factory=trio.Event)
    troubles: list[str] = field(default_factory=list)


class Crew:
    """The live members."""

    def __init__(self, url: str, poll: float, nursery: trio.Nursery) -> None:
        self.live: list[Member] = []
        self.all: list[Member] = []
        self._arguments = (url, poll)
        self._nursery = nursery
        self._changed = trio.Event()
        self._numbers = itertools.count(1)

    async def join(self) -> Member:
        """Start one more; its ring is told once it has joined."""
        name = f"member-{next(self._numbers)}"
        url, poll = self._arguments
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "sims.partitioner.worker", url, name, "partitioned", str(poll)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        member = Member(name, process)
        self.live.append(member)
        self.all.append(member)
        self._nursery.start_soon(self._listen, member)
        return member

    def kill(self, member: Member) -> float:
        """Let one die; when, on CLOCK_MONOTONIC."""
        self.live.remove(member)
        member.process.kill()
        return time.monotonic()

    async def stop(self, member: Member) -> None:
        """Let one leave gracefully."""
        self.live.remove(member)
        member.leaving = True
        assert member.process.stdin is not None
        await member.process.stdin.aclose()

    async def agree(self) -> float | None:
        """Wait until every live member's ring is the live set; when the last came to it."""
        names = frozenset(member.name for member in self.live)
        with trio.move_on_after(LIMIT):
            while any(member.ring != names for member in self.live):
                self._changed = trio.Event()
                await self._changed.wait()
            return max((member.at for member in self.live), default=0.0)
        return None

    async def gone(self) -> None:
        """Wait until all that were asked to stop have ended; one that does not is a trouble."""
        with trio.move_on_after(LIMIT):
            for member in self.all:
                if member.leaving:
                    await member.ended.wait()
        for member in self.all:
            if member.leaving and not member.ended.is_set():
                member.troubles.append(f"{member.name} was asked to stop and has not ended in {LIMIT:g} s")

    async def _listen(self, member: Member) -> None:
        assert member.process.stdout is not None
        buffered = b""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for chunk in member.process.stdout:
                *lines, buffered = (buffered + chunk).split(b"\n")
                for said in map(json.loads, lines):
                    if member.ring != frozenset(said["ring"]):
                        member.ring, member.at = frozenset(said["ring"]), said["at"]
                    if said["trouble"]:
                        member.troubles.append(f"{member.name}: {said['trouble']}")
                self._changed.set()
        status = await member.process.wait()
        if member in self.live:
            member.troubles.append(f"{member.name} has ended with status {status}")
            self.live.remove(member)
            self._changed.set()
        elif member.leaving and status:
            member.troubles.append(f"{member.name} was asked to stop and has ended with status {status}")
        member.ended.set()


def troubles(members: Iterable[Member]) -> list[str]:
    """All that went wrong with any of them."""
    return [trouble for member in members for trouble in member.troubles]


@asynccontextmanager
async def open_crew(url: str, poll: float) -> AsyncIterator[Crew]:
    """A crew without members."""
    async with trio.open_nursery() as nursery:
        crew = Crew(url, poll, nursery)
        try:
            yield crew
        finally:
            crew.live.clear()
            for member in crew.all:
                with suppress(ProcessLookupError):
                    member.process.kill()
            with trio.CancelScope(shield=True):
                for member in crew.all:
                    await member.process.wait()
            nursery.cancel_scope.cancel()
