"""The failure table: every row names its tests, and these are the faults that no other room's tests hold.

Law: what `docs/failures.md` says of a fault is held by the tests that stand beside it. A weakness that it
admits is held as well, so that the table is put right together with the code.
"""

from __future__ import annotations

import ast
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

import gossipgroups as gg
from gossipgroups.config import DATAGRAM_BYTES, Config
from gossipgroups.errors import BadPacket
from gossipgroups.events import (
    Event,
    GroupCreated,
    GroupEvent,
    MemberCapabilitiesUpdated,
    MemberJoinedGroup,
    MemberLeftGroup,
    NodeFailed,
    NodeLeft,
)
from gossipgroups.groups.rules import Command, Create, Delete, Join, Leave
from gossipgroups.ids import Address, NodeId
from gossipgroups.node import Node
from gossipgroups.operations import Done, Outcome
from gossipgroups.registers import MAX_COUNTER, GroupRegister
from gossipgroups.status import Status
from gossipgroups.transport import crossing
from gossipgroups.transport.kernel_datagrams import KernelDatagrams
from gossipgroups.wire.codec import pack_section
from gossipgroups.wire.header import Header
from gossipgroups.wire.messages import MAX_LIVE, Ack, Ping, Rumours
from gossipgroups.wire.seal import TaggedSeal
from tests.nodes import CLUSTER, NOTHING, Wire, a_node, an_address, an_id, meet, opened, sealed
from tests.test_fake_network import Network, about_member, in_time, network, seed, statuses
from tests.waiting import LIMIT, address_of, eventually, free_port, wait_until

__all__ = ["network", "seed"]

ROOT_DIRECTORY = Path(__file__).parent.parent
TABLE = ROOT_DIRECTORY / "docs" / "failures.md"
NAME = re.compile(r"`(?P<file>tests/\w+\.py)::(?P<test>\w+)`")
HEADER = ["What happens", "What the library does", "What the user sees", "Test"]

LAN = Config.lan()
LOCAL = Config.local()


# The table.


def _rows() -> Iterator[list[str]]:
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


@lru_cache
def _tests_of(file: str) -> set[str]:
    tree = ast.parse((ROOT_DIRECTORY / file).read_text(encoding="utf-8"))
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_names_a_test_that_exists() -> None:
    rows = [row for row in _rows() if row != HEADER and set("".join(row)) != {"-"}]
    assert len(rows) >= 40
    for row in rows:
        assert len(row) == len(HEADER), row
        assert all(row), row
        assert NAME.search(row[-1]), f"no test holds: {row[0]}"
        assert not NAME.sub("", row[-1]).strip(" ,·"), f"more than names of tests: {row[-1]}"
    named = [each["test"] for each in NAME.finditer(TABLE.read_text(encoding="utf-8"))]
    assert all(test.startswith("test_") for test in named)


