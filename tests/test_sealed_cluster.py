"""Clusters with keys: those who hold them see no difference, all others see nothing at all."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from gossipgroups import (
    Config,
    Coordinator,
    Key,
    KeyFile,
    KeyInUse,
    KeyNotHeld,
    KeyRing,
    NodeEvent,
    SeedsUnreachable,
    UnknownKey,
    open_coordinator,
)
from gossipgroups.errors import InvalidValue, LimitExceeded
from gossipgroups.ids import ANYBODY
from gossipgroups.node import Node
from gossipgroups.registers import MAX_COUNTER
from gossipgroups.status import Status
from gossipgroups.testing import SimulatedNetwork
from gossipgroups.transport.network import KERNEL
from gossipgroups.wire.codec import pack_payload, pack_section
from gossipgroups.wire.header import Header
from gossipgroups.wire.messages import Buckets, Ping, Rumours
from gossipgroups.wire.seal import KeyedSeal, Seal, TaggedSeal, make_seal
from sims.engine.simulation import Simulation, address_of
from tests.nodes import CLUSTER, a_node, an_address, an_id
from tests.waiting import eventually

OLD, NEW = Key(bytes(range(32))), Key(bytes(range(1, 33)))
HOSTS = [f"h{number}" for number in range(16)]
LIMIT = 60.0


@pytest.fixture
def network() -> Iterator[SimulatedNetwork]:
    with SimulatedNetwork(seed=3, hosts=HOSTS) as network:
        yield network


async def open_all(
    stack: AsyncExitStack, network: SimulatedNetwork, keys: object, count: int
) -> list[Coordinator]:
    opened: list[Coordinator] = []
    for host in HOSTS[:count]:
        coordinator = open_coordinator(
            host,
            bind=f"{network.address(host)}:7946",
            seeds=[str(each.node.address) for each in opened[:1]],
            keys=keys,  # type: ignore[arg-type]
        )
        opened += [await stack.enter_async_context(coordinator)]
    await eventually(
        lambda: all(len([node for node in each.nodes() if node.status.live]) == count for each in opened),
        "all see all",
        limit=LIMIT,
    )
    return opened


async def test_a_cluster_with_keys_is_a_cluster(network: SimulatedNetwork, autojump_clock: MockClock) -> None:
    async with AsyncExitStack() as stack:
        one, two, three = await open_all(stack, network, KeyRing([OLD]), 3)
        assert await one.join_group("workers", create=True)
        assert two.get_members("workers") == three.get_members("workers") == {"h0"}
        assert all(node.key_ids == (OLD.id,) for node in three.nodes())
        assert not any(each.stats()["refused"] for each in (one, two, three))


@pytest.mark.parametrize(
    ("keys", "counted"),
    [(None, "not sealed"), (KeyRing([NEW]), "unknown key"), (KeyRing([NEW, OLD]), "unknown key")],
)
async def test_whoever_lacks_the_key_is_alone_and_named_in_the_log(
    network: SimulatedNetwork,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    keys: KeyRing | None,
    counted: str,
) -> None:
    async with AsyncExitStack() as stack:
        (one,) = await open_all(stack, network, KeyRing([OLD]), 1)
        before = one.stats()["sent"]
        with pytest.raises(SeedsUnreachable, match="keys"):
            async with open_coordinator(
                "h1", bind=f"{network.address('h1')}:7946", seeds=["h0:7946"], keys=keys
            ):
                pass
        assert one.stats()["sent"] == before
        assert one.stats()["refused"][counted] > 0
        assert len(one.nodes()) == 1
        said = [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()]
        assert 0 < len(said) <= 10
        assert network.address("h1") in said[0]


async def test_rotation_of_a_running_cluster_tells_nobody_anything(
    network: SimulatedNetwork, autojump_clock: MockClock
) -> None:
    async with AsyncExitStack() as stack:
        all_of_them = await open_all(stack, network, KeyRing([OLD]), 16)
        await all_of_them[0].join_group("workers", create=True)
        await trio.sleep(5)
        streams = [await stack.enter_async_context(each.events()) for each in all_of_them]
        await all_of_them[0].add_key(NEW)
        with pytest.raises(KeyNotHeld) as caught:
            await all_of_them[0].use_key(NEW.id)
        assert set(caught.value.nodes) == set(HOSTS[1:])
        for each in all_of_them:
            await each.add_key(NEW)
        await eventually(lambda: held_everywhere(all_of_them, (OLD.id, NEW.id)), "held", limit=LIMIT)
        for each in all_of_them[:-1]:
            await each.use_key(NEW.id)
        used = [NEW.id] * 15 + [OLD.id]
        await eventually(lambda: first_keys(all_of_them[0]) == used, "15 use it", limit=LIMIT)
        with pytest.raises(KeyInUse, match="h15"):
            await all_of_them[0].remove_key(OLD.id)
        await all_of_them[-1].use_key(NEW.id)
        await eventually(lambda: held_everywhere(all_of_them, (NEW.id, OLD.id)), "used", limit=LIMIT)
        for each in all_of_them:
            await each.remove_key(OLD.id)
        await eventually(lambda: held_everywhere(all_of_them, (NEW.id,)), "removed", limit=LIMIT)
        await trio.sleep(30)
        for stream in streams:
            with trio.move_on_after(0.1):
                pytest.fail(f"a rotation is nobody's event, but {await anext(stream)} was told")
        assert all(not each.stats()["refused"] for each in all_of_them)
        with pytest.raises(UnknownKey):
            await all_of_them[0].use_key(OLD.id)


def held_everywhere(coordinators: list[Coordinator], key_ids: tuple[str, ...]) -> bool:
    return all(node.key_ids == key_ids for each in coordinators for node in each.nodes())


def first_keys(coordinator: Coordinator) -> list[str]:
    order = {name: place for place, name in enumerate(HOSTS)}
    return [node.key_ids[0] for node in sorted(coordinator.nodes(), key=lambda node: order[node.name])]


async def test_a_key_file_is_followed_and_a_broken_one_is_not(
    network: SimulatedNetwork, autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cluster.keys"
    file = KeyFile(path)
    file.write(KeyRing([OLD]))
    async with AsyncExitStack() as stack:
        one, two = await open_all(stack, network, file, 2)
        path.write_text("no key\n")
        await eventually(lambda: "keeps its keys" in caplog.text, "said", limit=LIMIT)
        assert one.node.key_ids == (OLD.id,)
        file.write(KeyRing([OLD, NEW]))
        await eventually(lambda: held_everywhere([one, two], (OLD.id, NEW.id)), "followed", limit=LIMIT)
        assert OLD.text not in caplog.text


async def test_steps_of_a_file_that_come_too_early_name_who_is_cut_off(
    network: SimulatedNetwork, autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cluster.keys"
    KeyFile(path).write(KeyRing([OLD]))
    async with AsyncExitStack() as stack:
        (one,) = await open_all(stack, network, path, 1)
        seeds = [str(one.node.address)]
        await stack.enter_async_context(
            open_coordinator("h1", bind=f"{network.address('h1')}:7946", seeds=seeds, keys=KeyRing([OLD]))
        )
        await eventually(lambda: len(one.nodes()) == 2, "they met", limit=LIMIT)
        KeyFile(path).write(KeyRing([NEW]))
        await eventually(lambda: "still seals what 'h1' send" in caplog.text, "said", limit=LIMIT)
        assert f"key {NEW.id} is not held by 'h1': cut off" in caplog.text


async def test_keys_that_cannot_be_are_refused(network: SimulatedNetwork, autojump_clock: MockClock) -> None:
    for keys in (OLD.text, "/no/such/file", "env:NO_SUCH_VARIABLE", 7):
        with pytest.raises(InvalidValue) as caught:
            async with open_coordinator("h0", seeds=(), keys=keys):  # type: ignore[arg-type]
                pass
        assert OLD.text not in str(caught.value)
    async with open_coordinator("h0", seeds=()) as plain:
        assert plain.node.key_ids == ()
        with pytest.raises(InvalidValue, match="without keys"):
            await plain.add_key(NEW)
        for call in (plain.use_key, plain.remove_key):
            with pytest.raises(InvalidValue, match="hexadecimal digits"):
                await call("key")
        with pytest.raises(InvalidValue, match="must be a Key"):
            await plain.add_key(NEW.text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bind", "keys", "warned"),
    [("0.0.0.0:0", None, 1), ("0.0.0.0:0", KeyRing([OLD]), 0), ("127.0.0.1:0", None, 0)],
)
async def test_an_open_port_without_keys_is_warned_of(
    caplog: pytest.LogCaptureFixture, bind: str, keys: KeyRing | None, warned: int
) -> None:
    async with open_coordinator("h0", bind=bind, advertise="127.0.0.1", seeds=(), keys=keys):
        pass
    assert sum("without keys" in record.getMessage() for record in caplog.records) == warned


def a_keyed_node(number: int = 0) -> Node:
    return Node(
        name=f"n{number}",
        address=an_address(number),
        seal=make_seal(CLUSTER, KeyRing([OLD]), random.Random(number).randbytes),
        config=Config.lan(),
        random=random.Random(number),
        now=0.0,
    )


_asks = pack_payload(
    [
        pack_section(Ping(7, 1, 0)),
        pack_section(Buckets(2**64 - 1, bytes(range(1, 65)) * 8)),
        pack_section(Rumours([a_node(1).packed])),
    ],
)


def asks(seal: Seal, node: Node | None = None, number: int = 1) -> bytes:
    """All that a joiner asks for, of a node or of anybody."""
    header = Header(an_id(1), ANYBODY if node is None else node.node_id, number)
    return seal.seal(header.pack(), _asks)


strangers = st.one_of(
    st.binary(max_size=1500),
    st.sampled_from(
        [
            asks(TaggedSeal(CLUSTER)),
            asks(KeyedSeal(CLUSTER, KeyRing([NEW]), random.Random(1).randbytes)),
            asks(KeyedSeal("other", KeyRing([OLD]), random.Random(1).randbytes)),
        ]
    ),
)


@given(st.lists(strangers, min_size=1, max_size=20))
def test_strangers_get_no_byte_and_leave_no_trace(datagrams: list[bytes]) -> None:
    node = a_keyed_node()
    node.datagrams(0.0)
    held, deadline = node.state.replica.digest, node.next_deadline()
    for datagram in datagrams:
        assert node.receive(datagram, an_address(9), 0.0) is not None
    node.tick(0.0)
    assert node.datagrams(0.0) == []
    assert node.events() == []
    assert (node.state.replica.digest, node.next_deadline()) == (held, deadline)
    assert node.stats.refused.total() == len(datagrams)


def test_the_same_request_with_the_key_is_answered() -> None:
    node = a_keyed_node()
    seal = KeyedSeal(CLUSTER, KeyRing([OLD]), random.Random(1).randbytes)
    assert node.receive(asks(seal, node), an_address(1), 0.0) is None
    node.tick(0.0)
    assert node.datagrams(0.0)


def test_a_sealed_cluster_finds_a_crash() -> None:
    simulation = Simulation(5, keys=KeyRing([OLD]))
    processes = [
        simulation.start(address_of(place), seeds=[address_of(0)] if place else []) for place in range(8)
    ]
    simulation.advance(20.0)
    simulation.crash(processes[3])
    simulation.advance(20.0)
    for process in simulation.processes.values():
        assert len(process.node.state.live.ids) == 7
        assert not process.node.stats.refused


def test_a_node_event_is_not_told_for_a_change_of_keys() -> None:
    node = a_keyed_node()
    node.events()
    node.use_keys(KeyRing([OLD, NEW]), 1.0)
    assert not [event for event in node.events() if isinstance(event, NodeEvent)]
    assert node.state.own.incarnation == 1
    assert node.state.own.key_ids == KeyRing([OLD, NEW]).packed_ids
    node.use_keys(KeyRing([OLD, NEW]), 2.0)
    assert node.state.own.incarnation == 1


def test_salts_come_from_the_system() -> None:
    assert KERNEL.entropy(an_address(0)) is os.urandom


def test_a_change_that_cannot_be_told_is_not_made() -> None:
    node = a_keyed_node()
    node._learn(node.state.own.become(Status.ALIVE, MAX_COUNTER), 1.0)
    with pytest.raises(LimitExceeded, match="incarnation"):
        node.use_keys(KeyRing([NEW]), 2.0)
    assert node.keys == KeyRing([OLD])
