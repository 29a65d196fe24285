"""How long a crash takes until the last callback.

Law: the wait for the first probe is uniform over one period, as every node is probed once in each; a closed
port is noticed by any other datagram, too. All that follows is added to it: what the prober meets, the
time-out of the suspicion as the detector itself computes it, the spread of the death, and settling.
"""

from __future__ import annotations

from math import exp

from gossipgroups.config import Config
from gossipgroups.ids import NodeId
from gossipgroups.plan.curve import Curve
from gossipgroups.plan.hearing import heard
from gossipgroups.plan.network import Atoms, Network
from gossipgroups.plan.spreading import settling
from gossipgroups.plan.traffic import stray_datagrams
from gossipgroups.swim.detector import SPARE_CORROBORATORS
from gossipgroups.swim.hearing import LATELY
from gossipgroups.swim.suspicion import Suspicion
from gossipgroups.wire.messages import REFUSED, SILENT


class Wait:
    """A wait for the first probe, uniform over a period, and one of some delays after it.

    `strays` is how many other datagrams a second come to the place, any of which ends the wait too.
    """

    def __init__(self, period: float, delays: Atoms, strays: float = 0.0) -> None:
        self._period = period
        self._delays = delays
        self._strays = strays

    def quantile(self, share: float) -> float:
        """The seconds within which it is over with this probability."""
        low, high = 0.0, self._period + max(seconds for seconds, _ in self._delays)
        while high - low > 1e-6 * high:
            middle = (low + high) / 2
            over = sum(p * self._met(middle - seconds) for seconds, p in self._delays)
            low, high = (low, middle) if over >= share else (middle, high)
        return high

    def _met(self, seconds: float) -> float:
        """The probability that something has come there within so many seconds."""
        return 1 - max(0.0, 1 - max(0.0, seconds) / self._period) * exp(-self._strays * max(0.0, seconds))


def process_crash(config: Config, network: Network, nodes: int) -> Wait:
    """From the crash of a process, whose port is refused, to the last callback. `nodes` counts the victim."""
    survivors, arrives = nodes - 1, network.arrives
    timeout = _timeout(config, survivors, REFUSED, [0.0, 3 * network.hop])
    refused = ((2 * network.hop, arrives**2), (network.wait(config), 1 - arrives**2))

    def dies(learnt: Curve) -> Curve:
        # By its own count, or by hearing of the death and asking the port itself.
        return learnt.either(learnt.mixed(refused))

    settles = settling(config, network, survivors, dies).last
    delays = _sums(_first_refusal(config, network, survivors), timeout, settles)
    return Wait(config.probe_period, delays, arrives**2 * stray_datagrams(config, network, nodes))


def machine_crash(config: Config, network: Network, nodes: int) -> Wait:
    """From the crash of a machine, which leaves only silence, to the last callback."""
    survivors = nodes - 1
    failure = network.failure(config)
    accusers = [0.0, *(told + failure for told in _corroborators_hear(config, network, survivors))]
    timeout = _timeout(config, survivors, SILENT, accusers)
    deaf = _deaf(config, network) if survivors > 2 else 0.0

    def dies(learnt: Curve) -> Curve:
        # By its own count, unless it has heard nobody for long: then by hearing of the death, and a ping.
        own = Curve(learnt.step, [(1 - deaf) * value for value in learnt.values])
        return own.either(learnt.later(network.wait(config)))

    settles = settling(config, network, survivors, dies).last
    return Wait(config.probe_period, _sums(((failure, 1.0),), timeout, settles))


def _timeout(config: Config, survivors: int, evidence: int, accusers: list[float]) -> float:
    """Seconds from the first accusation to the death, at who hears each accusation at its time."""
    live = survivors + 1
    suspicion = Suspicion(0, config, 0.0)
    met = min(len(accusers), survivors)
    for place, at in enumerate(accusers[:met]):
        suspicion.confirm(NodeId(place.to_bytes(8, "big")), evidence, at)
    return max(suspicion.deadline(live, survivors - 1), accusers[met - 1] if evidence == REFUSED else 0.0)


def _first_refusal(config: Config, network: Network, survivors: int) -> Atoms:
    """Seconds from the first ping until somebody sees the port refused."""
    arrives, wait = network.arrives, network.wait(config)
    at_once = arrives**2
    relays = min(config.indirect_probes, survivors - 1)
    by_relay = (1 - at_once) * (1 - (1 - arrives**3) ** relays)
    rest = 1 - at_once - by_relay
    return (
        (2 * network.hop, at_once),
        (wait + 3 * network.hop, by_relay),
        (network.failure(config) + 3 * network.hop, rest),
    )


def _corroborators_hear(config: Config, network: Network, survivors: int) -> list[float]:
    """Seconds after the first accusation at which those hear it who probe the suspect themselves."""
    others = survivors - 1
    named = (config.confirmations + SPARE_CORROBORATORS) * others / (survivors + 1)
    count = max(min(config.confirmations, others), min(round(named), others))
    if not count:
        return []
    curve = heard(config, network, survivors, network.hop / 8)
    return [curve.quantile((place + 0.5) / (count + 0.5)) for place in range(count)]


def _deaf(config: Config, network: Network) -> float:
    """The probability that a node has heard no live one lately, by its own probe or by that of another."""
    window = min(1.0, LATELY * config.silent_timeout / config.probe_period)
    return (1 - window * network.arrives**2) * (1 - window * network.arrives)


def _sums(starts: Atoms, timeout: float, settles: Curve) -> Atoms:
    return tuple((start + timeout + end, p * r) for start, p in starts for end, r in settles.atoms())
