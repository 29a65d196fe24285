"""The real soak: five processes with keys on loopback, members that come and go all the time, and memory.

Law: a figure that this system does not tell is left out, never taken for 0; that the interpreter's own count
of blocks is there always makes a run without any figure impossible. Whoever leaves a live set, and any
datagram that is refused, is a trouble: nothing happens here that would explain it.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from gossipgroups import Key, KeyFile, KeyRing
from sims.loopback.cluster import BOOT, Cluster
from sims.loopback.faults import GRACE, NAMES, group_of
from sims.loopback.options import Options
from sims.loopback.progress import Progress
from sims.loopback.worker import GROUP
from sims.soak.growth import Tolerance, Verdict, judge, table
from sims.tables import Cell, Table

GROUPS = [GROUP, *(f"soak-{number}" for number in range(3))]
KINDS = {"rss": "RSS, KiB", "pss": "PSS, KiB", "uss": "own pages, KiB", "blocks": "allocated blocks"}
TOLERANCES = {
    # What the kernel counts comes in pages and arenas.
    "rss": Tolerance(0.005, 64, 0.005, 128),
    "pss": Tolerance(0.005, 64, 0.005, 128),
    "uss": Tolerance(0.005, 64, 0.005, 128),
    # Garbage that waits for its collection is in the count: the median hardly sees it, the peak does.
    "blocks": Tolerance(0.005, 100, 0.02, 500),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. Seconds; `rate` is changes a second in the whole cluster."""

    seconds: float
    rate: float
    every: float
    """Between two samples."""
    preset: str = "lan"
    limit: float = 60.0
    """For anything that is waited for."""


@dataclass(slots=True)
class Found:
    """What was found: samples of each process, and what must not be."""

    changes: int = 0
    cache: list[int | None] = field(default_factory=list)
    """RSS of the processes before the cache of registers was filled, then after it, in KiB."""
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in NAMES})
    suspicions: int = 0
    failures: int = 0
    differences: list[str] = field(default_factory=list)
    """Groups whose members are not the same everywhere at the end."""

    def verdicts(self) -> list[Verdict]:
        """Of each process and kind of memory that this system tells."""
        verdicts = []
        for kind, title in KINDS.items():
            for name, samples in self.samples.items():
                held = [sample[kind] for sample in samples]
                if None not in held:
                    verdicts.append(judge(f"{title}: {name}", held, TOLERANCES[kind]))
        return verdicts

    def troubles(self) -> list[str]:
        """Every bound that was broken."""
        troubles = [each.complaint for each in self.verdicts() if each.grew]
        if not self.changes:
            troubles.append("no member has changed: nothing was soaked")
        if self.failures:
            troubles.append(f"{self.failures} false deaths")
        for name, samples in self.samples.items():
            if short := sum(sample["live"] != [len(NAMES)] for sample in samples):
                troubles.append(f"{name} did not hold all live in {short} of {len(samples)} samples")
            if refused := samples[-1]["refused"]:
                troubles.append(f"{name} refused {refused} datagrams")
        return troubles + self.differences

    def tables(self) -> list[Table]:
        """Memory, and what the processes did."""
        rows: list[tuple[Cell, ...]] = [(name, *_rates(samples)) for name, samples in self.samples.items()]
        head = (
            "process",
            "CPU, ms/s, middle third",
            "last third",
            "datagrams/s",
            "bytes/s",
            "stalls",
            "refused",
        )
        false = f"{self.suspicions} false suspicions, {self.failures} false deaths"
        cache = [sum(each or 0 for each in some) // len(NAMES) for some in _halves(self.cache)]
        return [
            table(
                "Memory of each process",
                self.verdicts(),
                "The first third is warm-up. A full cache of registers is in it, which took RSS from "
                f"{cache[0]:,} to {cache[1]:,} KiB.",
            ),
            Table("Work of each process", head, tuple(rows), f"{self.changes} joins and leaves; {false}"),
        ]


def _halves(values: Sequence[int | None]) -> tuple[Sequence[int | None], Sequence[int | None]]:
    return values[: len(values) // 2], values[len(values) // 2 :]


def _rates(samples: Sequence[dict[str, Any]]) -> tuple[float, ...]:
    """Processor ms a second in two thirds, datagrams and bytes a second over both; stalls, refusals."""
    third = len(samples) // 3
    cuts = [samples[third], samples[2 * third], samples[-1]]

    def rate(key: str, old: int, new: int) -> float:
        return float((cuts[new][key] - cuts[old][key]) / (cuts[new]["at"] - cuts[old]["at"]))

    return (
        1000 * rate("cpu", 0, 1),
        1000 * rate("cpu", 1, 2),
        rate("sent", 0, 2),
        rate("sent_bytes", 0, 2),
        cuts[2]["stalls"],
        cuts[2]["refused"],
    )


async def soak(plan: Plan, progress: Progress) -> Found:
    """Carry out a plan; a step of progress for each sample. Raises `WorkerFailed`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cluster.keys")
        KeyFile(path).write(KeyRing([Key.generate(os.urandom)]))
        options = Options(preset=plan.preset, limit=plan.limit)
        progress.doing("starting five processes")
        async with group_of(options, keys=dict.fromkeys(NAMES, str(path))) as cluster:
            for group in GROUPS[1:]:
                await cluster.ask(NAMES[0], "create", within=BOOT, group=group)
            await cluster.observe(NAMES, GROUPS[1:])
            found = Found()
            await _fill_caches(cluster, found)
            await _keep_busy(plan, cluster, found, progress)
            return found


async def _fill_caches(cluster: Cluster, found: Found) -> None:
    """At once what takes an hour of changes: a cache that fills looks like a leak for so long."""
    for after in (False, True):
        if after:
            await cluster.ask_all("fill", within=BOOT)
        found.cache += [each["rss"] for each in await cluster.ask_all("memory", within=BOOT)]


async def _keep_busy(plan: Plan, cluster: Cluster, found: Found, progress: Progress) -> None:
    members = {group: set(NAMES if group == GROUP else ()) for group in GROUPS}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_churn, plan, cluster, members, found)
        for _ in range(samples_of(plan)):
            progress.doing(f"{found.changes} changes")
            await trio.sleep(plan.every)
            await _sample(cluster, found)
            progress.step()
        nursery.cancel_scope.cancel()
    await trio.sleep(GRACE)
    for group in GROUPS:
        held = [(await cluster.ask(name, "members", within=BOOT, group=group))["members"] for name in NAMES]
        if any(each != held[0] for each in held):
            found.differences.append(f"the members of {group} are not the same everywhere: {held}")
    ledger = cluster.ledger
    found.suspicions, found.failures = (
        ledger.false_accusations(kind) for kind in ("node suspected", "node failed")
    )


def samples_of(plan: Plan) -> int:
    """How many samples a plan takes of each process."""
    return round(plan.seconds / plan.every)


async def _churn(plan: Plan, cluster: Cluster, members: dict[str, set[str]], found: Found) -> None:
    """One random member after the other joins a random group, or leaves it."""
    while True:
        await trio.sleep(random.expovariate(plan.rate))
        group, name = random.choice(GROUPS), random.choice(NAMES)
        do = "leave" if name in members[group] else "join"
        await cluster.ask(name, do, within=plan.limit, group=group)
        members[group] ^= {name}
        found.changes += 1


async def _sample(cluster: Cluster, found: Found) -> None:
    for name in NAMES:
        seat = cluster.seats[name]
        counters, memory = await seat.ask("counters", within=BOOT), await seat.ask("memory", within=BOOT)
        found.samples[name].append({**counters, **memory})
