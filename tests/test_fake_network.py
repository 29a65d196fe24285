"""Whole coordinators on trio's fake network, in virtual time: loss, delay, duplicates, cuts, crashes.

Law: nothing here takes time or depends on the machine. One number decides all chance: it is printed, and
`GOSSIPGROUPS_SEED` sets it.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked
from trio.testing._fake_net import FakeNet, UDPBinding, UDPEndpoint, UDPPacket

import gossipgroups as gg
from gossipgroups import Config, Coordinator, Status, open_coordinator
from gossipgroups.transport.lease import Lease
from tests.waiting import address_of, eventually

LAN = Config.lan()


async def in_time(condition: Callable[[], object], what: object) -> None:
    """Wait for a condition, for at most a minute of virtual time."""
    await eventually(condition, what, limit=60.0, pause=0.02)


@pytest.fixture
def seed(monkeypatch: pytest.MonkeyPatch) -> int:
    """The number that all chance is drawn from: the nodes', the network's, and the order of trio's tasks."""
    seed = int(os.environ.get("GOSSIPGROUPS_SEED", "1"))
    print(f"GOSSIPGROUPS_SEED={seed}")
    chance = random.Random(seed)
    draw = SimpleNamespace(SystemRandom=lambda: random.Random(chance.random()))
    monkeypatch.setattr("gossipgroups.transport.network.random", draw)
    monkeypatch.setattr("trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING", True)
    monkeypatch.setattr("trio._core._run._r", random.Random(seed))
    return seed


class Network:
    """The fake network with faults, and the coordinators on it: number n is at 10.0.0.n."""

    def __init__(self, running: trio.Nursery, background: trio.Nursery, seed: int) -> None:
        self.loss = 0.0
        self.duplicates = 0.0
        self.delay = 0.0005, 0.001
        self.started: list[Coordinator] = []
        self.witnesses: dict[Coordinator, Witness] = {}
        self._cut: set[tuple[str, str]] = set()
        self._chance = random.Random(seed)
        self._running = running
        self._background = background
        self._over = trio.Event()
        self._net = FakeNet()
        self._net.route_packet = self._route  # type: ignore[assignment]
        self._net.enable()

    async def start(self, number: int, *seeds: int, name: str = "", **settings: Any) -> Coordinator:
        """Open a coordinator, until the end of the test, and a witness of all that it tells."""
        settings = {"config": LAN} | settings
        opening = open_coordinator(
            name or f"host-{number}",
            bind=f"10.0.0.{number}:7946",
            seeds=[f"10.0.0.{seed}:7946" for seed in seeds],
            isolation="task",
            **settings,
        )
        coordinator: Coordinator = await self._running.start(self._run, opening)
        self.started.append(coordinator)
        self.witnesses[coordinator] = Witness()
        await self._background.start(self.witnesses[coordinator].watch, coordinator)
        return coordinator

    async def _run(
        self,
        opening: AbstractAsyncContextManager[Coordinator],
        task_status: trio.TaskStatus[Coordinator],
    ) -> None:
        async with opening as coordinator:
            task_status.started(coordinator)
            await self._over.wait()

    def stop(self) -> None:
        """Let all coordinators leave."""
        self._over.set()

    async def start_all(self, count: int, **settings: Any) -> list[Coordinator]:
        """Coordinators 1, 2, … that have all the same single seed, the first."""
        return [await self.start(number, 1, **settings) for number in range(1, count + 1)]

    def cut(self, some: Iterable[int], others: Iterable[int], both_ways: bool = True) -> None:
        """Let no datagram pass from some to others."""
        for a in some:
            for b in others:
                self._cut.add((f"10.0.0.{a}", f"10.0.0.{b}"))
                if both_ways:
                    self._cut.add((f"10.0.0.{b}", f"10.0.0.{a}"))

    def heal(self) -> None:
        """Let all pass again."""
        self._cut.clear()

    def crash(self, coordinator: Coordinator) -> None:
        """Close a coordinator's socket without its knowledge: nothing from it or to it arrives any more."""
        host, port = address_of(coordinator)
        binding = UDPBinding(local=UDPEndpoint.from_python_sockaddr((host, port)))
        self._net._bound[binding].close()
        self.started.remove(coordinator)

    def _route(self, packet: UDPPacket) -> None:
        if (packet.source.ip.compressed, packet.destination.ip.compressed) in self._cut:
            return
        while self._chance.random() >= self.loss:
            self._background.start_soon(self._deliver, packet, self._chance.uniform(*self.delay))
            if self._chance.random() >= self.duplicates:
                return

    async def _deliver(self, packet: UDPPacket, delay: float) -> None:
        await trio.sleep(delay)
        self._net.deliver_packet(packet)

    async def all_agree(self, what: str) -> None:
        """Wait until those that run hold the same groups and members, and have told of just these."""
        await in_time(self._agree, lambda: (what, [held(each) for each in self.started]))

    def _agree(self) -> bool:
        views = [held(each) for each in self.started]
        views += [self.witnesses[each].members for each in self.started]
        return all(view == views[0] for view in views)


