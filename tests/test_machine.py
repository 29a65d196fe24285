"""The search in short: random schedules under all checks, and each rule broken on purpose is caught.

Law: 200 seeds run with the tests, from 0 up; `tox -e explore` runs many more. A failure prints its seed and
the shortest schedule that shows it.

The first seed at which each rule broken on purpose is caught, and what it shows:

    keep_bits                     0   truth
    mix_stamps                    0   truth
    mix_digests                   8   truth
    ignore_digest                 0   truth
    settle_by_majority            0   truth
    settle_what_settled_before    2   truth: at most some time before
    settle_requests_at_once      12   outcome: done, and not told
    spend_without_end             8   limit: more than the budget
    never_refute                  1   rest: live nodes held dead
    merge_latest                  0   epoch: one went back
    revive_without_incarnation    9   status: dead to alive at one incarnation
    raise_others_incarnation      1   incarnation
    keep_deaths_to_oneself        3   rest: newcomers never hear of the dead
    ignore_epoch                  2   view: not that of its maps
    never_repair                  0   rest: replicas differ
    members_before_their_group    8   alternation
    forget_the_dead              39   rest: two halves
    take_in_twice                 0   admission: twice
    take_in_what_is_for_others    3   admission: sent to another node
    open_what_is_damaged          5   admission: of another version
    listen_to_twins               1   admission: a twin, while the original is heard
    believe_echoes                4   rest: a newcomer alone
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, find, given, settings

from gossipgroups import reception
from gossipgroups.admission import Admission
from gossipgroups.budget import Budget
from gossipgroups.contacts import Contacts
from gossipgroups.convergence import Convergence, Settlement
from gossipgroups.groups import view
from gossipgroups.groups.epochs import epoch_of, exists
from gossipgroups.groups.replica import Change, Replica
from gossipgroups.ids import Address, NodeId
from gossipgroups.learning import Learning
from gossipgroups.operations import Operations
from gossipgroups.reception import Reception
from gossipgroups.reconcile import Reconciler
from gossipgroups.registers import NodeRegister, PresenceRegister, Register
from gossipgroups.reports import Reports
from gossipgroups.status import Status
from gossipgroups.wire.header import unpack_header
from gossipgroups.wire.messages import Entry, Scope
from gossipgroups.wire.seal import TaggedSeal
from gossipgroups.wire.window import Window
from sims.checks import Broken
from sims.explore import Campaign, examine
from sims.schedules import Schedule, draw, dump, failure, load, replay, shrink
from sims.schedules.shrinking import kind_of
from sims.schedules.strategies import schedules
from sims.sweep import sweep

SEEDS = 200
CAUGHT_WITHIN = 500
"""Seeds within which each broken rule must be caught."""
small = partial(draw, large_share=0.0)


@pytest.mark.timeout(600)
def test_no_schedule_breaks_a_promise() -> None:
    campaign = Campaign()
    for finding in sweep(examine, range(SEEDS)):
        if finding.broken:
            print(dump(shrink(draw(finding.seed))))
            pytest.fail(f"seed {finding.seed}: {finding.broken}")
        campaign.add(finding)
    assert campaign.complaints == []
    assert campaign.tally["settled reports"] > 10_000


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(schedules())
def test_no_schedule_of_hypothesis_breaks_a_promise(schedule: Schedule) -> None:
    replay(schedule)


def test_a_counterexample_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    merge_latest(monkeypatch)
    schedule = next(each for each in map(small, range(CAUGHT_WITHIN)) if failure(each))
    shortest = shrink(schedule)
    assert kind_of(failure(shortest)) == kind_of(failure(schedule))
    assert len(shortest.steps) < len(schedule.steps)
    assert kind_of(failure(load(dump(shortest)))) == kind_of(failure(schedule))


@pytest.mark.timeout(600)
def test_a_counterexample_of_hypothesis_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    merge_latest(monkeypatch)
    once = settings(max_examples=500, deadline=None, database=None, derandomize=True)
    shortest = find(schedules(), lambda schedule: isinstance(failure(schedule), Broken), settings=once)
    assert len(shortest.steps) <= 5
    print(dump(shortest))


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


def settle_what_settled_before(patch: pytest.MonkeyPatch) -> None:
    """A view that has settled once counts as settled when it comes back."""
    rule = Convergence._complete
    past: set[tuple[int, Scope, int, int]] = set()

    def broken(self: Convergence, settlement: Settlement, required: int) -> bool:
        scope = next(each for each, held in self._scopes.items() if held is settlement)
        view = (id(self), scope, settlement.digest, settlement.live)
        if rule(self, settlement, required):
            past.add(view)
        return view in past and settlement.live == self._live.digest

    patch.setattr(Convergence, "_complete", broken)


def settle_requests_at_once(patch: pytest.MonkeyPatch) -> None:
    """Who asks to settle is told at once that all was told."""
    rule = Operations.pending
    patch.setattr(Operations, "pending", lambda self, scopes: rule(self, ()))


def spend_without_end(patch: pytest.MonkeyPatch) -> None:
    """Budgets always have what is asked for."""
    patch.setattr(Budget, "spend", lambda self, amount, now: True)


def never_refute(patch: pytest.MonkeyPatch) -> None:
    """A node that is accused does not clear itself."""
    patch.setattr(Learning, "refute", lambda self, incarnation, now: None)


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


def mix_digests(patch: pytest.MonkeyPatch) -> None:
    """Bits of equal stamps are or-ed, whatever view they are about."""
    rule = Convergence.hear

    def broken(self: Convergence, live: int, entry: Entry, now: float) -> bool | None:
        held = self._scopes.get(entry.scope)
        if held is not None and held.stamp == entry.stamp:
            entry = entry._replace(digest=held.digest)
        return rule(self, live, entry, now)

    patch.setattr(Convergence, "hear", broken)


def keep_deaths_to_oneself(patch: pytest.MonkeyPatch) -> None:
    """A death is neither told nor taken in: each node must find out by itself."""
    rule = Learning.hear

    def broken(
        self: Learning, register: Register, sender: NodeId, age: float, repaired: bool, now: float
    ) -> None:
        own = isinstance(register, NodeRegister) and register.node_id == self.state.me
        if own or not (isinstance(register, NodeRegister) and register.status is Status.DEAD):
            rule(self, register, sender, age, repaired, now)

    patch.setattr(Learning, "hear", broken)


def revive_without_incarnation(patch: pytest.MonkeyPatch) -> None:
    """An ack makes a dead node alive again, at the same incarnation."""
    rule = Replica.merge

    def broken(self: Replica, register: Register) -> Change | None:
        old = self.find(register)
        if (
            isinstance(old, NodeRegister)
            and isinstance(register, NodeRegister)
            and old.status is Status.DEAD
            and register.status is Status.ALIVE
            and old.incarnation == register.incarnation
        ):
            self._replace(old, register)
            return Change(old, register)
        return rule(self, register)

    patch.setattr(Replica, "merge", broken)


def raise_others_incarnation(patch: pytest.MonkeyPatch) -> None:
    """An accuser raises the incarnation of whom it accuses."""
    rule = NodeRegister.become

    def broken(self: NodeRegister, status: Status, incarnation: int | None = None) -> NodeRegister:
        return rule(self, status, self.incarnation + (status is Status.SUSPECT))

    patch.setattr(NodeRegister, "become", broken)


def take_in_twice(patch: pytest.MonkeyPatch) -> None:
    """What was seen is taken in again."""
    patch.setattr(Window, "accept", lambda self, number: True)
    patch.setattr(Window, "has_seen", lambda self, number: False)


def take_in_what_is_for_others(patch: pytest.MonkeyPatch) -> None:
    """Whom a datagram was sent to is not looked at."""
    rule, at = Reception.receive, list[NodeId]()

    def broken(self: Reception, datagram: bytes, source: Address, now: float) -> str | None:
        at[:] = [self._me]
        return rule(self, datagram, source, now)

    patch.setattr(Reception, "receive", broken)
    patch.setattr(reception, "unpack_header", lambda packed: unpack_header(packed)._replace(receiver=at[0]))


def open_what_is_damaged(patch: pytest.MonkeyPatch) -> None:
    """The tag is not compared."""
    patch.setattr(TaggedSeal, "open", lambda self, datagram: (datagram[9:31], datagram[31:]))


def listen_to_twins(patch: pytest.MonkeyPatch) -> None:
    """A sender is heard wherever it speaks."""
    patch.setattr(Admission, "_may_speak", lambda *_: True)


def believe_echoes(patch: pytest.MonkeyPatch) -> None:
    """An address from which the own question came back is never asked again."""
    rule = Contacts._due_seeds
    patch.setattr(
        Contacts, "_due_seeds", lambda self: [each for each in rule(self) if each not in self._ours]
    )


MUTATIONS: tuple[Callable[[pytest.MonkeyPatch], None], ...] = (
    keep_bits,
    mix_stamps,
    mix_digests,
    ignore_digest,
    settle_by_majority,
    settle_what_settled_before,
    settle_requests_at_once,
    spend_without_end,
    never_refute,
    merge_latest,
    revive_without_incarnation,
    raise_others_incarnation,
    keep_deaths_to_oneself,
    ignore_epoch,
    never_repair,
    members_before_their_group,
    forget_the_dead,
    take_in_twice,
    take_in_what_is_for_others,
    open_what_is_damaged,
    listen_to_twins,
    believe_echoes,
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
@pytest.mark.timeout(600)
def test_a_broken_rule_is_caught(
    mutation: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    errors = ((seed, failure(small(seed))) for seed in range(CAUGHT_WITHIN))
    seed, error = next(((seed, error) for seed, error in errors if error), (None, None))
    assert seed is not None, f"{mutation.__name__} was not caught within {CAUGHT_WITHIN} seeds"
    # Not by an error of the mutation's own.
    assert isinstance(error, Broken), f"{mutation.__name__}: seed {seed}: {error!r}"
    print(f"{mutation.__name__}: seed {seed}: {error}")
