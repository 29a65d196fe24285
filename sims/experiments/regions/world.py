"""Five regions of one cloud, and the lines between their machines.

Law: the place of a machine says its region, and the regions of two machines say their line. Places take
turns, so that each region has a fifth of them.
"""

from __future__ import annotations

from gossipgroups.testing.latency import LogNormal, Uniform
from gossipgroups.testing.medium import Line
from sims.engine import Simulation
from sims.engine.simulation import host_of

REGIONS = ("Washington", "Frankfurt", "Tokyo", "Sydney", "São Paulo")
ROUND_TRIPS = {
    frozenset(("Washington", "Frankfurt")): 0.091,
    frozenset(("Washington", "Tokyo")): 0.166,
    frozenset(("Washington", "Sydney")): 0.216,
    frozenset(("Washington", "São Paulo")): 0.119,
    frozenset(("Frankfurt", "Tokyo")): 0.231,
    frozenset(("Frankfurt", "Sydney")): 0.250,
    frozenset(("Frankfurt", "São Paulo")): 0.198,
    frozenset(("Tokyo", "Sydney")): 0.115,
    frozenset(("Tokyo", "São Paulo")): 0.285,
    frozenset(("Sydney", "São Paulo")): 0.328,
}
"""Seconds, means over 17 August to 15 September 2024, of the slower direction, as IBM Cloud publishes them in
"Network latency dashboards" (github.com/ibm-cloud-docs/vpc, `_include-segments/network-latency.md`). Its
zones of one region are 0.1 to 2.4 ms apart."""
INSIDE = Uniform(0.00025, 0.001)
"""One way within a region: round trips of 0.5 to 2 ms."""
JITTER, SPIKE_JITTER = 0.1, 1.0
"""Standard deviations of the logarithm of the time one way between regions: one datagram in a hundred takes
1.26 times the median, and in a spike ten times."""
SPIKE_EVERY, SPIKE = 30.0, 5.0
"""Seconds between two beginnings of spikes, and that one lasts."""


def region_of(place: int) -> str:
    """The region of a place."""
    return REGIONS[place % len(REGIONS)]


def one_way(source: str, target: str) -> float:
    """Median seconds from a machine in one region to one in another, or in the same."""
    if source == target:
        return (INSIDE.shortest + INSIDE.longest) / 2
    return ROUND_TRIPS[frozenset((source, target))] / 2


def soonest(origin: str) -> float:
    """Seconds in which no protocol can settle news from a region: until the last knows that any other has it.

    A node has to hear from each other one after that had the news; at the median times of the lines.
    """
    return max(one_way(origin, one) + one_way(one, other) for one in REGIONS for other in REGIONS)


class World:
    """So many places in a simulation, and the lines between them."""

    def __init__(self, simulation: Simulation, places: int) -> None:
        self._simulation = simulation
        self._loss = 0.0
        self.region_of = {host_of(place): region_of(place) for place in range(places)}
        """By host."""
        simulation.medium.line = Line(latency=INSIDE)
        self._lay()

    def lose(self, share: float) -> None:
        """Lose this share of what is sent between regions from now on."""
        self._loss = share
        self._lay()

    def spike(self) -> None:
        """Let jitter between one region, at random, and all others be great for a while, again and again."""
        self._lay(shaken=self._simulation.random.choice(REGIONS))
        self._simulation.after(SPIKE, self._lay)
        self._simulation.after(SPIKE_EVERY, self.spike)

    def cut_off(self, region: str) -> None:
        """Let nothing pass between a region and the others, until the medium is mended."""
        self._simulation.medium.partition([host for host, its in self.region_of.items() if its == region])

    def _lay(self, shaken: str | None = None) -> None:
        lines = {
            (source, target): Line(
                latency=LogNormal(
                    one_way(source, target), SPIKE_JITTER if shaken in (source, target) else JITTER
                ),
                loss=self._loss,
            )
            for source in REGIONS
            for target in REGIONS
            if source != target
        }
        self._simulation.medium.between = {
            (source, target): lines[here, there]
            for source, here in self.region_of.items()
            for target, there in self.region_of.items()
            if here != there
        }
