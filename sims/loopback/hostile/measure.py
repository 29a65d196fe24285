"""The hostile test: one attack after the other at a cluster that goes on living, and what that cost.

Law: before the first attack the same life is measured without one, and every bound that is not kept is said
in words. What cannot be done here is a row that says so.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from gossipgroups import Key, KeyFile, KeyRing
from gossipgroups.config import DATAGRAM_BYTES
from sims.loopback import figures
from sims.loopback.faults import NAMES, group_of
from sims.loopback.figures import Assault, Figure, Rounds, Skipped
from sims.loopback.hostile import assaults
from sims.loopback.hostile.life import FLOODED, Life
from sims.loopback.hostile.relay import free_addresses, relaying
from sims.loopback.hostile.replays import replay
from sims.loopback.hostile.scene import Scene
from sims.loopback.namespaces import obstacle, open_network
from sims.loopback.options import Options

SIDES = (len(NAMES), 2)
"""The cluster, and the stranger and the bystander in whose name he sends."""
CALM_KILLS = 5
GROWTH = 2048
"""KiB by which a process may be larger than at first: what an interpreter needs once, and no leak."""

Measure = Callable[[Scene, Life, float], Awaitable[Assault]]


async def _full(scene: Scene, life: Life, seconds: float) -> Assault:
    return await assaults.assault(scene, life, assaults.flooding(scene, DATAGRAM_BYTES), seconds, flood=True)


async def _tiny(scene: Scene, life: Life, seconds: float) -> Assault:
    return await assaults.assault(scene, life, assaults.flooding(scene, assaults.TINY), seconds, flood=True)


async def _misshapen(scene: Scene, life: Life, seconds: float) -> Assault:
    return await assaults.assault(scene, life, assaults.misshaping(scene), seconds)


async def _repairs(scene: Scene, life: Life, seconds: float) -> Assault:
    return await assaults.assault(scene, life, await assaults.repairing(scene), seconds)


async def _questions(scene: Scene, life: Life, seconds: float) -> Assault:
    return await assaults.assault(scene, life, await assaults.asking(scene), seconds)


async def _forged(scene: Scene, life: Life, seconds: float) -> Assault:
    return await assaults.assault(scene, life, await assaults.forging(scene), seconds)


ASSAULTS: dict[str, Measure] = {
    "flood, full size": _full,
    "flood, tiny": _tiny,
    "misshapen": _misshapen,
    "repairs of a stranger": _repairs,
    "questions": _questions,
    "forged source": _forged,
    "replays": replay,
}
NEED_NETWORK = {"forged source"}


async def measure_hostile(
    options: Options,
    doing: Callable[[str], None],
    *,
    keyed: bool,
    names: Sequence[str] = tuple(ASSAULTS),
    prefix: Sequence[str] = (),
) -> dict[str, Figure]:
    """Attack one cluster in these ways; `prefix` precedes the command line of each of its processes."""
    label = "with keys" if keyed else "without keys"
    found: dict[str, Figure] = {}
    async with open_scene(options, keyed=keyed, prefix=prefix) as scene:
        calm, life = Life(scene), Life(scene)
        doing(f"{label}: before")
        await calm.weigh()
        for victim in scene.chance.choices([name for name in NAMES if name != FLOODED], k=CALM_KILLS):
            async with calm.going_on(victim) as back:
                await back.wait()
                await trio.sleep(options.seconds / len(names) / CALM_KILLS)
        await calm.weigh()
        found[f"{label}: before"] = _life(scene, calm, [])
        await life.weigh()
        disagreed = []
        for name in names:
            doing(f"{label}: {name}")
            if name in NEED_NETWORK and scene.network is None:
                found[f"{label}: {name}"] = Skipped(obstacle() or "there is no network to forge sources in")
                continue
            found[f"{label}: {name}"] = await ASSAULTS[name](scene, life, options.seconds / len(names))
            await life.weigh()
            if not await life.agree():
                disagreed.append(f"views differ after: {name}")
        found[f"{label}: meanwhile"] = _life(scene, life, disagreed, calm)
    return found


@asynccontextmanager
async def open_scene(options: Options, *, keyed: bool, prefix: Sequence[str] = ()) -> AsyncIterator[Scene]:
    """The cluster, in a network of its own if that can be made, and those who will attack it."""
    async with AsyncExitStack() as stack:
        key, path = None, None
        if keyed:
            key = Key.generate(os.urandom)
            path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "cluster.keys")
            KeyFile(path).write(KeyRing([key]))
        relay = None
        if obstacle() is None:
            network = await stack.enter_async_context(open_network(SIDES))
            binds, seeds = network.endpoints[: len(NAMES)], network.endpoints[:1]
            prefixes = [[*each, *prefix] for each in network.prefixes[: len(NAMES)]]
        else:
            network, prefixes = None, [[*prefix]]
            binds = [str(address) for address in free_addresses(len(NAMES))]
            # Whoever asks the first node here is recorded; who asks it directly, too, joins at once.
            relay = await stack.enter_async_context(relaying(binds[0]))
            seeds = [binds[0], str(relay.address)]
        keys = None if path is None else dict.fromkeys(NAMES, str(path))
        cluster = await stack.enter_async_context(group_of(options, NAMES, prefixes, binds, seeds, keys))
        scene = Scene(options, cluster, network, key, path, binds, prefixes, relay)
        stack.callback(scene.close)
        yield scene


def _life(scene: Scene, life: Life, broken: list[str], calm: Life | None = None) -> figures.Life:
    ledger, bound = scene.cluster.ledger, scene.options.bound
    missed = life.join.missed + life.leave.missed + life.kill.missed
    suspicions, failures = (ledger.false_accusations(kind) for kind in ("node suspected", "node failed"))
    if missed:
        broken.append(f"{missed} callbacks missed")
    if ledger.unexpected:
        first = ledger.unexpected[0]
        broken.append(
            f"{len(ledger.unexpected)} callbacks that nothing had called for: {first.observer} was told that "
            f"{first.subject} {first.kind}"
        )
    if suspicions or failures:
        broken.append("nodes that were well were accused")
    growth = max(life.growth.values(), default=None)
    if calm is not None:
        for label, rounds in (("join", life.join), ("leave", life.leave)):
            if _exceeds(rounds, bound):
                broken.append(f"a {label} took {rounds.max:.2f} s, over {bound:g} s")
        late = None if life.kill.p50 is None or calm.kill.p50 is None else life.kill.p50 - calm.kill.p50
        if late is not None and late > bound:
            broken.append(f"a kill was found out {late:.2f} s later than before, over {bound:g} s")
        if growth is not None and growth > GROWTH:
            broken.append(f"a process grew by {growth} KiB, over {GROWTH} KiB")
    ledger.unexpected.clear()
    ledger.accusations.clear()
    return figures.Life(life.join, life.leave, life.kill, suspicions, failures, growth, broken)


def _exceeds(rounds: Rounds, bound: float) -> bool:
    return rounds.max is not None and rounds.max > bound
