"""A schedule, and its run under all checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossipgroups.errors import InvalidValue
from gossipgroups.ids import check_name
from sims.engine import Watcher
from sims.schedules.steps import Step
from sims.schedules.world import CONFIG, World

MAX_PLACES = 1024
SOONEST = 10.0
"""The shortest `forget_after`, seconds."""
MAX_TOGETHER = 1_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that a run depends on."""

    seed: int
    """Of the simulation's chance: latencies, losses, node ids."""
    nodes: int
    """Places, each with one process at most."""
    up: int
    """Processes at the start."""
    head_start: float = 0.0
    """Seconds before the first step: with none the nodes have not met yet."""
    together: int = CONFIG.settle_together
    """`Config.settle_together`."""
    groups: tuple[str, ...] = ("red",)
    """The groups that steps may name."""
    sealed: bool = False
    """Whether the cluster has keys."""
    recorded: float = 0.0
    """Share of all datagrams that the stranger records."""
    forget_after: float = CONFIG.forget_after
    """`Config.forget_after`, seconds."""
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MAX_PLACES:
            raise InvalidValue(f"nodes is {self.nodes}: it must be 1 to {MAX_PLACES}")
        if not 0 <= self.up <= self.nodes:
            raise InvalidValue(f"up is {self.up}: it must be 0 to {self.nodes}, the number of nodes")
        if not 0 <= self.head_start <= 3600:
            raise InvalidValue(f"head_start is {self.head_start}: it must be 0 to 3600 seconds")
        if not 1 <= self.together <= MAX_TOGETHER:
            raise InvalidValue(f"together is {self.together}: it must be 1 to {MAX_TOGETHER} scopes")
        if not 0 <= self.recorded <= 1:
            raise InvalidValue(f"recorded is {self.recorded}: it must be a share, 0 to 1")
        if not SOONEST <= self.forget_after <= CONFIG.forget_after:
            raise InvalidValue(
                f"forget_after is {self.forget_after}: "
                f"it must be {SOONEST:g} to {CONFIG.forget_after:g} seconds"
            )
        if not self.groups:
            raise InvalidValue("groups is empty: name at least one")
        for name in self.groups:
            check_name("group id", name)
        for number, step in enumerate(self.steps):
            for place in step.places():
                if not 0 <= place < self.nodes:
                    raise InvalidValue(
                        f"step {number} names place {place}: there are {self.nodes} nodes, from 0 up"
                    )
            group = getattr(step, "group", None)
            if group is not None and group not in self.groups:
                raise InvalidValue(
                    f"step {number} names group {group!r}: groups are {', '.join(self.groups)}"
                )


def begin(schedule: Schedule, watchers: Sequence[Watcher] = ()) -> World:
    """The world before the first step."""
    world = World(
        schedule.seed,
        schedule.nodes,
        groups=schedule.groups,
        together=schedule.together,
        sealed=schedule.sealed,
        recorded=schedule.recorded,
        forget_after=schedule.forget_after,
        watchers=watchers,
    )
    for place in range(schedule.up):
        world.start(place)
    world.simulation.advance(schedule.head_start)
    return world


def finish(schedule: Schedule, world: World) -> None:
    """Take all steps, and come to rest. Raises `Broken` when a promise is broken."""
    for step in schedule.steps:
        step.take(world)
    world.come_to_rest()


def replay(schedule: Schedule, watchers: Sequence[Watcher] = ()) -> World:
    """Run a schedule to its end. Raises `Broken` when it breaks a promise."""
    world = begin(schedule, watchers)
    finish(schedule, world)
    return world


def failure(schedule: Schedule) -> Exception | None:
    """What a schedule breaks, if anything: a promise, or the code itself."""
    try:
        replay(schedule)
    except Exception as error:
        return error
    return None
