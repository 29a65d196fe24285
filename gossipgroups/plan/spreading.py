"""How long a change takes until the last callback: its rumour among all nodes, then the barrier of settling.

Law: mean-field. A node hears of news from any that has it: at once, again each gossip interval, with the
first push of settling, and by being asked. The barrier has ceil(log2 n) levels; at each a node waits for one
push, or, where that was lost, until it has asked. Both sides of a level know disjoint parts of the cluster,
so they are independent, and the recursion over the levels is exact but for what is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp, log1p, log2

from gossipgroups.config import Config
from gossipgroups.convergence import RETRY_GROWTH
from gossipgroups.plan.curve import Curve
from gossipgroups.plan.network import Atoms, Network
from gossipgroups.swim.dissemination import retransmit_limit

GRID = 800
"""Places of a curve: enough that a thousand more change no figure by a hundredth."""
ENOUGH = 0.9995
"""A curve that ends below this is computed again on a longer grid."""
LONGER = 2
LONGEST = 1000.0
RETRIES = 12
"""Times that a node asks, as far as anybody waits here."""
EXCHANGES = 6
"""Nodes whose bits one has after asking: its own, two that it asked, two that asked it, and a late push.
The one constant here that was chosen by looking at the simulator: with one less, 128 nodes wait too long."""
NEGLIGIBLE = 1e-6

Dying = Callable[[Curve], Curve]
"""Turns the time at which a node hears of a suspicion or death into that at which it holds the node dead."""


def levels(nodes: int) -> int:
    """Hops of the barrier."""
    return ceil(log2(nodes)) if nodes > 1 else 0


def settling(config: Config, network: Network, nodes: int, dying: Dying | None = None) -> Curve:
    """When one node knows that all have it, in seconds after the first has.

    Without `dying` it is a change that its own datagrams tell; a death is believed when its time has come.
    """
    horizon = (levels(nodes) + 4) * 6 * network.hop
    while True:
        learnt = heard(config, network, nodes, horizon / GRID)
        early = 0.0
        if dying is not None:
            learnt = dying(learnt)
            # A first push that comes before its receiver has learnt the death says nothing to it.
            early = learnt.sooner_by(network.hop)
        curve = settled(config, network, nodes, learnt, early)
        if last(curve, nodes).values[-1] >= ENOUGH or horizon > LONGEST:
            return curve
        horizon = max(LONGER * horizon, 4 * config.settle_retry)


def last(curve: Curve, nodes: int) -> Curve:
    """When the last of so many has settled; `curve` is that of each.

    A node waits for a tree of n - 1 pushes, and there are as many for each level: a loss anywhere counts.
    """
    return curve.power(max(1, levels(nodes)))


def heard(config: Config, network: Network, nodes: int, step: float) -> Curve:
    """When one node has heard of news, in seconds after it was made."""
    if nodes == 1:
        return Curve(step, [1.0] * (GRID + 1))
    arrives, fraction, reached = network.arrives, [1 / nodes], [0.0]
    delays = [(seconds / step, p) for seconds, p in network.hops()]
    fanout = min(config.fanout, nodes - 1)
    told = -nodes * log1p(-min(arrives * fanout / (nodes - 1), 1 - NEGLIGIBLE))
    # What is told at once, and with the first push, uses up tellings. Where none are left, whoever has not
    # heard is asked about a view that it lacks, and repairs that when nothing else has changed lately.
    spare = retransmit_limit(config.retransmit_multiplier, nodes) - fanout - 1
    again = [int(config.gossip_interval * each / step) for each in range(1 + max(0, spare) // config.fanout)]
    silent_for = 0.0 if spare > 0 else config.gossip_interval
    asked = [int(each / step) for each in _asking_times(config) if each >= silent_for]
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
        # Whoever asks, asks one at random, and one that it misses: those that have not heard are among these.
        missing = nodes * (1 - fraction[-1]) + 1
        pressure += told * began(place, again)
        pressure += nodes * arrives * began(place, asked) * (1 / nodes + 1 / missing)
        missed = (1 - 1 / nodes) * exp(-pressure) * (1 - arrives * reached[-1])
        fraction.append(max(fraction[-1], 1 - missed))
    return Curve(step, fraction)


def settled(config: Config, network: Network, nodes: int, learnt: Curve, early: float) -> Curve:
    """When one node knows that all have it, each of which learnt it after `learnt`.

    `early` is the share of the first pushes that come to nothing.
    """
    lost = 1 - network.arrives**nodes
    # It asks two, and two ask it, as far as something was lost for them too.
    exchanged = 1 - (1 - network.arrives**2) ** 2 * (1 - network.arrives * lost) ** 2
    curve = learnt
    for level in range(levels(nodes)):
        arrives = network.arrives * (1 - early if level == 0 else 1)
        received = tuple((seconds, p * arrives) for seconds, p in network.hops())
        # The bits of so many are wanted, and each that is asked holds about half of all.
        enough = (1 - 0.5**EXCHANGES) ** (1 << level)
        rescued = tuple(
            (seconds + 2 * network.hop, p * (1 - arrives))
            for seconds, p in _rescue(config, exchanged, enough)
        )
        curve = curve.both(curve.mixed((*received, *rescued)))
    return curve


def _rescue(config: Config, exchanged: float, enough: float) -> Atoms:
    """Seconds until asking has made up for a lost push. Bits that are not enough begin the waits anew."""
    first, *others = _asking_times(config)
    rescue = [(first, exchanged * enough), (2 * first, exchanged * (1 - enough))]
    left = 1 - exchanged
    for at in others:
        rescue.append((at, left * exchanged))
        left *= 1 - exchanged
    return (*rescue, (others[-1], left))


def _asking_times(config: Config) -> list[float]:
    """Seconds after a change at which a node that does not settle asks."""
    times, at, wait = [], 0.0, config.settle_retry
    for _ in range(RETRIES):
        at += wait
        times.append(at)
        wait = min(2 * wait, RETRY_GROWTH * config.settle_retry)
    return times
