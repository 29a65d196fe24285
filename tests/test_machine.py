"""The stateful machine: random schedules over wired nodes, each promise checked after each call, then rest.

Law: 200 schedules run with the tests, from seed 0 up; in `tox -e explore` as many as `GOSSIPGROUPS_SCHEDULES`
says, from `GOSSIPGROUPS_FIRST_SEED` up. A failure prints its seed and the schedule, shrunk: `replay(...)` of
`tests.schedules` runs that again.

Each of these rules, broken on purpose, is caught; the schedule that does it first, and what it shows:

    keep_bits                     0   Truth
    mix_stamps                    0   Agreement
    ignore_digest                11   Truth
    settle_by_majority            0   Truth
    never_refute                  0   no rest: live nodes held dead
    merge_latest                  0   Statuses: an incarnation and status went back
    ignore_epoch                 24   a view is not that of its maps
    never_repair                  0   no rest: replicas differ
    members_before_their_group    0   Alternation
    forget_the_dead               2   no rest: two halves
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from gossipgroups.contacts import Contacts
from gossipgroups.convergence import Convergence, Settlement
from gossipgroups.groups import view
from gossipgroups.groups.epochs import epoch_of, exists
from gossipgroups.groups.replica import Change, Replica
from gossipgroups.node import Node
from gossipgroups.reconcile import Reconciler
from gossipgroups.registers import PresenceRegister, Register
from gossipgroups.reports import Reports
from gossipgroups.wire.messages import Entry, Scope
from tests import schedules
from tests.schedules import (
    FAULTS,
    OPERATIONS,
    draw,
    failure,
    replay,
    shrink,
)

SCHEDULES = int(os.environ.get("GOSSIPGROUPS_SCHEDULES", "200"))
FIRST_SEED = int(os.environ.get("GOSSIPGROUPS_FIRST_SEED", "0"))
CAUGHT_WITHIN = 200
"""Schedules within which each broken rule must be caught."""

MUST_OCCUR = (
    *(*OPERATIONS, *FAULTS),
    *("stopped, told", "stopped, not told", "stalls", "port refused", "repairs", "refutations"),
    *("lost", "lost to a cut", "drop", "duplicate", "duplicated", "overtaken"),
    *("NodeJoined", "NodeSuspected", "NodeFailed", "NodeLeft"),
    *("GroupCreated", "GroupCreated unconverged", "GroupDeleted", "MemberCapabilitiesUpdated"),
    *("MemberJoinedGroup", "MemberJoinedGroup unconverged", "MemberLeftGroup", "MemberLeftGroup unconverged"),
    *("left", "failed", "deleted", "settled", "done", "done unconverged"),
    *("GroupAlreadyExists", "GroupNotCreated", "GroupNotEmpty", "MemberAlreadyJoined", "MemberNotJoined"),
)
"""Operations, faults, events, reasons and errors: a campaign without one of them shows nothing about it."""


@pytest.mark.timeout(0)
def test_no_schedule_breaks_a_promise() -> None:
    tally: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + SCHEDULES):
        schedule = draw(seed)
        try:
            world = replay(schedule)
        except Exception:
            print(f"seed {seed}, shrunk: replay({shrink(schedule)!r})")
            raise
        tally += world.tally + world.checks.tally
    assert [what for what in MUST_OCCUR if not tally[what]] == []


def test_one_schedule_has_one_trace() -> None:
    for seed in range(4):
        assert replay(draw(seed)).trace == replay(draw(seed)).trace
    assert replay(draw(0)).trace != replay(draw(1)).trace


def test_a_failing_schedule_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    merge_latest(monkeypatch)
    schedule = next(each for each in map(draw, range(CAUGHT_WITHIN)) if failure(each))
    shrunk = shrink(schedule)
    assert failure(shrunk)
    assert len(shrunk.steps) < len(schedule.steps)
    assert repr(eval(repr(shrunk), vars(schedules))) == repr(shrunk)  # noqa: S307  (our own text)


# Mutations: rules broken on purpose.


def keep_bits(patch: pytest.MonkeyPatch) -> None:
    """Bits are kept when the view changes."""
    rule = Convergence._restart

    def broken(self: Convergence, scope: Scope, now: float, press: bool = True) -> None:
        bits = self._scopes[scope].bits
        rule(self, scope, now, press)
        self._scopes[scope].bits |= bits & self._all()

    patch.setattr(Convergence, "_restart", broken)


def mix_stamps(patch: pytest.MonkeyPatch) -> None:
    """Bits of different stamps are or-ed."""
    rule = Convergence.hear

    def broken(self: Convergence, live: int, entry: Entry, now: float) -> bool | None:
        held = self._scopes.get(entry.scope)
        return rule(self, live, entry if held is None else entry._replace(stamp=held.stamp), now)

    patch.setattr(Convergence, "hear", broken)


def ignore_digest(patch: pytest.MonkeyPatch) -> None:
    """Entries about another view are taken for ours."""
    rule = Convergence.hear

    def broken(self: Convergence, live: int, entry: Entry, now: float) -> bool | None:
        held = self._scopes.get(entry.scope)
        return rule(self, live, entry if held is None else entry._replace(digest=held.digest), now)

    patch.setattr(Convergence, "hear", broken)


def settle_by_majority(patch: pytest.MonkeyPatch) -> None:
    """More than half of the bits are enough."""

    def broken(self: Convergence, settlement: Settlement, required: int) -> bool:
        return 2 * (settlement.bits & required).bit_count() > required.bit_count()

    patch.setattr(Convergence, "_complete", broken)


def never_refute(patch: pytest.MonkeyPatch) -> None:
    """A node that is accused does not clear itself."""
    patch.setattr(Node, "_refute", lambda self, incarnation, now: None)


def merge_latest(patch: pytest.MonkeyPatch) -> None:
    """Merge takes what comes last, not what ranks highest."""

    def broken(self: Replica, register: Register) -> Change | None:
        old = self.find(register)
        if old == register:
            return None
        self._replace(old, register)
        return Change(old, register)

    patch.setattr(Replica, "merge", broken)


def ignore_epoch(patch: pytest.MonkeyPatch) -> None:
    """Presences outlive the deletion of their group, and are there again when it is created again."""

    def broken(replica: Replica, presence: PresenceRegister) -> bool:
        node = replica.nodes.get(presence.node_id)
        return (
            presence.capabilities is not None
            and node is not None
            and node.status.live
            and exists(epoch_of(replica, presence.group))
        )

    patch.setattr(view, "is_present", broken)


def never_repair(patch: pytest.MonkeyPatch) -> None:
    """What rumours have missed is never repaired."""
    patch.setattr(Reconciler, "start", lambda self, address, now: False)


def members_before_their_group(patch: pytest.MonkeyPatch) -> None:
    """A group's members are told as soon as they settle, be the group told or not."""

    patch.setattr(Reports, "waits_for_root", lambda self, scope: False)


def forget_the_dead(patch: pytest.MonkeyPatch) -> None:
    """Nobody calls those that are held dead."""
    patch.setattr(Contacts, "_due_dead", lambda self: [])
    patch.setattr(Contacts, "_due_seeds", lambda self: [] if self.answered else list(self.seeds))


@pytest.mark.parametrize(
    "mutation",
    [
        keep_bits,
        mix_stamps,
        ignore_digest,
        settle_by_majority,
        never_refute,
        merge_latest,
        ignore_epoch,
        never_repair,
        members_before_their_group,
        forget_the_dead,
    ],
    ids=lambda mutation: mutation.__name__,
)
def test_a_broken_rule_is_caught(
    mutation: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    errors = ((seed, failure(draw(seed))) for seed in range(CAUGHT_WITHIN))
    caught = next(((seed, error) for seed, error in errors if error), None)
    assert caught
    print(f"{mutation.__name__}: seed {caught[0]}: {type(caught[1]).__name__}: {caught[1]}")
