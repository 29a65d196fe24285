"""One cluster over five regions, and what is done to it.

Law: a case holds all that its rows depend on. A cluster comes up without loss; what is measured begins after
that. All rows have the same columns, and nothing where a column says nothing about what was done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gossipgroups.config import PRESETS
from gossipgroups.groups.rules import Join, Leave
from sims.engine import Process, Simulation, address_of
from sims.experiments.experiment import Row
from sims.experiments.regions.world import REGIONS, World, soonest
from sims.measures.accused import Accused
from sims.measures.changes import Changes
from sims.measures.cluster import NOTHING, is_whole, join_all, make_whole, start_nodes
from sims.measures.crashes import follow_crash
from sims.measures.crossings import Crossings
from sims.measures.leaves import Leaves
from sims.tables import Cell

GROUP = "all"
CHANGE_LIMIT, WHOLE_LIMIT = 60.0, 300.0
"""Seconds after which a change has missed somebody, and in which a cluster must be whole after a heal."""
CALM_PERIODS, LIMIT_PERIODS = 10.0, 120.0
"""Mean time before a crash, and after which a witness has missed it, in probe periods."""
CUT, LONG_CUT = 60.0, 180.0
"""Seconds that a region is cut off."""
MEASURED = (
    *("number", "seconds", "first_s", "last_s", "soonest_s", "missed", "unconverged"),
    *("one_told", "one_told_s", "others_told", "others_told_s", "late", "inside", "whole_s"),
    *("suspicions", "deaths", "datagrams", "datagrams_across", "bytes", "bytes_across"),
)
"""The columns besides those of the case."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster, and how much of each is done to it."""

    preset: str
    nodes: int
    loss: float
    """Between regions."""
    seed: int
    rest_s: float = 0.0
    spikes_s: float = 0.0
    """Of rest while one region after the other has great jitter for a while."""
    changes: int = 0
    """Joins, and as many leaves."""
    crashes: int = 0
    """Of processes, and as many of machines."""
    cuts: int = 0
    """Of a minute, each of another region."""
    long_cuts: int = 0
    """Of three minutes."""


@dataclass(frozen=True, slots=True)
class Run:
    """A cluster under measurement."""

    case: Case
    simulation: Simulation
    world: World
    processes: list[Process]
    changes: Changes
    leaves: Leaves
    accused: Accused
    crossings: Crossings
    places: Iterator[int]
    """Where nobody has run yet."""


def run(case: Case) -> list[Row]:
    """A row for each time that something was done; the cluster is whole before each kind."""
    changes, leaves, accused, crossings = Changes(GROUP), Leaves(), Accused(), Crossings()
    watchers = (changes, leaves, accused, crossings)
    simulation = Simulation(case.seed, PRESETS[case.preset](), watchers=watchers)
    places = case.nodes + 2 * case.crashes
    world = World(simulation, places)
    crossings.region_of = world.region_of
    processes = start_nodes(simulation, case.nodes)
    join_all(simulation, processes, GROUP)
    make_whole(simulation)
    world.lose(case.loss)
    spare = iter(range(case.nodes, places))
    run = Run(case, simulation, world, processes, changes, leaves, accused, crossings, spare)
    named: dict[str, Cell] = {
        "preset": case.preset,
        "nodes": case.nodes,
        "loss": case.loss,
        "seed": case.seed,
    }
    blank: dict[str, Cell] = dict.fromkeys(MEASURED)
    rows: list[Row] = []
    for what, rows_of in (
        ("rest", rest(run, case.rest_s)),
        ("change", change(run)),
        ("process", crashes(run, silent=False)),
        ("machine", crashes(run, silent=True)),
        ("cut", cuts(run, CUT, case.cuts)),
        ("cut", cuts(run, LONG_CUT, case.long_cuts)),
        ("spikes", spikes(run)),
    ):
        make_whole(simulation)
        rows += [{**named, "what": what, **blank, "number": at, **row} for at, row in enumerate(rows_of)]
    return rows