@pytest.mark.parametrize("document", sorted(TABLE.parent.glob("*.md")), ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    named = [(each["file"], each["test"]) for each in NAME.finditer(document.read_text(encoding="utf-8"))]
    assert [(file, test) for file, test in named if test not in _tests_of(file)] == []
    assert named or document.name != "security.md"


# Nodes in virtual time.


def _cluster(size: int, *, config: Config = LAN, delay: float = 0.001, wire: type[Wire] = Wire) -> Any:
    """Nodes that know each other and are quiet."""
    cluster = wire(size, config=config, delay=delay)
    assert cluster.run_until(cluster.agree, 10)
    _rest(cluster)
    return cluster


def _rest(wire: Wire) -> None:
    wire.run(3)
    for node in wire.nodes:
        wire.events[node].clear()
        wire.outcomes[node].clear()


def _told(wire: Wire, node: Node, *kinds: type[Event]) -> list[Any]:
    return [event for event in wire.events[node] if isinstance(event, kinds)]


def _end(wire: Wire, node: Node, number: int) -> list[Outcome]:
    return [each for each in wire.outcomes[node] if each.number == number and isinstance(each, Done)]


def _do(wire: Wire, node: Node, *commands: Command) -> None:
    for command in commands:
        number = wire.submit(node, command)
        assert wire.run_until(lambda: bool(_end(wire, node, number)), 5), command  # noqa: B023
        assert _end(wire, node, number) == [Done(number, True)]


def _holder(node: Node, group: str, member: str) -> NodeId:
    return node.state.views[group][member].node_id


@pytest.mark.parametrize("way", ["deaf", "mute"])
def test_a_node_whose_one_direction_is_cut_to_all_fails_alone(way: str) -> None:
    wire = _cluster(5)
    *well, ill = wire.nodes
    _do(wire, ill, Join("g", "a", NOTHING, create=True))
    _rest(wire)
    wire.cut = lambda source, target: (target if way == "deaf" else source) is ill
    wire.run(60)
    for node in well:
        assert [event.node_id for event in _told(wire, node, NodeFailed)] == [ill.node_id]
        assert _told(wire, node, GroupEvent) == [MemberLeftGroup("g", True, "a", "failed")]
        assert all(node.state.replica.nodes[each.node_id].status is Status.ALIVE for each in well)
    wire.cut = lambda source, target: False
    assert wire.run_until(wire.agree, 10 * LAN.reach_interval)
    wire.run(2)
    for node in well:
        assert _told(wire, node, GroupEvent)[1:] == [MemberJoinedGroup("g", True, "a")]


def test_a_cluster_lives_on_without_its_seed() -> None:
    wire = _cluster(5)
    only_seed, *others = wire.nodes
    wire.crash(only_seed)
    wire.run(30)
    _do(wire, others[0], Join("g", "a", NOTHING, create=True))
    wire.cut = lambda source, target: (source in others[:2]) != (target in others[:2])
    wire.run(30)
    assert not wire.agree()
    wire.cut = lambda source, target: False
    assert wire.run_until(wire.agree, 10 * LAN.reach_interval), "the dead are called, seeds or not"
    again = wire.add(address=only_seed.state.own.address)
    assert wire.run_until(wire.agree, 2 * LAN.seed_interval), "and who comes to a seed's address is found"
    assert _holder(again, "g", "a") == others[0].node_id


class _Moved(Wire):
    """The last node's datagrams come from another address than it told, and only there it is reached."""

    moved = False
    new = Address("10.9.9.9", 9)

    def move(self) -> None:
        self.moved = True
        self._at[self.new] = self._at.pop(self.nodes[-1].state.own.address)

    def _push(self, at: float, node: Node, datagram: bytes | None, address: Address) -> None:
        if self.moved and datagram and address == self.nodes[4].state.own.address:
            address = self.new
        super()._push(at, node, datagram, address)


@pytest.mark.parametrize("old_port", ["silent", "closed"])
def test_a_node_whose_address_changed_is_dead_until_it_is_restarted(old_port: str) -> None:
    wire = _cluster(5, wire=_Moved)
    wire.closed_ports_answer = old_port == "closed"
    *others, moved = wire.nodes
    _do(wire, moved, Join("g", "a", NOTHING, create=True))
    _rest(wire)
    wire.move()
    wire.run(20)
    for node in others:
        assert [event.node_id for event in _told(wire, node, NodeFailed)] == [moved.node_id]
        assert len(_told(wire, node, MemberLeftGroup)) == 1
        assert node.stats.refused["elsewhere"]
    wire.crash(moved)
    again = wire.add(seeds=[others[0]], address=an_address(40))
    assert wire.run_until(lambda: again.joined, LAN.seed_interval)
    _do(wire, again, Join("g", "a", NOTHING))
    wire.run(60)
    assert wire.agree()
    _rest(wire)
    wire.run(20)
    assert all(wire.events[node] == [] for node in wire.running)


def test_two_creations_at_once_make_one_group_and_refuse_nobody() -> None:
    wire = _cluster(4)
    numbers = {node: node.submit(Create("g"), wire.now) for node in wire.nodes[:2]}
    for node in numbers:
        wire.turn(node)
    wire.run(1)
    for node, number in numbers.items():
        assert _end(wire, node, number) == [Done(number, True)]
    for node in wire.nodes:
        assert _told(wire, node, GroupEvent) == [GroupCreated("g", True)]


def test_the_loser_of_a_race_for_a_member_id_finds_another_holder() -> None:
    wire = _cluster(4)
    _do(wire, wire.nodes[0], Create("g"))
    _rest(wire)
    racers = wire.nodes[1:3]
    numbers = {node: node.submit(Join("g", "a", NOTHING), wire.now) for node in racers}
    for node in racers:
        wire.turn(node)
    wire.run(1)
    assert len({_holder(node, "g", "a") for node in wire.nodes}) == 1
    (loser,) = (node for node in racers if _holder(node, "g", "a") != node.node_id)
    assert _end(wire, loser, numbers[loser]), "its join ends as any other, and only the holder shows it"
    for node in wire.nodes:
        assert _told(wire, node, MemberJoinedGroup) == [MemberJoinedGroup("g", True, "a")]


def test_a_group_that_never_rests_is_told_at_its_deadline() -> None:
    config = LAN.but(convergence_deadline=1.0)
    # News takes longer than the 20 ms between two changes of one node, so no view is ever held by two.
    wire = _cluster(4, config=config, delay=0.021)
    _do(wire, wire.nodes[0], Create("g"))
    _rest(wire)
    until = wire.now + 3.5 * config.convergence_deadline
    step = 0
    while wire.now < until:
        place = step % 4
        node, member = wire.nodes[place], f"m{place}"
        step += 1
        wire.submit(
            node, Leave("g", member) if member in node.state.views["g"] else Join("g", member, NOTHING)
        )
        wire.run(0.005)
    for node in wire.nodes:
        assert _told(wire, node, GroupEvent)
        assert not any(event.converged for event in _told(wire, node, GroupEvent))
    wire.run(config.convergence_deadline)
    _do(wire, wire.nodes[0], Join("g", "last", NOTHING))
    wire.run(1)
    for node in wire.nodes:
        assert _told(wire, node, GroupEvent)[-1] == MemberJoinedGroup("g", True, "last")
        told: set[str] = set()
        for event in _told(wire, node, MemberJoinedGroup, MemberLeftGroup):
            assert (event.member_id in told) == isinstance(event, MemberLeftGroup)
            told ^= {event.member_id}
        assert told == set(node.state.views["g"])


@pytest.mark.parametrize(
    ("capabilities", "told"), [(NOTHING, []), (b"\x01", [MemberCapabilitiesUpdated("g", True, "a")])]
)
def test_changes_between_two_settled_views_are_told_as_their_sum(
    capabilities: bytes, told: list[Event]
) -> None:
    wire = _cluster(3)
    node = wire.nodes[0]
    _do(wire, node, Join("g", "a", NOTHING, create=True))
    _rest(wire)
    numbers = [node.submit(each, wire.now) for each in (Leave("g", "a"), Join("g", "a", capabilities))]
    wire.turn(node)
    wire.run(1)
    assert [_end(wire, node, number) for number in numbers] == [[Done(number, True)] for number in numbers]
    for each in wire.nodes[1:]:
        assert _told(wire, each, GroupEvent) == told
    # Whoever looked in between may have seen it gone.
    assert _told(wire, node, GroupEvent) == [
        MemberLeftGroup("g", False, "a", "left"),
        MemberJoinedGroup("g", True, "a"),
    ]


def test_who_was_cut_off_for_longer_than_others_remember_brings_back_what_they_deleted() -> None:
    config = LAN.but(forget_after=20.0)
    wire = _cluster(3, config=config)
    *others, lone = wire.nodes
    _do(wire, others[0], Create("g"), Create("h"))
    _rest(wire)
    wire.cut = lambda source, target: lone in (source, target)
    wire.run(20)
    _do(wire, others[0], Delete("g"))
    wire.run(2 * config.forget_after)
    wire.cut = lambda source, target: False
    assert wire.run_until(wire.agree, 3 * LAN.seed_interval), "by its seeds: no dead are left to call"
    assert set(others[0].state.replica.groups) == {"g", "h"}


@pytest.mark.parametrize("status", [Status.DEAD, Status.LEFT])
@pytest.mark.parametrize("incarnation", [0, 7, MAX_COUNTER])
def test_a_forged_end_is_refuted_but_for_a_leave_at_the_highest_incarnation(
    status: Status, incarnation: int
) -> None:
    wire = _cluster(4)
    victim, *others = wire.nodes
    forged = Rumours([victim.state.own.become(status, incarnation).packed])
    meet(others[0], 9, wire.now)
    others[0].receive(sealed(9, others[0].node_id, forged), an_address(9), wire.now)
    wire.turn(others[0])
    wire.run(10)
    for_ever = (status, incarnation) == (Status.LEFT, MAX_COUNTER)
    for node in others:
        assert node.state.replica.nodes[victim.node_id].status is (Status.LEFT if for_ever else Status.ALIVE)
        assert bool(_told(wire, node, NodeLeft)) == (status is Status.LEFT)
        assert not _told(wire, node, NodeFailed)


# Other versions and sizes.


def _answers(node: Node, datagram: bytes) -> list[object]:
    meet(node, 9)
    node.receive(datagram, an_address(9), 0.0)
    node.tick(0.0)
    return [each for sent, _ in node.datagrams(0.0) for each in opened(sent).sections]


def _alone() -> Node:
    return Node(
        name="n",
        address=an_address(0),
        seal=TaggedSeal(CLUSTER),
        config=LAN,
        random=random.Random(1),
        now=0.0,
    )


def test_sections_and_registers_of_a_later_version_are_skipped_and_the_rest_counts() -> None:
    later_register = b"\x92\x63\x01"  # kind 99, one field
    later_section = b"\x92\x63\xc4\x01x"
    sections = [
        pack_section(Ping(4, 0, 0)),
        pack_section(Rumours([later_register, GroupRegister("g", 1).packed])),
    ]
    payload = bytes((0x93,)) + sections[0] + later_section + sections[1]
    node = _alone()
    header = Header(an_id(9), node.node_id, 2**40).pack()
    answers = _answers(node, TaggedSeal(CLUSTER).seal(header, payload))
    assert Ack(4, node.state.replica.digest) in answers
    assert set(node.state.replica.groups) == {"g"}
    assert not node.stats.refused


def test_a_datagram_of_another_version_is_counted_and_not_answered() -> None:
    node = _alone()
    assert _answers(node, b"\x63" + sealed(9, node.node_id, Ping(4, 0, 0))[1:]) == []
    assert node.stats.refused == {"version": 1}


def _reasons(node: Node) -> set[str]:
    """Why a receiver would refuse datagrams that this node sends."""
    reasons = set()
    for datagram, _ in node.datagrams(0.0):
        assert len(datagram) <= DATAGRAM_BYTES
        try:
            opened(datagram)
        except BadPacket as error:
            reasons.add(error.reason)
    return reasons


def test_a_settling_entry_has_room_for_so_many_nodes_and_no_more() -> None:
    node = _alone()
    for number in range(1, MAX_LIVE):
        node._learn(a_node(number), 0.0)
    node.tick(0.0)
    assert len(node.state.live) == MAX_LIVE
    assert _reasons(node) == set()
    node._learn(a_node(MAX_LIVE), 0.0)
    node.tick(0.0)
    node.tick(LAN.settle_retry)  # not settled: it asks
    assert len(node.state.live) == MAX_LIVE + 1
    assert _reasons(node) == {"length"}


def test_no_room_but_the_directory_and_the_command_line_reads_the_wall_clock() -> None:
    package = ROOT_DIRECTORY / "gossipgroups"
    reading = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"\btime\.time\b|\bdatetime\b|from time import", path.read_text(encoding="utf-8"))
    }
    assert reading <= {"local_directory.py", "cli"}


