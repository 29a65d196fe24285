"""One crash: how long until its witnesses told that the member of that machine has left.

Law: the witnesses are named beforehand; time passes until all of them have told it, or up to a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sims.engine import Process, Simulation
from sims.measures.leaves import Leaves


class Crash(NamedTuple):
    """What came of it."""

    first_s: float | None
    """Seconds from the crash until the first witness told it; `None` if none did."""
    last_s: float | None
    """Until the last did; `None` if not all did."""
    missed: int
    """Witnesses that did not tell it."""
    unconverged: int
    """Witnesses that told it before it had converged."""


def follow_crash(
    simulation: Simulation,
    victim: Process,
    witnesses: Sequence[Process],
    leaves: Leaves,
    *,
    silent: bool,
    within: float,
) -> Crash:
    """Let a process, or with `silent` its machine, crash, and time pass until all witnesses have told it."""
    member, at = victim.host, simulation.now
    leaves.restart()
    simulation.crash(victim, silent=silent)
    simulation.advance_until(lambda: not leaves.missed(witnesses, member), within)
    told = leaves.times(witnesses, member)
    missed = leaves.missed(witnesses, member)
    return Crash(
        told[0] - at if told else None,
        None if missed else told[-1] - at,
        missed,
        sum((witness, member) in leaves.unconverged for witness in witnesses),
    )