def held(coordinator: Coordinator) -> dict[str, frozenset[str]]:
    """All groups and members, as held now."""
    return {group: coordinator.get_members(group) for group in coordinator.get_groups()}


class Witness:
    """Reads all events of a coordinator, and holds that they alternate and sum up to what it holds.

    For a coordinator that joins late, what it held when the witness came may be told of once more.
    """

    def __init__(self) -> None:
        self.events: list[gg.Event] = []
        self.members: dict[str, frozenset[str]] = {}
        self._held: set[object] = set()

    async def watch(self, coordinator: Coordinator, task_status: trio.TaskStatus[None]) -> None:
        async with coordinator.events() as events:
            self.members = held(coordinator)
            self._held = {
                *self.members,
                *((group, member) for group, members in self.members.items() for member in members),
            }
            task_status.started()
            async for event in events:
                self.events.append(event)
                self._add(event)

    def _add(self, event: gg.Event) -> None:
        match event:
            case gg.GroupCreated(group):
                assert group not in self.members or group in self._held, event
                self._held.discard(group)
                self.members.setdefault(group, frozenset())
            case gg.GroupDeleted(group):
                assert self.members.pop(group) == frozenset(), event
            case gg.MemberJoinedGroup(group, _, member):
                assert member not in self.members[group] or (group, member) in self._held, event
                self._held.discard((group, member))
                self.members[group] |= {member}
            case gg.MemberLeftGroup(group, _, member, _):
                assert member in self.members[group], event
                self._held.discard((group, member))
                self.members[group] -= {member}

    def of_group(self, group: str) -> list[gg.Event]:
        return [each for each in self.events if isinstance(each, gg.GroupEvent) and each.group_id == group]

    def of_nodes(self, name: str) -> list[type[gg.Event]]:
        return [type(each) for each in self.events if isinstance(each, gg.NodeEvent) and each.name == name]


@pytest.fixture
async def network(seed: int) -> AsyncIterator[Network]:
    # pytest-trio runs on a test's own clock argument only, so each test here must have it.
    assert isinstance(trio.lowlevel.current_clock(), MockClock), "autojump_clock is missing"
    async with trio.open_nursery() as background:
        async with trio.open_nursery() as running:
            network = Network(running, background, seed)
            yield network
            network.stop()
        background.cancel_scope.cancel()


def about_member(witness: Witness, member: str) -> list[gg.MemberJoinedGroup | gg.MemberLeftGroup]:
    """The joins and leaves of one member that were told, in the group "workers"."""
    return [
        event
        for event in witness.of_group("workers")
        if isinstance(event, gg.MemberJoinedGroup | gg.MemberLeftGroup) and event.member_id == member
    ]


def statuses(coordinator: Coordinator) -> dict[str, Status]:
    return {node.name: node.status for node in coordinator.nodes()}


async def test_changes_converge_through_loss_delay_and_duplicates(
    network: Network, autojump_clock: MockClock
) -> None:
    network.loss, network.duplicates, network.delay = 0.2, 0.1, (0.001, 0.05)
    coordinators = await network.start_all(5, join_timeout=60.0)
    await coordinators[0].create_group("workers")
    await in_time(lambda: all(each.get_groups() for each in coordinators), "the group")
    async with trio.open_nursery() as nursery:
        for each in coordinators:
            nursery.start_soon(each.join_group, "workers")
    await network.all_agree("all joined")
    assert coordinators[3].get_members("workers") == {f"host-{number}" for number in range(1, 6)}
    async with trio.open_nursery() as nursery:
        for each in coordinators[1:4]:
            nursery.start_soon(each.leave_group, "workers")
            nursery.start_soon(each.create_group, f"of {each.member_id}")
    await network.all_agree("three left")
    assert coordinators[4].get_members("workers") == {"host-1", "host-5"}
    assert len(coordinators[0].get_groups()) == 4


