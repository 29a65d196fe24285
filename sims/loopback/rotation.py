"""The rotation: real processes change from one key to another by their key files, in three steps.

Law: what counts is that nobody notices: no callback, no accusation, no datagram refused. Each process has a
key file of its own, and a step is written to one after the other, so that some are always ahead of others.
"""

from __future__ import annotations

import os
import random
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import trio

from gossipgroups import Key, KeyFile, KeyRing
from gossipgroups.url import parse_endpoint
from gossipgroups.wire.header import HEADER_BYTES
from gossipgroups.wire.seal import make_seal
from sims.loopback.cluster import BOOT, Cluster
from sims.loopback.faults import GRACE, group_of
from sims.loopback.figures import Rotation
from sims.loopback.options import Options

LOOK = 0.1
"""Seconds between two looks at what all hold."""
UNKNOWN = "unknown key"
NONSENSE = bytes(64)
"""The payload of a datagram that whoever can open it refuses for another reason than its key."""

Refused = dict[str, dict[str, int]]
"""Datagrams refused by each node, by reason."""


async def measure_rotation(options: Options) -> Rotation:
    """Change the key of a cluster of `options.nodes` processes."""
    names = [f"node-{place:03}" for place in range(options.nodes)]
    old, new = (Key.generate(os.urandom) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        files = {name: KeyFile(Path(folder, f"{name}.keys")) for name in names}
        for file in files.values():
            file.write(KeyRing([old]))
        paths = {name: str(file.path) for name, file in files.items()}
        async with group_of(options, names, keys=paths) as cluster:
            return await _rotate(options, cluster, files, old, new)


async def _rotate(
    options: Options, cluster: Cluster, files: Mapping[str, KeyFile], old: Key, new: Key
) -> Rotation:
    # Before, the old key is known everywhere: else that it is refused afterwards would show nothing.
    before = await _stranger(options, cluster, old)
    known_before = sum(not refused.get(UNKNOWN) for refused in before.values())
    told = len(cluster.ledger.records)
    steps: list[tuple[Callable[[KeyRing], KeyRing], tuple[str, ...]]] = [
        (lambda ring: ring.add(new), (old.id, new.id)),
        (lambda ring: ring.use(new.id), (new.id, old.id)),
        (lambda ring: ring.remove(old.id), (new.id,)),
    ]
    seconds: list[float | None] = []
    for change, wanted in steps:
        since = time.monotonic()
        for file in random.sample(list(files.values()), len(files)):
            file.write(change(file.read()))
            await trio.sleep(random.random() * LOOK)
        seconds.append(await _until_held(cluster, wanted, since, options.limit))
        if seconds[-1] is None:
            break
    await trio.sleep(GRACE)
    records = cluster.ledger.records[told:]
    meanwhile = await _refused(cluster)
    after = await _stranger(options, cluster, old)
    accusations = {
        kind: sum(each.kind == kind for each in records) for kind in ("node suspected", "node failed")
    }
    return Rotation(
        nodes=len(files),
        seconds=seconds,
        callbacks=len(records) - sum(accusations.values()),
        suspicions=accusations["node suspected"],
        failures=accusations["node failed"],
        refused=sum(_total(meanwhile[name]) - _total(before[name]) for name in files),
        known_before=known_before,
        unknown_after=sum(
            after[name].get(UNKNOWN, 0) == meanwhile[name].get(UNKNOWN, 0) + 1 for name in files
        ),
    )


async def _until_held(cluster: Cluster, wanted: tuple[str, ...], since: float, limit: float) -> float | None:
    """Seconds until each node holds of all that these are their keys; `None` if that took too long."""
    with trio.move_on_after(limit):
        while not await _is_held(cluster, wanted):
            await trio.sleep(LOOK)
        return time.monotonic() - since
    return None


async def _is_held(cluster: Cluster, wanted: tuple[str, ...]) -> bool:
    for name in cluster.seats:
        held = (await cluster.ask(name, "keys", within=BOOT))["held"]
        if held.keys() != cluster.seats.keys() or any(tuple(each) != wanted for each in held.values()):
            return False
    return True


async def _refused(cluster: Cluster) -> Refused:
    return {name: (await cluster.ask(name, "keys", within=BOOT))["refused"] for name in cluster.seats}


async def _stranger(options: Options, cluster: Cluster, key: Key) -> Refused:
    """Send each node one datagram sealed with a key; what all have refused once it has come."""
    before = await _refused(cluster)
    seal = make_seal(cluster.name, KeyRing([key]), os.urandom)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for address in cluster.addresses.values():
            sock.sendto(seal.seal(os.urandom(HEADER_BYTES), NONSENSE), parse_endpoint(address))
    with suppress(trio.TooSlowError), trio.fail_after(options.limit):
        while any(_total(each) <= _total(before[name]) for name, each in (await _refused(cluster)).items()):
            await trio.sleep(LOOK)
    return await _refused(cluster)


def _total(refused: Mapping[str, int]) -> int:
    return sum(refused.values())
