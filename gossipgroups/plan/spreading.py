"""How long a change takes until the last callback: its rumour among all nodes, then the tree of settling.

Law: mean-field. A node hears of news from any that has it: at once, again each gossip interval, and by being
asked. Up the tree a node waits for all below it, down it for the one above; where a push was lost, until who
waits for it has asked. Those below one node are independent, so the recursion over the levels is exact but
for what is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log1p

from gossipgroups.config import Config
from gossipgroups.convergence import ASKED, IMPATIENCE, LONGEST_RETRY, RETRY_GROWTH
from gossipgroups.plan.curve import Curve
from gossipgroups.plan.network import Atoms, Network
from gossipgroups.spanning import BRANCHES
from gossipgroups.swim.dissemination import retransmit_limit

GRID = 800
"""Places of a curve: enough that a thousand more change no figure by a hundredth."""
ENOUGH = 0.9995
"""A curve that ends below this is computed again on a longer grid."""
LONGER = 2
LONGEST = 1000.0
RETRIES = 24
"""Times that a node asks, as far as anybody waits here."""
COMING = 2.5
"""Hops until what comes from below at once has come: the one constant that was fitted to the simulator."""
NEGLIGIBLE = 1e-6
ALMOST = 1 - NEGLIGIBLE

Dying = Callable[[Curve], Curve]
"""Turns the time at which a node hears of a suspicion or death into that at which it holds the node dead."""


@dataclass(frozen=True, slots=True)
class Settling:
    """When a change has settled, in seconds after the first node has made or held it."""

    each: Curve
    """At one node."""
    last: Curve
    """At the last of all."""
    up: Curve
    """When all bits have come up to the root."""


def settling(config: Config, network: Network, nodes: int, dying: Dying | None = None) -> Settling:
    """When a change settles among so many nodes.

    Without `dying` it is a change that its own datagrams tell; a death is believed when its time has come.
    """
    horizon = (2 * len(_depths(nodes)) + 4) * 6 * network.hop
    while True:
        learnt = heard(config, network, nodes, horizon / GRID)
        early = 0.0
        if dying is not None:
            learnt = dying(learnt)
            # A push that comes before its receiver has learnt the death says nothing to it.
            early = learnt.sooner_by(network.hop)
        found = _settled(config, network, nodes, learnt, early)
        if found.last.values[-1] >= ENOUGH or horizon > LONGEST:
            return found
        horizon = max(LONGER * horizon, 4 * config.settle_retry)


def heard(config: Config, network: Network, nodes: int, step: float) -> Curve:
    """When one node has heard of news, in seconds after it was made."""
    if nodes == 1:
        return Curve(step, [1.0] * (GRID + 1))
    arrives, fraction, reached = network.arrives, [1 / nodes], [0.0]
    delays = [(seconds / step, p) for seconds, p in network.hops()]
    fanout = min(config.fanout, nodes - 1)
    told = -nodes * log1p(-min(arrives * fanout / (nodes - 1), ALMOST))
    # What is told at once, and on the way up, uses up tellings. Where none are left, whoever has not heard is
    # asked about a view that it lacks, and repairs that when nothing else has changed lately.
    pushed = 0 if nodes <= 1 + BRANCHES else 1
    spare = retransmit_limit(config.retransmit_multiplier, nodes) - fanout - pushed
    again = [int(config.gossip_interval * each / step) for each in range(1 + max(0, spare) // config.fanout)]
    silent_for = 0.0 if spare > 0 else config.gossip_interval
    # The wait begins anew with each bit that comes from below.
    coming = COMING * network.hop
    below = [int((each + coming) / step) for each in asking_times(config, IMPATIENCE) if each >= silent_for]
    pressure = 0.0

    def at(place: float) -> float:
        if place < 0:
            return 0.0
        whole = int(place)
        if whole + 1 >= len(fraction):
            return fraction[-1]
        return fraction[whole] + (place - whole) * (fraction[whole + 1] - fraction[whole])

    def began(place: int, waits: list[int]) -> float:
        """Share of the nodes to which it falls in this step to send, after one of these waits."""
        return sum(reached[place - each] - reached[place - each - 1] for each in waits if place > each)

    for place in range(1, GRID + 1):
        reached.append(sum(p * at(place - delay) for delay, p in delays))
        pressure += told * began(place, again)
        # The one above asks some of those below that have not been heard: few others are among these.
        missing = max(1.0, BRANCHES * (1 - fraction[-1]))
        pressure -= min(1.0, ASKED / missing) * log1p(-min(arrives, ALMOST)) * began(place, below)
        missed = (1 - 1 / nodes) * exp(-pressure)
        fraction.append(max(fraction[-1], 1 - missed))
    return Curve(step, fraction)


def _settled(config: Config, network: Network, nodes: int, learnt: Curve, early: float) -> Settling:
    """When it has settled, where each node learnt it after `learnt`. `early` pushes come to nothing."""
    depths = _depths(nodes)
    answered = network.arrives**2
    up = _pushes(network, network.arrives * (1 - early), asking_times(config, IMPATIENCE), answered)
    down = _pushes(network, network.arrives, asking_times(config, 1.0), answered)
    full = learnt
    spread = Curve(learnt.step, [1.0] * len(learnt.values))
    for above, below in zip(depths[-2::-1], depths[:0:-1], strict=True):
        # Some of those above have as many below as they can, the others none.
        share = below / (BRANCHES * above) if above > 1 else 1.0
        children = min(BRANCHES, below)
        waited = learnt.both(full.mixed(up).power(children))
        full = waited.blend(learnt, share)
        told = spread.mixed(down).power(children)
        spread = told.blend(Curve(told.step, [1.0] * len(told.values)), share)
    each = [full]
    for _ in depths[1:]:
        each.append(each[-1].mixed(down))
    columns = zip(*(curve.values for curve in each), strict=True)
    mean = [sum(n * value for n, value in zip(depths, column, strict=True)) / nodes for column in columns]
    return Settling(Curve(learnt.step, mean), full.mixed(spread.atoms(100)), full)


def _depths(nodes: int) -> list[int]:
    """How many nodes there are at each depth of the tree."""
    depths, left, room = [], nodes, 1
    while left > 0:
        depths.append(min(left, room))
        left -= room
        room *= BRANCHES
    return depths


def _pushes(network: Network, arrives: float, asking: list[float], answered: float) -> Atoms:
    """Seconds from a push until it is there, or its receiver has asked for it."""
    delays = [(seconds, p * arrives) for seconds, p in network.hops()]
    left, now = 1 - arrives, answered
    for at in asking:
        delays.append((at + 2 * network.hop, left * now))
        # From the second time on two more are asked.
        left, now = left * (1 - now), 1 - (1 - answered) ** 3
    return (*delays, (asking[-1] + 2 * network.hop, left))


def asking_times(config: Config, share: float) -> list[float]:
    """Seconds after a change at which a node asks that does not settle; `share` of the waits."""
    times, at, wait = [], 0.0, config.settle_retry
    for _ in range(RETRIES):
        at += share * wait
        times.append(at)
        wait = min(RETRY_GROWTH * wait, LONGEST_RETRY * config.settle_retry)
    return times
