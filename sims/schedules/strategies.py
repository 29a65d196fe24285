"""The same schedules for hypothesis, which shrinks them step by step and value by value.

Law: what is drawn here is what `drawing` draws; simpler values come first, so that they are what is left.
"""

from __future__ import annotations

from hypothesis import strategies as st

from gossipgroups.testing.latency import Uniform
from gossipgroups.testing.medium import Line
from sims.schedules.drawing import CONDITIONS, GROUPS, LATENCIES, QUEUE
from sims.schedules.faults import FAULTS
from sims.schedules.operations import OPERATIONS
from sims.schedules.schedule import Schedule
from sims.schedules.steps import (
    Attack,
    Calm,
    Clear,
    Condition,
    Cut,
    Fault,
    Heal,
    InFlight,
    Operate,
    Partition,
    Step,
    Wait,
    Weather,
)
from sims.schedules.stranger import ATTACKS

MOST_NODES = 6
MOST_SCENES = 6
MOST_STEPS = 8
"""In each scene."""
WAITS = (0.001, 0.02, 0.5, 2.0, 8.0)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """Conditions of a line."""
    changes = {name: draw(st.sampled_from(values)) for name, values in CONDITIONS.items() if draw(_seldom)}
    if "bandwidth" in changes:
        changes["queue"] = QUEUE
    return Line(latency=draw(st.sampled_from((Uniform(0.0002, 0.002), *LATENCIES))), **changes)


_seldom = st.integers(0, 4).map(lambda drawn: drawn == 4)


@st.composite
def faults(draw: st.DrawFn, places: st.SearchStrategy[int]) -> Fault:
    """A fault with an amount that it may have."""
    what = draw(st.sampled_from(tuple(FAULTS)))
    amount = FAULTS[what].amount
    return Fault(what, draw(places), draw(st.sampled_from(amount.usual)) if amount else 0.0)


@st.composite
def cuts(draw: st.DrawFn, nodes: int) -> Cut:
    """A cut between two places."""
    source, further = draw(st.integers(0, nodes - 1)), draw(st.integers(1, nodes - 1))
    return Cut(source, (source + further) % nodes, draw(st.booleans()))


@st.composite
def partitions(draw: st.DrawFn, nodes: int) -> Partition:
    """One or two sides, besides the side of all others."""
    side_of = draw(st.lists(st.integers(0, 2), min_size=nodes, max_size=nodes).filter(any))
    sides = (tuple(place for place in range(nodes) if side_of[place] == side) for side in (1, 2))
    return Partition(tuple(side for side in sides if side))


def steps(nodes: int, groups: tuple[str, ...]) -> st.SearchStrategy[Step]:
    """One step over so many places."""
    places, names = st.integers(0, nodes - 1), st.sampled_from(groups)
    waits = st.builds(Wait, st.sampled_from(WAITS))
    operations = st.builds(
        Operate, st.sampled_from(tuple(OPERATIONS)), places, names, st.booleans(), st.booleans()
    )
    return st.one_of(
        *(waits, waits, operations, operations, operations),
        st.builds(Clear, places, names),
        faults(places),
        cuts(nodes),
        partitions(nodes),
        st.just(Heal()),
        st.just(Calm()),
        st.builds(Weather, lines()),
        st.builds(Condition, st.sampled_from(("egress", "ingress")), places, lines()),
        st.builds(InFlight, st.sampled_from(("lose", "repeat")), st.integers(1, 8)),
        st.builds(
            Attack,
            st.sampled_from(tuple(ATTACKS)),
            st.sampled_from((1, 8, 64)),
            st.sampled_from((0.0, 0.5, 5.0)),
        ),
    )


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """A schedule of two to six nodes."""
    nodes = draw(st.integers(2, MOST_NODES))
    groups = GROUPS[: draw(st.integers(1, len(GROUPS)))]
    # A list of lists is longer on the average than one list, and shrinks as well.
    scene = st.lists(steps(nodes, groups), min_size=1, max_size=MOST_STEPS)
    scenes = draw(st.lists(scene, min_size=1, max_size=MOST_SCENES))
    return Schedule(
        seed=draw(st.integers(0, 2**32 - 1)),
        nodes=nodes,
        up=nodes - draw(st.integers(0, nodes - 1)),
        head_start=draw(st.sampled_from((0.0, 0.5))),
        together=draw(st.sampled_from((8, 1))),
        groups=groups,
        sealed=draw(st.booleans()),
        recorded=draw(st.sampled_from((0.0, 0.2, 1.0))),
        steps=tuple(step for scene in scenes for step in scene),
    )
