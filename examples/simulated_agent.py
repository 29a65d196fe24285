"""An agent that owns shards of the work, and a simulation in which one of several crashes.

Each shard belongs to the member that rendezvous hashing gives it, so all agents that see the same members
agree without a word. The agent knows nothing of a simulation; `tests/test_example_agent.py` tests it in one.

    python examples/simulated_agent.py

runs a few of them on a simulated network, in virtual time: shows who owns what, crashes one, and shows who
has taken over, and after how many virtual seconds. The same seed gives the same figures, each time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import trio
from trio.testing import MockClock

from gossipgroups import open_coordinator
from gossipgroups.testing import SimulatedNetwork

GROUP = "shards"


def owner(shard: int, members: Iterable[str]) -> str:
    """Who owns a shard, among these members: only the shards of a member that goes change hands."""
    return max(members, key=lambda member: blake2b(f"{shard} {member}".encode()).digest())


class Agent:
    """Owns its share of the shards for as long as it runs."""

    def __init__(self, name: str, shards: int) -> None:
        self.name = name
        self.shards = shards
        self.owned: set[int] = set()

    async def run(self, seeds: Sequence[str]) -> None:
        async with (
            open_coordinator(self.name, bind="0.0.0.0:7946", seeds=seeds) as coordinator,
            coordinator.events(GROUP) as events,
        ):
            await coordinator.join_group(GROUP, create=True)
            while True:
                members = coordinator.get_members(GROUP)
                # A real agent would take up and drop work here.
                self.owned = {shard for shard in range(self.shards) if owner(shard, members) == self.name}
                await anext(events)


def complete(agents: Iterable[Agent]) -> bool:
    """Whether each shard has exactly one owner."""
    agents = list(agents)
    return sorted(shard for each in agents for shard in each.owned) == list(range(agents[0].shards))


async def until_complete(agents: Iterable[Agent]) -> None:
    with trio.fail_after(60):
        while not complete(agents):
            await trio.sleep(0.1)


def show(agents: Iterable[Agent]) -> None:
    for each in agents:
        print(f"  {each.name}: {' '.join(map(str, sorted(each.owned)))}")


async def simulate(seed: int, count: int, shards: int) -> None:
    agents = [Agent(f"agent-{number}", shards) for number in range(1, count + 1)]
    hosts = [each.name for each in agents]
    with SimulatedNetwork(seed, hosts=hosts) as network:
        async with trio.open_nursery() as nursery:
            for each in agents:
                nursery.start_soon(network.run, each.name, each.run, hosts[:2])
            await until_complete(agents)
            print(f"{count} agents own {shards} shards:")
            show(agents)
            crashed_at = trio.current_time()
            network.crash(agents[-1].name, silent=True)
            await until_complete(agents[:-1])
            print(f"{agents[-1].name} is gone, {trio.current_time() - crashed_at:.1f} virtual seconds later:")
            show(agents[:-1])
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Agents that own shards, on a simulated network.")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (default: %(default)s)")
    parser.add_argument("--agents", type=int, default=4, help="how many (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=24, help="how many (default: %(default)s)")
    options = parser.parse_args()
    if options.agents < 2:
        sys.exit("--agents must be at least 2: one crashes, and another takes over")
    trio.run(
        simulate,
        options.seed,
        options.agents,
        options.shards,
        clock=MockClock(autojump_threshold=0),
    )
