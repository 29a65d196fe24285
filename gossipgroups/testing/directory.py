"""How coordinators that name no seeds find each other on a simulated network.

Law: one directory serves all hosts of a network, apart for each cluster. Who has crashed is in it no more.
"""

from __future__ import annotations

import trio

from gossipgroups.ids import Address
from gossipgroups.testing.sockets import Carrier


class SharedDirectory:
    """How coordinators without seeds find each other: all of one cluster on the network, in memory."""

    def __init__(self, announced: set[Address], carrier: Carrier) -> None:
        self._announced = announced
        self._carrier = carrier
        self._own: Address | None = None

    async def announce(self, address: Address, node_id: bytes) -> None:
        """Let others find this coordinator."""
        await trio.lowlevel.checkpoint()
        self._own = address
        self._announced.add(address)

    async def withdraw(self) -> None:
        """Remove what was announced."""
        if self._own is not None:
            self._announced.discard(self._own)

    async def addresses(self) -> tuple[Address, ...]:
        """All others that run."""
        await trio.lowlevel.checkpoint()
        return tuple(
            address
            for address in sorted(self._announced)
            if address != self._own and address in self._carrier.sockets
        )

    def describe(self) -> tuple[str, ...]:
        """The network, for messages."""
        return ("the simulated network",)
