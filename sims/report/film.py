"""Recording a run for the eye: who held what, when, and which datagrams were under way.

Law: a film holds what was seen from outside or read from a node after a turn; the camera changes nothing.
A state is noted when it changes, so what was at a time is, for each node, the last note before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from gossipgroups.events import Event, GroupEvent
from gossipgroups.ids import Address
from gossipgroups.operations import Outcome
from gossipgroups.status import Status
from gossipgroups.wire.messages import (
    Accusations,
    AskSettling,
    Buckets,
    Hashes,
    Repair,
    Rumours,
    Settling,
    Want,
)
from sims.engine import Process, Simulation, Watcher

KINDS = ("probe", "rumour", "settling", "repair")
"""What a datagram is shown as: the last of these that it carries something of."""
_KIND: dict[type, int] = {
    each: KINDS.index(kind)
    for kind, sections in (
        ("rumour", (Rumours, Accusations)),
        ("settling", (Settling, AskSettling)),
        ("repair", (Buckets, Hashes, Want, Repair)),
    )
    for each in sections
}
LOST = -1
"""In place of the time of arrival."""
UNKNOWN = "-"
_LETTERS = {Status.ALIVE: "a", Status.SUSPECT: "s", Status.DEAD: "d", Status.LEFT: "l"}

Datagram = tuple[int, int, int, int, int]
"""Sent at, arrives at or `LOST`, from, to, kind."""
Held = tuple[int, int, int, str, int, int]
"""When, node, number of the state held (equal states have equal numbers), what it holds of each node, members
in its view, and whether all that it holds is settled."""
Condition = tuple[int, int, str]
"""When, node, and "up", "paused" or "down"."""


@dataclass(frozen=True, slots=True)
class Film:
    """A recorded run. Times in whole milliseconds; nodes by their place on the ring."""

    seed: int
    trace: str
    """The hash of all that was sent."""
    end: int
    group: str
    nodes: tuple[str, ...]
    chapters: tuple[tuple[int, str], ...]
    sides: tuple[tuple[int, str], ...]
    """When, and for each node the side of the partition that it is on from then; all alike is none."""
    conditions: tuple[Condition, ...]
    held: tuple[Held, ...]
    told: tuple[tuple[int, int], ...]
    """When a node told its application of a settled change of the group."""
    datagrams: tuple[Datagram, ...]

    def json(self) -> str:
        """For the page: no more than a few bytes a note."""
        return json.dumps(asdict(self) | {"kinds": KINDS}, separators=(",", ":"))


class Camera(Watcher):
    """Films processes at the given addresses."""

    def __init__(self, places: Iterable[Address], group: str) -> None:
        self._places = {address: place for place, address in enumerate(places)}
        self._hosts = [address.host for address in self._places]
        self._group = group
        self._names = [""] * len(self._places)
        self._numbers: dict[int, int] = {}
        self._last: dict[int, tuple[int, str, int, int]] = {}
        self._chapters: list[tuple[int, str]] = []
        self._sides: list[tuple[int, str]] = []
        self._conditions: list[Condition] = []
        self._held: list[Held] = []
        self._told: list[tuple[int, int]] = []
        self._datagrams: list[Datagram] = []
        self._simulation: Simulation

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def started(self, process: Process) -> None:
        place = self._places[process.address]
        self._names[place] = process.node.state.own.name
        self._conditions.append((self._now, place, "up"))

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        place = self._places[process.address]
        if any(isinstance(each, GroupEvent) and each.converged for each in events):
            self._told.append((self._now, place))
        node = process.node
        number = self._numbers.setdefault(node.state.replica.digest, len(self._numbers))
        statuses = [UNKNOWN] * len(self._places)
        for register in node.state.replica.nodes.values():
            statuses[self._places[register.address]] = _LETTERS[register.status]
        members = len(node.state.views[self._group])
        state = (number, "".join(statuses), members, int(not node._convergence.open))
        if self._last.get(place) != state:
            self._last[place] = state
            self._held.append((self._now, place, *state))

    def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
        sections = process.node.read(datagram).sections
        kind = max((_KIND.get(type(each), 0) for each in sections), default=0)
        ends = (self._places[process.address], self._places[target])
        sent_at = _ms(max(self._simulation.now, process.busy_until))
        for arrival in arrivals or (None,):
            self._datagrams.append((sent_at, LOST if arrival is None else _ms(arrival), *ends, kind))

    def did(self, what: str, process: Process | None, detail: str = "") -> None:
        condition = {
            "pause": "paused",
            "resume": "up",
            "crash": "down",
            "crash silent": "down",
            "stopped, told": "down",
            "stopped, not told": "down",
        }.get(what)
        if condition is not None and process is not None:
            self._conditions.append((self._now, self._places[process.address], condition))
        sides = "".join(str(self._simulation.medium.sides.get(host, 0)) for host in self._hosts)
        if not self._sides or self._sides[-1][1] != sides:
            self._sides.append((self._now, sides))

    def chapter(self, title: str) -> None:
        """Say what happens from now on."""
        self._chapters.append((self._now, title))

    def film(self) -> Film:
        """What was recorded until now."""
        return Film(
            seed=self._simulation.seed,
            trace=self._simulation.trace_hash,
            end=self._now,
            group=self._group,
            nodes=tuple(self._names),
            chapters=tuple(self._chapters),
            sides=tuple(self._sides),
            conditions=tuple(self._conditions),
            held=tuple(self._held),
            told=tuple(self._told),
            datagrams=tuple(sorted(self._datagrams)),
        )

    @property
    def _now(self) -> int:
        return _ms(self._simulation.now)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
