"""The flood: garbage at one of five processes with keys, while members leave and join.

Law: what counts is what members see: callbacks missed or late, and accusations of nodes that are well. The
flooded process's memory is compared with what it was just before.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import trio

from gossipgroups import Key, KeyFile, KeyRing
from sims.loopback.cluster import BOOT, ROOT, Cluster
from sims.loopback.faults import GRACE, NAMES, changed, group_of
from sims.loopback.figures import Flood, Rounds
from sims.loopback.options import Options

FLOODED = NAMES[0]


async def measure_flood(options: Options) -> Flood:
    """Flood one of five processes, for as long as was asked for."""
    with tempfile.TemporaryDirectory() as folder:
        key = Key.generate(os.urandom)
        path = Path(folder, "cluster.keys")
        KeyFile(path).write(KeyRing([key]))
        async with group_of(options, keys=dict.fromkeys(NAMES, str(path))) as cluster:
            return await _flooded(options, cluster, key)


async def _flooded(options: Options, cluster: Cluster, key: Key) -> Flood:
    ledger = cluster.ledger
    before = await _held(cluster)
    rounds = {"leave": Rounds(), "join": Rounds()}
    command = [
        *(sys.executable, "-m", "sims.loopback.flooder", cluster.addresses[FLOODED]),
        *(str(options.rate), str(options.flood), key.id),
    ]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdout=subprocess.PIPE, cwd=ROOT)
        flooder = await nursery.start(run)
        until = time.monotonic() + options.flood
        while time.monotonic() < until:
            name = random.choice(NAMES)
            for kind, do in (("left", "leave"), ("joined", "join")):
                change, since = await changed(cluster, kind, name, NAMES, do, options.limit)
                rounds[do].add(change, since)
                await trio.sleep(random.random() / 2)
        printed = b""
        while chunk := await flooder.stdout.receive_some():
            printed += chunk
    await trio.sleep(GRACE)
    after = await _held(cluster)
    suspicions, failures = (ledger.false_accusations(kind) for kind in ("node suspected", "node failed"))
    return Flood(
        seconds=options.flood,
        sent=int(printed),
        refused=after["refused"] - before["refused"],
        join=rounds["join"],
        leave=rounds["leave"],
        suspicions=suspicions,
        failures=failures,
        memory_before=before["rss"],
        memory_after=after["rss"],
        sound=not (failures or ledger.unexpected) and all(each.sound for each in rounds.values()),
    )


async def _held(cluster: Cluster) -> dict[str, int]:
    """The flooded process's counters and memory."""
    seat = cluster.seats[FLOODED]
    return {
        **await seat.ask("counters", within=BOOT),
        **await seat.ask("memory", within=BOOT),
    }