async def test_a_partition_settles_on_each_side_and_heals(
    network: Network, autojump_clock: MockClock
) -> None:
    a, b, c, d, e = coordinators = await network.start_all(5)
    await a.create_group("workers")
    for each in coordinators:
        await each.join_group("workers")
    await network.all_agree("all are told of all")
    network.cut((1, 2, 3), (4, 5))
    await in_time(lambda: a.get_members("workers") == {"host-1", "host-2", "host-3"}, "one side")
    await in_time(lambda: e.get_members("workers") == {"host-4", "host-5"}, "the other side")
    assert await a.join_group("of three", create=True), "each side settles its own view"
    assert await d.join_group("of two", create=True)
    assert await e.join_group("of two")
    await trio.sleep(40.0)
    assert b.get_groups() == {"workers", "of three"}
    assert e.get_groups() == {"workers", "of two"}
    network.heal()
    await network.all_agree("the union")
    assert c.get_members("workers") == {f"host-{number}" for number in range(1, 6)}
    assert c.get_members("of two") == {"host-4", "host-5"}
    assert d.get_members("of three") == {"host-1"}
    for member in ("host-4", "host-5"):
        assert about_member(network.witnesses[a], member)[-2:] == [
            gg.MemberLeftGroup("workers", True, member, "failed"),
            gg.MemberJoinedGroup("workers", True, member),
        ]
    assert await e.leave_group("workers"), "and changes converge again"
    assert "host-5" not in a.get_members("workers")


async def test_all_meet_again_after_each_held_every_other_dead(
    network: Network, autojump_clock: MockClock
) -> None:
    coordinators = await network.start_all(4)
    for each in coordinators:
        await each.join_group("workers", create=True)
    await network.all_agree("all are told of all")
    for number in range(1, 5):
        network.cut({number}, {1, 2, 3, 4} - {number})
    await in_time(lambda: all(len(each.get_members("workers")) == 1 for each in coordinators), "each alone")
    await trio.sleep(60.0)
    network.heal()
    await network.all_agree("all together")
    assert len(coordinators[0].get_members("workers")) == 4
    assert set(statuses(coordinators[2]).values()) == {Status.ALIVE}


async def test_seeds_that_come_late_are_found(network: Network, autojump_clock: MockClock) -> None:
    network.cut((1,), (2,))
    a = await network.start(1, 1, 2)  # each is one of its own seeds, so it starts alone
    b = await network.start(2, 1, 2)
    await a.join_group("workers", create=True)
    await b.join_group("workers", create=True)
    await trio.sleep(100.0)
    assert (len(a.nodes()), len(b.nodes())) == (1, 1)
    network.heal()
    await network.all_agree("one cluster")
    assert a.get_members("workers") == {"host-1", "host-2"}


async def test_without_an_answer_opening_fails_in_time(network: Network, autojump_clock: MockClock) -> None:
    started = trio.current_time()
    with pytest.raises(gg.SeedsUnreachable):
        await network.start(1, 8, 9, join_timeout=7.5)
    assert trio.current_time() - started == pytest.approx(7.5, abs=0.1)


async def test_a_crash_is_a_leave(network: Network, autojump_clock: MockClock) -> None:
    a, b, c, d = coordinators = await network.start_all(4)
    for each in coordinators:
        await each.join_group("workers", create=True)
        await each.join_group("others", create=True)
    await network.all_agree("all are told of all")
    address = address_of(d)
    network.crash(d)
    for each in (a, b, c):
        witness = network.witnesses[each]
        await in_time(lambda: "host-4" not in witness.members["others"], "the callback")  # noqa: B023
        for group in ("workers", "others"):
            await in_time(lambda: "host-4" not in witness.members[group], "the callback")  # noqa: B023
            assert witness.of_group(group)[-1] == gg.MemberLeftGroup(group, True, "host-4", "failed")
            assert each.get_members(group) == {"host-1", "host-2", "host-3"}
        assert witness.of_nodes("host-4")[-2:] == [gg.NodeSuspected, gg.NodeFailed]
        assert statuses(each)["host-4"] is Status.DEAD
        (dead,) = [node for node in each.nodes() if node.name == "host-4"]
        assert dead.address == address
    assert await a.create_group("more"), "those that are left converge without it"


