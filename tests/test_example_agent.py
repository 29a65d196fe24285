"""How a user tests an agent: `examples/simulated_agent.py` under crash, partition, pause and loss.

Law: the agent is tested as it is, with nothing replaced but the network and the clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from examples.simulated_agent import Agent, complete, until_complete
from gossipgroups.testing import Line, SimulatedNetwork
from tests.waiting import eventually

SHARDS = 40
NAMES = ("one", "two", "three", "four", "five")


class Cluster:
    """The agents, each on a host of its own name."""

    def __init__(self, network: SimulatedNetwork, nursery: trio.Nursery) -> None:
        self.network = network
        self.nursery = nursery
        self.agents: dict[str, Agent] = {}

    def start(self, name: str) -> None:
        self.agents[name] = Agent(name, SHARDS)
        self.nursery.start_soon(self.network.run, name, self.agents[name].run, NAMES[:2])

    def owned(self) -> dict[str, set[int]]:
        return {name: set(agent.owned) for name, agent in self.agents.items()}

    def without(self, *names: str) -> list[Agent]:
        return [agent for name, agent in self.agents.items() if name not in names]


@pytest.fixture
async def cluster(autojump_clock: MockClock) -> AsyncIterator[Cluster]:
    with SimulatedNetwork(seed=5, hosts=NAMES) as network:
        async with trio.open_nursery() as nursery:
            cluster = Cluster(network, nursery)
            for name in NAMES:
                cluster.start(name)
            await until_complete(cluster.agents.values())
            yield cluster
            nursery.cancel_scope.cancel()


async def test_the_others_take_over_the_shards_of_a_crashed_agent(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    before = cluster.owned()
    cluster.network.crash("three")
    await until_complete(cluster.without("three"))
    for agent in cluster.without("three"):
        assert agent.owned >= before[agent.name], "no shard changes hands that need not"
    cluster.start("three")
    await eventually(lambda: cluster.owned() == before, cluster.owned)


async def test_each_side_of_a_partition_owns_everything(cluster: Cluster, autojump_clock: MockClock) -> None:
    cluster.network.partition({"one", "two"}, {"three", "four", "five"})
    await until_complete(cluster.without("three", "four", "five"))
    await until_complete(cluster.without("one", "two"))
    cluster.network.heal()
    await until_complete(cluster.without())


async def test_a_hung_agent_keeps_its_shards_until_it_goes_on(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    hung = cluster.agents["four"]
    before = set(hung.owned)
    cluster.network.pause("four")
    await until_complete(cluster.without("four"))
    assert hung.owned == before, "a shard may have two owners: work on it must bear that"
    cluster.network.resume("four")
    await until_complete(cluster.without())


async def test_loss_alone_moves_nothing(cluster: Cluster, autojump_clock: MockClock) -> None:
    before = cluster.owned()
    cluster.network.line = Line(loss=0.1)
    for _ in range(60):
        await trio.sleep(1)
        assert cluster.owned() == before
    assert cluster.network.tally["lost"] > 100
    assert complete(cluster.without())
