"""The scenarios of the experiment: a cluster that starts, and what is done to ten of its nodes.

Law: a case holds all that its rows depend on. Rows are in long form, one figure each, so that a count and a
series over time stand in one file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from gossipgroups.config import Config
from gossipgroups.ids import Address
from gossipgroups.testing.medium import CLEAR
from sims.engine import Cost, Process, Simulation, address_of
from sims.experiments.experiment import Row
from sims.measures.membership import Membership
from sims.measures.removals import Notice, Removals, between
from sims.measures.traffic import Traffic

HEAD_START = 10.0
"""The seed runs alone for so long, as in the paper; then the others start."""
SPREADS = {"start": 0.0, "start over 10 s": 10.0}
"""Time over which the others start, evenly at random, by scenario; all at once in scenarios not named."""
BOOT_LIMIT = 120.0
CALM = 20.0
"""Between the start and the fault: rumours of the start have died down."""
AFTER_START = 30.0
"""Watched after the last start."""
COST = Cost(turn=0.0005, received=0.0002, sent=0.00005)
"""What a datagram of a start takes on one core: it is full of registers that are news."""
FAULTY = 10
LOSS = 0.8
FLIP = 20.0
"""Seconds without ingress, and as many with, in turn."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    scenario: str
    nodes: int
    seed: int
    watched: float = 60.0
    """Seconds from the fault on."""
    faulty: int = FAULTY


@dataclass(slots=True)
class Run:
    """A cluster under measurement."""

    case: Case
    simulation: Simulation
    membership: Membership
    removals: Removals
    traffic: Traffic
    processes: list[Process]

    @property
    def faulty(self) -> list[Process]:
        """Those that the fault is done to: never the seed."""
        return self.processes[1 : 1 + self.case.faulty]


def crash(run: Run) -> None:
    """All at once; their machines answer nothing for them."""
    for process in run.faulty:
        run.simulation.crash(process, silent=True)


def kill(run: Run) -> None:
    """All at once; their machines say that the ports are closed."""
    for process in run.faulty:
        run.simulation.crash(process)


def flip(run: Run) -> None:
    """Lose all ingress for 20 s, have it for 20 s, and so on."""
    simulation = run.simulation
    deaf = CLEAR.but(loss=1.0)
    hosts = [process.host for process in run.faulty]

    def close() -> None:
        simulation.medium.ingress.update(dict.fromkeys(hosts, deaf))
        simulation.after(FLIP, open_again)

    def open_again() -> None:
        for host in hosts:
            del simulation.medium.ingress[host]
        simulation.after(FLIP, close)

    close()


def lose_egress(run: Run) -> None:
    """Lose 80 % of what they send."""
    for process in run.faulty:
        run.simulation.medium.egress[process.host] = CLEAR.but(loss=LOSS)


def lose_ingress(run: Run) -> None:
    """Lose 80 % of what they are sent."""
    for process in run.faulty:
        run.simulation.medium.ingress[process.host] = CLEAR.but(loss=LOSS)


FAULTS: dict[str, Callable[[Run], None]] = {
    "machines crash": crash,
    "processes crash": kill,
    "ingress flips": flip,
    "egress loss": lose_egress,
    "ingress loss": lose_ingress,
}
"""What is done to the ten, by scenario."""


def run(case: Case) -> list[Row]:
    """The rows of one run."""
    state = _start(case)
    figures = _fault(state) if case.scenario in FAULTS else _started(state)
    return [
        {
            "scenario": case.scenario,
            "nodes": case.nodes,
            "seed": case.seed,
            "figure": name,
            "at": at,
            "value": value,
        }
        for name, at, value in figures
    ]


Figure = tuple[str, int | None, float | int | None]
"""A name, the second that it is about if it is one of a series, and the value."""


def _start(case: Case) -> Run:
    membership, removals, traffic = Membership(case.seed), Removals(), Traffic()
    simulation = Simulation(case.seed, Config.lan(), cost=COST, watchers=(membership, removals, traffic))
    processes = [simulation.start(address_of(0))]
    simulation.advance(HEAD_START)
    membership.restart()
    spread = SPREADS.get(case.scenario, 0.0)
    for wait, place in sorted((simulation.random.random() * spread, place) for place in range(1, case.nodes)):
        simulation.advance_to(HEAD_START + wait)
        processes.append(simulation.start(address_of(place), seeds=(address_of(0),)))
    simulation.advance_until(
        lambda: all(each.size == case.nodes for each in membership.of()), within=BOOT_LIMIT, every=1.0
    )
    return Run(case, simulation, membership, removals, traffic, processes)