# Whole coordinators.


async def test_two_clusters_on_one_port_range_do_not_meet(
    network: Network, autojump_clock: MockClock
) -> None:
    blue = [await network.start(number, 1, cluster="blue") for number in (1, 2, 3)]
    for each in blue:
        await each.join_group("workers", create=True)
    await network.all_agree("all are told of all")
    network.crash(blue[2])
    green = await network.start(3, 1, 2, 3, name="other", cluster="green")
    for each in blue[:2]:
        witness = network.witnesses[each]
        await in_time(lambda: len(about_member(witness, "host-3")) == 2, "found out by time alone")  # noqa: B023
        assert about_member(witness, "host-3")[-1] == MemberLeftGroup("workers", True, "host-3", "failed")
        assert set(statuses(each)) == {"host-1", "host-2", "host-3"}
        assert set(each.stats()["refused"]) == {"cluster or checksum"}
    assert set(statuses(green)) == {"other"}
    assert set(green.stats()["refused"]) == {"cluster or checksum"}


async def test_sends_that_the_kernel_refuses_are_only_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    chance, send, refused = random.Random(1), KernelDatagrams.send, []

    def sometimes(self: KernelDatagrams, datagram: bytes, address: Address) -> bool:
        if chance.random() < 0.3:
            refused.append(address)
            return False
        return send(self, datagram, address)

    monkeypatch.setattr(KernelDatagrams, "send", sometimes)
    async with gg.open_coordinator("host-0", seeds=(), config=LOCAL) as a:
        seeds = [str(address_of(a))]
        async with gg.open_coordinator("host-1", seeds=seeds, config=LOCAL, join_timeout=LIMIT) as b:
            await a.join_group("workers", create=True)
            await eventually(b.get_groups, "the group")
            await b.join_group("workers")
            for each in (a, b):
                await eventually(lambda: each.get_members("workers") == {"host-0", "host-1"}, "both")  # noqa: B023
    assert refused


