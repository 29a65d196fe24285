"""The network under a coordinator: the kernel's, unless a test has put a simulated one in its place.

Law: whatever a coordinator gets from outside comes from its one network: its socket, the addresses of names,
those who may be there, and chance. The network is chosen where the coordinator is opened, by the caller's
context, and never changes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Protocol

import trio

from gossipgroups.discovery import LocalDirectory, Seeds, ask_system
from gossipgroups.ids import Address, Random
from gossipgroups.keys import Entropy
from gossipgroups.transport.binding import open_datagrams
from gossipgroups.transport.datagrams import Datagrams


class Directory(Seeds, Protocol):
    """Where coordinators that name no seeds find each other."""

    async def announce(self, address: Address, node_id: bytes) -> None:
        """Let others find this coordinator, until `withdraw`."""

    async def withdraw(self) -> None:
        """Remove what was announced. Runs also when cancelled."""


class Network(Protocol):
    """What coordinators stand on."""

    open_to_strangers: bool
    """Whether others than the program's own coordinators can send here."""

    async def bind(self, bind: Address, nursery: trio.Nursery) -> Datagrams:
        """A bound socket. Raises `OSError` with the address in its message when it cannot be had."""

    async def look_up(self, name: str) -> Sequence[str]:
        """The numeric addresses of a host's name. Raises `OSError`, or gives none, when it has none."""

    def directory(self, cluster: str) -> Directory:
        """For a coordinator of this cluster that names no seeds."""

    def chance(self, address: Address) -> Random:
        """What the node at a bound address draws from."""

    def entropy(self, address: Address) -> Entropy:
        """Where that node takes what nobody may foresee."""


class KernelNetwork:
    """The operating system's: UDP sockets, its resolver, the per-user directory, its randomness."""

    open_to_strangers = True

    async def bind(self, bind: Address, nursery: trio.Nursery) -> Datagrams:  # noqa: D102
        return await open_datagrams(bind, nursery)

    async def look_up(self, name: str) -> Sequence[str]:  # noqa: D102
        return await ask_system(name)

    def directory(self, cluster: str) -> Directory:  # noqa: D102
        return LocalDirectory(cluster)

    def chance(self, address: Address) -> Random:  # noqa: D102
        # Numbers of pings and cookies come from it: who has seen some must not foresee the next.
        return random.SystemRandom()

    def entropy(self, address: Address) -> Entropy:  # noqa: D102
        return os.urandom


KERNEL: Network = KernelNetwork()
"""The only network that the gossip thread can use: others belong to one trio run."""

current_network: ContextVar[Network] = ContextVar("gossipgroups.network", default=KERNEL)
"""What coordinators opened in this context, and in tasks started from it, are put on."""
