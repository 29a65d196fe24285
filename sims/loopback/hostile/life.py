"""The life of the cluster meanwhile: members leave and join, and now and then a process is killed.

Law: one change at a time, each waited for at every node; so a callback too many or too few is nobody's but
the attack's.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from gossipgroups.config import PRESETS
from sims.loopback.cluster import BOOT, WorkerProcess
from sims.loopback.faults import NAMES, changed
from sims.loopback.figures import Rounds
from sims.loopback.hostile.scene import Scene

FLOODED = NAMES[0]
"""Gets the floods, and is never killed."""


class Life:
    """Changes and kills of one cluster, and what they took."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._cluster = scene.cluster
        self.join = Rounds()
        self.leave = Rounds()
        self.kill = Rounds()
        self.memory: dict[str, int] = {}
        """KiB of each process once it had settled."""
        self.growth: dict[str, int] = {}
        """KiB by which each process was at most larger since."""

    @asynccontextmanager
    async def going_on(self, victim: str | None = None) -> AsyncIterator[trio.Event]:
        """Changes go on in this block. The event is set once the victim was killed and is back."""
        ending, back = trio.Event(), trio.Event()

        async def live() -> None:
            if victim is not None:
                await self._kill(victim)
            back.set()
            while True:
                await self._round(random.choice(NAMES))
                if ending.is_set():
                    return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(live)
            yield back
            ending.set()

    async def close(self, name: str) -> WorkerProcess:
        """Stop a coordinator gracefully; its process, which is without one now."""
        others = [other for other in NAMES if other != name]
        change = self._cluster.ledger.expect("left", name, others, {name})
        await self._cluster.ask(name, "close", within=BOOT)
        await self._cluster.ledger.outcome(change, self._scene.options.limit)
        self.leave.missed += len(change.owed)
        return self._cluster.seats.pop(name)

    async def open(self, name: str, worker: WorkerProcess) -> None:
        """Open a coordinator where it was, and join the group."""
        scene = self._scene
        seeds = [scene.binds[random.choice([other for other in self._cluster.seats if other != name])]]
        if scene.relay is not None:
            seeds.append(str(scene.relay.address))  # where it is recorded
        keys = None if scene.path is None else str(scene.path)
        await self._cluster.open(worker, [name], seeds, BOOT, bind=scene.binds[name], keys=keys)
        await self._cluster.observe([name])
        change, _ = await changed(self._cluster, "joined", name, NAMES, "join", scene.options.limit)
        self.join.missed += len(change.owed)

    async def weigh(self) -> None:
        """Compare each process's memory with what it was at first."""
        for name, worker in self._cluster.seats.items():
            rss = (await worker.ask("memory", within=BOOT))["rss"]
            if rss is not None:
                base = self.memory.setdefault(name, rss)
                self.growth[name] = max(self.growth.get(name, 0), rss - base)

    async def agree(self) -> bool:
        """Whether all nodes hold all live, and the same members."""
        if await self._cluster.whole(self._scene.options.limit, len(NAMES)) is None:
            return False
        each = [(await self._cluster.ask(name, "members", within=BOOT))["members"] for name in NAMES]
        return all(members == NAMES for members in each)

    async def _round(self, name: str) -> None:
        limit = self._scene.options.limit
        for rounds, kind, do in ((self.leave, "left", "leave"), (self.join, "joined", "join")):
            change, since = await changed(self._cluster, kind, name, NAMES, do, limit)
            rounds.add(change, since)
            await trio.sleep(random.random() / 2)

    async def _kill(self, name: str) -> None:
        ledger = self._cluster.ledger
        await trio.sleep(random.random() * PRESETS[self._scene.options.preset]().probe_period)
        ledger.gone.add(name)
        change = ledger.expect("failed", name, [other for other in NAMES if other != name])
        since = time.monotonic()
        await self._cluster.end(name)
        await ledger.outcome(change, self._scene.options.limit)
        self.kill.add(change, since)
        # The new process is weighed from its own start.
        self.memory.pop(name, None)
        [worker] = await self._cluster.spawn(1, [self._scene.prefixes[name]])
        await self.open(name, worker)
        ledger.gone.discard(name)
