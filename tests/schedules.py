"""Schedules as data: operations and faults over two to six wired nodes, drawn from a seed, replayed, shrunk.

Law: one seed draws one schedule, one schedule has one trace, and a schedule prints as the Python that makes
it. A step that makes no sense where it comes is skipped, so any part of a schedule is a schedule.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gossipgroups.config import Config
from gossipgroups.groups.epochs import epoch_of, exists
from gossipgroups.groups.rules import Command, Create, Delete, Join, Leave, Update
from gossipgroups.registers import encode_capabilities
from tests.checks import Broken, Checks
from tests.wired import Wired

GROUPS = ("red", "green", "blue")
CONFIG = Config.lan().but(
    awareness_limit=3,
    suspicion_multiplier=2.0,
    suspicion_max_factor=3.0,
    convergence_deadline=4.0,
    seed_interval=2.0,
    leave_timeout=2.0,
)
"""The lan preset with shorter waits: virtual time is cheap, the events in it are not."""
LONGEST_STRETCH = CONFIG.probe_period * (1 + CONFIG.awareness_limit)
"""Seconds from the start of a probe to its end, at worst: one begun in a storm may still fail after it."""


def rest_seconds(nodes: int) -> float:
    """How long rest may take after healing: each step at its slowest, one after the other."""
    detected = nodes * LONGEST_STRETCH
    suspected = CONFIG.suspicion_multiplier * CONFIG.suspicion_max_factor * CONFIG.probe_period
    found_again = 2 * nodes * CONFIG.reach_interval + 2 * CONFIG.seed_interval
    return detected + suspected + found_again + CONFIG.convergence_deadline


class World(Wired):
    """The network under its checks."""

    def __init__(self, schedule: Schedule) -> None:
        self.checks = Checks()
        self.nodes = schedule.nodes
        super().__init__(schedule.seed, CONFIG.but(settle_together=schedule.together), self.checks)
        for place in range(schedule.up):
            self.start(place)
        self.advance(schedule.head_start)

    def is_up(self, place: int) -> bool:
        """Whether a process runs here that is not about to stop."""
        return place in self.running and self.running[place].give_up_at is None

    def place(self, drawn: int, wanted: Callable[[int], bool]) -> int | None:
        """The first place from the one drawn at which a step makes sense, if there is any."""
        order = ((drawn + each) % self.nodes for each in range(self.nodes))
        return next((place for place in order if wanted(place)), None)

    def group(self, drawn: str, wanted: Callable[[str], bool]) -> str:
        """The first group from the one drawn for which a step makes sense; else the one drawn."""
        at = GROUPS.index(drawn)
        return next((group for group in GROUPS[at:] + GROUPS[:at] if wanted(group)), drawn)

    def come_to_rest(self) -> None:
        """Heal everything, and wait until nothing is left to do. Raises `Broken` when that takes too long."""
        self.heal()
        for place in list(self.running):
            self.resume(place)
        bound = self.now + rest_seconds(self.nodes)
        self.advance(LONGEST_STRETCH)
        while missing := self._missing():
            if self.now > bound:
                raise Broken(f"no rest after {rest_seconds(self.nodes):.0f} s: " + "; ".join(missing))
            self.advance(0.25)
        told = self.checks.told
        self.advance(2 * CONFIG.probe_period)
        if (missing := self._missing()) or self.checks.told != told:
            raise Broken("rest did not last: " + "; ".join(missing))
        for process in self.running.values():
            self.tally["refutations"] += process.node.stats.refutations
            self.tally["stalls"] += process.node.stats.stalls
            self.tally["repairs"] += process.node._reconciler.started
            # A restarted process may call its predecessor, on the address that is now its own.
            if refused := {
                why: many for why, many in process.node.stats.refused.items() if why != "own datagram"
            }:
                raise Broken(f"{process.name} refused datagrams of its own kind: {refused}")

    def _missing(self) -> list[str]:
        if any(each.give_up_at is not None for each in self.running.values()):
            return ["a process is still stopping"]
        return self.checks.missing(self.running.values())


@dataclass(frozen=True)
class Wait:
    """Let time pass."""

    seconds: float

    def take(self, world: World) -> None:
        world.advance(self.seconds)


@dataclass(frozen=True)
class Operate:
    """Submit an operation at a place, for its own member id or for one that all use."""

    what: str
    place: int
    group: str
    shared: bool = False
    apt: bool = True
    """Whether to take a group for which the operation makes sense here, if there is any."""

    def take(self, world: World) -> None:
        place = world.place(self.place, world.is_up)
        if place is None:
            return
        world.tally[self.what] += 1
        state = world.running[place].node.state
        member = "shared" if self.shared else f"member-{place}"
        _, wanted, command = OPERATIONS[self.what]
        group = self.group
        if self.apt:
            group = world.group(
                group, lambda each: wanted(exists(epoch_of(state.replica, each)), state.views[each], member)
            )
        capabilities = encode_capabilities(len(world.running[place].operations))
        world.submit(place, command(group, member, capabilities))


Wanted = Callable[[bool, Collection[str], str], bool]
OPERATIONS: dict[str, tuple[int, Wanted, Callable[[str, str, bytes], Command]]] = {
    "join": (4, lambda there, view, member: there and member not in view, Join),
    "join or create": (
        6,
        lambda there, view, member: member not in view,
        lambda group, member, value: Join(group, member, value, create=True),
    ),
    "leave": (4, lambda there, view, member: member in view, lambda group, member, _: Leave(group, member)),
    "create": (1, lambda there, view, member: not there, lambda group, member, _: Create(group)),
    "delete": (4, lambda there, view, member: there and not view, lambda group, member, _: Delete(group)),
    "update": (4, lambda there, view, member: member in view, Update),
}
"""For each operation its usual weight, where it makes sense (group exists, view, member), and the command."""


@dataclass(frozen=True)
class Clear:
    """All members that a node sees in a group leave it, each at its own node if that is up."""

    place: int
    group: str

    def take(self, world: World) -> None:
        here = world.place(self.place, world.is_up)
        if here is None:
            return
        homes = {each.node.node_id: place for place, each in world.running.items()}
        for member, presence in list(world.running[here].node.state.views[self.group].items()):
            home = homes.get(presence.node_id, here)
            world.submit(home if world.is_up(home) else here, Leave(self.group, member))


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, or right again, at a place."""

    what: str
    place: int
    other: int = 0

    def take(self, world: World) -> None:
        _, wanted, act = FAULTS[self.what]
        place = world.place(self.place, lambda each: wanted(world, each))
        if place is not None:
            act(world, place, self.other % world.nodes)


