"""What happens to a virtual cluster all day: members, nodes and groups come and go, and some are stalled.

Law: the same each hour, by the clock, so that one hour can be compared with another; chance decides whom it
befalls. Half of the nodes are never ended: what grows with a node's age grows there. Whoever is new has an
address and a member id that nobody had before; whoever is started again keeps both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from gossipgroups.groups.epochs import epoch_of, exists
from gossipgroups.groups.rules import Command, Create, Delete, Join, Leave
from gossipgroups.ids import Address
from sims.engine import Process, Simulation, address_of

CAPABILITIES = b"\x80"
GROUPS = [f"group-{number}" for number in range(4)]
"""Groups that are there all day."""
MEMBER_EVERY = 7.0
"""Seconds between two joins or leaves."""
NODE_EVERY = 300.0
"""Seconds between two ends of nodes."""
DOWN = 60.0
"""Seconds until a node that has ended is followed by another, or by itself."""
JOB_EVERY = 180.0
"""Seconds between two groups of a name that was never there."""
JOB = 600.0
"""Seconds that such a group lasts."""
JOB_MEMBERS = 3
RETRY = 30.0
"""Seconds after which a group that could not be deleted is tried again."""
STALL_EVERY = 1_700.0
STALL = 20.0
"""Seconds that a process stands still: long enough to be held dead."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a node runs, and under which member id."""

    address: Address
    member: str


class Weather:
    """Keeps one simulation busy from now on. `tally` counts what was done."""

    def __init__(self, simulation: Simulation, nodes: int) -> None:
        self._simulation = simulation
        self._serial = 0
        self._jobs = 0
        self._ends = 0
        self._seats: dict[Process, Seat] = {}
        self.tally: Counter[str] = Counter()
        for _ in range(nodes):
            self._start(self._new_seat())
        self.steady = list(self._seats)[: (nodes + 1) // 2]
        """Those that are never ended."""

    def begin(self) -> None:
        """Let it begin."""
        for group in GROUPS:
            self._submit(self.steady[0], Create(group), "group created")
        for every, action in (
            (MEMBER_EVERY, self._member),
            (NODE_EVERY, self._end_node),
            (JOB_EVERY, self._begin_job),
            (STALL_EVERY, self._stall),
        ):
            self._simulation.after(every, self._again, every, action)

    def _again(self, every: float, action: Callable[[], None]) -> None:
        self._simulation.after(every, self._again, every, action)
        action()

    def _submit(self, process: Process, command: Command, what: str) -> None:
        self._simulation.submit(process, command)
        self.tally[what] += 1

    def _new_seat(self) -> Seat:
        seat = Seat(address_of(self._serial), f"member-{self._serial}")
        self._serial += 1
        return seat

    def _start(self, seat: Seat) -> None:
        seeds = [process.address for process in list(self._seats)[:1]]
        self._seats[self._simulation.start(seat.address, seat.member, seeds=seeds)] = seat
        self.tally["node started"] += 1

    def _up(self) -> list[Process]:
        return [process for process in self._seats if process.is_up and not process.paused]

    def _any(self) -> Process:
        return self._simulation.random.choice(self._up())

    def _member(self) -> None:
        process, group = self._any(), self._simulation.random.choice(GROUPS)
        member = self._seats[process].member
        held = process.node.state.views[group].get(member)
        if held is not None and held.node_id == process.node.node_id:
            self._submit(process, Leave(group, member), "member left")
        else:
            self._submit(process, Join(group, member, CAPABILITIES), "member joined")

    def _end_node(self) -> None:
        """One of those that are not steady: stopped or crashed, with its machine or without, by turns."""
        mortal = [process for process in self._up() if process not in self.steady]
        if not mortal:
            return
        process = self._simulation.random.choice(mortal)
        seat = self._seats.pop(process)
        self._ends += 1
        match self._ends % 3:
            case 0:
                self._simulation.stop(process)
                self.tally["node stopped"] += 1
                seat = self._new_seat()
            case 1:
                self._simulation.crash(process)
                self.tally["node crashed, started again"] += 1
            case 2:
                self._simulation.crash(process, silent=True)
                self.tally["machine lost"] += 1
                seat = self._new_seat()
        self._simulation.after(DOWN, self._start, seat)

    def _stall(self) -> None:
        process = self._any()
        self._simulation.pause(process)
        self._simulation.after(STALL, self._simulation.resume, process)
        self.tally["process stalled"] += 1

    def _begin_job(self) -> None:
        """A group that a few members are in for a while."""
        self._jobs += 1
        group, up = f"job-{self._jobs}", self._up()
        for process in self._simulation.random.sample(up, min(JOB_MEMBERS, len(up))):
            join = Join(group, self._seats[process].member, CAPABILITIES, create=True)
            self._submit(process, join, "job joined")
        self._simulation.after(JOB, self._end_job, group)

    def _end_job(self, group: str) -> None:
        """Empty the group, then delete it; again, if somebody was still in it."""
        process = self._any()
        state = process.node.state
        if not exists(epoch_of(state.replica, group)):
            self.tally["job ended"] += 1
            return
        members = list(state.views[group])
        for member in members:
            self._submit(process, Leave(group, member), "job left")
        if not members:
            self._submit(process, Delete(group), "group deleted")
        self._simulation.after(RETRY, self._end_job, group)
