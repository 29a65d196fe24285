"""The phases on one cluster: start, idle, join, leave, stop, kill.

Law: a phase begins when the one before is complete everywhere, and leaves the cluster as it found it: all
coordinators open, all but the one in turn members of the group, all of them watching it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import trio

from gossipgroups.config import PRESETS
from sims.loopback.cluster import BOOT, Cluster, WorkerFailed, open_cluster
from sims.loopback.figures import Figure, Idle, Memory, Rounds, Start, Strays
from sims.loopback.ledger import Change
from sims.loopback.options import Options
from sims.loopback.progress import Progress

VICTIM = "victim"
"""In one process there is nobody to kill: the one that is killed lives in a process of its own."""
HEADERS = 28
"""Bytes of IPv4 and UDP header on each datagram."""


async def measure(options: Options, progress: Progress) -> dict[str, Figure]:
    """All phases of a cluster that were asked for, by name."""
    figures: dict[str, Figure] = {}
    starts: list[float | None] = []
    for run in range(options.runs):
        progress.doing(f"start of {options.nodes}")
        async with open_cluster(options.preset, f"loopback-{random.getrandbits(48):x}") as cluster:
            bench = Bench(options, cluster, progress)
            starts.append(await bench.start())
            progress.step()
            figures["start"] = Start.of(starts)
            if run + 1 == options.runs and starts[-1] is not None:
                figures |= await bench.rest()
    return figures


def steps(options: Options) -> int:
    """How many steps `measure` takes."""
    count = options.runs + ("idle" in options.phases)
    return count + options.rounds * len({"join", "leave", "stop", "kill"} & set(options.phases))


class Bench:
    """The phases of one cluster, in order."""

    def __init__(self, options: Options, cluster: Cluster, progress: Progress) -> None:
        self._options = options
        self._cluster = cluster
        self._progress = progress
        self._names = [f"node-{place:03}" for place in range(options.nodes)]
        self._memory_before: list[dict[str, int | None]] = []
        self._rounds: dict[str, Rounds] = {}

    async def start(self) -> float | None:
        """One coordinator is up; all others join it at the same moment. Seconds until all see all."""
        cluster, names, limit = self._cluster, self._names, self._options.limit
        workers = await cluster.spawn(1 if self._options.in_process else len(names))
        self._memory_before = [await worker.ask("memory", within=BOOT) for worker in workers]
        await cluster.open(workers[0], names[:1], [], BOOT)
        seeds = [cluster.addresses[names[0]]]
        called: list[float] = []

        async def one(place: int, mine: Sequence[str]) -> None:
            answer = await cluster.open(workers[place], mine, seeds, limit + BOOT)
            called.append(answer["called"])

        async with trio.open_nursery() as nursery:
            if self._options.in_process:
                nursery.start_soon(one, 0, names[1:])
            else:
                for place in range(1, len(names)):
                    nursery.start_soon(one, place, names[place : place + 1])
        at = await cluster.whole(limit)
        return None if at is None else at - max(called)

    async def rest(self) -> dict[str, Figure]:
        """The phases after the start."""
        phases = set(self._options.phases)
        figures: dict[str, Figure] = {}
        if phases & {"idle", "join", "leave", "stop", "kill"}:
            await self._gather()
        if "idle" in phases:
            self._progress.doing("idle")
            figures["idle"] = await self._idle()
            figures["memory"] = await self._memory()
            self._progress.step()
        await self._come_and_go(phases)
        if "stop" in phases:
            await self._stops()
        if "kill" in phases:
            await self._kills()
        figures |= self._rounds
        ledger = self._cluster.ledger
        if figures:
            figures["strays"] = Strays(
                ledger.unexpected,
                ledger.false_accusations("node suspected"),
                ledger.false_accusations("node failed"),
            )
        return figures

    async def _gather(self) -> None:
        """Everybody watches the group and is in it."""
        self._progress.doing("forming the group")
        await self._cluster.ask(self._names[0], "create", within=BOOT)
        await self._cluster.observe(self._names)
        async with trio.open_nursery() as nursery:
            for name in self._names:
                nursery.start_soon(self._change, "gathering", "joined", name, self._names, "join")
        gathered = self._rounds.pop("gathering")
        if not gathered.sound:
            raise WorkerFailed(f"{gathered.missed} callbacks were missed while the group formed")

    async def _idle(self) -> Idle:
        await trio.sleep(self._options.drain)
        before = await self._cluster.ask_all("counters", within=BOOT)
        await trio.sleep(self._options.window)
        after = await self._cluster.ask_all("counters", within=BOOT)
        nodes = len(self._names)
        spans = [(old, new, new["at"] - old["at"]) for old, new in zip(before, after, strict=True)]

        def rate(key: str) -> float:
            return float(sum((new[key] - old[key]) / span for old, new, span in spans)) / nodes

        return Idle(
            seconds=max(span for _, _, span in spans),
            cpu_ms=1000 * rate("cpu"),
            datagrams=rate("sent"),
            bytes=rate("sent_bytes") + HEADERS * rate("sent"),
            stalls=sum(new["stalls"] - old["stalls"] for old, new, _ in spans),
            refutations=sum(new["refutations"] - old["refutations"] for old, new, _ in spans),
        )

    async def _memory(self) -> Memory:
        now = await self._cluster.ask_all("memory", within=BOOT)
        nodes = len(self._names)

        def each(kind: str) -> float | None:
            held = [answer[kind] for answer in now]
            if None in held:
                return None
            base = sum(answer[kind] or 0 for answer in self._memory_before) if self._options.in_process else 0
            return float(sum(held) - base) / nodes

        return Memory(each("rss"), each("pss"))

    async def _come_and_go(self, phases: set[str]) -> None:
        """A member leaves the group and joins it again."""
        if not phases & {"join", "leave"}:
            return
        for number in range(self._options.rounds):
            self._progress.doing(f"leave and join {number + 1}")
            name = random.choice(self._names)
            for operation, kind in (("leave", "left"), ("join", "joined")):
                await self._pause()
                label = operation if operation in phases else "unmeasured"
                await self._change(label, kind, name, self._names, operation)
                if operation in phases:
                    self._progress.step()
        self._rounds.pop("unmeasured", None)

    async def _stops(self) -> None:
        """A whole coordinator stops gracefully, and is started again under the same member id."""
        for number in range(self._options.rounds):
            self._progress.doing(f"stop {number + 1}")
            name = random.choice(self._names)
            worker = self._cluster.seats[name]
            await self._pause()
            others = self._others(name)
            await self._change("stop", "left", name, others, "close")
            del self._cluster.seats[name]
            await self._cluster.open(worker, [name], self._seeds(name), BOOT)
            await self._cluster.observe([name])
            await self._change("join after stop", "joined", name, self._names, "join")
            self._progress.step()

    async def _kills(self) -> None:
        """A process is killed, and started again under the same member id."""
        cluster, ledger = self._cluster, self._cluster.ledger
        self._rounds["kill"] = Rounds()
        if self._options.in_process:
            await self._admit(VICTIM)
        for number in range(self._options.rounds):
            self._progress.doing(f"kill {number + 1}")
            name = VICTIM if self._options.in_process else random.choice(self._names)
            await self._pause()
            ledger.gone.add(name)
            change = ledger.expect("failed", name, self._others(name))
            since = time.monotonic()
            await cluster.end(name)
            await self._wait("kill", change, since)
            await self._admit(name)
            ledger.gone.discard(name)
            self._progress.step()

    async def _admit(self, name: str) -> None:
        """A new process with one coordinator, which joins the group."""
        [worker] = await self._cluster.spawn()
        await self._cluster.open(worker, [name], self._seeds(name), BOOT)
        await self._cluster.observe([name])
        await self._change("join after kill", "joined", name, {*self._names, name}, "join")

    async def _change(
        self, label: str, kind: str, name: str, observers: Sequence[str] | set[str], do: str
    ) -> None:
        # Whoever stops may be told of its own leave before it has ended, or not.
        change = self._cluster.ledger.expect(kind, name, observers, {name}.difference(observers))
        answer = await self._cluster.ask(name, do, within=self._options.limit)
        await self._wait(label, change, answer["called"])

    async def _wait(self, label: str, change: Change, since: float) -> None:
        await self._cluster.ledger.outcome(change, self._options.limit)
        self._rounds.setdefault(label, Rounds()).add(change, since)

    async def _pause(self) -> None:
        """A moment of chance within the probe period, so that rounds do not march in step with the probes."""
        await trio.sleep(random.random() * PRESETS[self._options.preset]().probe_period)

    def _others(self, name: str) -> list[str]:
        return [other for other in self._cluster.seats if other != name]

    def _seeds(self, name: str) -> list[str]:
        return [self._cluster.addresses[random.choice(self._others(name))]]
