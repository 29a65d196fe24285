"""What each process sends and is sent, in windows of one second.

Law: a datagram counts with its IPv4 and UDP headers: as sent in the second in which it leaves, as received in
the second in which it arrives; one that is lost was never received. A process counts in the whole seconds in
which it runs.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from typing import NamedTuple

from gossipgroups.ids import Address
from gossipgroups.testing.medium import HEADER_BYTES
from sims.engine import Process, Simulation, Watcher
from sims.loopback.figures import quantile


class Rate(NamedTuple):
    """Of all windows, in KB (1,000 bytes) a second."""

    mean: float
    p99: float
    highest: float


class Traffic(Watcher):
    """Bytes by process and second."""

    def __init__(self) -> None:
        self._sent: dict[Address, array[int]] = {}
        self._received: dict[Address, array[int]] = {}

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def started(self, process: Process) -> None:
        self._sent.setdefault(process.address, array("q"))
        self._received.setdefault(process.address, array("q"))

    def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
        size = len(datagram) + HEADER_BYTES
        # It leaves at the end of the turn that sends it.
        _add(self._sent[process.address], max(self._simulation.now, process.busy_until), size)
        received = self._received.get(target)
        if received is not None:
            for arrival in arrivals:
                _add(received, arrival, size)

    def rates(self, first: int, last: int, without: Collection[Address] = ()) -> tuple[Rate, Rate]:
        """Received and sent from second `first` on, up to `last`, by all processes but some."""
        return _rate(self._received, first, last, without), _rate(self._sent, first, last, without)


def _add(windows: array[int], time: float, size: int) -> None:
    second = int(time)
    if second >= len(windows):
        windows.extend([0] * (second + 1 - len(windows)))
    windows[second] += size


def _rate(windows: dict[Address, array[int]], first: int, last: int, without: Collection[Address]) -> Rate:
    counts: list[int] = []
    for address, each in windows.items():
        if address not in without:
            some = each[first:last]
            counts += some
            counts += [0] * (last - first - len(some))
    if not counts:
        return Rate(0.0, 0.0, 0.0)
    p99 = quantile(counts, 0.99) or 0.0
    return Rate(sum(counts) / len(counts) / 1000, p99 / 1000, max(counts) / 1000)
