"""What goes wrong with processes and their clocks, and right again.

Law: a fault happens at the first place, from the one named, where it makes sense. Some have an amount, which
lies between two bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sims.engine.process import SOCKET_BUFFER
from sims.schedules.insiders import flood, put_clock_ahead, start_other_version, start_twin

if TYPE_CHECKING:
    from sims.schedules.world import World


@dataclass(frozen=True, slots=True)
class Amount:
    """How much a fault may be."""

    unit: str
    least: float
    most: float
    usual: tuple[float, ...]
    """What is drawn."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault."""

    weight: int
    makes_sense: Callable[[World, int], bool]
    act: Callable[[World, int, float], Any]
    amount: Amount | None = None


def _up(world: World, place: int) -> bool:
    return world.is_up(place)


def _can_act(world: World, place: int) -> bool:
    return world.can_act(place)


def _free(world: World, place: int) -> bool:
    return world.is_free(place)


def _runs(world: World, place: int) -> bool:
    return not world.is_free(place)


def _small_buffer(world: World, place: int, amount: float) -> None:
    process = world.at(place)
    world.simulation.did("small buffer", process, f"{amount:g}")
    # What waits already is not thrown away.
    process.buffer_bytes = max(int(amount), process.inbox_bytes)


FAULTS: dict[str, Kind] = {
    "crash": Kind(1, _up, lambda world, place, _: world.simulation.crash(world.at(place))),
    "crash silent": Kind(
        1, _up, lambda world, place, _: world.simulation.crash(world.at(place), silent=True)
    ),
    "stop": Kind(1, _can_act, lambda world, place, _: world.simulation.stop(world.at(place))),
    "start": Kind(3, _free, lambda world, place, _: world.start(place)),
    "start elsewhere": Kind(1, _free, lambda world, place, _: world.start(place, elsewhere=True)),
    "pause": Kind(1, _can_act, lambda world, place, _: world.simulation.pause(world.at(place))),
    "resume": Kind(
        1,
        lambda world, place: world.is_paused(place),
        lambda world, place, _: world.simulation.resume(world.at(place)),
    ),
    "block": Kind(1, _up, lambda world, place, _: world.simulation.block(world.at(place))),
    "unblock": Kind(
        1,
        lambda world, place: _runs(world, place) and world.at(place).blocked,
        lambda world, place, _: world.simulation.unblock(world.at(place)),
    ),
    "small buffer": Kind(1, _up, _small_buffer, Amount("bytes", 1024, SOCKET_BUFFER, (2048, 8192))),
    "slow": Kind(
        1,
        _up,
        lambda world, place, share: world.simulation.slow(world.at(place), share),
        Amount("share of a processor", 0.001, 1.0, (0.005, 0.02, 0.1)),
    ),
    "skew": Kind(
        1,
        _runs,
        lambda world, place, rate: world.simulation.skew(world.at(place), rate),
        Amount("rate", 0.25, 4.0, (0.5, 0.95, 0.99, 1.01, 1.05, 2.0)),
    ),
    "jump": Kind(
        1,
        _runs,
        lambda world, place, seconds: world.jump(place, seconds),
        Amount("seconds", -30.0, 86_400.0, (-3.0, -0.5, -0.05, 0.5, 5.0, 60.0, 3600.0)),
    ),
    "twin": Kind(
        1,
        lambda world, place: world.can_act(place) and not world.has_twin(place),
        lambda world, place, _: start_twin(world, place),
    ),
    "other version": Kind(1, _up, lambda world, place, _: start_other_version(world)),
    "clock ahead": Kind(
        1,
        _can_act,
        put_clock_ahead,
        # The last is just before the clock's highest value, from which it begins anew.
        Amount("periods", 1.0, 2.0**40 - 1, (100.0, 1e6, 2.0**40 - 20)),
    ),
    "flood": Kind(1, _can_act, flood, Amount("changes a second", 1.0, 1000.0, (20.0, 100.0))),
}
"""All kinds of fault at a place, by name."""