def _started(run: Run) -> Iterator[Figure]:
    """Of the start itself."""
    simulation, membership = run.simulation, run.membership
    simulation.advance_to(max(simulation.now, HEAD_START + SPREADS[run.case.scenario]) + AFTER_START)
    sights = list(membership.of())
    complete = all(each.size == run.case.nodes for each in sights)
    yield "all see all, s", None, max(each.changed_at for each in sights) - HEAD_START if complete else None
    yield "all settled, s", None, max(each.settled_at for each in sights) - HEAD_START if complete else None
    yield "removals", None, len(run.removals.removals)
    yield from _views(run, frozenset())
    yield from _rates(run, HEAD_START, frozenset())
    yield from _series(run, frozenset())


def _fault(run: Run) -> Iterator[Figure]:
    """Of a fault done to a cluster at rest."""
    simulation, removals = run.simulation, run.removals
    simulation.advance_to(float(int(simulation.now + CALM)))
    run.membership.restart()
    removals.restart()
    began = simulation.now
    addresses = {process.address for process in run.processes}
    faulty = {process.address for process in run.faulty}
    healthy = addresses - faulty
    FAULTS[run.case.scenario](run)
    simulation.advance(run.case.watched)

    gone = between(removals.removals, healthy, faulty)
    first = _first_of_each(gone)
    known_by_all = len(first) == len(healthy) * len(faulty)
    yield "first removal, s", None, gone[0].time - began if gone else None
    yield "all ten known to all, s", None, max(first.values()) - began if known_by_all else None
    yield "removals of each faulty", None, len(gone) / len(healthy) / len(faulty)
    yield "held live at the end", None, _held_live(run, healthy, faulty)
    yield "suspicions of healthy", None, len(between(removals.suspicions, healthy, healthy))
    yield "false removals", None, len(between(removals.removals, healthy, healthy))
    yield "removals of healthy by faulty", None, len(between(removals.removals, faulty, healthy))
    yield from _views(run, faulty)
    yield from _rates(run, began, faulty)
    yield from _series(run, faulty)


def _first_of_each(notices: list[Notice]) -> dict[tuple[Address, Address], float]:
    """When each observer first removed each subject."""
    first: dict[tuple[Address, Address], float] = {}
    for time, observer, subject in notices:
        first.setdefault((observer, subject), time)
    return first


def _held_live(run: Run, healthy: set[Address], faulty: set[Address]) -> float:
    """Share of the faulty that the healthy hold live now."""
    live = sum(
        register.status.live
        for process in run.processes
        if process.address in healthy
        for register in process.node.state.replica.nodes.values()
        if register.address in faulty
    )
    return live / len(healthy) / len(faulty)


def _views(run: Run, faulty: set[Address] | frozenset[Address]) -> Iterator[Figure]:
    membership = run.membership
    everybody = set(membership.sights)
    yield "sizes shown", None, membership.sizes(faulty)
    yield "sizes logged", None, membership.logged(faulty)
    yield "settled views", None, membership.settled(faulty)
    yield "settled views at the faulty", None, membership.settled(everybody - faulty)
    yield "told unsettled", None, sum(each.unconverged for each in membership.of(faulty))


def _rates(run: Run, since: float, faulty: set[Address] | frozenset[Address]) -> Iterator[Figure]:
    for direction, rate in zip(
        ("received", "sent"), run.traffic.rates(int(since), int(run.simulation.now), faulty), strict=True
    ):
        for name, value in zip(("mean", "p99", "max"), rate, strict=True):
            yield f"{direction} {name}, KB/s", None, value


def _series(run: Run, faulty: set[Address] | frozenset[Address]) -> Iterator[Figure]:
    """Sizes that healthy nodes log, by second."""
    for second, logged in enumerate(run.membership.log):
        sizes = [size for address, size in logged if address not in faulty]
        if sizes:
            yield "smallest size", second, min(sizes)
            yield "median size", second, median(sizes)
            yield "largest size", second, max(sizes)