async def test_an_application_too_far_behind_is_told_how_much_it_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crossing, "EVENTS_WAITING", 5)
    async with gg.open_coordinator("host-0", seeds=(), config=LOCAL) as a, a.events() as events:
        with gg.get_coordinator(f"gossip://{address_of(a)}/default?preset=local", "host-1") as b:
            for number in range(20):  # in the thread of the application's loop, which so stands still
                assert b.create_group(f"group-{number}").get(LIMIT) is True
            assert "the application's loop is too far behind" in caplog.text
            assert len(a.get_groups()) == 20, "the gossip goes on, and so does the snapshot"
            told = [await anext(events)]
            assert await a.create_group("last")
            while told[-1] != GroupCreated("last", True):
                told.append(await anext(events))
    lost = sum(event.count for event in told if isinstance(event, gg.EventsLost))
    assert lost > 0
    assert lost + sum(isinstance(event, GroupCreated) for event in told) >= 20


async def test_after_a_loss_watches_are_told_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossing, "EVENTS_WAITING", 5)
    joins: list[str] = []
    leaves: list[str] = []
    async with gg.open_coordinator("host-0", seeds=(), config=LOCAL) as a:
        await a.create_group("workers")
        a.watch_join_group("workers", lambda event: joins.append(event.member_id))
        a.watch_leave_group("workers", lambda event: leaves.append(event.member_id))
        with gg.get_coordinator(f"gossip://{address_of(a)}/default?preset=local", "host-1") as b:
            for number in range(10):  # in the thread of the application's loop, which so stands still
                b.create_group(f"group-{number}").get(LIMIT)
            b.join_group("workers").get(LIMIT)
            await eventually(lambda: joins == ["host-1"], "the join that was lost is told")
        await eventually(lambda: leaves == ["host-1"], "and the leave after it")
    assert (joins, leaves) == (["host-1"], ["host-1"])


