"""When a node was first pinged after something happened to it."""

from __future__ import annotations

from collections.abc import Sequence

from gossipgroups.ids import Address
from gossipgroups.wire.messages import Ping
from sims.engine import Process, Simulation, Watcher


class FirstPing(Watcher):
    """When an address was first pinged since it was watched."""

    def __init__(self) -> None:
        self.at: float | None = None
        self._target: Address | None = None

    def watch(self, target: Address) -> None:
        """Wait for the next ping to this address."""
        self._target, self.at = target, None

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
        if target == self._target and self.at is None:
            sections = process.node.read(datagram).sections
            if any(isinstance(each, Ping) for each in sections):
                self.at = self._simulation.now
