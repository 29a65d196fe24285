"""`python -m sims.experiments.convergence`: how long one change takes to settle, and what simpler rules say.

Law: every rule is judged on the same runs. What a change costs is the traffic of a window from it on, less
that of an equal window just before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import TYPE_CHECKING

from gossipgroups.config import Config
from gossipgroups.groups.rules import Create
from gossipgroups.testing.medium import CLEAR, HEADER_BYTES, Line
from sims.engine import Process, Simulation, address_of
from sims.experiments.experiment import Experiment, Row, Scale, main
from sims.measures.rows import grouped, number, numbers
from sims.measures.settling import SETTLED, Change, Settlings
from sims.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUP = "workers"
CONFIG = Config.lan()
BOOT_LIMIT = 60.0
REST = 10.0
"""Between the start of the cluster and the first window."""
WINDOW = 2.0
"""Seconds of traffic before and after a change that are compared: whole probe periods, and few, since
with loss there are suspicions in between that have nothing to do with the change."""
RECOVERY = 10.0
"""After each change with a bad node, for it to be trusted again."""
LONGEST = 60.0
"""Watched for a change that does not end."""
BAD_LOSS = 0.8
MODEL: dict[Cell, tuple[int, int]] = {8: (5, 139), 32: (9, 269), 128: (12, 591), 1024: (16, 3876)}
"""Rounds, and bytes per node, of the round-based model of gossiped bitmaps: 3 nodes a round, 5 % loss."""
MOST_LOSS = "25% loss"
BAD = "one node at 80 %"
"""It begins with the change: later, the others hold the node suspect or dead, and wait for it no more."""

CONDITIONS = ("0% loss", "5% loss", MOST_LOSS, BAD)


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster, and some joins to one group, one after the other."""

    nodes: int
    loss: float
    one_bad: bool
    """Whether one node loses 80 % of what it sends and is sent, from each change on until that ended."""
    changes: int
    seed: int

    @property
    def condition(self) -> str:
        """Its name in tables."""
        return BAD if self.one_bad else f"{self.loss:.0%} loss"


