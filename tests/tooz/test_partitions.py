"""Partitioners: the ring is the members that were told, whatever happens while it is made."""

from __future__ import annotations

from typing import Any

import pytest
from tooz import coordination, hashring

from gossipgroups.tooz import partitions
from tests.tooz.site import GROUP, Site
from tests.waiting import LIMIT


def ring(partitioner: Any) -> dict[bytes, int]:
    """Who is on the ring, with what weight."""
    return dict(partitioner.ring.nodes)


@pytest.mark.parametrize("moment", ["before the read", "after the read"])
def test_a_member_that_joins_while_the_partitioner_is_made_is_in_its_ring(
    site: Site, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    coordinator.create_group(GROUP).get(LIMIT)
    read = coordinator.get_members_with_capabilities

    def read_while_another_joins(group_id: bytes) -> Any:
        held = read(group_id).get(LIMIT) if moment == "after the read" else None
        other.join_group(group_id, {"weight": 3}).get(LIMIT)
        return _Held(held) if held is not None else read(group_id)

    monkeypatch.setattr(coordinator, "get_members_with_capabilities", read_while_another_joins)
    partitioner = coordinator.join_partitioned_group(GROUP)
    coordinator.run_watchers()
    assert ring(partitioner) == {b"a": 1, b"b": 3}
    other.leave_group(GROUP).get(LIMIT)
    coordinator.run_watchers()
    assert ring(partitioner) == {b"a": 1}
    assert coordinator.run_watchers() == []


class _Held:
    """A result that is there."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self) -> Any:
        return self._value


def test_a_member_that_comes_back_with_another_weight_has_that_weight(site: Site) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    partitioner = coordinator.join_partitioned_group(GROUP)
    other.join_partitioned_group(GROUP, weight=2)
    coordinator.run_watchers()
    assert ring(partitioner) == {b"a": 1, b"b": 2}
    other.stop()
    other.start()
    other.join_partitioned_group(GROUP, weight=1)
    coordinator.run_watchers()
    assert ring(partitioner) == {b"a": 1, b"b": 1}
    expected = hashring.HashRing([b"a", b"b"])
    assert partitioner.ring._partitions == expected._partitions, "no place of the old weight is left"


def test_a_member_that_came_and_went_leaves_no_trace_in_the_ring(site: Site) -> None:
    coordinator, other = site.started(b"a"), site.started(b"b")
    partitioner = coordinator.join_partitioned_group(GROUP)
    for _ in range(3):
        other.join_group(GROUP).get(LIMIT)
        other.leave_group(GROUP).get(LIMIT)
    coordinator.run_watchers()
    assert ring(partitioner) == {b"a": 1}


@pytest.mark.parametrize(
    ("capabilities", "weight"),
    [
        (None, 1),
        ("heavy", 1),
        ({"weight": "heavy"}, 1),
        ({"weight": -3}, 1),
        ({"weight": 10**12}, partitions.MAX_WEIGHT),
        ({"weight": 7}, 7),
    ],
)
def test_what_others_say_of_their_weight_is_not_trusted(
    site: Site, capabilities: Any, weight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "MAX_WEIGHT", 64)
    coordinator, other = site.started(b"a"), site.started(b"b")
    other.join_group_create(GROUP, capabilities)
    partitioner = coordinator.join_partitioned_group(GROUP)
    assert ring(partitioner)[b"b"] == min(weight, 64)


def test_a_partitioner_of_a_group_that_is_not_there_leaves_no_watch(site: Site) -> None:
    coordinator = site.started(b"a")
    with pytest.raises(coordination.GroupNotCreated):
        partitions.ToldPartitioner(coordinator, GROUP)
    assert not coordinator._hooks_join_group


@pytest.mark.parametrize("step", ["watch_join_group", "watch_leave_group", "get_members_with_capabilities"])
def test_a_partitioner_that_cannot_be_made_leaves_no_watch(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    coordinator = site.started(b"a")

    def fail(group_id: bytes, *_: Any) -> Any:
        raise coordination.GroupNotCreated(group_id)

    monkeypatch.setattr(coordinator, step, fail)
    with pytest.raises(coordination.GroupNotCreated):
        coordinator.join_partitioned_group(GROUP)
    assert not coordinator._hooks_join_group
    assert not coordinator._hooks_leave_group
    assert not len(coordinator._coordinator._watches)
