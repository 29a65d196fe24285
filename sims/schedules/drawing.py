"""The schedule of a seed.

Law: each schedule leaves some kinds of step out and dwells on others (swarm testing: Groce et al., ISSTA
2012), so that between them rare combinations occur. A small share has 128 nodes, and fewer steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from gossipgroups.testing.latency import Constant, Exponential, Latency, LogNormal, Recorded, Uniform
from gossipgroups.testing.medium import Line
from sims.schedules.faults import FAULTS
from sims.schedules.operations import OPERATIONS
from sims.schedules.schedule import Schedule
from sims.schedules.steps import (
    Attack,
    Calm,
    Clear,
    Condition,
    Cut,
    Fault,
    Heal,
    InFlight,
    Operate,
    Partition,
    Step,
    Wait,
    Weather,
)
from sims.schedules.stranger import ATTACKS
from sims.schedules.world import CONFIG

GROUPS = ("red", "green", "blue")
FEWEST, MOST = 2, 12
LARGE = 128
LARGE_SHARE = 0.005
"""Share of the seeds that have `LARGE` nodes."""
SEALED_SHARE = 1 / 3
"""Share of the schedules whose cluster has keys."""
ATTACKS_WEIGHT = 4
FORGET_AFTER = (CONFIG.forget_after,) * 3 + (20.0,)
"""Most forget nothing: they last for minutes at most."""
LATENCIES: tuple[Latency, ...] = (
    Constant(0.001),
    Constant(0.05),
    Uniform(0.0002, 0.002),
    Uniform(0.0, 0.4),
    Exponential(0.01),
    Exponential(0.15, 0.001),
    LogNormal(0.002, 0.5),
    LogNormal(0.02, 1.5),
    # Round trips between data centres, halved, with a pause of a switch.
    Recorded((0.011, 0.0112, 0.0113, 0.0121, 0.014, 0.035, 0.21)),
)
CONDITIONS: dict[str, tuple[Any, ...]] = {
    "loss": (0.05, 0.5, 0.8),
    "duplication": (0.3,),
    "reordering": (0.1, 0.5),
    "bandwidth": (4_000.0, 20_000.0),
    "mtu": (300, 576, 1280),
}
"""What may be wrong with a line besides its latency."""
QUEUE = 4_000
"""Bytes that wait for bandwidth, where there is little."""

Steps = tuple[Step, ...]


@dataclass
class Draws:
    """Draws steps."""

    chance: random.Random
    nodes: int
    groups: tuple[str, ...]
    shared: float
    """Share of the operations on the member id that all use."""

    @property
    def place(self) -> int:
        return self.chance.randrange(self.nodes)

    @property
    def group(self) -> str:
        return self.chance.choice(self.groups)

    def wait(self) -> Steps:
        return (Wait(self.chance.choice((0.001, 0.002, 0.005, 0.02, 0.1, 0.5, 2.0, 2.0, 8.0))),)

    def operation(self, what: str) -> Steps:
        shared, apt = self.chance.random() < self.shared, self.chance.random() < 0.8
        return (Operate(what, self.place, self.group, shared, apt),)

    def clear(self) -> Steps:
        return (Clear(self.place, self.group),)

    def renewal(self) -> Steps:
        """A group is emptied, deleted, and created again, maybe before others know."""
        place, group = self.place, self.group
        again = Operate("join or create", self.place, group, apt=False)
        return (Clear(place, group), Operate("delete", place, group, apt=False), *self.wait(), again)

    def comeback(self) -> Steps:
        """A process crashes, and another takes its member id over, maybe on another port."""
        place, group = self.place, self.group
        join = Operate("join or create", place, group, apt=False)
        again = self.chance.choice(("start", "start elsewhere"))
        return (
            join,
            *self.wait(),
            self._fault("crash", place),
            *self.wait(),
            self._fault(again, place),
            join,
        )

    def stall(self) -> Steps:
        """A process stalls while more arrives than its socket holds."""
        place = self.place
        return (
            self._fault("small buffer", place),
            self._fault("pause", place),
            Wait(self.chance.choice((0.5, 2.0, 10.0))),
            self._fault("resume", place),
        )

    def fault(self, what: str) -> Steps:
        return (self._fault(what, self.place),)

    def _fault(self, what: str, place: int) -> Fault:
        amount = FAULTS[what].amount
        return Fault(what, place, self.chance.choice(amount.usual) if amount else 0.0)

    def cut(self) -> Steps:
        source, target = self.chance.sample(range(self.nodes), 2)
        return (Cut(source, target, self.chance.random() < 0.5),)

    def partition(self) -> Steps:
        """Two or three sides, drawn at random; the last is not named."""
        named = self.chance.choice((1, 1, 1, 2)) if self.nodes > 2 else 1
        order = self.chance.sample(range(self.nodes), self.nodes)
        bounds = sorted(self.chance.sample(range(1, self.nodes), named))
        sides = (order[first:last] for first, last in zip([0, *bounds], bounds, strict=False))
        return (Partition(tuple(tuple(sorted(side)) for side in sides)),)

    def heal(self) -> Steps:
        return (Heal(),)

    def calm(self) -> Steps:
        """All is well again, and work goes on."""
        work = (self._work() for _ in range(self.chance.randint(2, 16)))
        return (Calm(), *self.wait(), *(step for steps in work for step in steps))

    def _work(self) -> Steps:
        what = self.chance.choice(("join or create", "join", "leave", "update"))
        pause = Wait(self.chance.choice((0.002, 0.02, 0.1)))
        return (Operate(what, self.place, self.group), pause)

    def line(self, worst: int) -> Line:
        """A line with up to so many things wrong with it."""
        wrong = self.chance.sample(sorted(CONDITIONS), self.chance.randint(0, worst))
        changes: dict[str, Any] = {name: self.chance.choice(CONDITIONS[name]) for name in wrong}
        if "bandwidth" in changes:
            changes["queue"] = QUEUE
        return Line(latency=self.chance.choice(LATENCIES), **changes)

    def weather(self) -> Steps:
        return (Weather(self.line(2)),)

    def condition(self) -> Steps:
        where: Literal["egress", "ingress"] = self.chance.choice(("egress", "ingress"))
        return (Condition(where, self.place, self.line(3)),)

    def in_flight(self) -> Steps:
        what: Literal["lose", "repeat"] = self.chance.choice(("lose", "repeat"))
        return (InFlight(what, self.chance.randint(1, 8)),)

    def attack(self) -> Steps:
        if self.chance.random() < 0.1:
            return self._echoes()
        what, count = self.chance.choice(tuple(ATTACKS)), self.chance.choice((1, 8, 64))
        return (Attack(what, count, self.chance.choice((0.0, 0.5, 5.0))),)

    def _echoes(self) -> Steps:
        """A process that nobody knows yet asks who is there, and hears nothing but its own questions."""
        place = self.place
        return (
            Partition(((place,),)),
            self._fault("crash", place),
            self._fault("start elsewhere", place),
            Attack("send back", 64, 1.0),
            Wait(2.0),
            Heal(),
        )


KINDS: tuple[tuple[int, Callable[[Draws], Steps]], ...] = (
    (4, Draws.wait),
    *((usual, partial(Draws.operation, what=what)) for what, (usual, _, _) in OPERATIONS.items()),
    (1, Draws.clear),
    (2, Draws.renewal),
    (1, Draws.comeback),
    (1, Draws.stall),
    *((kind.weight, partial(Draws.fault, what=what)) for what, kind in FAULTS.items()),
    (2, Draws.cut),
    (2, Draws.partition),
    (2, Draws.heal),
    (1, Draws.calm),
    (2, Draws.weather),
    (1, Draws.condition),
    (1, Draws.in_flight),
    (ATTACKS_WEIGHT, Draws.attack),
)
"""Kinds of step with their usual weight; the first is waiting, which none leaves out, and the last is the
stranger's, of which there are none where it records nothing."""


