"""Advisory leaders: who stands for a group, and who of them leads.

Law: candidates are members of a group of their own, each with the term that it drew: one more than the
highest that it saw. Of those held present here the lowest (term, member id) leads, so whoever leads goes on
leading when others come. Two may take themselves for the leader: in a partition until it heals, after a hang
or a lapse, or when they stand at the same moment. Good enough to save work, never to keep data whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from tooz import coordination
from tooz.coordination import EventCallback

from gossipgroups.blocking import BlockingCoordinator, Request
from gossipgroups.errors import GroupNotCreated, MemberAlreadyJoined, MemberNotJoined
from gossipgroups.ids import decode_name, encode_name
from gossipgroups.tooz.results import seconds_until

PREFIX = "tooz.leader/"
"""Begins the name of a group of candidates; such groups are not shown as groups."""


class Election:
    """The candidacies of one member, for one run of its coordinator.

    Another process may stand with the same member id, so a candidacy counts as this one's by its node.
    """

    def __init__(self, coordinator: BlockingCoordinator) -> None:
        self._coordinator = coordinator
        self._leads: set[str] = set()
        self._asked: dict[str, Request[bool]] = {}
        """What was asked in an earlier run, which had no time to wait for it."""
        self._due: deque[tuple[EventCallback[Any], coordination.LeaderElected]] = deque()

    def run(
        self, watched: Mapping[str, Iterable[EventCallback[Any]]], until: float
    ) -> Iterator[tuple[EventCallback[Any], coordination.LeaderElected]]:
        """Stand for these groups; the callbacks to call, as this member now leads their groups.

        Waits for others to know of it until that moment; later it is a matter of the next election. What is
        not taken from the callbacks is given again by the next.
        """
        self._due = deque(
            (callback, event)
            for callback, event in self._due
            if callback in watched.get(decode_name(event.group_id), ())
        )
        for group, callbacks in watched.items():
            if group not in self._leads and not self._stand(group, until):
                continue  # who claims before that is told may not be alone with the claim
            if not self._is_leader(group):
                self._leads.discard(group)
            elif group not in self._leads:
                event = coordination.LeaderElected(
                    encode_name(group), encode_name(self._coordinator.member_id)
                )
                self._due += [(callback, event) for callback in callbacks]
                self._leads.add(group)
        return self._told()

    def withdraw(self, group: str) -> bool:
        """Stand for a group no more; whether this member led it."""
        led = self._is_leader(group)
        self._leads.discard(group)
        self._asked.pop(group, None)
        if self._stands(group):
            with suppress(GroupNotCreated, MemberNotJoined):
                self._coordinator.leave_group(PREFIX + group).get()
        return led

    def _stand(self, group: str, until: float) -> bool:
        """Be a candidate; whether that was told, so that all know it unless they are in trouble."""
        request = self._asked.pop(group, None) or self._ask(group)
        try:
            return request.get(seconds_until(until))
        except TimeoutError:
            self._asked[group] = request
            return False
        except MemberAlreadyJoined:
            return False

    def _ask(self, group: str) -> Request[bool]:
        if self._stands(group):
            return self._coordinator.settle(PREFIX + group)
        term = 1 + max((_term(each) or 0 for each in self._candidates(group).values()), default=0)
        return self._coordinator.join_group(PREFIX + group, {"term": term}, create=True)

    def _told(self) -> Iterator[tuple[EventCallback[Any], coordination.LeaderElected]]:
        while self._due:
            callback, event = self._due.popleft()
            if decode_name(event.group_id) in self._leads:
                yield callback, event

    def _stands(self, group: str) -> bool:
        try:
            held = self._coordinator.get_member_info(PREFIX + group, self._coordinator.member_id).get()
        except (GroupNotCreated, MemberNotJoined):
            return False
        return held.node_id == self._coordinator.node.node_id

    def _is_leader(self, group: str) -> bool:
        return leader(self._candidates(group)) == self._coordinator.member_id and self._stands(group)

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
