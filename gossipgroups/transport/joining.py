"""Joining: how long a coordinator waits for others before it is ready, and how it looks for them ever after.

Law: who has named seeds is ready when one of them has answered and the state is theirs, or not at all. Who
has none waits a moment for others that may be there, and is ready all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

import trio

from gossipgroups.discovery import Seeds
from gossipgroups.errors import SeedsUnreachable
from gossipgroups.ids import Address
from gossipgroups.node import Node
from gossipgroups.transport.link import Link, Settings, settle

DIRECTORY_SECONDS = 30.0
"""How often the directory, or the seeds' names, are read again once others were found."""
LOOK_SECONDS = 1.0
"""How long to wait for others that may be there, but need not: local coordinators, other seeds than
ourselves."""

Seek = Callable[[tuple[Address, ...]], None]


class Joining:
    """How one node finds others. `bound` is its socket's address, `join_by` on trio's clock."""

    def __init__(
        self, link: Link, node: Node, seeds: Seeds, bound: Address, join_by: float, seek: Seek
    ) -> None:
        self._link = link
        self._node = node
        self._seeds = seeds
        self._bound = bound
        self._join_by = join_by
        self._seek = seek
        self._turn = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Wait for the others, then tell the link that it is ready, or why it is not."""
        settings, node = self._link.settings, self._node
        look_until = trio.current_time() + min(LOOK_SECONDS, settings.join_timeout)
        with trio.move_on_at(self._join_by) as scope:
            while not node.joined:
                if not self._needs_seed():
                    if node.alone:
                        break
                    scope.deadline = look_until
                await self._turn.park()
        if self._needs_seed() and not node.answered:
            settle(self._link.ready, error=unreachable(settings, self._bound, node.seeds))
        else:
            settle(self._link.ready, None)

    def turn_ended(self) -> None:
        """Look whether the node has joined."""
        if self._turn:
            self._turn.unpark_all()

    async def look_again(self) -> None:
        """Read the seeds again and again: names and directories change."""
        config = self._link.settings.config
        while True:
            await trio.sleep(DIRECTORY_SECONDS if self._node.answered else config.seed_interval)
            self._seek(await self._seeds.addresses())

    def _needs_seed(self) -> bool:
        return bool(self._link.settings.seeds) and not self._node.own_seed


def unreachable(settings: Settings, bound: Address, seeds: Iterable[Address]) -> SeedsUnreachable:
    """The error that no seed has answered; it says so if the socket is bound where none could."""
    local = ip_address(bound.host).is_loopback
    elsewhere = any(not ip_address(seed.host).is_loopback for seed in seeds)
    return SeedsUnreachable(
        settings.seeds or (), settings.join_timeout, str(bound) if local and elsewhere else ""
    )