def _is_free(world: World, place: int) -> bool:
    return place not in world.running


def _is_paused(world: World, place: int) -> bool:
    return place in world.running and world.running[place].paused


FAULTS: dict[str, tuple[int, Callable[[World, int], bool], Callable[[World, int, int], Any]]] = {
    "crash": (1, World.is_up, lambda world, place, _: world.crash(place, silent=False)),
    "crash silent": (1, World.is_up, lambda world, place, _: world.crash(place, silent=True)),
    "stop": (1, World.is_up, lambda world, place, _: world.stop(place)),
    "start": (3, _is_free, lambda world, place, _: world.start(place)),
    "start elsewhere": (1, _is_free, lambda world, place, _: world.start(place, same_address=False)),
    "pause": (1, World.is_up, lambda world, place, _: world.pause(place)),
    "resume": (1, _is_paused, lambda world, place, _: world.resume(place)),
    "cut both": (1, World.is_up, lambda world, place, other: world.cut(place, other, both=True)),
    "cut one way": (1, World.is_up, lambda world, place, other: world.cut(place, other, both=False)),
    "split": (1, lambda *_: True, lambda world, place, _: world.split(place)),
    "heal": (2, lambda *_: True, lambda world, *_: world.heal()),
}
"""For each fault its usual weight, the places at which it can happen, and how it does."""


@dataclass(frozen=True)
class Weather:
    """What the network does to datagrams from now on."""

    loss: float
    duplication: float
    jitter: float

    def take(self, world: World) -> None:
        world.loss, world.duplication, world.jitter = self.loss, self.duplication, self.jitter


@dataclass(frozen=True)
class InFlight:
    """Lose or repeat datagrams that are under way."""

    what: str
    count: int

    def take(self, world: World) -> None:
        act = world.drop_in_flight if self.what == "drop" else world.duplicate_in_flight
        act(self.count)