def is_large(seed: int, share: float = LARGE_SHARE) -> bool:
    """Whether the schedule of a seed has `LARGE` nodes."""
    return random.Random(f"large {seed}").random() < share


def draw(seed: int, large_share: float = LARGE_SHARE) -> Schedule:
    """The schedule of a seed."""
    chance = random.Random(seed)
    large = is_large(seed, large_share)
    nodes = LARGE if large else chance.randint(FEWEST, MOST)
    groups = GROUPS[: chance.choice((1, 1, 2, 3))]
    draws = Draws(chance, nodes, groups, chance.choice((0.0, 0.1, 0.5)))
    weights = [usual * chance.choice((0, 1, 1, 4)) for usual, _ in KINDS]
    recorded = chance.choice((0.0, 0.0, 0.2, 1.0))
    weights[-1] = ATTACKS_WEIGHT * bool(recorded) * chance.choice((1, 4))
    weights[0] = KINDS[0][0] * chance.choice((2, 4))
    count = chance.randint(4, 16) if large else chance.randint(12, 72)
    kinds = [draw_steps for _, draw_steps in chance.choices(KINDS, weights, k=count)]
    if chance.random() < 0.5:
        kinds.insert(0, Draws.weather)
    kinds.append(Draws.calm)
    return Schedule(
        seed,
        nodes,
        up=chance.choice((nodes, chance.randint(1, nodes))),
        head_start=chance.choice((0.0, 0.5)),
        together=chance.choice((8, 1)),
        groups=groups,
        sealed=chance.random() < SEALED_SHARE,
        recorded=recorded,
        forget_after=chance.choice(FORGET_AFTER),
        steps=tuple(step for draw_steps in kinds for step in draw_steps(draws)),
    )
