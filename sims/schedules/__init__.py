"""Schedules as data: operations and faults over simulated nodes, drawn from a seed, replayed, shrunk, kept.

Law: one schedule has one trace. A step that makes no sense where it comes is skipped, so any part of a
schedule is a schedule.

    schedule.py    the schedule, and its run under all checks
    world.py       the simulation with its places, which steps act on
    steps.py       the kinds of step
    operations.py  what applications do
    faults.py      what goes wrong with processes and their clocks
    stranger.py    an attacker without keys
    insiders.py    holders of the keys that are faulty
    drawing.py     the schedule of a seed
    shrinking.py   the shortest part of a schedule that fails alike
    document.py    schedules as JSON, to be written by hand
    occurred.py    what a campaign must have seen
    strategies.py  the same schedules for hypothesis
"""

from sims.schedules.document import BadDocument, dump, load
from sims.schedules.drawing import LARGE_SHARE, draw
from sims.schedules.schedule import Schedule, failure, replay
from sims.schedules.shrinking import shrink
from sims.schedules.world import World

__all__ = [
    "LARGE_SHARE",
    "BadDocument",
    "Schedule",
    "World",
    "draw",
    "dump",
    "failure",
    "load",
    "replay",
    "shrink",
]
