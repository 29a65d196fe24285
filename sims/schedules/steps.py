"""The kinds of step, as frozen values that act on a world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gossipgroups.errors import InvalidValue
from gossipgroups.groups.epochs import epoch_of, exists
from gossipgroups.groups.rules import Leave
from gossipgroups.registers import encode_capabilities
from gossipgroups.testing.medium import Line
from sims.engine import host_of
from sims.schedules.faults import FAULTS
from sims.schedules.operations import OPERATIONS
from sims.schedules.stranger import ATTACKS
from sims.schedules.world import World

MEMBER_OF_ALL = "shared"


class Step:
    """Base of all steps."""

    def take(self, world: World) -> None:
        """Do it."""
        raise NotImplementedError

    def places(self) -> Iterator[int]:
        """The places that it names."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Wait(Step):
    """Let time pass."""

    seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= 3600:
            raise InvalidValue(f"wait of {self.seconds} seconds: it must be 0 to 3600")

    def take(self, world: World) -> None:
        world.simulation.advance(self.seconds)


@dataclass(frozen=True, slots=True)
class Operate(Step):
    """Submit an operation at a place, for its own member id or for one that all use."""

    what: str
    place: int
    group: str
    shared: bool = False
    apt: bool = True
    """Whether to take a group for which the operation makes sense here, if there is any."""

    def __post_init__(self) -> None:
        if self.what not in OPERATIONS:
            raise InvalidValue(f"no operation {self.what!r}: choose from {', '.join(OPERATIONS)}")

    def take(self, world: World) -> None:
        place = world.place(self.place, world.can_act)
        if place is None:
            return
        process = world.at(place)
        state = process.node.state
        member = MEMBER_OF_ALL if self.shared else f"member-{place}"
        _, wanted, command = OPERATIONS[self.what]
        group = self.group
        if self.apt:
            group = world.group(
                group, lambda each: wanted(exists(epoch_of(state.replica, each)), state.views[each], member)
            )
        world.simulation.tally[self.what] += 1
        world.simulation.submit(process, command(group, member, encode_capabilities(len(process.operations))))

    def places(self) -> Iterator[int]:
        yield self.place


@dataclass(frozen=True, slots=True)
class Clear(Step):
    """All members that a node sees in a group leave it, each at its own node if that is up."""

    place: int
    group: str

    def take(self, world: World) -> None:
        here = world.place(self.place, world.can_act)
        if here is None:
            return
        homes = {process.node.node_id: place for place, process in world.running.items()}
        for member, presence in list(world.at(here).node.state.views[self.group].items()):
            home = homes.get(presence.node_id, here)
            place = home if world.can_act(home) else here
            world.simulation.submit(world.at(place), Leave(self.group, member))

    def places(self) -> Iterator[int]:
        yield self.place


@dataclass(frozen=True, slots=True)
class Fault(Step):
    """Something that goes wrong, or right again, with a process or its clock."""

    what: str
    place: int
    amount: float = 0.0

    def __post_init__(self) -> None:
        if self.what not in FAULTS:
            raise InvalidValue(f"no fault {self.what!r}: choose from {', '.join(FAULTS)}")
        amount = FAULTS[self.what].amount
        if amount is None and self.amount:
            raise InvalidValue(f"fault {self.what!r} has no amount, but {self.amount} is given: leave it out")
        if amount is not None and not amount.least <= self.amount <= amount.most:
            raise InvalidValue(
                f"amount of fault {self.what!r} is {self.amount}: "
                f"it must be {amount.least:g} to {amount.most:g} ({amount.unit})"
            )

    def take(self, world: World) -> None:
        kind = FAULTS[self.what]
        place = world.place(self.place, lambda each: kind.makes_sense(world, each))
        if place is not None:
            kind.act(world, place, self.amount)

    def places(self) -> Iterator[int]:
        yield self.place


@dataclass(frozen=True, slots=True)
class Cut(Step):
    """Cut the line from one place to another, and back if `both`."""

    source: int
    target: int
    both: bool = False

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise InvalidValue(f"a cut from place {self.source} to itself: name two places")

    def take(self, world: World) -> None:
        world.cut(self.source, self.target, both=self.both)

    def places(self) -> Iterator[int]:
        yield from (self.source, self.target)


@dataclass(frozen=True, slots=True)
class Partition(Step):
    """Let nothing pass between these sets of places; all others make up a side of their own."""

    sides: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        flat = list(self.places())
        if not flat or len(flat) != len(set(flat)):
            raise InvalidValue(f"sides {self.sides}: name at least one place, and each at most once")

    def take(self, world: World) -> None:
        world.partition(self.sides)

    def places(self) -> Iterator[int]:
        for side in self.sides:
            yield from side


@dataclass(frozen=True, slots=True)
class Heal(Step):
    """Undo all cuts and partitions."""

    def take(self, world: World) -> None:
        world.mend()


@dataclass(frozen=True, slots=True)
class Calm(Step):
    """Undo all faults but crashes and clocks: what was lost stays lost."""

    def take(self, world: World) -> None:
        world.did("calm")
        world.calm()


@dataclass(frozen=True, slots=True)
class Weather(Step):
    """Conditions of the whole network from now on."""

    line: Line = Line()

    def take(self, world: World) -> None:
        world.did(f"latency {type(self.line.latency).__name__.lower()}", str(self.line))
        world.simulation.medium.line = self.line


Where = Literal["egress", "ingress"]


@dataclass(frozen=True, slots=True)
class Condition(Step):
    """Conditions of all that one place sends, or is sent, from now on."""

    where: Where
    place: int
    line: Line = Line()

    def take(self, world: World) -> None:
        world.did(f"condition of {self.where}", f"{host_of(self.place)} {self.line}")
        getattr(world.simulation.medium, self.where)[host_of(self.place)] = self.line

    def places(self) -> Iterator[int]:
        yield self.place


@dataclass(frozen=True, slots=True)
class InFlight(Step):
    """Lose or repeat the next datagrams that are under way."""

    what: Literal["lose", "repeat"]
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 10_000:
            raise InvalidValue(f"{self.count} datagrams in flight: it must be 1 to 10,000")

    def take(self, world: World) -> None:
        simulation = world.simulation
        act = simulation.lose_in_flight if self.what == "lose" else simulation.repeat_in_flight
        act(self.count)


@dataclass(frozen=True, slots=True)
class Attack(Step):
    """The stranger sends so many datagrams of a kind within the next seconds, once it has recorded any."""

    what: str
    count: int
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.what not in ATTACKS:
            raise InvalidValue(f"no attack {self.what!r}: choose from {', '.join(ATTACKS)}")
        if not 1 <= self.count <= 10_000:
            raise InvalidValue(f"{self.count} datagrams of an attack: it must be 1 to 10,000")
        if not 0 <= self.seconds <= 3600:
            raise InvalidValue(f"an attack of {self.seconds} seconds: it must be 0 to 3600")

    def take(self, world: World) -> None:
        world.stranger.work(self.what, self.count, self.seconds)


STEPS: dict[str, type[Step]] = {
    each.__name__.lower(): each
    for each in (
        Wait,
        Operate,
        Clear,
        Fault,
        Cut,
        Partition,
        Heal,
        Calm,
        Weather,
        Condition,
        InFlight,
        Attack,
    )
}
"""All kinds of step, by the name under which they are written."""
