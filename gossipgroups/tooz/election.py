"""Advisory leaders: who stands for a group, and who of them leads.

Law: candidates are members of a group of their own, each with the term that it drew: one more than the
highest that it saw. Of those held present here the lowest (term, member id) leads, so whoever leads goes on
leading when others come. Two sides of a partition have two leaders until it heals: good enough to save work,
never to keep data whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tooz import coordination
from tooz.coordination import EventCallback

from gossipgroups.blocking import BlockingCoordinator
from gossipgroups.errors import GroupNotCreated, MemberNotJoined
from gossipgroups.ids import encode_name

PREFIX = "tooz.leader/"
"""Begins the name of a group of candidates; such groups are not shown as groups."""


SETTLE_SECONDS = 1.0
"""How long an election waits until all know of a candidate; later it is a matter of the next one."""


class Election:
    """The candidacies of one member."""

    def __init__(self, coordinator: BlockingCoordinator) -> None:
        self._coordinator = coordinator
        self._leads: set[str] = set()

    def run(
        self, watched: Mapping[str, Iterable[EventCallback[Any]]]
    ) -> list[tuple[EventCallback[Any], coordination.LeaderElected]]:
        """Stand for these groups; the callbacks to call, as this member now leads their groups."""
        calls: list[tuple[EventCallback[Any], coordination.LeaderElected]] = []
        for group, callbacks in watched.items():
            if group not in self._leads and not self._stand(group):
                continue  # who claims before that is told may not be alone with the claim
            if leader(self._candidates(group)) != self._coordinator.member_id:
                self._leads.discard(group)
            elif group not in self._leads:
                self._leads.add(group)
                event = coordination.LeaderElected(
                    encode_name(group), encode_name(self._coordinator.member_id)
                )
                calls += [(callback, event) for callback in callbacks]
        return calls

    def withdraw(self, group: str) -> bool:
        """Stand for a group no more; whether this member led it."""
        led = leader(self._candidates(group)) == self._coordinator.member_id
        self._leads.discard(group)
        try:
            self._coordinator.leave_group(PREFIX + group).get()
        except (GroupNotCreated, MemberNotJoined):
            return False
        return led

    def _stand(self, group: str) -> bool:
        """Be a candidate; whether that was told, so that all know it unless they are in trouble."""
        candidates = self._candidates(group)
        if self._coordinator.member_id in candidates:
            try:
                return self._coordinator.settle(PREFIX + group).get(SETTLE_SECONDS)
            except TimeoutError:
                return False
        term = 1 + max((_term(each) or 0 for each in candidates.values()), default=0)
        return self._coordinator.join_group(PREFIX + group, {"term": term}, create=True).get()

    def _candidates(self, group: str) -> dict[str, Any]:
        try:
            return self._coordinator.get_members_with_capabilities(PREFIX + group).get()
        except GroupNotCreated:
            return {}


def leader(candidates_untrusted: Mapping[str, Any]) -> str | None:
    """Who of these candidates leads; `None` if there are none."""
    terms = ((_term(each), member) for member, each in candidates_untrusted.items())
    return min(((term, member) for term, member in terms if term is not None), default=(0, None))[1]


def _term(capabilities_untrusted: Any) -> int | None:
    term = capabilities_untrusted.get("term") if isinstance(capabilities_untrusted, dict) else None
    return term if isinstance(term, int) and 0 < term < 2**62 else None
