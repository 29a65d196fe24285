"""The world of a schedule: a simulation under all checks, with numbered places that steps act on.

Law: each place is a machine of its own, on which at most one process runs. At the end all is healed, and the
world comes to rest within `rest_seconds` of the protocol's own constants, or a promise is broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from gossipgroups.config import Config
from gossipgroups.ids import Address, NodeId
from gossipgroups.keys import Key, KeyRing
from gossipgroups.testing.medium import Line
from sims.checks import Broken, Checks, rest_seconds
from sims.engine import Cost, Process, Simulation, Watcher, address_of, host_of
from sims.engine.process import SOCKET_BUFFER
from sims.engine.simulation import BASE_PORT
from sims.schedules.stranger import Stranger

CALM = Line()
KEYS = KeyRing([Key(bytes(range(32)))])
"""Of sealed clusters."""
COST = Cost(turn=0.0005, received=0.00002, sent=0.00002)
CONFIG = Config.lan().but(
    awareness_limit=3,
    suspicion_multiplier=2.0,
    suspicion_max_factor=3.0,
    convergence_deadline=4.0,
    seed_interval=2.0,
    leave_timeout=2.0,
)
"""The lan preset with shorter waits: virtual time is cheap, the events in it are not."""
LONGEST_PROBE = CONFIG.probe_period * (1 + CONFIG.awareness_limit)
"""Seconds from the start of a probe to its end, at worst: one begun in a storm may still fail after it."""
STEP = 0.25
"""Seconds between two looks at whether all is at rest."""


class World:
    """Places 0, 1, … with their processes."""

    def __init__(
        self,
        seed: int,
        places: int,
        *,
        groups: Sequence[str],
        together: int = CONFIG.settle_together,
        sealed: bool = False,
        recorded: float = 0.0,
        forget_after: float = CONFIG.forget_after,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.places = places
        self.groups = tuple(groups)
        self.checks = Checks()
        self.stranger = Stranger(seed, recorded, self.checks.outsiders)
        self.simulation = Simulation(
            seed,
            CONFIG.but(settle_together=together, forget_after=forget_after),
            line=CALM,
            cost=COST,
            keys=KEYS if sealed else None,
            watchers=(*watchers, self.stranger, self.checks),
        )
        self.cuts: set[str] = set()
        """The partitions that occurred, each as its sides of places."""
        self.twins: dict[NodeId, Process] = {}
        """Those that run, by the node that they are too."""
        self.calms = 0
        """How often all has been calmed."""
        self._last: dict[int, Process] = {}
        self._generation: Counter[int] = Counter()
        self._behind: dict[int, float] = {}

    @property
    def tally(self) -> Counter[str]:
        """All that occurred, counted."""
        return self.simulation.tally + self.simulation.medium.tally + self.checks.tally

    @property
    def running(self) -> dict[int, Process]:
        """The processes that run, by place."""
        return {place: process for place, process in sorted(self._last.items()) if process.running}

    def did(self, what: str, detail: str = "") -> None:
        """Count and tell something that was done to the network."""
        self.simulation.did(what, None, detail)

    # Places.

    def at(self, place: int) -> Process:
        """The process that runs at a place."""
        return self._last[place]

    def is_free(self, place: int) -> bool:
        """Whether no process runs here."""
        return place not in self._last or not self._last[place].running

    def is_up(self, place: int) -> bool:
        """Whether a process runs here that is not about to stop."""
        return place in self._last and self._last[place].is_up

    def is_paused(self, place: int) -> bool:
        """Whether the process here is stalled."""
        return not self.is_free(place) and self._last[place].paused

    def can_act(self, place: int) -> bool:
        """Whether a process here can call its coordinator."""
        return self.is_up(place) and not self._last[place].paused

    def has_twin(self, place: int) -> bool:
        """Whether the node here runs elsewhere too."""
        return self._last[place].node.node_id in self.twins

    def place(self, drawn: int, wanted: Callable[[int], bool]) -> int | None:
        """The first place from the one drawn at which a step makes sense, if there is any."""
        order = ((drawn + each) % self.places for each in range(self.places))
        return next((place for place in order if wanted(place)), None)

    def group(self, drawn: str, wanted: Callable[[str], bool]) -> str:
        """The first group from the one drawn for which a step makes sense; else the one drawn."""
        at = self.groups.index(drawn)
        return next((group for group in self.groups[at:] + self.groups[:at] if wanted(group)), drawn)

    def address(self, place: int) -> Address:
        """The address at which a place's process ran last."""
        return address_of(place, BASE_PORT + self._generation[place])

    # What steps do.

    def start(self, place: int, *, elsewhere: bool = False) -> None:
        """Start a process on a free place; it seeks all addresses that the others had last."""
        if elsewhere:
            self._generation[place] += 1
            self.simulation.tally["start elsewhere"] += 1
        seeds = [self.address(other) for other in sorted(self._last) if other != place]
        self._last[place] = self.simulation.start(self.address(place), f"node-{place}", seeds=seeds)
        self._behind[place] = 0

    def jump(self, place: int, seconds: float) -> None:
        """Let the clock here jump."""
        self.simulation.tally["jump forward" if seconds > 0 else "jump back"] += 1
        self.simulation.jump(self.at(place), seconds)
        if seconds < 0:
            self._behind[place] -= seconds  # its own time stands still until the clock shows that again

    def partition(self, sides: Sequence[Sequence[int]]) -> None:
        """Let nothing pass between these sets of places; all others make up a side of their own."""
        self.simulation.medium.partition(*(map(host_of, side) for side in sides))
        others = set(range(self.places)).difference(*sides)
        whole = sorted(sorted(side) for side in (*sides, others) if side)
        if len(whole) > 1:
            self.cuts.add(" | ".join(" ".join(map(str, side)) for side in whole))
            self.did(f"partition in {len(whole)}", str(whole))

    def cut(self, source: int, target: int, *, both: bool) -> None:
        """Cut the line from one place to another, or both ways."""
        self.did("cut both ways" if both else "cut one way", f"{host_of(source)} {host_of(target)}")
        self.simulation.medium.cut(host_of(source), host_of(target), both=both)

    def mend(self) -> None:
        """Undo cuts and partitions."""
        medium = self.simulation.medium
        if medium.sides:
            self.did("heal")
        if medium.cuts:
            self.did("mend")
        medium.mend()

    # Rest.

    def come_to_rest(self) -> None:
        """Heal everything, and wait until nothing is left to do. Raises `Broken` when that takes too long."""
        self.calm()
        simulation = self.simulation
        bound = self._rest_seconds()
        until = simulation.now + bound
        simulation.advance(LONGEST_PROBE)
        if not simulation.advance_until(lambda: not self._missing(), until - simulation.now, STEP):
            raise Broken("rest", f"none within {bound:.0f} s: " + "; ".join(self._missing()))
        told = self.checks.told
        simulation.advance(2 * CONFIG.probe_period)
        if (missing := self._missing()) or self.checks.told != told:
            raise Broken("rest", "it did not last: " + "; ".join(missing))
        for process in self.running.values():
            self.checks.at_rest(process)

    def calm(self) -> None:
        """Undo all faults of the network, and let all processes run as they should; clocks stay.

        The stranger stops, and twins end: who hears a twin before its original takes it for the node.
        """
        self.calms += 1
        self.stranger.stop()
        for twin in self.twins.values():
            self.simulation.crash(twin, silent=True)
        self.twins.clear()
        self.mend()
        self.simulation.medium.clear()
        self.simulation.medium.line = CALM
        for process in self.running.values():
            process.buffer_bytes = SOCKET_BUFFER
            if process.share < 1.0:
                self.simulation.slow(process, 1.0)
            self.simulation.unblock(process)
            self.simulation.resume(process)

    def _rest_seconds(self) -> float:
        """The bound by true time: clocks may be slow, or have jumped back."""
        rates = [process.clock.rate for process in self.running.values()]
        behind = max(self._behind.values(), default=0.0)
        return (rest_seconds(CONFIG, self.places) + behind) / min(rates, default=1.0)

    def _missing(self) -> list[str]:
        return self.checks.missing(self.running.values())
