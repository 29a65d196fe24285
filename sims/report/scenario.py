"""The run that is filmed: a small cluster from its start over all that may befall it to rest again.

Law: the next thing happens when the last one has come to its end at every node, so nothing is cut short
under any seed; a run that does not come to rest is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gossipgroups.groups.rules import Join, Leave
from gossipgroups.registers import encode_capabilities
from gossipgroups.status import Status
from gossipgroups.testing.latency import Uniform
from gossipgroups.testing.medium import Line
from sims.engine import Process, Simulation, address_of
from sims.report.film import Camera, Film

NODES = 12
GROUP = "workers"
FIRST_SIDE = 5
"""Nodes on the first side of the partition."""
LINE = Line(latency=Uniform(0.04, 0.12))
"""Slow enough to see a datagram fly."""
LIMIT = 60.0
"""Seconds within which each step must come to its end."""
LOOK = 2.0
"""Seconds of calm between two steps."""


def filmed(seed: int) -> Film:
    """Run the scenario and film it."""
    camera = Camera([address_of(place) for place in range(NODES)], GROUP)
    Scenario(Simulation(seed, line=LINE, watchers=[camera]), camera.chapter).play()
    return camera.film()


class Scenario:
    """Plays on a fresh simulation, and gives each part its title."""

    def __init__(self, simulation: Simulation, tell: Callable[[str], None]) -> None:
        self._simulation = simulation
        self._tell = tell
        self._all: list[Process] = []

    def play(self) -> None:
        """From the start of the first node to rest after the heal."""
        self._start()
        self._join()
        self._crash()
        self._stall()
        self._part()
        self._heal()

    def _start(self) -> None:
        self._tell(f"{NODES} nodes start; each knows the first one's address")
        for place in range(NODES):
            seeds = [address_of(0)] if place else []
            self._all.append(self._simulation.start(address_of(place), f"node-{place + 1}", seeds=seeds))
            self._simulation.advance(0.1)
        self._rest(self._all)

    def _join(self) -> None:
        self._tell(f"node-1 creates the group “{GROUP}” and joins it")
        self._enter(self._all[0])
        self._rest(self._all)
        self._tell("More members join, a quarter of a second apart")
        for process in self._all[1:8]:
            self._enter(process)
            self._simulation.advance(0.25)
        self._rest(self._all)

    def _crash(self) -> None:
        crashed = self._all.pop(7)
        self._tell("node-8 crashes without a word: its machine is gone")
        self._simulation.crash(crashed, silent=True)
        self._until(lambda: all(_status(each, crashed) is Status.DEAD for each in self._all), "death")
        self._rest(self._all)

    def _stall(self) -> None:
        stalled, others = self._all[3], [*self._all[:3], *self._all[4:]]
        self._tell("node-4 stalls, and is suspected")
        self._simulation.pause(stalled)
        self._until(lambda: all(_status(each, stalled) is Status.SUSPECT for each in others), "suspicion")
        self._simulation.advance(1.0)
        self._tell("node-4 goes on, and refutes")
        self._simulation.resume(stalled)
        self._rest(self._all)

    def _part(self) -> None:
        sides = self._all[:FIRST_SIDE], self._all[FIRST_SIDE:]
        self._tell("The network parts; each side takes the other for dead")
        self._simulation.medium.partition([each.host for each in sides[0]])
        self._simulation.did("partition")
        self._until(
            lambda: all(len(each.node.state.live) == len(side) for side in sides for each in side), "parting"
        )
        for side in sides:
            self._rest(side)
        self._tell("Changes on both sides: node-2 leaves the group, node-11 joins it")
        self._simulation.submit(self._all[1], Leave(GROUP, "node-2"))
        self._enter(self._all[-2])
        for side in sides:
            self._rest(side)

    def _heal(self) -> None:
        self._tell("The network heals; what differs is repaired")
        self._simulation.medium.mend()
        self._simulation.did("heal")
        self._until(lambda: all(len(each.node.state.live) == len(self._all) for each in self._all), "heal")
        self._rest(self._all)
        self._tell("All hold the same again, and know it")
        self._simulation.advance(LOOK)

    def _enter(self, process: Process) -> None:
        name = process.node.state.own.name
        self._simulation.submit(process, Join(GROUP, name, encode_capabilities(None), create=True))

    def _rest(self, processes: Sequence[Process]) -> None:
        """Until these processes hold the same and have settled it, and a little longer."""

        def at_rest() -> bool:
            digests = {each.node.state.replica.digest for each in processes}
            return len(digests) == 1 and not any(each.node._convergence.open for each in processes)

        self._simulation.advance(0.5)
        self._until(at_rest, "rest")
        self._simulation.advance(LOOK)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        if not self._simulation.advance_until(condition, LIMIT):
            raise RuntimeError(
                f"seed {self._simulation.seed}: no {what} within {LIMIT:g} s, at {self._simulation.now:.1f} s"
            )


def _status(observer: Process, subject: Process) -> Status | None:
    register = observer.node.state.replica.nodes.get(subject.node.node_id)
    return None if register is None else register.status
