"""Partitions that heal: how long until all replicas are equal and all views settled, and what is told.

Law: a run is drawn from its seed alone. Nobody crashes, so every member that is told to have failed after the
heal is a false leave, unless its observer held it dead already when the network came back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from gossipgroups.config import Config
from gossipgroups.events import Event, MemberLeftGroup, NodeFailed
from gossipgroups.groups.rules import Command, Create, Delete, Join, Leave
from gossipgroups.operations import Applied, Outcome
from sims.engine import Process, Simulation, Watcher
from sims.experiments.experiment import Experiment, Row, Scale, main
from sims.loopback.figures import quantile
from sims.measures.cluster import NOTHING, is_whole, join_all, make_whole, start_nodes
from sims.measures.rows import number, numbers
from sims.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEEDS, QUICK_SEEDS = 1000, 20
SMALLEST, LARGEST = 8, 32
"""Nodes."""
SHORTEST, LONGEST = 5.0, 120.0
"""Seconds apart."""
CHANGE_EVERY = 2.0
"""Mean seconds between two changes on one side."""
GROUPS = ("red", "green", "blue")
LIMIT = 120.0
"""Seconds in which a healed cluster must be whole."""
STEP = 0.01
BANDS = ((5, 10), (10, 30), (30, 60), (60, 121))
"""Seconds apart that the table tells apart: below about 6 s nobody is declared dead yet."""


@dataclass(frozen=True, slots=True)
class Case:
    """One partition; the rest follows from the seed."""

    seed: int
    smallest: int = SMALLEST
    largest: int = LARGEST
    longest: float = LONGEST


class Tellings(Watcher):
    """What was told after the heal, and by whom it could be known before."""

    def __init__(self) -> None:
        self.failed = 0
        """Nodes declared dead after the heal, by observers."""
        self.false = 0
        self.late = 0
        self.applied = 0
        self._held_dead: set[tuple[Process, str]] | None = None

    def healed(self, processes: Sequence[Process]) -> None:
        """Count from now on."""
        hosts = [process.host for process in processes]
        self._held_dead = {
            (process, host) for process in processes for host in sorted(set(hosts) - _held_live(process))
        }

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        self.applied += sum(isinstance(each, Applied) for each in outcomes)
        if self._held_dead is None:
            return
        for event in events:
            if isinstance(event, NodeFailed):
                self.failed += 1
            elif isinstance(event, MemberLeftGroup) and event.reason == "failed":
                if (process, event.member_id) in self._held_dead:
                    self.late += 1
                else:
                    self.false += 1


def cases(scale: Scale) -> Sequence[Case]:
    """One for each seed."""
    count = QUICK_SEEDS if scale.quick else SEEDS
    return [Case(seed) for seed in range(scale.seed, scale.seed + count)]


def run(case: Case) -> Sequence[Row]:
    """Split a cluster, let both sides change groups, heal it."""
    tellings = Tellings()
    simulation = Simulation(case.seed, Config.lan(), watchers=[tellings])
    chance = simulation.random
    processes = start_nodes(simulation, chance.randint(case.smallest, case.largest))
    join_all(simulation, processes[: len(processes) // 2], GROUPS[0])
    make_whole(simulation)
    sides = _split(processes, chance)
    apart = chance.uniform(SHORTEST, case.longest)
    simulation.medium.partition(*([process.host for process in side] for side in sides))
    simulation.did("partition")
    tellings.applied = 0
    for side in sides:
        _plan(simulation, side, apart, chance)
    simulation.advance(apart)
    parted = sum(len(process.node.state.live) < len(processes) for process in processes)
    changes = tellings.applied
    tellings.healed(processes)
    simulation.medium.mend()
    simulation.did("heal")
    healed = simulation.now
    equal = _within(simulation, lambda: _is_equal(processes))
    whole = _within(simulation, lambda: is_whole(processes))
    return [
        {
            "seed": case.seed,
            "nodes": len(processes),
            "sides": len(sides),
            "smallest_side": min(map(len, sides)),
            "apart_s": apart,
            "changes": changes,
            "parted": parted,
            "equal_s": None if equal is None else equal - healed,
            "settled_s": None if whole is None else whole - healed,
            "false_deaths": tellings.failed,
            "false_leaves": tellings.false,
            "late_leaves": tellings.late,
        }
    ]


def _split(processes: Sequence[Process], chance: Random) -> list[list[Process]]:
    count = chance.randint(2, 3)
    shuffled = chance.sample(processes, len(processes))
    bounds = [0, *sorted(chance.sample(range(1, len(processes)), count - 1)), len(processes)]
    return [shuffled[first:last] for first, last in pairwise(bounds)]


def _plan(simulation: Simulation, side: Sequence[Process], apart: float, chance: Random) -> None:
    """Changes on one side: at least one, at random moments."""
    at = chance.random() * min(apart, CHANGE_EVERY)
    while at < apart:
        simulation.after(at, _change, simulation, chance.choice(side), chance)
        at += chance.expovariate(1 / CHANGE_EVERY)


def _change(simulation: Simulation, process: Process, chance: Random) -> None:
    simulation.submit(process, _draw(process, chance))


def _draw(process: Process, chance: Random) -> Command:
    """Something that the process may do now, as far as it knows."""
    group = chance.choice(GROUPS)
    state = process.node.state
    view = state.views[group]
    if process.host in view:
        return Leave(group, process.host)
    if group not in _existing(process):
        return chance.choice((Create(group), Join(group, process.host, NOTHING, create=True)))
    if not view and chance.random() < 0.5:
        return Delete(group)
    if view and chance.random() < 0.25:
        return Leave(group, chance.choice(sorted(view)))
    return Join(group, process.host, NOTHING)


def _existing(process: Process) -> set[str]:
    return {group for group, register in process.node.state.replica.groups.items() if register.epoch % 2}


def _held_live(process: Process) -> set[str]:
    state = process.node.state
    return {state.replica.nodes[node_id].address.host for node_id in state.live.ids}


def _is_equal(processes: Sequence[Process]) -> bool:
    digest = processes[0].node.state.replica.digest
    return all(process.node.state.replica.digest == digest for process in processes)


def _within(simulation: Simulation, condition: Callable[[], bool]) -> float | None:
    """When a condition came to hold; `None` if it did not in time."""
    return simulation.now if simulation.advance_until(condition, LIMIT, every=STEP) else None


def tables(rows: Sequence[Row]) -> Sequence[Table]:
    """By the time apart, and all together."""
    lines = []
    for first, last in (*BANDS, (SHORTEST, LONGEST + 1)):
        some = [row for row in rows if first <= number(row, "apart_s") < last]
        healed = [row for row in some if row["settled_s"] is not None]
        equal, settled = numbers(some, "equal_s"), numbers(some, "settled_s")
        lines.append(
            (
                f"{first:.0f} to {min(last, LONGEST):.0f} s"
                if last <= LONGEST or first > SHORTEST
                else "all",
                f"{len(healed)} of {len(some)}",
                *(quantile(equal, share) for share in (0.5, 0.99, 1)),
                *(quantile(settled, share) for share in (0.5, 0.99, 1)),
                *(
                    int(sum(numbers(some, name)))
                    for name in ("false_deaths", "false_leaves", "late_leaves", "changes")
                ),
            )
        )
    parted = sum(number(row, "parted") > 0 for row in rows)
    return [
        Table(
            "Partitions that heal: seconds from the heal on",
            (
                "apart",
                "healed",
                "replicas equal: p50",
                "p99",
                "max",
                "all settled: p50",
                "p99",
                "max",
                "deaths told after it",
                "false leaves",
                "late leaves",
                "changes made apart",
            ),
            tuple(lines),
            f"{len(rows)} partitions; in {parted} somebody was held dead when the network came back. A death "
            "told after it counts once for each node told. A false leave is one told after the heal to "
            "somebody who did not hold the member's node dead at the heal; a late one had been found "
            "before, and was still to be told. Peers, 3 + 2 processes split for 40 s, until the last knew: "
            "aiocluster 1.7 s, swim-protocol 7.2 s, kinship 9.1 s, casty 15.5 s; swim-p2p and aiogossip "
            "never.",
        )
    ]


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """Time to settle against time apart."""
    left, right = figure.subplots(1, 2)
    for sides, colour in ((2, "tab:blue"), (3, "tab:orange")):
        some = [row for row in rows if row["sides"] == sides and row["settled_s"] is not None]
        apart = [number(row, "apart_s") for row in some]
        settled = [number(row, "settled_s") for row in some]
        left.scatter(apart, settled, s=6, color=colour, label=f"{sides} sides")
        right.plot(
            sorted(settled), [(place + 1) / len(settled) for place in range(len(settled))], color=colour
        )
    left.set(xlabel="seconds apart", ylabel="seconds from the heal until all settled", ylim=(0, None))
    left.legend()
    right.set(xlabel="seconds from the heal until all settled", ylabel="share of partitions", xlim=(0, None))


EXPERIMENT = Experiment(
    name="partition",
    title="Partitions with changes on all sides, and their heal",
    source="peers, five processes split 3 + 2 for 40 s",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="Each seed splits 8 to 32 nodes at random into 2 or 3 sides for 5 to 120 s, while members join and "
    "leave and groups are created and deleted on every side. Counted is the time from the heal until all "
    "replicas are equal, and until every view is settled and told at every node.",
)

if __name__ == "__main__":
    main("partition")