async def test_a_crashed_members_id_is_taken_over_at_once(
    network: Network, autojump_clock: MockClock
) -> None:
    a, b, c = await network.start_all(3)
    for each in (a, b, c):
        await each.join_group("workers", 1, create=True)
    await network.all_agree("all are told of all")
    network.crash(c)
    again = await network.start(4, 1, name="host-3")
    assert await again.join_group("workers", 2), "no waiting for a time-out, no error"
    for each in (a, b):
        witness = network.witnesses[each]
        await in_time(lambda: len(about_member(witness, "host-3")) == 3, "taken over")  # noqa: B023
        assert [type(event) for event in about_member(witness, "host-3")] == [
            gg.MemberJoinedGroup,
            gg.MemberLeftGroup,
            gg.MemberJoinedGroup,
        ]
        assert each.get_member_capabilities("workers", "host-3") == 2
        assert each.get_member_info("workers", "host-3").address == ("10.0.0.4", 7946)


async def test_a_process_on_the_address_of_a_crashed_one_settles_its_fate(
    network: Network, autojump_clock: MockClock
) -> None:
    # Suspicions would take half an hour: only the word of the process on that port can be quick.
    config = LAN.but(suspicion_multiplier=500.0)
    a, b, c = await network.start_all(3, config=config)
    for each in (a, b, c):
        await each.join_group("workers", create=True)
    await network.all_agree("all are told of all")
    network.crash(c)
    again = await network.start(3, 1, name="reborn", config=config)
    for each in (a, b, again):
        await in_time(lambda: each.get_members("workers") == {"host-1", "host-2"}, "its fate is settled")  # noqa: B023
    await in_time(lambda: "host-3" not in network.witnesses[b].members["workers"], "and told")
    assert network.witnesses[b].of_group("workers")[-1] == gg.MemberLeftGroup(
        "workers", True, "host-3", "failed"
    )
    assert statuses(a) == {
        "host-1": Status.ALIVE,
        "host-2": Status.ALIVE,
        "host-3": Status.DEAD,
        "reborn": Status.ALIVE,
    }


async def test_a_way_that_is_cut_in_one_direction_costs_nobody_its_life(
    network: Network, autojump_clock: MockClock
) -> None:
    coordinators = await network.start_all(4)
    for each in coordinators:
        await each.join_group("workers", create=True)
    await network.all_agree("all are told of all")
    network.cut((1,), (2,), both_ways=False)
    await trio.sleep(60.0)
    assert await coordinators[2].create_group("more")
    for each in coordinators:
        assert set(statuses(each).values()) == {Status.ALIVE}
        events = network.witnesses[each].events
        assert not [event for event in events if isinstance(event, gg.NodeFailed | gg.MemberLeftGroup)]


async def test_a_member_that_was_cut_off_comes_back_by_itself(
    network: Network, autojump_clock: MockClock
) -> None:
    coordinators = await network.start_all(4)
    for each in coordinators:
        await each.join_group("workers", create=True)
    await network.all_agree("all are told of all")
    d = coordinators[3]
    network.cut((4,), (1, 2, 3))
    await in_time(
        lambda: not any("host-4" in each.get_members("workers") for each in coordinators[:3]), "gone"
    )
    await trio.sleep(20.0)
    network.heal()
    await network.all_agree("back")
    for each in coordinators[:3]:
        assert about_member(network.witnesses[each], "host-4")[-2:] == [
            gg.MemberLeftGroup("workers", True, "host-4", "failed"),
            gg.MemberJoinedGroup("workers", True, "host-4"),
        ]
        incarnations = {node.name: node.incarnation for node in each.nodes()}
        assert incarnations["host-4"] > 0, "only the accused can clear itself"
    assert d.get_members("workers") == {f"host-{number}" for number in range(1, 5)}


async def test_a_deadline_that_passes_is_said(network: Network, autojump_clock: MockClock) -> None:
    config = LAN.but(convergence_deadline=0.1)
    a, b = await network.start_all(2, config=config)
    assert await a.create_group("quick") is True
    network.delay = 0.15, 0.15
    assert await a.create_group("slow") is False
    assert a.get_groups() == {"quick", "slow"}
    assert await a.join_group("slow") is False
    network.delay = 0.001, 0.001
    await network.all_agree("converged in the end")
    assert network.witnesses[a].of_group("slow") == [
        gg.GroupCreated("slow", False),
        gg.MemberJoinedGroup("slow", False, "host-1"),
    ]
    assert network.witnesses[a].of_group("quick") == [gg.GroupCreated("quick", True)]
    assert await b.join_group("slow") is True
    await network.all_agree("as ever")
    assert network.witnesses[a].of_group("slow")[-1] == gg.MemberJoinedGroup("slow", True, "host-2")


