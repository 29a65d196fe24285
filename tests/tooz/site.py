"""A seed and tooz coordinators of one test, and callbacks that keep what they are told."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, cast

from tooz import coordination
from tooz.coordination import CoordinationDriver

import gossipgroups as gg
from gossipgroups.tooz import GossipDriver
from tests.waiting import address_of

GROUP = b"workers"


class Site:
    """A seed, and the tooz coordinators of a test."""

    def __init__(self, stack: ExitStack, seed: gg.BlockingCoordinator) -> None:
        self.seed = seed
        self.url = f"gossip://{address_of(seed)}/tooz?preset=local"
        self._stack = stack

    def made(self, member: bytes | str, **options: Any) -> GossipDriver:
        """A coordinator that was not started."""
        made = coordination.get_coordinator(self.url, cast(bytes, member), **options)
        assert isinstance(made, GossipDriver)
        return made

    def started(self, member: bytes | str, **options: Any) -> GossipDriver:
        """One that was."""
        coordinator = self.made(member, **options)
        coordinator.start()
        self._stack.callback(_stop, coordinator)
        return coordinator


def _stop(coordinator: CoordinationDriver) -> None:
    if coordinator.is_started:
        coordinator.stop()


class Told(list[Any]):
    """A callback that keeps its events."""

    __name__ = "told"

    def __call__(self, event: Any) -> None:
        self.append(event)


def ignore(event: Any) -> None:
    """A callback that does nothing."""


def names(told: list[Any]) -> list[tuple[str, bytes]]:
    """Events as short values."""
    return [(type(event).__name__, event.member_id) for event in told]