def cases(scale: Scale) -> list[Case]:
    """The largest first, so that no worker is left alone with it; few joins where each is minutes of work."""
    changes = {8: 10, 32: 5, 128: 2} if scale.quick else {8: 200, 32: 100, 128: 40, 512: 8, 1024: 6}
    few = {512: 4, 1024: 2}
    runs = {nodes: 1 if scale.quick or nodes > 128 else 4 for nodes in changes}
    return [
        Case(nodes, loss, one_bad, joins // runs[nodes], scale.seed + turn)
        for nodes in sorted(changes, reverse=True)
        for loss, one_bad in ((0.25, False), (0.0, True), (0.05, False), (0.0, False))
        for joins in (few.get(nodes, changes[nodes]) if loss == 0.25 else changes[nodes],)
        for turn in range(runs[nodes])
    ]


def run(case: Case) -> list[Row]:
    """A row for each change and rule."""
    settlings = Settlings(GROUP)
    simulation = Simulation(case.seed, CONFIG, watchers=[settlings])
    processes = _boot(simulation, case.nodes)
    simulation.medium.line = Line(loss=case.loss)
    simulation.advance(REST)
    bad = processes.pop() if case.one_bad else None
    rows: list[Row] = []
    for turn in range(case.changes):
        before = _traffic(simulation)
        if bad is not None:
            conditions = CLEAR.but(loss=BAD_LOSS)
            simulation.medium.egress[bad.host] = simulation.medium.ingress[bad.host] = conditions
        joiner = processes[simulation.random.randrange(len(processes))]
        change = settlings.join(joiner, f"member-{turn}")
        after = _traffic(simulation)
        simulation.advance_until(lambda change=change: _ended(change, processes), within=LONGEST, every=1.0)  # type: ignore[misc]
        cost = [(now - then) / case.nodes for then, now in zip(before, after, strict=True)]
        rows += _rows(case, turn, change, bad, cost)
        if bad is not None:
            simulation.medium.clear()
            simulation.advance(RECOVERY)
    return rows


def _boot(simulation: Simulation, nodes: int) -> list[Process]:
    processes = [simulation.start(address_of(0))]
    simulation.advance(1.0)
    simulation.submit(processes[0], Create(GROUP))
    processes += [simulation.start(address_of(place), seeds=(address_of(0),)) for place in range(1, nodes)]

    def complete() -> bool:
        states = [process.node.state for process in processes]
        return all(len(state.live) == nodes and GROUP in state.replica.groups for state in states)

    if not simulation.advance_until(complete, within=BOOT_LIMIT):
        raise RuntimeError(f"{nodes} nodes are not complete after {BOOT_LIMIT:g} s, seed {simulation.seed}")
    return processes


def _traffic(simulation: Simulation) -> tuple[int, int]:
    """Bytes, headers included, and datagrams sent in the next window."""
    datagrams, size = simulation.sent, simulation.sent_bytes
    simulation.advance(WINDOW)
    datagrams = simulation.sent - datagrams
    return simulation.sent_bytes - size + datagrams * HEADER_BYTES, datagrams


def _ended(change: Change, processes: Iterable[Process]) -> bool:
    """Whether each of these was told, and every other rule has spoken there."""
    others = [each.said for name, each in change.verdicts.items() if name != SETTLED]
    return all(process in change.told and all(process in said for said in others) for process in processes)


def _rows(case: Case, turn: int, change: Change, bad: Process | None, cost: Sequence[float]) -> Iterable[Row]:
    for name, verdict in change.verdicts.items():
        ours = name == SETTLED
        said = change.told if ours else verdict.said
        times = [seconds for process, seconds in said.items() if process is not bad]
        yield {
            "nodes": case.nodes,
            "condition": case.condition,
            "seed": case.seed,
            "change": turn,
            "rule": name,
            "said": len(verdict.said),
            "early": verdict.early,
            "mean_s": mean(times),
            "last_s": max(times),
            "bad_s": None if bad is None else said.get(bad),
            "learnt_s": max(change.learnt.values()),
            "unlearnt": len(change.unlearnt),
            "unconverged": change.unconverged if ours else None,
            "bytes": cost[0] if ours and bad is None else None,
            "datagrams": cost[1] if ours and bad is None else None,
        }


def tables(rows: Sequence[Row]) -> list[Table]:
    """How long and how dear, and how right."""
    rows = sorted(rows, key=lambda row: (CONDITIONS.index(str(row["condition"])), number(row, "nodes")))
    settled = grouped((row for row in rows if row["rule"] == SETTLED), "nodes", "condition")
    by_rule = grouped(rows, "condition", "rule")
    largest = max(number(row, "nodes") for row in rows)
    return [
        Table(
            "One join: until the last node was told",
            (
                "nodes",
                "condition",
                "joins",
                "median, ms",
                "longest, ms",
                "in rounds of 200 ms",
                "model, rounds",
                "bytes per node",
                "model, bytes",
                "datagrams per node",
                "told unconverged",
            ),
            tuple(_settled_row(nodes, condition, some) for (nodes, condition), some in settled.items()),
            "Medians of the joins. Bytes include IPv4 and UDP headers (28 bytes a datagram), those of the "
            "model do not; at 25 % loss they drown in those of suspicions. The model gossips the same "
            "bitmaps in rounds, to 3 nodes each, at 5 % loss. One node at 80 % loss: the times are those of "
            "the others; bytes are not counted, as most are about that node.",
        ),
        Table(
            "Rules that say “all have it”, on the same joins",
            ("condition", "rule", "said", "too early", "too early, %", f"last of {largest} nodes, s"),
            tuple(
                (
                    condition,
                    rule,
                    int(sum(numbers(some, "said"))),
                    int(sum(numbers(some, "early"))),
                    100 * sum(numbers(some, "early")) / max(1.0, sum(numbers(some, "said"))),
                    _mean([row for row in some if row["nodes"] == largest], "last_s"),
                )
                for (condition, rule), some in by_rule.items()
            ),
            "Too early: a node that runs, and that the speaker holds alive, has not learnt of the join. All "
            "rules profit from news being forwarded at once; with gossip once a round they would be early "
            "more often.",
        ),
    ]


def _settled_row(nodes: Cell, condition: Cell, rows: Sequence[Row]) -> tuple[Cell, ...]:
    last = [number(row, "last_s") for row in rows]
    model = MODEL.get(nodes) if condition == "5% loss" else None
    return (
        nodes,
        condition,
        len(rows),
        1000 * median(last),
        1000 * max(last),
        median(last) / CONFIG.gossip_interval,
        model and model[0],
        _median(rows, "bytes"),
        model and model[1],
        _median(rows, "datagrams"),
        int(sum(numbers(rows, "unconverged"))),
    )


def plot(rows: Sequence[Row], figure: Figure) -> None:
    """Time and bytes by the number of nodes, one line for each condition."""
    times, sizes = figure.subplots(1, 2)
    groups = grouped((row for row in rows if row["rule"] == SETTLED), "condition", "nodes")
    for condition in sorted({str(condition) for condition, _ in groups}, key=CONDITIONS.index):
        nodes = [size for name, size in groups if name == condition]
        some = [groups[condition, size] for size in nodes]
        times.plot(
            nodes, [1000 * median(number(r, "last_s") for r in each) for each in some], "o-", label=condition
        )
        if condition not in (BAD, MOST_LOSS):
            sizes.plot(nodes, [_median(each, "bytes") for each in some], "o-", label=condition)
    sizes.plot(list(MODEL), [size for _, size in MODEL.values()], "k:", label="model, 5 % loss, no headers")
    for axes, label in ((times, "last node told, ms (median)"), (sizes, "bytes per node and join")):
        axes.set(xlabel="nodes", ylabel=label, xscale="log", yscale="log")
        axes.set_xticks(list(MODEL), [str(size) for size in MODEL])
        axes.legend()
        axes.grid(alpha=0.3)


def _mean(rows: Sequence[Row], column: str) -> float | None:
    values = numbers(rows, column)
    return mean(values) if values else None


def _median(rows: Sequence[Row], column: str) -> float | None:
    values = numbers(rows, column)
    return median(values) if values else None


EXPERIMENT = Experiment(
    name="convergence",
    title="One change: until every node knows that all have it",
    source="a round-based model of gossiped bitmaps; fixed waiting and quiescence on the same runs",
    cases=cases,
    run=run,
    tables=tables,
    plot=plot,
    about="A random node joins a group; counted are the time until the last node is told, the traffic that "
    "this causes, and how often waiting a fixed time, or for quiet, would have spoken too early.",
)

if __name__ == "__main__":
    main("convergence")
