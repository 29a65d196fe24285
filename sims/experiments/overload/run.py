"""One overload: a cluster that gets too little processor for a while, and what it does once it has enough.

Law: the supply of a machine is a share of what its nodes need when idle, so at 1/10 even probing does not
keep up. Before and after, each has all it can use of its processors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log

from gossipgroups.config import Config
from gossipgroups.convergence import LONGEST_RETRY
from sims.engine import Cost, Process, address_of
from sims.experiments.experiment import Row
from sims.experiments.overload.machines import CrowdedSimulation, Machine
from sims.experiments.overload.quiet import DATAGRAMS_EACH, Loudness, Second, first_quiet, quiet_since

COST = Cost(turn=0.0002, received=0.00002, sent=0.00002)
"""As measured on a real coordinator with a real socket, two cores, Python 3.11: 160 to 230 µs for a turn with
one ping and its ack, 15 to 20 µs for each further ping of the same turn, as much for each further ack. An
idle node has 3.2 turns, 2 datagrams in and 2 out a second: 0.72 ms, where docs/benchmarks.md has 0.80 ms."""
IDLE_NEED = 3.2 * COST.turn + 2 * COST.received + 2 * COST.sent
"""Processor that an idle node needs in one probe period, seconds."""
PROCESSORS = 2
BIN = 5
"""Seconds in one row."""
WARM_UP = 20.0
BOOT_LIMIT = 120.0


@dataclass(frozen=True, slots=True)
class Case:
    """One run."""

    scenario: str
    """`start`: all start at once, while starved. `run`: a running cluster is starved."""
    nodes: int
    machines: str
    """`own`: each process is throttled alone. `shared`: they contend for `PROCESSORS`, first come first
    served."""
    supply: float
    """While starved, of what the starved nodes need when idle."""
    starved: str
    """`all`, or a `quarter` of the nodes."""
    lasting: float
    """Seconds of starvation."""
    limit: float
    """Seconds after the release after which it is given up."""
    seed: int


def quiet_bound(config: Config, nodes: int) -> float:
    """Seconds from the release in which a cluster must be quiet.

    The longest probe that may be under way fails and its accusation is refuted; meanwhile each node that is
    held dead is called once per `reach_interval` on average, by nodes that draw it at random, so in 19 of 20
    runs all of them were called after ln n + 3 intervals (1 - e^-3); then the last view settles.
    """
    probe = (1 + config.awareness_limit) * config.probe_period
    return probe + config.reach_interval * (log(nodes) + 3) + LONGEST_RETRY * config.settle_retry


def trust_bound(config: Config, nodes: int) -> float:
    """Seconds from the release in which all scores must be 0 again.

    Once quiet, a node of the worst score waits for the probe that it has put off; each answered one lowers
    the score by one, and the next comes a period later. One period more, as a target's moment may be any in
    its period.
    """
    worst = config.awareness_limit
    periods = (1 + worst) + worst + 1
    return quiet_bound(config, nodes) + periods * config.probe_period


class Cluster:
    """The nodes of a case, on their machines."""

    def __init__(self, case: Case) -> None:
        self.loudness = Loudness()
        self.simulation = CrowdedSimulation(case.seed, Config.lan(), cost=COST, watchers=[self.loudness])
        self.idle = case.nodes * DATAGRAMS_EACH / self.simulation.config.probe_period
        self._case = case
        self._count = case.nodes if case.starved == "all" else case.nodes // 4
        shared = case.machines == "shared"
        self._starving = [
            Machine(PROCESSORS) if shared else Machine(1) for _ in range(1 if shared else self._count)
        ]
        self._others = Machine(PROCESSORS)

    def start(self) -> None:
        """Start all at once, with the first as everybody's seed."""
        for place in range(self._case.nodes):
            process = self.simulation.start(address_of(place), seeds=[address_of(0)] if place else [])
            self._place(process, place)

    def starve(self) -> None:
        """Give the machines of those to be starved too little."""
        need = IDLE_NEED / self.simulation.config.probe_period * self._count
        have = sum(machine.processors for machine in self._starving)
        for machine in self._starving:
            self.simulation.set_speed(machine, min(1.0, self._case.supply * need / have))

    def release(self) -> None:
        """Give them all they want again."""
        for machine in self._starving:
            self.simulation.set_speed(machine, 1.0)

    def _place(self, process: Process, place: int) -> None:
        # The seed, at place 0, is not among the quarter.
        number = place - (self._case.nodes - self._count)
        if number >= 0:
            self.simulation.place(process, self._starving[number % len(self._starving)])
        elif self._case.machines == "shared":
            self.simulation.place(process, self._others)


def run(case: Case) -> Sequence[Row]:
    """Let it happen, until all is over or given up: a row for every `BIN` seconds."""
    cluster = Cluster(case)
    simulation, seconds = cluster.simulation, cluster.loudness.seconds
    if case.scenario == "start":
        cluster.starve()
        cluster.start()
    else:
        cluster.start()
        within = simulation.advance_until(
            lambda: simulation.now > WARM_UP and _over(seconds, cluster.idle), BOOT_LIMIT, every=1.0
        )
        if not within:
            raise AssertionError(f"no running cluster within {BOOT_LIMIT} s: {case}")
        seconds.clear()
        cluster.starve()
    simulation.advance(case.lasting)
    cluster.release()
    released = simulation.now
    simulation.advance_until(
        lambda: _over(seconds[int(case.lasting) :], cluster.idle), within=case.limit, every=1.0
    )
    return _rows(case, seconds, released, cluster.idle)


def _over(seconds: Sequence[Second], idle: float) -> bool:
    """Whether the cluster is quiet, and everybody trusts itself again."""
    return quiet_since(seconds, idle) is not None and not seconds[-1].worst


def _rows(case: Case, seconds: Sequence[Second], released: float, idle: float) -> list[Row]:
    after = [each for each in seconds if each.until > released]
    quiet, trusted = first_quiet(after, idle), None
    if after and not after[-1].worst:
        trusted = next(place for place in range(len(after), 0, -1) if place == 1 or after[place - 2].worst)
    outcome = {
        "quiet_s": quiet,
        "trusted_s": trusted,
        "relapses": None if quiet is None else sum(not each.is_calm(idle) for each in after[quiet:]),
        "idle": idle,
    }
    rows: list[Row] = []
    for first in range(0, len(seconds), BIN):
        some = seconds[first : first + BIN]
        rows.append(
            {
                **asdict(case),
                **outcome,
                "at_s": round(some[-1].until - released),
                "lasted_s": len(some),
                "datagrams": sum(each.sent for each in some) / len(some),
                "suspicions": sum(each.suspicions for each in some) / len(some),
                "deaths": sum(each.deaths for each in some) / len(some),
                "refutations": sum(each.refutations for each in some) / len(some),
                "awareness": some[-1].awareness,
                "worst": some[-1].worst,
                "blind": some[-1].blind,
            }
        )
    return rows
