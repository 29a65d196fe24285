"""How long a change takes until the last callback: when all have heard of it, then the tree of settling.

Law: up the tree a node waits for all below it, down it for the one above; where a push was lost, until who
waits for it has asked. Those below one node are independent, so the recursion over the levels is exact but
for what is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gossipgroups.config import Config
from gossipgroups.convergence import IMPATIENCE
from gossipgroups.plan.curve import Curve
from gossipgroups.plan.hearing import GRID, asking_times, heard, levels
from gossipgroups.plan.network import Atoms, Network
from gossipgroups.spanning import BRANCHES

ENOUGH = 0.9995
"""A curve that ends below this is computed again on a longer grid."""
LONGER = 2
LONGEST = 1000.0
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
    horizon = (2 * len(levels(nodes)) + 4) * 6 * network.hop
    while True:
        learnt = heard(config, network, nodes, horizon / GRID, along_tree=dying is None)
        early = 0.0
        if dying is not None:
            learnt = dying(learnt)
            # A push that comes before its receiver has learnt the death says nothing to it.
            early = learnt.sooner_by(network.hop)
        found = _settled(config, network, nodes, learnt, early)
        if found.last.values[-1] >= ENOUGH or horizon > LONGEST:
            return found
        horizon = max(LONGER * horizon, 4 * config.settle_retry)


def _settled(config: Config, network: Network, nodes: int, learnt: Curve, early: float) -> Settling:
    """When it has settled, where each node learnt it after `learnt`. `early` pushes come to nothing."""
    depths = levels(nodes)
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


def _pushes(network: Network, arrives: float, asking: list[float], answered: float) -> Atoms:
    """Seconds from a push until it is there, or its receiver has asked for it."""
    delays = [(seconds, p * arrives) for seconds, p in network.hops()]
    left, now = 1 - arrives, answered
    for at in asking:
        delays.append((at + 2 * network.hop, left * now))
        # From the second time on two more are asked.
        left, now = left * (1 - now), 1 - (1 - answered) ** 3
    return (*delays, (asking[-1] + 2 * network.hop, left))
