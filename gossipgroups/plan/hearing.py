"""When nodes have heard of news: at once, again each gossip interval, and by being asked.

Law: mean-field. What is drawn at random comes to all alike. Along a tree a node hears from the one above, or
from one below that has heard otherwise; what was lost there, from whoever else tells or asks it.
"""

from __future__ import annotations

from math import ceil, exp, log1p

from gossipgroups.config import Config
from gossipgroups.convergence import ASKED, IMPATIENCE, LONGEST_RETRY, RETRY_GROWTH
from gossipgroups.gossip import BESIDE_TREES, has_trees
from gossipgroups.plan.curve import Curve
from gossipgroups.plan.network import Network
from gossipgroups.spanning import BRANCHES
from gossipgroups.swim.dissemination import retransmit_limit

GRID = 800
"""Places of a curve: enough that a thousand more change no figure by a hundredth."""
RETRIES = 24
"""Times that a node asks, as far as anybody waits here."""
COMING = 2.5
"""Hops until what comes from below at once has come: fitted to the simulator."""
NEGLIGIBLE = 1e-6
ALMOST = 1 - NEGLIGIBLE


def heard(config: Config, network: Network, nodes: int, step: float, *, along_tree: bool = False) -> Curve:
    """When one node has heard of news, in seconds after it was made."""
    if nodes == 1:
        return Curve(step, [1.0] * (GRID + 1))
    fanout = min(config.fanout, nodes - 1)
    tree = _Tree(network, nodes, step) if along_tree and has_trees(nodes, config) else None
    fraction, reached = [1 / nodes], [0.0]
    # What is told at once, and on the way up, uses up tellings. Where none are left, whoever has not heard is
    # asked about a view that it lacks, and repairs that when nothing else has changed lately.
    pushed = 0 if nodes <= 1 + BRANCHES else 1
    spare = retransmit_limit(config.retransmit_multiplier, nodes) - fanout - pushed
    in_time = ceil(GRID * step / config.gossip_interval)  # later ones are beyond the grid
    rounds = range(1, 1 + min(max(0, spare) // config.fanout, in_time))
    again = [int(config.gossip_interval * each / step) for each in rounds]
    silent_for = 0.0 if spare > 0 else config.gossip_interval
    # The wait begins anew with each bit that comes from below.
    coming = COMING * network.hop
    below = [int((each + coming) / step) for each in asking_times(config, IMPATIENCE) if each >= silent_for]
    at_once = _pressure(network, BESIDE_TREES if tree else fanout, nodes)
    later = _pressure(network, fanout, nodes)
    asked = -log1p(-min(network.arrives, ALMOST))
    delays = [(seconds / step, p) for seconds, p in network.hops()]
    pressure = 0.0

    def began(place: int, waits: list[int]) -> float:
        """Share of the nodes to which it falls in this step to send, after one of these waits."""
        return sum(reached[place - each] - reached[place - each - 1] for each in waits if place > each)

    for place in range(1, GRID + 1):
        reached.append(sum(p * _at(fraction, place - delay) for delay, p in delays))
        pressure += at_once * began(place, [0]) + later * began(place, again)
        # The one above asks some of those below that have not been heard: few others are among these.
        missing = max(1.0, BRANCHES * (1 - fraction[-1]))
        pressure += min(1.0, ASKED / missing) * asked * began(place, below)
        missed = exp(-pressure)
        known = 1 - (1 - 1 / nodes) * missed if tree is None else tree.step(place, missed)
        fraction.append(max(fraction[-1], known))
    return Curve(step, fraction)


class _Tree:
    """How far news has come along a tree, level by level, from a node on the fullest one."""

    def __init__(self, network: Network, nodes: int, step: float) -> None:
        self._sizes = levels(nodes)
        self._nodes = nodes
        self._arrives = network.arrives
        self._delays = [(seconds / step, p) for seconds, p in network.hops()]
        origin = self._sizes.index(max(self._sizes))
        # By level: who has heard; who has, other than from above; whether the one above the origin has.
        self._heard = [[float(level == origin) / size] for level, size in enumerate(self._sizes)]
        self._otherwise = [[0.0] for _ in self._sizes]
        self._climbed = [[float(level == origin)] for level in range(origin + 1)]

    def step(self, place: int, missed: float) -> float:
        """The share that has heard, when so many have been missed by all that goes at random."""
        last = len(self._sizes) - 1
        for level in range(len(self._climbed) - 2, -1, -1):
            self._climbed[level].append(self._arrived(self._climbed[level + 1], place))
        self._climbed[-1].append(1.0)
        for level in range(last, -1, -1):
            from_below = 0.0
            if level < last:
                each = self._arrived(self._otherwise[level + 1], place)
                from_below = 1 - (1 - each) ** (self._sizes[level + 1] / self._sizes[level])
            self._otherwise[level].append(1 - missed * (1 - from_below))
        total = 0.0
        for level, size in enumerate(self._sizes):
            from_above = self._arrived(self._heard[level - 1], place) if level else 0.0
            origin = self._climbed[level][-1] / size if level < len(self._climbed) else 0.0
            known = 1 - (1 - from_above) * (1 - origin) * (1 - self._otherwise[level][-1])
            self._heard[level].append(known)
            total += size * known
        return total / self._nodes

    def _arrived(self, curve: list[float], place: int) -> float:
        return self._arrives * sum(p * _at(curve, place - delay) for delay, p in self._delays)


def levels(nodes: int) -> list[int]:
    """How many nodes there are at each depth of a tree."""
    sizes, left, room = [], nodes, 1
    while left > 0:
        sizes.append(min(left, room))
        left -= room
        room *= BRANCHES
    return sizes


def asking_times(config: Config, share: float) -> list[float]:
    """Seconds after a change at which a node asks that does not settle; `share` of the waits."""
    times, at, wait = [], 0.0, config.settle_retry
    for _ in range(RETRIES):
        at += share * wait
        times.append(at)
        wait = min(RETRY_GROWTH * wait, LONGEST_RETRY * config.settle_retry)
    return times


def _pressure(network: Network, told: float, nodes: int) -> float:
    """What one that tells so many others adds to the exponent of those missed, times the nodes."""
    return -nodes * log1p(-min(network.arrives * told / (nodes - 1), ALMOST))


def _at(curve: list[float], place: float) -> float:
    """A curve between its places; before them 0."""
    if place < 0:
        return 0.0
    whole = int(place)
    if whole + 1 >= len(curve):
        return curve[-1]
    return curve[whole] + (place - whole) * (curve[whole + 1] - curve[whole])
