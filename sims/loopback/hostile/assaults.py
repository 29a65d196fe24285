"""Strangers who have recorded nothing: floods, misshapen datagrams, repairs, amplification, forged sources.

Law: an attack sends some datagrams at each beat. Whoever sent has got back no more bytes than were sent in
his name, and with keys none; and of what is not a flood each node has refused all that it was sent.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable

import trio

from gossipgroups.ids import ANYBODY, NODE_ID_BYTES, NodeId
from gossipgroups.wire.messages import COOKIE_BYTES
from sims.loopback.faults import NAMES
from sims.loopback.figures import Assault
from sims.loopback.hostile.life import FLOODED, Life
from sims.loopback.hostile.pen import flood_of
from sims.loopback.hostile.scene import PATIENCE, Refused, Scene, Source

BEAT = 0.02
"""Seconds between two beats of an attack."""
DIFFERENT = 512
"""Datagrams of a flood that are made, and sent over and over."""
TINY = 24
SOURCES = 4
"""Addresses that a stranger asks from."""

Attack = Callable[[], None]
"""Sends what is due at one beat."""


async def assault(
    scene: Scene, life: Life, attack: Attack, seconds: float, *, flood: bool = False
) -> Assault:
    """Attack for so long: half of it amid joins and leaves, then while a process is killed, too."""
    victim = scene.chance.choice([name for name in NAMES if name != FLOODED])
    broken: list[str] = []
    refused: Counter[str] = Counter()
    for killed in (None, victim):
        scene.sent.clear()
        before = await scene.refused()
        async with life.going_on(killed) as back:
            until = time.monotonic() + seconds / 2
            while time.monotonic() < until or not back.is_set():
                attack()
                await trio.sleep(BEAT)
        await trio.sleep(PATIENCE)
        after = await scene.refused()
        if killed is not None:
            before[killed] = Counter()
        each = {name: after[name] - before[name] for name in NAMES}
        refused += sum(each.values(), Counter())
        if not flood:
            broken += [
                f"{name} was sent {scene.sent[name]} and has refused {scene.sent[name] - missing}"
                for name, missing in unrefused(scene, each, killed).items()
            ]
    return tally(scene, list(scene.sources), refused, broken)


def unrefused(scene: Scene, refused: Refused, killed: str | None) -> Counter[str]:
    """By how many datagrams each node has refused less than it was sent; of who was killed nobody knows."""
    return Counter(
        {
            name: scene.sent[name] - refused[name].total()
            for name in NAMES
            if name != killed and refused[name].total() < scene.sent[name]
        }
    )


def tally(
    scene: Scene, sources: list[Source], refused: Counter[str], broken: list[str], *, answers: bool = False
) -> Assault:
    """The figure of what these addresses have sent and got; they are closed, and forgotten.

    `answers`: with keys, too, something may have come back, in no more bytes than were sent.
    """
    for source in sources:
        source.collect()
        allowed = source.sent_bytes if scene.key is None or answers else 0
        if source.returned_bytes > allowed:
            broken.append(f"{source.address} sent {source.sent_bytes} bytes and got {source.returned_bytes}")
        source.close()
        scene.sources.remove(source)
    return Assault(
        sent=sum(source.sent for source in sources),
        sent_bytes=sum(source.sent_bytes for source in sources),
        returned=sum(source.returned for source in sources),
        returned_bytes=sum(source.returned_bytes for source in sources),
        refused=dict(refused),
        broken=broken,
    )


def flooding(scene: Scene, size: int) -> Attack:
    """A flood of garbage of one size at one node."""
    source = scene.stranger()
    datagrams = [flood_of(size, scene.key, scene.chance) for _ in range(DIFFERENT)]
    count = max(1, int(scene.options.rate * BEAT))
    begun, sent = time.monotonic(), 0

    def beat() -> None:
        nonlocal sent
        due = min(int((time.monotonic() - begun) / BEAT) * count, sent + 4 * count)
        while sent < due:
            scene.send(source, datagrams[sent % DIFFERENT], FLOODED)
            sent += 1
        source.collect()

    return beat


def misshaping(scene: Scene) -> Attack:
    """Datagrams that are truncated, too large, or of another version, at all nodes by turns."""
    source, pen = scene.stranger(), scene.pen()

    def beat() -> None:
        for name in NAMES:
            scene.send(source, pen.misshapen(NodeId(os.urandom(NODE_ID_BYTES))), name)
        source.collect()

    return beat


async def repairing(scene: Scene) -> Attack:
    """A trickle of requests for repair from strangers that never prove their address."""
    source = scene.stranger()
    ids = await scene.ids(source)
    pens = [scene.pen() for _ in range(SOURCES)]

    def beat() -> None:
        name, pen = scene.chance.choice(NAMES), scene.chance.choice(pens)
        receiver = ids[name][0] if name in ids else ANYBODY
        scene.send(source, pen.write(receiver, pen.repair()), name)
        source.collect()

    return beat


async def asking(scene: Scene) -> Attack:
    """Questions whose answers could be larger, from addresses each of which is counted by itself."""
    return await _asking(scene, [scene.stranger() for _ in range(SOURCES)])


async def forging(scene: Scene) -> Attack:
    """The same questions in the name of a bystander, who is to get no more than was sent in his name."""
    return await _asking(scene, [scene.victim()])


async def _asking(scene: Scene, sources: list[Source]) -> Attack:
    # Cookies are of another address: nobody may use them from here.
    other = scene.stranger()
    ids = await scene.ids(other)
    others = [node_id for node_id, _ in ids.values()]
    pens = [scene.pen() for _ in sources]

    def beat() -> None:
        for source, pen in zip(sources, pens, strict=True):
            name = scene.chance.choice(NAMES)
            node_id, cookie = ids.get(name, (ANYBODY, bytes(COOKIE_BYTES)))
            anybody = scene.chance.random() < 0.5
            question = pen.question(source.address, others, cookie)
            datagram = pen.write(ANYBODY if anybody else node_id, question)
            scene.send(source, datagram, name, answered=anybody and scene.key is None)
            source.collect()

    return beat
