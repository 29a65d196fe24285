"""Test programs that use coordinators: a simulated network, in virtual time.

    async def test_a_crash_is_a_leave(autojump_clock):
        with SimulatedNetwork(seed=1, hosts=["alpha", "beta"]) as network:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(network.run, "alpha", agent)
                nursery.start_soon(network.run, "beta", agent)
                ...
                network.crash("alpha")

`agent` opens its coordinator as ever, with `gossipgroups.open_coordinator`. See `docs/testing.md`.
"""

from gossipgroups.testing.latency import Constant, Exponential, Latency, LogNormal, Recorded, Uniform
from gossipgroups.testing.medium import Line
from gossipgroups.testing.network import SimulatedNetwork

__all__ = [
    "Constant",
    "Exponential",
    "Latency",
    "Line",
    "LogNormal",
    "Recorded",
    "SimulatedNetwork",
    "Uniform",
]
