"""Replays: genuine datagrams are sent again, at once and later, to whom they were for and to others.

Law: none is taken in twice. Each node has refused all that it was sent, but for what was for anybody: that is
answered by a cookie, as are those that must prove themselves, and by nothing else. What was refused when it
came first had no effect yet, and may have it when it comes again.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import trio

from gossipgroups.admission import UNPROVED
from gossipgroups.config import PRESETS
from gossipgroups.ids import ANYBODY
from gossipgroups.keys import KeyRing
from gossipgroups.wire.codec import unpack_payload
from gossipgroups.wire.messages import Cookie
from gossipgroups.wire.seal import make_seal
from sims.loopback.cluster import WorkerFailed
from sims.loopback.faults import NAMES
from sims.loopback.figures import Assault
from sims.loopback.hostile.assaults import BEAT, tally, unrefused
from sims.loopback.hostile.life import FLOODED, Life
from sims.loopback.hostile.recorder import Recorder, header_of, recording
from sims.loopback.hostile.scene import PATIENCE, Scene, Source
from sims.loopback.hostile.wire import Recorded

A_BEAT = 3
"""Recorded datagrams sent again at each beat, each in several ways."""
STEPS = 6
CALM = 3.0
"""Probe periods after a restart in which nodes refuse genuine datagrams too: they were for its last run."""


class Replayer:
    """Sends recorded datagrams again: from where they came and from elsewhere, to all who could mind."""

    def __init__(self, scene: Scene, recorder: Recorder) -> None:
        self._scene = scene
        self._recorder = recorder
        self._stranger = scene.stranger()
        self._forged: dict[str, Source] = {}
        self.answered = 0
        """How many may have been answered by a cookie, to the stranger."""

    def at_once(self) -> None:
        """What has just been recorded."""
        fresh, self._recorder.fresh = self._recorder.fresh, []
        for each in fresh:
            self._again(each)

    def later(self) -> None:
        """Some of all that was recorded."""
        for each in self._scene.chance.sample(
            self._recorder.records, min(A_BEAT, len(self._recorder.records))
        ):
            self._again(each)

    def _again(self, recorded: Recorded) -> None:
        scene, recorder = self._scene, self._recorder
        header = header_of(recorded.datagram)
        sender, target = recorder.name(recorded.source), recorder.name(recorded.target)
        third = scene.chance.choice([name for name in NAMES if name not in (sender, target)])
        for name in {target, third, sender} & scene.cluster.seats.keys():
            # Its own datagram no node answers, whoever it was for.
            answered = header.receiver == ANYBODY and header.sender != recorder.ids.get(name)
            self.answered += answered
            scene.send(self._stranger, recorded.datagram, name, answered=answered)
            if scene.network is not None and name != sender:  # the kernel drops what claims to be from itself
                if sender not in self._forged:
                    self._forged[sender] = scene.forged(recorded.source)
                scene.send(self._forged[sender], recorded.datagram, name, answered=answered)
        self._stranger.collect()

    def misanswered(self, unproved: int) -> list[str]:
        """What came back that was no cookie, or had not been asked for."""
        self._stranger.collect()
        scene, broken = self._scene, []
        ring = None if scene.key is None else KeyRing([scene.key])
        seal = make_seal(scene.cluster.name, ring, os.urandom)
        sections = [
            each for answer in self._stranger.answers for each in unpack_payload(seal.open(answer)[1])
        ]
        others = sum(not isinstance(each, Cookie) for each in sections)
        if others:
            broken.append(f"{others} sections came back that are no cookies")
        if len(self._stranger.answers) > self.answered + unproved:
            broken.append(f"{len(self._stranger.answers)} answers to {self.answered + unproved} questions")
        return broken


async def replay(scene: Scene, life: Life, seconds: float) -> Assault:
    """Record, and send again: at once, later, after one has left, after it is back, and amid a kill."""
    broken: list[str] = []
    refused: Counter[str] = Counter()
    genuine: Counter[str] = Counter()
    """By node: refusals while nothing was replayed, such as of who is back and not known everywhere yet."""
    taken: Counter[str] = Counter()
    """By node: replays that were not refused."""
    part = seconds / STEPS
    victim, leaver = scene.chance.sample([name for name in NAMES if name != FLOODED], 2)

    async def step(beat: Callable[[], None], killed: str | None = None, *, alive: bool = True) -> None:
        scene.sent.clear()
        before = await scene.refused()
        if alive:
            async with life.going_on(killed) as back:
                await _beats(beat, part, back)
        else:
            await _beats(beat, part, None)
        await trio.sleep(PATIENCE)
        after = await scene.refused()
        if killed is not None:
            before[killed] = Counter()
        each = {name: after.get(name, Counter()) - before.get(name, Counter()) for name in NAMES}
        refused.update(sum(each.values(), Counter[str]()))
        taken.update(unrefused(scene, each, killed))

    async def quietly(work: Awaitable[object]) -> None:
        before = await scene.refused()
        await work
        await _settle(scene)
        for name, after in (await scene.refused()).items():
            genuine[name] += (after - before.get(name, Counter())).total()

    async with recording(scene) as recorder:
        replayer = Replayer(scene, recorder)
        # Somebody comes back while it is recorded: so there are knocks, cookies and repairs among it.
        worker = await life.close(leaver)
        await quietly(life.open(leaver, worker))
        async with life.going_on():
            await trio.sleep(part)
        if not recorder.records:
            raise WorkerFailed("nothing was recorded of the cluster's traffic")
        recorder.fresh.clear()
        await step(replayer.at_once)
        await step(replayer.later)
        worker = await life.close(leaver)
        await _settle(scene)
        await step(replayer.later, alive=False)
        await quietly(life.open(leaver, worker))
        await step(replayer.later)
        await step(replayer.later, victim)
        broken += replayer.misanswered(refused[UNPROVED])
    broken += [
        f"{name} has taken in {count} replays, of at most {genuine[name]} that it had refused before"
        for name, count in taken.items()
        if count > genuine[name]
    ]
    figure = tally(scene, list(scene.sources), refused, broken, answers=True)
    return replace(figure, late=taken.total())


async def _beats(beat: Callable[[], None], seconds: float, back: trio.Event | None) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until or (back is not None and not back.is_set()):
        beat()
        await trio.sleep(BEAT)


async def _settle(scene: Scene) -> None:
    await trio.sleep(CALM * PRESETS[scene.options.preset]().probe_period)
