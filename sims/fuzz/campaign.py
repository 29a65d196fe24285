"""A campaign: batches of every kind of hostile input, for nodes with keys and without.

Law: a batch is a value, and carrying it out a function of it alone, so that processes can share the batches.
"""

from __future__ import annotations

from dataclasses import dataclass

from sims.fuzz.makers import KINDS
from sims.fuzz.target import Tally, fuzz, fuzz_forged, fuzz_replayed

FORGED, REPLAYED = "forged", "replayed"
BATCH = 20_000
"""Datagrams of one case of the sweep."""


@dataclass(frozen=True, slots=True)
class Case:
    """A batch of one kind."""

    kind: str
    keyed: bool
    seed: int
    count: int


def carry_out(case: Case) -> tuple[Case, Tally]:
    """Fuzz one batch."""
    if case.kind == FORGED:
        return case, fuzz_forged(seed=case.seed, count=case.count)
    if case.kind == REPLAYED:
        return case, fuzz_replayed(keyed=case.keyed, seed=case.seed, count=case.count)
    return case, fuzz(KINDS[case.kind], keyed=case.keyed, seed=case.seed, count=case.count)


def cases(datagrams: int, first_seed: int) -> list[Case]:
    """Batches of all kinds, for nodes with and without keys."""
    kinds = [(kind, keyed) for kind in (*KINDS, REPLAYED) for keyed in (False, True)] + [(FORGED, True)]
    return [
        Case(kind, keyed, first_seed + batch, min(BATCH, datagrams - batch * BATCH))
        for batch in range(-(-datagrams // BATCH))
        for kind, keyed in kinds
    ]