async def test_a_late_joiner_has_everything_when_it_opens(
    network: Network, autojump_clock: MockClock
) -> None:
    network.loss, network.delay = 0.1, (0.001, 0.01)
    coordinators = await network.start_all(3, join_timeout=60.0)
    for each in coordinators:
        for number in range(30):
            group = f"{each.member_id}/{number}"
            await each.join_group(group, {"number": number}, create=True, wait=False)
    await network.all_agree("before")
    late = await network.start(9, 2, join_timeout=60.0)
    assert late.get_groups() == coordinators[0].get_groups()
    assert len(late.get_groups()) == 90
    assert all(late.get_members(group) for group in late.get_groups())
    assert late.get_member_capabilities("host-3/29", "host-3") == {"number": 29}
    assert statuses(late) == {f"host-{number}": Status.ALIVE for number in (1, 2, 3, 9)}
    await network.all_agree("and tells it")


async def test_a_group_deleted_on_one_side_has_no_zombie_members(
    network: Network, autojump_clock: MockClock
) -> None:
    a, b = await network.start_all(2)
    await a.create_group("workers")
    network.cut((1,), (2,))
    await in_time(lambda: statuses(a)["host-2"] is Status.DEAD, "cut off")
    await in_time(lambda: statuses(b)["host-1"] is Status.DEAD, "cut off")
    await b.join_group("workers")
    await a.delete_group("workers")
    network.heal()
    await network.all_agree("deleted")
    assert a.get_groups() == b.get_groups() == frozenset()
    assert network.witnesses[b].of_group("workers")[-3:] == [
        gg.MemberJoinedGroup("workers", True, "host-2"),
        gg.MemberLeftGroup("workers", True, "host-2", "deleted"),
        gg.GroupDeleted("workers", True),
    ]
    for each in (a, b):
        await in_time(lambda: set(statuses(each).values()) == {Status.ALIVE}, "together again")  # noqa: B023
    await a.create_group("workers")
    assert b.get_members("workers") == frozenset()
    await b.join_group("workers")


async def test_who_was_there_when_a_watch_was_set_is_not_lost(
    network: Network, autojump_clock: MockClock
) -> None:
    a, b, _ = await network.start_all(3)
    await a.create_group("workers")
    network.cut((3,), (1, 2))  # not for long enough to be noticed, but nothing settles
    await a.join_group("workers", wait=False)
    await in_time(lambda: b.get_members("workers") == {"host-1"}, "b has heard")
    joins: list[gg.Event] = []
    leaves: list[gg.Event] = []
    b.watch_join_group("workers", joins.append)
    b.watch_leave_group("workers", leaves.append)
    await a.leave_group("workers", wait=False)
    network.heal()
    assert await b.join_group("workers")
    await in_time(lambda: joins, "its own join")
    assert joins == [gg.MemberJoinedGroup("workers", True, "host-2")]
    assert [type(event) for event in leaves] == [gg.MemberLeftGroup]


async def test_one_member_id_on_two_sides_becomes_one_member(
    network: Network, autojump_clock: MockClock
) -> None:
    a, b, c = await network.start_all(3)
    await a.create_group("workers")
    network.cut((1,), (2, 3))
    await in_time(lambda: statuses(a)["host-3"] is Status.DEAD, "cut off")
    await in_time(lambda: statuses(c)["host-1"] is Status.DEAD, "cut off")
    twin = await network.start(4, 1, name="host-3")
    network.cut((4,), (2, 3))
    await twin.join_group("workers", "twin")
    await c.join_group("workers", "first")
    network.heal()
    everybody = (a, b, c, twin)

    def one_holder() -> bool:
        if not all(each.get_members("workers") for each in everybody):
            return False
        return len({each.get_member_info("workers", "host-3").node_id for each in everybody}) == 1

    await in_time(one_holder, "one of them")
    words = {each.get_member_capabilities("workers", "host-3") for each in everybody}
    assert words in ({"twin"}, {"first"})


def _warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """But for the one about ports without keys, which all here have."""
    return [
        record
        for record in caplog.records
        if record.levelno >= logging.WARNING and "without keys" not in record.getMessage()
    ]


