"""What is sent, and how much of it from one region to another.

Law: a datagram counts when it is sent, with its IPv4 and UDP headers, whether it arrives or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gossipgroups.ids import Address
from gossipgroups.testing.medium import HEADER_BYTES
from sims.engine import Process, Watcher


class Crossings(Watcher):
    """Datagrams and bytes since the start or the last `restart`. `region_of` is by host."""

    def __init__(self) -> None:
        self.region_of: Mapping[str, str] = {}
        self.restart()

    def restart(self) -> None:
        """Count anew from now on."""
        self.datagrams = self.bytes = 0
        """All that was sent."""
        self.datagrams_across = self.bytes_across = 0
        """What was sent from one region to another."""

    def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
        size = len(datagram) + HEADER_BYTES
        self.datagrams += 1
        self.bytes += size
        if self.region_of[process.host] != self.region_of[target.host]:
            self.datagrams_across += 1
            self.bytes_across += size