Steps = tuple["Step", ...]
Step = Wait | Operate | Clear | Fault | Weather | InFlight


@dataclass(frozen=True)
class Schedule:
    """All that a run depends on."""

    nodes: int
    """Places."""
    up: int
    """Processes at the start."""
    seed: int
    head_start: float
    """Seconds before the first step: with none the nodes have not met yet."""
    together: int
    """`Config.settle_together`."""
    steps: tuple[Step, ...]


def draw(seed: int) -> Schedule:
    """The schedule of a seed. Each leaves some kinds of step out and dwells on others (swarm testing)."""
    chance = random.Random(seed)
    nodes = chance.randint(2, 6)
    draws = Draws(chance, nodes, GROUPS[: chance.choice((1, 1, 2, 3))], chance.choice((0.0, 0.1, 0.5)))
    weights = [usual * chance.choice((0, 1, 1, 4)) for usual, _ in KINDS]
    weights[0] = KINDS[0][0] * chance.choice((2, 4))
    kinds = [draw for _, draw in chance.choices(KINDS, weights, k=chance.randint(6, 60))]
    if chance.random() < 0.5:
        kinds.insert(0, Draws.weather)
    return Schedule(
        nodes,
        up=chance.choice((nodes, chance.randint(1, nodes))),
        seed=seed,
        head_start=chance.choice((0.0, 0.5)),
        together=chance.choice((8, 1)),
        steps=tuple(step for kind in kinds for step in kind(draws)),
    )


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

    def wait(self) -> Steps:
        return (Wait(self.chance.choice((0.001, 0.002, 0.005, 0.02, 0.1, 0.5, 2.0, 2.0, 8.0))),)

    def operation(self, what: str) -> Steps:
        shared, apt = self.chance.random() < self.shared, self.chance.random() < 0.8
        return (Operate(what, self.place, self.chance.choice(self.groups), shared, apt),)

    def clear(self) -> Steps:
        return (Clear(self.place, self.chance.choice(self.groups)),)

    def renewal(self) -> Steps:
        """A group is emptied, deleted, and created again, maybe before others know."""
        place, group = self.place, self.chance.choice(self.groups)
        again = Operate("join or create", self.place, group, apt=False)
        return (Clear(place, group), Operate("delete", place, group, apt=False), *self.wait(), again)

    def fault(self, what: str) -> Steps:
        return (Fault(what, self.place, self.place),)

    def weather(self) -> Steps:
        choice = self.chance.choice
        return (Weather(choice((0, 0.05, 0.5, 0.8)), choice((0, 0.3)), choice((0, 0.02, 0.4))),)

    def in_flight(self) -> Steps:
        return (InFlight(self.chance.choice(("drop", "duplicate")), self.chance.randint(1, 8)),)


KINDS: tuple[tuple[int, Callable[[Draws], Steps]], ...] = (
    (4, Draws.wait),
    *((usual, partial(Draws.operation, what=what)) for what, (usual, _, _) in OPERATIONS.items()),
    (1, Draws.clear),
    (2, Draws.renewal),
    *((usual, partial(Draws.fault, what=what)) for what, (usual, _, _) in FAULTS.items()),
    (2, Draws.weather),
    (1, Draws.in_flight),
)
"""Kinds of step with their usual weight."""


def replay(schedule: Schedule) -> World:
    """Run a schedule to its end. Raises `Broken` when it breaks a promise."""
    world = World(schedule)
    for step in schedule.steps:
        step.take(world)
    world.come_to_rest()
    return world


def failure(schedule: Schedule) -> Exception | None:
    """What a schedule breaks, if anything: a promise, or the code itself."""
    try:
        replay(schedule)
    except Exception as error:
        return error
    return None


def shrink(schedule: Schedule) -> Schedule:
    """A part of a failing schedule that fails still, in the same way, and of which no single step can go."""
    kind = type(failure(schedule))
    if kind is type(None):
        return schedule
    size = len(schedule.steps)
    while size:
        at = 0
        before = schedule
        while at < len(schedule.steps):
            smaller = replace(schedule, steps=schedule.steps[:at] + schedule.steps[at + size :])
            if type(failure(smaller)) is kind:
                schedule = smaller
            else:
                at += size
        if size > 1 or schedule is before:
            size //= 2
    return schedule