@pytest.mark.parametrize("way", ["end", "cancel"])
async def test_a_leave_that_nobody_confirms_is_logged(
    network: Network, autojump_clock: MockClock, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    a = await network.start(1, 1)
    with trio.CancelScope() as scope:
        async with open_coordinator(
            "host-2", bind="10.0.0.2:7946", seeds=["10.0.0.1:7946"], config=LAN, isolation="task"
        ) as b:
            await b.join_group("workers", create=True)
            network.cut((1,), (2,))
            started = trio.current_time()
            if way == "cancel":
                scope.cancel()
                await trio.sleep_forever()
    assert trio.current_time() - started == pytest.approx(LAN.leave_timeout, abs=0.1)
    (record,) = _warnings(caplog)
    assert "'host-2'" in record.getMessage()
    assert "no other node confirmed" in record.getMessage()
    await in_time(lambda: a.get_members("workers") == frozenset(), "found out by a")
    assert network.witnesses[a].of_group("workers")[-1] == gg.MemberLeftGroup(
        "workers", True, "host-2", "failed"
    )


async def test_a_leave_is_confirmed_through_loss(
    network: Network, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    network.loss, network.delay = 0.3, (0.001, 0.02)
    a, b, c = await network.start_all(3, join_timeout=60.0)
    where: dict[str, Any] = {"bind": "10.0.0.4:7946", "seeds": ["10.0.0.1:7946"], "join_timeout": 60.0}
    async with open_coordinator("host-4", config=LAN, isolation="task", **where) as d:
        await d.join_group("workers", create=True)
    for each in (a, b, c):
        assert statuses(each)["host-4"] is Status.LEFT
        assert each.get_members("workers") == frozenset()
    assert not _warnings(caplog)


async def test_an_idle_cluster_tells_nothing_and_stays_whole(
    network: Network, autojump_clock: MockClock
) -> None:
    network.loss = 0.05
    coordinators = await network.start_all(5, join_timeout=60.0)
    for each in coordinators:
        await each.join_group("workers", create=True)
    await network.all_agree("all in")
    before = {each: len(network.witnesses[each].of_group("workers")) for each in coordinators}
    await trio.sleep(120.0)
    for each in coordinators:
        assert len(network.witnesses[each].of_group("workers")) == before[each]
        assert set(statuses(each).values()) <= {Status.ALIVE, Status.SUSPECT}
        assert gg.NodeFailed not in {type(event) for event in network.witnesses[each].events}


# Settling on demand.


async def test_settle_waits_for_what_is_on_its_way(network: Network, autojump_clock: MockClock) -> None:
    a, b, _ = await network.start_all(3)
    assert await b.settle() is True, "nothing is on its way"
    await a.create_group("workers")
    assert await b.settle() is True
    network.cut((3,), (1, 2))  # not for long enough to be noticed, but nothing settles
    await a.join_group("workers", wait=False)
    await in_time(lambda: b.get_members("workers"), "b has heard")
    with trio.move_on_after(0.1) as scope:
        await b.settle()
    assert scope.cancelled_caught
    async with b.events() as events:
        network.heal()
        assert await b.settle() is True
        with trio.fail_after(0.001):
            assert await anext(events) == gg.MemberJoinedGroup("workers", True, "host-1")


async def test_settle_returns_when_the_events_are_there_and_callbacks_are_called_next(
    network: Network, autojump_clock: MockClock
) -> None:
    a, b, _ = await network.start_all(3)
    groups = [f"group-{number}" for number in range(20)]
    plain: list[gg.Event] = []
    later: list[gg.Event] = []

    async def note_later(event: gg.Event) -> None:
        later.append(event)

    for group in groups:
        await a.create_group(group, wait=False)
        b.watch_join_group(group, plain.append)
        b.watch_join_group(group, note_later)
    assert await a.settle() is True
    assert await b.settle() is True
    network.cut((3,), (1, 2))
    for group in groups:
        await a.join_group(group, wait=False)
    await in_time(lambda: all(map(b.get_members, groups)), "b has heard")
    assert plain == later == []
    network.heal()
    assert await b.settle() is True
    await trio.testing.wait_all_tasks_blocked()
    joins = {gg.MemberJoinedGroup(group, True, "host-1") for group in groups}
    assert (len(plain), set(plain)) == (20, joins)
    assert (len(later), set(later)) == (20, joins)


async def test_settle_of_one_group_waits_for_no_other(network: Network, autojump_clock: MockClock) -> None:
    a, b, _ = await network.start_all(3)
    for group in ("workers", "others"):
        await a.create_group(group)
    assert await b.settle() is True
    network.cut((3,), (1, 2))
    await a.join_group("workers", wait=False)
    await in_time(lambda: b.get_members("workers"), "b has heard")
    started = trio.current_time()
    assert await b.settle("others") is True
    assert await b.settle("none") is True, "of no group there is nothing to be told"
    assert trio.current_time() == started
    assert about_member(network.witnesses[b], "host-1") == []
    network.heal()
    assert await b.settle("workers") is True
    await in_time(lambda: about_member(network.witnesses[b], "host-1"), "the join")


async def test_settle_says_that_a_deadline_has_passed(network: Network, autojump_clock: MockClock) -> None:
    config = LAN.but(convergence_deadline=0.1)
    a, b = await network.start_all(2, config=config)
    assert await a.create_group("workers") is True
    assert await b.settle() is True
    network.delay = 0.15, 0.15
    joins: list[gg.Event] = []
    a.watch_join_group("workers", joins.append)
    await a.join_group("workers", wait=False)
    started = trio.current_time()
    assert await a.settle("workers") is False
    assert trio.current_time() - started == pytest.approx(0.1, abs=0.01)
    await in_time(lambda: joins, "the callback")
    assert joins == [gg.MemberJoinedGroup("workers", False, "host-1")]
    network.delay = 0.001, 0.001
    await network.all_agree("converged in the end")
    assert await a.settle() is True


async def test_settle_ends_with_its_coordinator(network: Network, autojump_clock: MockClock) -> None:
    a = await network.start(1, 1)
    results: list[object] = []

    async def settle(coordinator: Coordinator) -> None:
        with pytest.raises(gg.CoordinatorClosed):
            await coordinator.settle()
        results.append("closed")

    async with (
        trio.open_nursery() as nursery,
        open_coordinator(
            "host-2", bind="10.0.0.2:7946", seeds=["10.0.0.1:7946"], config=LAN, isolation="task"
        ) as b,
    ):
        await a.create_group("workers")
        network.cut((1,), (2,))
        await b.join_group("workers", wait=False)
        nursery.start_soon(settle, b)
        await wait_all_tasks_blocked()
    assert results == ["closed"]


# Leases.

LEASE = 5.0


def groups_of(coordinator: Coordinator, member: str) -> set[str]:
    return {group for group, members in held(coordinator).items() if member in members}


async def test_a_member_whose_lease_lapses_leaves_everywhere_then_and_not_before(
    network: Network, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    a = await network.start(1, 1)
    b = await network.start(2, 1, lease=LEASE)
    for group in ("workers", "others"):
        joined = trio.current_time()
        await b.join_group(group, create=True)
        await a.join_group(group)
    await a.create_group("more")
    await trio.sleep_until(joined + LEASE - 0.05)
    for each in (a, b):
        assert groups_of(each, "host-2") == {"workers", "others"}
    await trio.sleep_until(joined + LEASE + 0.001)
    assert groups_of(b, "host-2") == set()
    await in_time(lambda: not groups_of(a, "host-2"), "told to a")
    await network.all_agree("it has left")
    assert trio.current_time() - joined - LEASE < 2.0
    assert groups_of(a, "host-1") == {"workers", "others"}, "and nobody else"
    assert about_member(network.witnesses[a], "host-2")[-1] == gg.MemberLeftGroup(
        "workers", True, "host-2", "left"
    )
    assert statuses(a) == {"host-1": Status.ALIVE, "host-2": Status.ALIVE}, "its node is well"
    (record,) = _warnings(caplog)
    assert record.getMessage().startswith("coordinator 'host-2' leaves all groups: its lease of 5 s")
    await trio.sleep(3 * LEASE)
    assert len(_warnings(caplog)) == 1


async def test_renewals_keep_a_member_and_the_last_one_counts(
    network: Network, autojump_clock: MockClock
) -> None:
    a = await network.start(1, 1)
    b = await network.start(2, 1, lease=LEASE)
    await b.join_group("workers", create=True)
    for _ in range(10):
        await trio.sleep(LEASE - 0.1)
        assert groups_of(a, "host-2") == {"workers"}
        b.renew_lease()
    await trio.sleep(LEASE - 0.1)
    assert groups_of(a, "host-2") == {"workers"}
    assert len(about_member(network.witnesses[a], "host-2")) == 1
    await trio.sleep(0.1)
    await in_time(lambda: not groups_of(a, "host-2"), "not renewed any more")


@pytest.mark.parametrize("renew", [True, False])
async def test_a_join_after_a_lapse_renews(network: Network, autojump_clock: MockClock, renew: bool) -> None:
    a = await network.start(1, 1)
    b = await network.start(2, 1, lease=LEASE)
    for _ in range(3):
        await b.join_group("workers", create=True)
        await trio.sleep(LEASE - 0.1)
        assert groups_of(a, "host-2") == {"workers"}
        await in_time(lambda: not groups_of(a, "host-2"), "lapsed")
        assert not groups_of(b, "host-2")
        if renew:
            b.renew_lease()
            await trio.sleep(LEASE / 2)
    await in_time(lambda: len(about_member(network.witnesses[a], "host-2")) == 6, "each is told")


async def test_a_coordinator_without_a_lease_never_leaves(
    network: Network, autojump_clock: MockClock
) -> None:
    a = await network.start(1, 1)
    b = await network.start(2, 1)
    await b.join_group("workers", create=True)
    await trio.sleep(60.0)
    b.renew_lease()
    await trio.sleep(60.0)
    assert groups_of(a, "host-2") == {"workers"}


async def test_a_lapse_takes_no_member_out_that_another_node_holds(
    network: Network, autojump_clock: MockClock
) -> None:
    a = await network.start(1, 1)
    b = await network.start(2, 1, lease=LEASE)
    for group in ("workers", "others"):
        await b.join_group(group, create=True)
    twin = await network.start(3, 1, name="host-2")
    await twin.leave_group("workers")
    await twin.join_group("workers", "twin")
    await in_time(lambda: groups_of(b, "host-2") == {"workers"}, "lapsed where it holds the member")
    await network.all_agree("it has left")
    await trio.sleep(2 * LEASE)
    assert groups_of(a, "host-2") == {"workers"}
    assert a.get_member_capabilities("workers", "host-2") == "twin"


async def test_a_join_that_comes_with_the_lapse_is_after_it(
    network: Network, autojump_clock: MockClock
) -> None:
    a = await network.start(1, 1)
    b = await network.start(2, 1, lease=LEASE)
    for number in range(8):
        await b.join_group("workers", create=True)
        autojump_clock.jump(LEASE + number)  # the process stands still, and then does all at once
        joined = trio.current_time()
        assert await b.join_group("others", create=True)
        await trio.sleep_until(joined + LEASE - 0.1)
        assert groups_of(b, "host-2") == {"others"}
        await trio.sleep_until(joined + LEASE + 1.0)
        assert groups_of(a, "host-2") == groups_of(b, "host-2") == set()


async def test_a_join_that_waits_for_a_silent_holder_is_withdrawn_by_a_lapse_too(
    network: Network, autojump_clock: MockClock
) -> None:
    a, b, c = await network.start_all(3)
    for each in (a, b, c):
        await each.join_group("workers", create=True)
    await network.all_agree("all are told of all")
    network.crash(c)
    again = await network.start(4, 1, name="host-3", lease=0.05)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(again.join_group, "workers")
        await in_time(lambda: len(about_member(network.witnesses[a], "host-3")) >= 2, "its fate is settled")
    await trio.sleep(30.0)
    assert a.get_members("workers") == {"host-1", "host-2"}, "nothing was renewed for half a minute"


async def test_a_lease_lapses_once_until_it_is_renewed(autojump_clock: MockClock) -> None:
    lapses: list[float] = []
    lease = Lease(10.0, lambda: lapses.append(trio.current_time() - started))
    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lease.keep)
        await trio.sleep(15.0)
        assert lapses == [], "it runs from the first renewal on"
        for at in (15.0, 20.0, 29.0, 29.0, 60.0, 75.0):
            await trio.sleep_until(started + at)
            lease.renew()
        await trio.sleep(100.0)
        nursery.cancel_scope.cancel()
    assert lapses == pytest.approx([39.0, 70.0, 85.0])


@pytest.mark.parametrize("late", [0.001, 1.0])
async def test_a_renewal_that_comes_too_late_is_after_the_lapse(
    autojump_clock: MockClock, late: float
) -> None:
    lapses: list[float] = []
    lease = Lease(10.0, lambda: lapses.append(trio.current_time() - started))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lease.keep)
        for _ in range(8):
            lapses.clear()
            started = trio.current_time()
            lease.renew()
            await wait_all_tasks_blocked()
            autojump_clock.jump(10.0 + late)
            lease.renew()
            assert lapses == [pytest.approx(10.0 + late)]
            await trio.sleep(9.9)
            assert len(lapses) == 1, "it runs anew"
        nursery.cancel_scope.cancel()


async def test_without_seconds_a_lease_never_lapses(autojump_clock: MockClock) -> None:
    lease = Lease(None, lambda: pytest.fail("lapsed"))
    with trio.move_on_after(1000.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lease.keep)
            for _ in range(3):
                lease.renew()
                await trio.sleep(200.0)