async def test_a_loop_that_stands_still_gathers_no_more_calls_than_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Callable[[], object]] = []
    monkeypatch.setattr(crossing, "EVENTS_WAITING", 5)
    monkeypatch.setattr(crossing, "call_in", lambda token, call: calls.append(call))
    border = crossing.Crossing()
    told: list[gg.Event] = []
    border.receiver = lambda events, sequence: told.extend(events)
    for number in range(100):
        border.deliver([GroupCreated(str(number), True)], number)
    assert len(calls) == 1
    calls.pop()()
    assert told == [*(GroupCreated(str(number), True) for number in range(5)), gg.EventsLost(95)]
    border.deliver([GroupCreated("100", True)], 100)
    assert len(calls) == 1


async def test_more_events_at_once_than_may_wait_are_told_to_be_lost_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crossing, "EVENTS_WAITING", 5)
    border = crossing.Crossing()
    told: list[gg.Event] = []
    border.receiver = lambda events, sequence: told.extend(events)
    border.deliver([GroupCreated(str(number), True) for number in range(6)], 0)
    await eventually(lambda: told == [gg.EventsLost(6)], lambda: told)


# Real processes.


@contextmanager
def _observers() -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Two coordinators; gives where they are, and for a member of "workers" the reasons of its leaves."""
    leaves: list[MemberLeftGroup] = []
    with gg.get_coordinator("gossip:///ends?preset=local", "observer") as first:
        where = f"gossip://{address_of(first)}/ends"
        with gg.get_coordinator(f"{where}?preset=local", "second") as second:
            second.create_group("workers").get(LIMIT)
            second.watch_leave_group("workers", leaves.append)
            yield where, lambda: [event.reason for event in leaves]


def _member(where: str, port: int, rest: str) -> str:
    return (
        "import os, time, gossipgroups as gg\n"
        f"member = gg.get_coordinator('{where}?preset=local&bind=127.0.0.1:{port}', 'member')\n"
        "member.start()\n"
        "member.join_group('workers').get(20)\n"
        f"{rest}\n"
    )


@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 15)"])
def test_a_process_that_ends_without_a_stop_has_failed(end: str) -> None:
    with _observers() as (where, leaves):
        script = _member(where, 0, end)
        subprocess.run([sys.executable, "-c", script], timeout=3 * LIMIT, check=False)
        wait_until(leaves, "the leave")
        assert leaves() == ["failed"]


FORKS = """
if (child := os.fork()) == 0:
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_keeps_neither_the_port_nor_its_dead_parent_alive() -> None:
    port = free_port()

    def is_free() -> bool:
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", port))
            return True
        return False

    with _observers() as (where, leaves):
        script = _member(where, port, FORKS)
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            child = int(process.stdout.readline())
            try:
                wait_until(leaves, "the leave")
                assert leaves() == ["failed"]
                assert is_free()
            finally:
                os.kill(child, signal.SIGKILL)
