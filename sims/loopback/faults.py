"""The faults: a blocked application, a stopped process, a split network; each on five processes of its own.

Law: what the others see is counted from their records, and only of the one that the fault befell.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from sims.loopback.cluster import BOOT, Cluster, WorkerFailed, open_cluster
from sims.loopback.figures import Blocked, Figure, Skipped, Split, Stopped
from sims.loopback.ledger import Change, Record
from sims.loopback.namespaces import Network, obstacle, open_network
from sims.loopback.options import FAULT_PHASES, HOSTILE, ROTATION, Options
from sims.loopback.progress import Progress

NAMES = [f"node-{place}" for place in range(5)]
SIDES = (3, 2)
GRACE = 5.0
"""Seconds after a fault in which an event too many would still be counted."""


async def measure_faults(options: Options, progress: Progress) -> dict[str, Figure]:
    """The faults that were asked for, by name."""
    figures: dict[str, Figure] = {}
    if "blocked" in options.phases:
        progress.doing("application blocked")
        figures["blocked"] = await _blocked(options)
        progress.step()
    if "stopped" in options.phases:
        progress.doing("process stopped")
        figures["stopped"] = await _stopped(options)
        progress.step()
    if "split" in options.phases:
        for label, several in (("split, one seed", False), ("split, all seeds", True)):
            progress.doing(label)
            reason = obstacle()
            figures[label] = Skipped(reason) if reason else await _split(options, several)
        progress.step()
    if "flood" in options.phases:
        from sims.loopback.flood import measure_flood  # noqa: PLC0415  (it builds on this file)

        progress.doing("flood")
        figures["flood"] = await measure_flood(options)
        progress.step()
    if ROTATION in options.phases:
        from sims.loopback.rotation import measure_rotation  # noqa: PLC0415  (so does this)

        progress.doing("rotation")
        figures["rotation"] = await measure_rotation(options)
        progress.step()
    if HOSTILE in options.phases:
        from sims.loopback.hostile.measure import measure_hostile  # noqa: PLC0415  (so does this)

        for keyed in (False, True):
            figures |= await measure_hostile(options, progress.doing, keyed=keyed)
        progress.step()
    return figures


def fault_steps(options: Options) -> int:
    """How many steps `measure_faults` takes."""
    return len({*FAULT_PHASES, ROTATION, HOSTILE} & set(options.phases))


@asynccontextmanager
async def group_of(
    options: Options,
    names: Sequence[str] = NAMES,
    prefix: Sequence[Sequence[str]] = ((),),
    binds: Sequence[str] | None = None,
    seeds: Sequence[str] = (),
    keys: Mapping[str, str] | None = None,
) -> AsyncIterator[Cluster]:
    """A process for each name, all in the group and watching it; five unless named.

    `seeds`: all of them are started with the same. `keys`: the path of each one's key file.
    """
    async with open_cluster(options.preset, f"loopback-{random.getrandbits(48):x}") as cluster:
        workers = await cluster.spawn(len(names), prefix)
        known = list(seeds)
        for place, (worker, name) in enumerate(zip(workers, names, strict=True)):
            bind = "127.0.0.1:0" if binds is None else binds[place]
            file = None if keys is None else keys[name]
            await cluster.open(worker, [name], known, BOOT, bind=bind, keys=file)
            known = known or [cluster.addresses[name]]
        if await cluster.whole(options.limit) is None:
            raise WorkerFailed(f"{len(names)} nodes did not see each other within {options.limit:g} s")
        await cluster.ask(names[0], "create", within=BOOT)
        await cluster.observe(names)
        for name in names:
            change = cluster.ledger.expect("joined", name, names)
            await cluster.ask(name, "join", within=BOOT)
            await cluster.ledger.outcome(change, options.limit)
        await trio.sleep(2)
        yield cluster


async def _blocked(options: Options) -> Blocked:
    async with group_of(options) as cluster:
        ledger = cluster.ledger
        victim, mover, *_ = random.sample(NAMES, len(NAMES))
        others = [name for name in NAMES if name != victim]
        ended: list[float] = []

        async def block() -> None:
            within = options.blocked + BOOT
            answer = await cluster.seats[victim].ask("block", within=within, seconds=options.blocked)
            ended.append(answer["returned"])

        # The blocked one owes its callbacks too, and gives them when it is free again.
        own = [ledger.expect(kind, mover, [victim]) for kind in ("left", "joined")]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(block)
            await trio.sleep(options.blocked / 3)
            left, _ = await changed(cluster, "left", mover, others, "leave", options.limit)
            joined, since = await changed(cluster, "joined", mover, others, "join", options.limit)
        told = [await ledger.outcome(change, GRACE) for change in own]
        await trio.sleep(GRACE)
        suspicions, failures, leaves = (
            ledger.count(kind, victim) for kind in ("node suspected", "node failed", "failed")
        )
        return Blocked(
            seconds=options.blocked,
            suspicions=suspicions,
            failures=failures,
            leaves=leaves,
            change_meanwhile=_after(joined, since),
            told_after=_after(own[1], ended[0]),
            sound=not (suspicions or failures or leaves or ledger.unexpected)
            and all(told)
            and not (left.owed or joined.owed),
        )


async def _stopped(options: Options) -> Stopped:
    async with group_of(options) as cluster:
        ledger = cluster.ledger
        victim = random.choice(NAMES)
        others = [name for name in NAMES if name != victim]
        gone = ledger.expect("failed", victim, others)
        stopped_at = time.monotonic()
        cluster.seats[victim].signal(signal.SIGSTOP)
        await trio.sleep(options.stopped)
        back = ledger.expect("joined", victim, others)
        continued_at = time.monotonic()
        cluster.seats[victim].signal(signal.SIGCONT)
        await ledger.outcome(back, options.limit)
        await ledger.outcome(gone, 0.001)
        await trio.sleep(GRACE)
        since = [record for record in ledger.records if record.at >= stopped_at]
        leaves = _counts(since, others, lambda each: each.kind == "failed" and each.subject == victim)
        joins = _counts(since, others, lambda each: each.kind == "joined" and each.subject == victim)
        false_leaves = sum(each.observer == victim and each.kind in ("failed", "left") for each in since)
        return Stopped(
            seconds=options.stopped,
            leaves=leaves,
            joins=joins,
            left_after=_after(gone, stopped_at),
            back_after=_after(back, continued_at),
            false_leaves=false_leaves,
            sound={*leaves, *joins} == {1} and not false_leaves,
        )


async def _split(options: Options, several: bool) -> Split:
    async with open_network(SIDES) as network:
        seeds = network.endpoints if several else network.endpoints[:1]
        async with group_of(options, NAMES, network.prefixes, network.endpoints, seeds) as cluster:
            return await _cut_and_heal(options, network, cluster, len(seeds))


async def _cut_and_heal(options: Options, network: Network, cluster: Cluster, seeds: int) -> Split:
    ledger = cluster.ledger
    left, right = NAMES[: SIDES[0]], NAMES[SIDES[0] :]
    sides = [(left, right), (right, left)]
    ledger.gone.update(NAMES)
    partings = [ledger.expect("failed", name, here) for here, there in sides for name in there]
    cut_at = time.monotonic()
    await network.cut()
    await trio.sleep(options.split)
    returns = [ledger.expect("joined", name, here) for here, there in sides for name in there]
    healed_at = time.monotonic()
    await network.heal()
    whole = await cluster.whole(options.limit)
    for change in returns:
        await ledger.outcome(change, options.limit if whole is not None else 1)
    for change in partings:
        await ledger.outcome(change, 0.001)
    await trio.sleep(GRACE)
    members = [(await cluster.ask(name, "members", within=BOOT))["members"] for name in NAMES]
    # Of every join, not only those owed: a member that was told gone by mistake has to come back too.
    joined = [each.at for each in ledger.records if each.kind == "joined" and each.at >= healed_at]
    missed = sum(len(change.owed) for change in (*partings, *returns))
    return Split(
        seconds=options.split,
        seeds=seeds,
        parted_after=_last_after(partings, cut_at),
        views_after=None if whole is None else whole - healed_at,
        groups_after=None if missed else max(joined) - healed_at,
        missed=missed,
        unexpected=ledger.unexpected,
        sound=whole is not None
        and not missed
        and not ledger.unexpected
        and all(each == NAMES for each in members),
    )


async def changed(
    cluster: Cluster, kind: str, name: str, observers: Sequence[str], do: str, limit: float
) -> tuple[Change, float]:
    """Make a change and wait until all were told; the change, and when it was called for."""
    change = cluster.ledger.expect(kind, name, observers)
    answer: dict[str, Any] = await cluster.ask(name, do, within=limit)
    await cluster.ledger.outcome(change, limit)
    return change, float(answer["called"])


def _after(change: Change, since: float) -> float | None:
    return None if change.last is None or change.owed else change.last - since


def _last_after(changes: Iterable[Change], since: float) -> float | None:
    each = [_after(change, since) for change in changes]
    known = [seconds for seconds in each if seconds is not None]
    return max(known) if len(known) == len(each) else None


def _counts(
    records: Iterable[Record], observers: Sequence[str], about: Callable[[Record], bool]
) -> list[int]:
    held = [record for record in records if about(record)]
    return [sum(record.observer == name for record in held) for name in observers]
