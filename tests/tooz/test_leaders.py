"""Advisory leaders, and the locks that are not there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, cast

import pytest
import tooz
from hypothesis import given
from hypothesis import strategies as st
from tooz import coordination
from tooz.coordination import Hooks

from gossipgroups.blocking import Request
from gossipgroups.tooz import GossipDriver
from gossipgroups.tooz.election import PREFIX, leader
from tests.tooz.site import GROUP, Site, Told, ignore, names
from tests.waiting import LIMIT, wait_until


def test_there_is_no_lock() -> None:
    with pytest.raises(tooz.NotImplemented, match="no locks"):
        coordination.get_coordinator("gossip://", b"a").get_lock(b"name")


def test_there_is_no_leader_unless_asked_for() -> None:
    made = coordination.get_coordinator("gossip://", b"a")
    calls: list[Callable[[], object]] = [
        lambda: made.watch_elected_as_leader(GROUP, ignore),
        lambda: made.unwatch_elected_as_leader(GROUP, ignore),
        lambda: made.get_leader(GROUP),
        lambda: made.stand_down_group_leader(GROUP),
        made.run_elect_coordinator,
    ]
    for call in calls:
        with pytest.raises(tooz.NotImplemented, match="advisory"):
            call()


def test_one_of_many_candidates_leads_and_the_next_takes_over(site: Site) -> None:
    all_of_them = [site.started(b"%d" % number, leader="advisory") for number in range(3)]
    told = [Told() for _ in all_of_them]
    for coordinator, elected in zip(all_of_them, told, strict=True):
        coordinator.watch_elected_as_leader(GROUP, elected)
        coordinator.run_watchers()
    for number, coordinator in enumerate(all_of_them):
        for each in all_of_them[number:]:
            assert each.get_leader(GROUP).get(LIMIT) == b"%d" % number
            each.run_watchers()
        assert [len(elected) for elected in told] == [1] * (number + 1) + [0] * (2 - number)
        assert coordinator.get_groups().get(LIMIT) == [], "groups of candidates are not shown"
        coordinator.stop()


def test_who_stands_down_is_a_candidate_again_at_the_next_election(site: Site) -> None:
    coordinator = site.started(b"a", leader="advisory")
    told = Told()
    coordinator.watch_elected_as_leader(GROUP, told)
    assert coordinator.get_leader(GROUP).get(LIMIT) is None
    assert not coordinator.stand_down_group_leader(GROUP), "it does not lead"
    coordinator.run_elect_coordinator()
    assert coordinator.stand_down_group_leader(GROUP)
    assert coordinator.get_leader(GROUP).get(LIMIT) is None
    coordinator.run_elect_coordinator()
    assert len(told) == 2
    coordinator.unwatch_elected_as_leader(cast(bytes, GROUP.decode()), told)  # an id is an id
    wait_until(lambda: coordinator.get_leader(GROUP).get(LIMIT) is None, "the end of the candidacy")


candidates = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.one_of(
        st.builds(lambda term: {"term": term}, st.one_of(st.integers(), st.none(), st.text(max_size=2))),
        st.none(),
        st.integers(),
        st.lists(st.integers()),
    ),
)


@given(candidates, candidates)
def test_the_leader_is_a_candidate_and_more_candidates_with_higher_terms_change_nothing(
    held: dict[str, Any], garbage: dict[str, Any]
) -> None:
    first = leader(held)
    assert first is None or first in held
    term = 1 if first is None else held[first]["term"]
    later = {f"later-{name}": {"term": term + 1} for name in garbage}
    assert leader(held | later) == (first if first is not None or not later else min(later))


def test_a_group_id_that_leaves_no_room_for_candidates_is_refused_at_once(site: Site) -> None:
    coordinator = site.started(b"a", leader="advisory")
    room = 255 - len(PREFIX)
    with pytest.raises(tooz.ToozError, match="256 bytes"):
        coordinator.watch_elected_as_leader(b"x" * (room + 1), ignore)
    assert not coordinator._hooks_elected_leader
    coordinator.watch_elected_as_leader(b"x" * room, ignore)
    assert coordinator.run_watchers() == [None]


def test_a_leader_that_was_taken_out_stands_again(site: Site) -> None:
    coordinator, other = (site.started(name, leader="advisory") for name in (b"a", b"b"))
    first, second = Told(), Told()
    for each, told in ((coordinator, first), (other, second)):
        each.watch_elected_as_leader(GROUP, told)
        each.run_watchers()
    site.seed.leave_group(PREFIX + GROUP.decode(), "a").get(LIMIT)
    for each in (coordinator, other, coordinator):
        each.run_watchers()
    assert (len(first), len(second)) == (1, 1)
    assert coordinator.get_leader(GROUP).get(LIMIT) == b"b"
    other.stop()
    coordinator.run_watchers()
    assert (len(first), len(second)) == (2, 1)


def test_who_never_waits_is_elected_too(site: Site) -> None:
    coordinator = site.started(b"a", leader="advisory")
    told = Told()
    coordinator.watch_elected_as_leader(GROUP, told)
    wait_until(lambda: coordinator.run_watchers(timeout=0) or told, "it is elected")
    assert len(told) == 1
    coordinator.stand_down_group_leader(GROUP)
    wait_until(lambda: coordinator.run_watchers(timeout=0) or len(told) == 2, "and again")


def interrupted(site: Site, member: bytes) -> tuple[GossipDriver, Told]:
    """One that leads two groups, whose first callback was interrupted, and what the second is told."""
    coordinator = site.started(member, leader="advisory")
    told = Told()

    def interrupt(event: object) -> None:
        raise KeyboardInterrupt

    coordinator.watch_elected_as_leader(b"first", interrupt)
    coordinator.watch_elected_as_leader(GROUP, told)
    with pytest.raises(KeyboardInterrupt):
        coordinator.run_watchers()
    return coordinator, told


def test_an_interrupt_loses_no_election(site: Site) -> None:
    coordinator, told = interrupted(site, b"a")
    coordinator.run_watchers()
    assert [event.group_id for event in told] == [GROUP]


def test_an_election_that_was_lost_meanwhile_is_not_told(site: Site) -> None:
    coordinator, told = interrupted(site, b"b")
    other = site.started(b"a", leader="advisory")
    other_told = Told()
    site.seed.leave_group(PREFIX + GROUP.decode(), "b").get(LIMIT)
    other.watch_elected_as_leader(GROUP, other_told)
    other.run_watchers()
    assert len(other_told) == 1
    coordinator.run_watchers()
    assert len(told) == 0


def test_of_two_processes_with_one_member_id_one_leads(site: Site) -> None:
    one, same = (site.started(b"a", leader="advisory") for _ in range(2))
    first, second = Told(), Told()
    for _ in range(2):
        for each, told in ((one, first), (same, second)):
            if not each._hooks_elected_leader:
                each.watch_elected_as_leader(GROUP, told)
            each.run_watchers()
    assert (len(first), len(second)) == (1, 0)
    assert not same.stand_down_group_leader(GROUP)
    same.unwatch_elected_as_leader(GROUP, second)
    assert one.get_leader(GROUP).get(LIMIT) == b"a", "it has not taken out the other's candidacy"
    same.watch_elected_as_leader(GROUP, second)
    one.stop()
    same.run_watchers()
    assert (len(first), len(second)) == (1, 1)


def test_an_election_keeps_to_the_time_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    coordinator = site.started(b"a", leader="advisory")
    told = Told()
    coordinator.watch_elected_as_leader(GROUP, told)
    never: Request[bool] = Request(Future())
    monkeypatch.setattr(coordinator._coordinator, "join_group", lambda *_, **__: never)
    returned: list[Any] = []
    thread = threading.Thread(target=lambda: returned.append(coordinator.run_watchers(0.01)), daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert returned == [[]]
    monkeypatch.undo()
    never._future.set_result(False)
    for _ in range(2):
        coordinator.run_watchers()
    assert len(told) == 1


def test_a_leader_that_starts_again_is_elected_again(site: Site) -> None:
    coordinator = site.started(b"a", leader="advisory")
    told = Told()
    coordinator.watch_elected_as_leader(GROUP, told)
    for lives in (1, 2):
        coordinator.run_watchers()
        assert len(told) == lives
        assert coordinator.get_leader(GROUP).get(LIMIT) == b"a"
        coordinator.stop()
        coordinator.start()


def test_a_watch_may_begin_during_an_election(site: Site) -> None:
    coordinator = site.started(b"a", leader="advisory")
    told = Told()

    class Busy(Hooks):
        """Read while another thread begins a watch."""

        def __iter__(self) -> Iterator[Any]:
            coordinator.watch_elected_as_leader(b"other", told)
            return super().__iter__()

    coordinator._hooks_elected_leader[GROUP] = Busy([told])
    coordinator.run_watchers()
    assert {event.group_id for event in told} == {GROUP}
    coordinator.run_elect_coordinator()
    assert {event.group_id for event in told} == {GROUP, b"other"}


def test_a_callback_of_a_leader_that_raises_takes_nothing_from_watches(site: Site) -> None:
    coordinator, other = site.started(b"a", leader="advisory"), site.started(b"b")
    coordinator.create_group(GROUP).get(LIMIT)
    told = Told()

    def fail(event: Any) -> None:
        raise LookupError("the application's own")

    coordinator.watch_elected_as_leader(GROUP, fail)
    coordinator.watch_join_group(GROUP, told)
    other.join_group(GROUP).get(LIMIT)
    with pytest.raises(LookupError):
        coordinator.run_watchers()
    assert names(told) == [("MemberJoinedGroup", b"b")]


def test_a_callback_of_a_leader_may_stop_the_coordinator(site: Site) -> None:
    coordinator = site.started(b"a", leader="advisory")
    coordinator.watch_elected_as_leader(GROUP, lambda event: coordinator.stop())
    assert coordinator.run_watchers() == [None]
    assert not coordinator.is_started


def test_others_cannot_upset_an_election_with_odd_capabilities(site: Site) -> None:
    coordinator = site.started(b"a", leader="advisory")
    site.seed.join_group(PREFIX + GROUP.decode(), "odd", create=True).get(LIMIT)
    told = Told()
    coordinator.watch_elected_as_leader(GROUP, told)
    coordinator.run_watchers()
    assert names(told) == [("LeaderElected", b"a")]
    assert told[0].group_id == GROUP


def test_the_seed_sees_what_tooz_programs_do(site: Site) -> None:
    coordinator = site.started(b"a")
    coordinator.join_group_create(GROUP, {"a": [1, None, True, "x", b"y"]})
    held = site.seed.get_members_with_capabilities("workers").get(LIMIT)
    assert held == {"a": {"a": [1, None, True, "x", b"y"]}}
