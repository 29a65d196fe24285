"""From settled views to events: the difference between what was last reported and what is reported now.

Law: for each group the events told so far sum up to the last view reported; each report is later than the one
before; a change that is not settled by its deadline is told with `converged=False`. A group's creation is
told before its members, its deletion after they are gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from math import inf
from operator import itemgetter

from gossipgroups.config import Config
from gossipgroups.events import (
    Event,
    GroupCreated,
    GroupDeleted,
    MemberCapabilitiesUpdated,
    MemberJoinedGroup,
    MemberLeftGroup,
    Reason,
)
from gossipgroups.groups.epochs import exists
from gossipgroups.groups.replica import Replica
from gossipgroups.groups.view import Views
from gossipgroups.registers import MAX_COUNTER, PresenceRegister
from gossipgroups.status import Status
from gossipgroups.wire.messages import ROOT, Scope


class Reports:
    """What this coordinator has told its application about groups."""

    def __init__(self, replica: Replica, views: Views, config: Config) -> None:
        self._replica = replica
        self._views = views
        self._deadline = config.convergence_deadline
        self._epochs: dict[str, int] = {}
        self._reported: dict[str, dict[str, PresenceRegister]] = {}
        self._since: dict[Scope, float] = {}
        self._touched: dict[str, dict[str, None]] = {}
        """Members by which a view may differ from what was reported last."""
        self._shown: dict[str, dict[str, PresenceRegister]] = {}
        self._hidden: dict[str, dict[str, Reason]] = {}
        self.events: list[Event] = []

    def changed(self, scope: Scope, now: float) -> None:
        """A scope differs from what was reported; its deadline runs."""
        self._since.setdefault(scope, now)

    def shown(self, group: str, members: Iterable[str]) -> None:
        """The view of a group changed by these members, and the application may look at it.

        A member that it may have seen and that is gone before it was reported is told to have joined and
        left, both unconverged: otherwise it would stay for ever with whoever saw it. So is one that was
        reported, is seen to be gone and is back before that was told: it is told to have left and joined.
        """
        view, reported = self._views[group], self.reported(group)
        touched = self._touched.setdefault(group, {})
        for member in members:
            touched[member] = None
            if member in view and member not in reported:
                self._shown.setdefault(group, {})[member] = view[member]
            elif member in reported and member not in view:
                self._hidden.setdefault(group, {}).setdefault(member, self._reason(reported[member]))

    @property
    def pending(self) -> Collection[Scope]:
        """Scopes whose changes were not told yet."""
        return self._since.keys()

    def waits_for_root(self, scope: Scope) -> bool:
        """Whether this is a group that exists and was not told yet: members are told after their group.

        Until then it must stay unsettled: who is alive, and so has to hold it, may change meanwhile.
        """
        register = self._replica.groups.get(scope) if isinstance(scope, str) else None
        return (
            register is not None
            and exists(register.epoch)
            and self._epochs.get(register.group) != register.epoch
        )

    def overdue(self, now: float) -> list[Scope]:
        """Scopes whose deadline has passed, the root first."""
        if not self._since:
            return []
        late = [scope for scope, since in self._since.items() if since + self._deadline <= now]
        return sorted(late, key=lambda scope: (isinstance(scope, str), scope))

    @property
    def deadline(self) -> float:
        """When the first deadline passes; infinity when there is none."""
        return min(self._since.values()) + self._deadline if self._since else inf

    def report(self, scope: Scope, converged: bool) -> bool:
        """Tell a scope's changes; whether they are told, and not held back until the root's are."""
        if not converged and self.waits_for_root(scope) and ROOT in self._since:
            self._since[scope] = self._since[ROOT]
            return False
        self._since.pop(scope, None)
        if isinstance(scope, str):
            self._tell_members(scope, self._views[scope], converged)
        elif scope == ROOT:
            self._tell_groups(converged)
        return True

    def reported(self, group: str) -> Mapping[str, PresenceRegister]:
        """The last view of a group that was told."""
        return self._reported.get(group, {})

    def forget(self, group: str) -> None:
        """The group was dropped from the replica; what was not told of its end is told now."""
        if exists(self._epochs.get(group, 0)):
            self._tell_members(group, {}, converged=False)
            self.events.append(GroupDeleted(group, converged=False))
        self._tell_missed(group, MAX_COUNTER + 1)
        self._epochs.pop(group, None)
        self._since.pop(group, None)
        self._touched.pop(group, None)
        self._shown.pop(group, None)
        self._hidden.pop(group, None)

    def _tell_groups(self, converged: bool) -> None:
        for group, register in self._replica.groups.items():
            epoch, before = register.epoch, self._epochs.get(group, 0)
            if epoch == before:
                continue
            if exists(before):
                self._tell_members(group, {}, converged)
                self.events.append(GroupDeleted(group, converged))
            self._tell_missed(group, epoch)
            if exists(epoch):
                self.events.append(GroupCreated(group, converged))
            self._epochs[group] = epoch

    def _tell_missed(self, group: str, epoch: int) -> None:
        """The lives of a group before this epoch that were not told, and of which members were shown."""
        shown = self._shown.get(group, {})
        missed = sorted((each.epoch, member) for member, each in shown.items() if each.epoch < epoch)
        for _, members in groupby(missed, itemgetter(0)):
            self.events.append(GroupCreated(group, converged=False))
            for _, member in members:
                self._tell_passing(shown.pop(member))
            self.events.append(GroupDeleted(group, converged=False))

    def _tell_passing(self, presence: PresenceRegister) -> None:
        """A member that came and went before it was told."""
        group, member = presence.group, presence.member
        self.events.append(MemberJoinedGroup(group, False, member))
        self.events.append(MemberLeftGroup(group, False, member, self._reason(presence)))

    def _tell_members(self, group: str, view: Mapping[str, PresenceRegister], converged: bool) -> None:
        before = self._reported.get(group, {})
        touched = self._touched.pop(group, {})
        epoch = self._epochs.get(group, 0)
        hidden = self._hidden.pop(group, {})
        for member, presence in sorted(self._shown.pop(group, {}).items()):
            if presence.epoch > epoch:
                self._shown.setdefault(group, {})[member] = presence  # its group is not told yet
            elif member not in before and member not in view and presence.epoch == epoch:
                self._tell_passing(presence)
        differing = touched if before and view else {**before, **view}
        for member in sorted({*differing, *hidden}):
            old, new = before.get(member), view.get(member)
            if old is not None and new is not None and member in hidden:
                self.events.append(MemberLeftGroup(group, False, member, hidden[member]))
                self.events.append(MemberJoinedGroup(group, converged, member))
                continue
            if old is new:
                continue
            if old is not None and new is not None and old.node_id == new.node_id and old.epoch == new.epoch:
                if old.capabilities != new.capabilities:
                    self.events.append(MemberCapabilitiesUpdated(group, converged, member))
                continue
            if old is not None:
                self.events.append(MemberLeftGroup(group, converged, member, self._reason(old)))
            if new is not None:
                self.events.append(MemberJoinedGroup(group, converged, member))
        for member in differing:
            if member in view:
                before[member] = view[member]
            else:
                before.pop(member, None)
        if before:
            self._reported[group] = before
        else:
            self._reported.pop(group, None)

    def _reason(self, presence: PresenceRegister) -> Reason:
        """Why a member that was reported is gone."""
        group = self._replica.groups.get(presence.group)
        if group is None or group.epoch != presence.epoch:
            return "deleted"
        held = self._replica.presences.get(presence.group, {}).get(presence.member)
        if held is not None and held.capabilities is None:
            return "left"
        # Taken over by another node: from one that answers only after a leave.
        node = self._replica.nodes.get(presence.node_id)
        return "left" if node is not None and node.status in (Status.ALIVE, Status.LEFT) else "failed"
