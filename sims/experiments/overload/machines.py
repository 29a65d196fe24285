"""Machines with too little processor: a limited number of processors, and a queue of those that want one.

Law: of the processes of one machine as many have a turn at a time as it has processors; the others wait,
first come, first served, and their datagrams wait with them. A turn that costs c seconds keeps its processor
for c / speed: the rest of that time belongs to others, or to nobody, as with the quota of a control group.
What a turn sends leaves when its own c seconds are over.

So a process with a machine of its own is throttled alone, and many on one machine contend.
"""

from __future__ import annotations

from collections.abc import Iterable

from gossipgroups.config import Config
from sims.engine import Cost, Process, Simulation, Watcher


class Machine:
    """Some processors, shared by the processes that were put here."""

    __slots__ = ("free", "generation", "processors", "queue", "speed")

    def __init__(self, processors: int, speed: float = 1.0) -> None:
        self.processors = processors
        self.speed = speed
        """Of each processor: at 0.1 a turn keeps one for ten times its cost."""
        self.free = processors
        self.generation = 0
        self.queue: dict[Process, None] = {}


class CrowdedSimulation(Simulation):
    """A simulation in which processes may be put on machines; the others have all the processor they want."""

    def __init__(self, seed: int, config: Config, *, cost: Cost, watchers: Iterable[Watcher] = ()) -> None:
        super().__init__(seed, config, cost=cost, watchers=tuple(watchers))
        self._machines: dict[int, Machine] = {}

    def place(self, process: Process, machine: Machine) -> None:
        """Let a process run on a machine."""
        self._machines[process.number] = machine

    def set_speed(self, machine: Machine, speed: float) -> None:
        """Give a machine another speed; its processors are free at once."""
        self.did("starve" if speed < machine.speed else "release")
        machine.speed = speed
        machine.generation += 1
        machine.free = machine.processors
        self._serve(machine)

    def _turn(self, process: Process) -> None:
        if process.turn_at != self.now:
            return
        machine = self._machines.get(process.number)
        if machine is None:
            super()._turn(process)
        elif machine.free:
            self._have_turn(process, machine)
        else:
            # Its `turn_at` stays in the past, so that nothing wakes it a second time.
            machine.queue[process] = None

    def _have_turn(self, process: Process, machine: Machine) -> None:
        process.turn_at = self.now
        super()._turn(process)
        machine.free -= 1
        kept = (process.busy_until - self.now) / machine.speed
        self.after(kept, self._freed, machine, machine.generation)

    def _freed(self, machine: Machine, generation: int) -> None:
        if generation == machine.generation:
            machine.free += 1
            self._serve(machine)

    def _serve(self, machine: Machine) -> None:
        while machine.free and machine.queue:
            process = next(iter(machine.queue))
            del machine.queue[process]
            if process.running and not process.paused:
                self._have_turn(process, machine)