def rest(run: Run, seconds: float) -> Iterator[Row]:
    """Nothing is done."""
    run.accused.restart()
    run.crossings.restart()
    run.simulation.advance(seconds)
    if seconds:
        sent = run.crossings
        yield {
            "seconds": seconds,
            "suspicions": len(run.accused.suspected),
            "deaths": len(run.accused.dead),
            "datagrams": sent.datagrams,
            "datagrams_across": sent.datagrams_across,
            "bytes": sent.bytes,
            "bytes_across": sent.bytes_across,
        }


def spikes(run: Run) -> Iterator[Row]:
    """Nothing is done, but one region after the other has great jitter."""
    run.world.spike()
    yield from rest(run, run.case.spikes_s)


def change(run: Run) -> Iterator[Row]:
    """Members join, and leave again, one after the other, at nodes at random."""
    period = run.simulation.config.probe_period
    for turn in range(run.case.changes):
        process = run.simulation.random.choice(run.processes)
        for command in (Join(GROUP, f"member-{turn}", NOTHING), Leave(GROUP, f"member-{turn}")):
            run.simulation.advance(period * run.simulation.random.uniform(0.5, 1.5))
            yield _changed(run, process, command)


def _changed(run: Run, process: Process, command: Join | Leave) -> Row:
    unconverged = run.changes.unconverged
    change = run.changes.submit(process, command, run.simulation.now)
    run.simulation.advance_until(lambda: not change.untold, CHANGE_LIMIT)
    return {
        "last_s": None if change.untold else change.told_at - change.submitted_at,
        "soonest_s": soonest(run.world.region_of[process.host]),
        "missed": change.untold,
        "unconverged": run.changes.unconverged - unconverged,
    }


def crashes(run: Run, *, silent: bool) -> Iterator[Row]:
    """Nodes crash one after the other; each is replaced by another once it was found."""
    simulation, period = run.simulation, run.simulation.config.probe_period
    for _ in range(run.case.crashes):
        simulation.advance(period * CALM_PERIODS * simulation.random.uniform(0.5, 1.5))
        # The first is everybody's seed.
        victim = run.processes.pop(simulation.random.randrange(1, len(run.processes)))
        yield follow_crash(
            simulation,
            victim,
            run.processes,
            run.leaves,
            silent=silent,
            within=LIMIT_PERIODS * period,
        )._asdict()
        replacement = simulation.start(address_of(next(run.places)), seeds=[address_of(0)])
        join_all(simulation, [replacement], GROUP)
        run.processes.append(replacement)


def cuts(run: Run, seconds: float, count: int) -> Iterator[Row]:
    """One region after the other is cut off for so long."""
    for region in REGIONS[:count]:
        make_whole(run.simulation)
        run.simulation.advance(run.simulation.config.probe_period * run.simulation.random.random())
        yield _cut(run, region, seconds)


def _cut(run: Run, region: str, seconds: float) -> Row:
    simulation, leaves = run.simulation, run.leaves
    one = [process for process in run.processes if run.world.region_of[process.host] == region]
    others = [process for process in run.processes if process not in one]
    leaves.restart()
    run.world.cut_off(region)
    simulation.did("cut off", detail=region)
    cut = simulation.now
    simulation.advance(seconds)
    at_one, at_others = _times(leaves, one, others), _times(leaves, others, one)
    simulation.medium.mend()
    simulation.did("heal")
    healed = simulation.now
    whole = simulation.advance_until(lambda: is_whole(run.processes), WHOLE_LIMIT)
    owed = len(one) * len(others)
    told = len(_times(leaves, one, others)) + len(_times(leaves, others, one))
    return {
        "seconds": seconds,
        "one_told": len(at_one) / owed,
        "one_told_s": max(at_one) - cut if len(at_one) == owed else None,
        "others_told": len(at_others) / owed,
        "others_told_s": max(at_others) - cut if len(at_others) == owed else None,
        "late": (told - len(at_one) - len(at_others)) / (2 * owed),
        "inside": len(_times(leaves, one, one)) + len(_times(leaves, others, others)),
        "whole_s": simulation.now - healed if whole else None,
    }


def _times(leaves: Leaves, observers: Sequence[Process], members: Sequence[Process]) -> list[float]:
    """When these told that those have left, one for each pair that told it."""
    return [time for member in members for time in leaves.times(observers, member.host)]
