"""Datagrams on loopback and on trio's fake network, and what the kernel tells about ports nobody holds."""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock
from trio.testing._fake_net import FakeNet, UDPPacket

from gossipgroups.errors import InvalidValue
from gossipgroups.ids import Address
from gossipgroups.transport import kernel_datagrams as kernel
from gossipgroups.transport.binding import open_datagrams
from gossipgroups.transport.datagrams import MAX_BATCH, QUOTED, Datagrams
from gossipgroups.transport.kernel_datagrams import KernelDatagrams
from gossipgroups.transport.trio_datagrams import TrioDatagrams

LIMIT = 10.0  # seconds that any wait may take before the test fails

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who refused")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


LOOPBACKS = [
    pytest.param("127.0.0.1", id="v4"),
    pytest.param("::1", id="v6", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
]


@asynccontextmanager
async def opened(*hosts: str) -> AsyncIterator[list[Datagrams]]:
    """Datagrams bound to a drawn port of each host, closed at the end."""
    async with trio.open_nursery() as nursery:
        ends = [await open_datagrams(Address(host, 0), nursery) for host in hosts]
        try:
            with trio.fail_after(LIMIT):
                yield ends
        finally:
            for end in ends:
                end.close()


async def receive(end: Datagrams, count: int) -> list[tuple[bytes, Address]]:
    received: list[tuple[bytes, Address]] = []
    while len(received) < count:
        await end.readable()
        received += end.receive()
    return received


async def refusals(end: Datagrams, count: int) -> list[Address]:
    refused: list[Address] = []
    while len(refused) < count:
        await end.readable()
        assert end.receive() == []
        refused += [address for address, _ in end.refused()]
    return refused


def free_address(host: str) -> Address:
    """An address that nobody holds: it was just released."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        return Address(*sock.getsockname()[:2])


class ScriptedSocket(socket.socket):
    """A real socket that counts its calls, and fails those that the script says, in order."""

    def __init__(self) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.bind(("127.0.0.1", 0))
        self.calls: Counter[str] = Counter()
        self.failures: dict[str, list[OSError]] = {"recvfrom": [], "sendto": []}

    def _count(self, call: str) -> None:
        self.calls[call] += 1
        if self.failures.get(call):
            raise self.failures[call].pop(0)

    def recvfrom(self, *args: Any) -> Any:
        self._count("recvfrom")
        return super().recvfrom(*args)

    def recvmsg(self, *args: Any) -> Any:
        self._count("recvmsg")
        return super().recvmsg(*args)

    def sendto(self, *args: Any) -> Any:
        self._count("sendto")
        return super().sendto(*args)


class Scripted:
    """Kernel datagrams over a scripted socket, and a plain socket to talk to it."""

    def __init__(self) -> None:
        self.socket = ScriptedSocket()
        self.end = KernelDatagrams(self.socket)
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind(("127.0.0.1", 0))
        self.peer.settimeout(LIMIT)
        self.peer_address = Address(*self.peer.getsockname())


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    made = Scripted()
    with trio.fail_after(LIMIT):
        yield made
    made.end.close()
    made.peer.close()


@pytest.fixture
async def net() -> FakeNet:
    net = FakeNet()
    net.enable()
    return net


@pytest.mark.parametrize("loopback", LOOPBACKS)
async def test_datagrams_arrive_in_order_with_their_source(loopback: str) -> None:
    async with opened(loopback, loopback) as (a, b):
        assert isinstance(a, KernelDatagrams)
        assert a.address.host == loopback
        assert a.address.port != 0
        sent = [str(n).encode() for n in range(50)]
        assert all(a.send(datagram, b.address) for datagram in sent)
        assert await receive(b, 50) == [(datagram, a.address) for datagram in sent]
        assert b.receive() == []
        assert b.send(b"back", a.address)
        assert await receive(a, 1) == [(b"back", b.address)]
        assert type(b.address) is Address


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
async def test_an_ipv6_wildcard_hears_ipv6_only() -> None:
    async with opened("::", "127.0.0.1", "::1") as (every, four, six):
        four.send(b"four", Address("127.0.0.1", every.address.port))
        assert six.send(b"six", Address("::1", every.address.port))
        assert await receive(every, 1) == [(b"six", six.address)]


@pytest.mark.parametrize("size", [0, 1_400, 1_401, 2_049, 9_000, 65_507])
async def test_empty_and_oversize_datagrams_are_handed_over(size: int) -> None:
    async with opened("127.0.0.1", "127.0.0.1") as (a, b):
        assert a.send(b"x" * size, b.address)
        assert await receive(b, 1) == [(b"x" * size, a.address)]


async def test_a_call_returns_a_bounded_batch_and_the_rest_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "MAX_BATCH", 8)
    async with opened("127.0.0.1", "127.0.0.1") as (a, b):
        for n in range(20):
            assert a.send(bytes([n]), b.address)
        batches: list[int] = []
        while sum(batches) < 20:
            await b.readable()
            batches.append(len(b.receive()))
        assert batches == [8, 8, 4]


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(Address("::1", 9), id="other family"),
        pytest.param(Address("127.0.0.1", 0), id="port 0"),
        pytest.param(Address("198.51.100.1", 9), id="not reachable from loopback"),
    ],
)
async def test_what_cannot_be_sent_is_said_and_harms_nothing(address: Address) -> None:
    async with opened("127.0.0.1", "127.0.0.1") as (a, b):
        assert not a.send(b"lost", address)
        assert not a.send(b"x" * 65_508, b.address)
        assert a.send(b"fine", b.address)
        assert await receive(b, 1) == [(b"fine", a.address)]
        assert a.refused() == []


@linux_only
@pytest.mark.parametrize("loopback", LOOPBACKS)
async def test_a_refusal_names_the_address_that_refused(loopback: str) -> None:
    async with opened(loopback, loopback) as (a, b):
        dead = free_address(loopback)
        assert a.refused() == []
        assert a.send(b"ping", dead)
        await a.readable()
        assert a.receive() == []
        assert a.refused() == [(dead, b"ping")]
        assert a.refused() == []
        assert a.send(b"ping", b.address)
        await receive(b, 1)
        assert a.receive() == []
        assert a.refused() == []


@linux_only
@pytest.mark.parametrize("loopback", LOOPBACKS)
async def test_the_head_of_what_was_refused_is_handed_up(loopback: str) -> None:
    async with opened(loopback) as (a,):
        datagram = random.Random(1).randbytes(1300)
        assert a.send(datagram, dead := free_address(loopback))
        await a.readable()
        assert a.receive() == []
        assert a.refused() == [(dead, datagram[:QUOTED])]


@linux_only
@pytest.mark.parametrize("loopback", LOOPBACKS)
async def test_refusals_of_some_lose_nothing_to_or_from_others(loopback: str) -> None:
    async with opened(loopback, loopback) as (a, b):
        dead = [free_address(loopback) for _ in range(5)]
        for n in range(20):
            assert b.send(bytes([n]), a.address)
            assert a.send(b"ping", dead[n % 5])
            assert a.send(bytes([n]), b.address)
        everything = [bytes([n]) for n in range(20)]
        assert [datagram for datagram, _ in await receive(b, 20)] == everything
        assert [datagram for datagram, _ in await receive(a, 20)] == everything
        assert {address for address, _ in a.refused()} == set(dead)
        assert b.refused() == []


@linux_only
async def test_refusals_come_in_bounded_batches_and_none_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel, "MAX_BATCH", 2)
    async with opened("127.0.0.1") as (a,):
        dead = {free_address("127.0.0.1") for _ in range(5)}
        for address in dead:
            assert a.send(b"ping", address)
        assert set(await refusals(a, len(dead))) == dead


@linux_only
async def test_errors_that_nobody_asked_for_do_not_wake_for_ever(scripted: Scripted) -> None:
    dead = free_address("127.0.0.1")
    scripted.end.send(b"ping", dead)
    # The error is taken by somebody else, but its message stays queued and keeps the socket readable.
    assert scripted.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    await scripted.end.readable()
    assert scripted.end.receive() == []
    assert scripted.end.refused() == [(dead, b"ping")]
    assert select.select([scripted.socket], [], [], 0) == ([], [], [])


async def test_one_datagram_costs_two_reads_and_no_look_at_errors(scripted: Scripted) -> None:
    for n in range(10):
        scripted.peer.sendto(bytes([n]), scripted.end.address)
        await scripted.end.readable()
        assert scripted.end.receive() == [(bytes([n]), scripted.peer_address)]
        assert scripted.end.refused() == []
        assert scripted.end.send(b"answer", scripted.peer_address)
    # A turn that a timer began, with nothing to read, has no reason to look at errors either.
    assert scripted.end.receive() == []
    assert scripted.end.refused() == []
    assert scripted.socket.calls == {"recvfrom": 21, "sendto": 10}


@linux_only
async def test_refusals_once_read_cost_nothing_more(scripted: Scripted) -> None:
    dead = free_address("127.0.0.1")
    scripted.end.send(b"ping", dead)
    assert await refusals(scripted.end, 1) == [dead]
    looks = scripted.socket.calls["recvmsg"]
    assert scripted.end.refused() == []
    assert scripted.socket.calls["recvmsg"] == looks == 2, "the refusal, then that there is no other"


async def test_reading_goes_on_after_an_error(scripted: Scripted) -> None:
    for n in range(3):
        scripted.peer.sendto(bytes([n]), scripted.end.address)
    scripted.socket.failures["recvfrom"] = [
        ConnectionResetError(10054, "what Windows says after a refusal"),
        OSError(errno.EHOSTUNREACH, "no route to host"),
    ]
    await scripted.end.readable()
    assert [datagram for datagram, _ in scripted.end.receive()] == [b"\0", b"\1", b"\2"]
    assert scripted.end.refused() == []


async def test_reading_ends_though_every_read_fails(scripted: Scripted) -> None:
    scripted.socket.failures["recvfrom"] = [ConnectionResetError() for _ in range(2 * MAX_BATCH)]
    assert scripted.end.receive() == []
    assert scripted.socket.calls["recvfrom"] == MAX_BATCH


@pytest.mark.parametrize(
    ("failures", "sent"),
    [
        pytest.param([ConnectionRefusedError()], True, id="refusal of another"),
        pytest.param([OSError(errno.EHOSTUNREACH, "")], True, id="another not reachable"),
        pytest.param([BlockingIOError()], False, id="buffer full"),
        pytest.param([PermissionError() for _ in range(10)], False, id="forbidden"),
    ],
)
async def test_a_send_is_tried_again_only_when_that_may_help(
    scripted: Scripted, failures: list[OSError], sent: bool
) -> None:
    scripted.socket.failures["sendto"] = list(failures)
    assert scripted.end.send(b"once", scripted.peer_address) is sent
    assert scripted.socket.calls["sendto"] <= 3
    scripted.socket.failures["sendto"] = []
    assert scripted.end.send(b"last", scripted.peer_address)
    expected = [b"once", b"last"] if sent else [b"last"]
    assert [scripted.peer.recv(100) for _ in expected] == expected


ICMP, ICMP6, LOCAL = 2, 3, 1


@pytest.mark.parametrize(
    ("level", "kind", "code", "origin", "is_refusal"),
    [
        (socket.IPPROTO_IP, 11, errno.ECONNREFUSED, ICMP, True),
        (socket.IPPROTO_IPV6, 25, errno.ECONNREFUSED, ICMP6, True),
        (socket.IPPROTO_IP, 11, errno.ECONNREFUSED, LOCAL, False),
        (socket.IPPROTO_IP, 11, errno.EHOSTUNREACH, ICMP, False),
        (socket.IPPROTO_IPV6, 25, errno.EMSGSIZE, ICMP6, False),
        (socket.IPPROTO_IP, 8, errno.ECONNREFUSED, ICMP, False),
        (socket.SOL_SOCKET, 11, errno.ECONNREFUSED, ICMP, False),
    ],
)
def test_only_port_unreachable_is_a_refusal(
    level: int, kind: int, code: int, origin: int, is_refusal: bool
) -> None:
    error = struct.pack("=IBBBBII", code, origin, 3, 3, 0, 0, 0)
    assert kernel._is_refusal((level, kind, error + bytes(16))) is is_refusal
    assert not kernel._is_refusal((level, kind, error[:-1]))


@pytest.mark.parametrize("size", [0, 4_096, 4 * 1024 * 1024, 1 << 40])
async def test_any_receive_buffer_may_be_asked_for(size: int) -> None:
    async with trio.open_nursery() as nursery:
        end = await open_datagrams(Address("127.0.0.1", 0), nursery, receive_buffer=size)
        end.close()


class BufferSocket(socket.socket):
    """A socket of a system that refuses, and does not clip, a buffer over its limit."""

    given = 0

    def setsockopt(self, *args: Any) -> None:
        if args[:2] == (socket.SOL_SOCKET, socket.SO_RCVBUF):
            if args[2] > 100_000:
                raise OSError(errno.ENOBUFS, "no buffer space")
            self.given = args[2]
        super().setsockopt(*args)


async def test_a_refused_receive_buffer_is_halved_until_it_is_given() -> None:
    sock = BufferSocket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    end = KernelDatagrams(sock, 1_000_000)
    end.close()
    assert sock.given == 62_500


async def test_a_socket_that_will_not_hear_refusals_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_ERROR_MESSAGES", ((0xFFFF, 1), (0xFFFF, 1)))
    async with opened("127.0.0.1", "127.0.0.1") as (a, b):
        a.send(b"ping", free_address("127.0.0.1"))
        assert a.send(b"fine", b.address)
        assert await receive(b, 1) == [(b"fine", a.address)]
        assert a.receive() == []
        assert a.refused() == []


@pytest.mark.parametrize("loopback", LOOPBACKS)
async def test_a_bind_error_names_the_address(loopback: str) -> None:
    async with opened(loopback) as (taken,), trio.open_nursery() as nursery:
        with pytest.raises(OSError, match="cannot bind UDP") as caught:
            await open_datagrams(taken.address, nursery)
        assert caught.value.errno == errno.EADDRINUSE
        assert str(taken.address) in str(caught.value)


async def test_a_name_is_not_an_address_to_bind() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(InvalidValue, match="'localhost' is not a numeric"):
            await open_datagrams(Address("localhost", 0), nursery)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_hold_the_port() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    address = KernelDatagrams(sock).address
    (heard, say), (wait, release) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(release)
            os.write(say, b"!")
            os.read(wait, 1)
        finally:
            os._exit(0)
    try:
        assert os.read(heard, 1) == b"!", "the child runs"
        assert sock.fileno() >= 0
        sock.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)
    finally:
        os.close(release)
        os.waitpid(child, 0)
        for end in (heard, say, wait):
            os.close(end)


async def close_while_waiting(end: Datagrams, other: Address) -> None:
    """What every implementation does when closed, while a task waits and after."""
    outcome: list[BaseException] = []

    async def wait() -> None:
        try:
            await end.readable()
        except trio.ClosedResourceError as error:
            outcome.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await end.readable()
        end.close()
    assert len(outcome) == 1
    end.close()
    with pytest.raises(trio.ClosedResourceError):
        await end.readable()
    assert end.receive() == []
    assert end.refused() == []
    assert not end.send(b"late", other)
    assert end.address.port != 0


@pytest.mark.parametrize("loopback", LOOPBACKS)
async def test_close_wakes_who_waits(loopback: str) -> None:
    async with opened(loopback, loopback) as (a, b):
        await close_while_waiting(a, b.address)


async def test_close_wakes_who_waits_on_the_fake_network(net: FakeNet) -> None:
    async with opened("127.0.0.1", "127.0.0.1") as (a, b):
        await close_while_waiting(a, b.address)


@pytest.mark.parametrize("fake", [False, True])
async def test_waiting_can_be_cancelled_and_begun_again(fake: bool) -> None:
    if fake:
        FakeNet().enable()
    async with opened("127.0.0.1", "127.0.0.1") as (a, b):
        with trio.CancelScope() as scope:
            scope.cancel()
            await a.readable()
        assert scope.cancelled_caught
        assert b.send(b"after", a.address)
        assert await receive(a, 1) == [(b"after", b.address)]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "10.1.2.3"])
async def test_the_fake_network_keeps_order(net: FakeNet, host: str) -> None:
    async with opened(host, host) as (a, b):
        assert isinstance(a, TrioDatagrams)
        assert a.address.host == host
        sent = [b"", *(str(n).encode() for n in range(50)), b"x" * 1_401]
        assert all(a.send(datagram, b.address) for datagram in sent)
        assert await receive(b, len(sent)) == [(datagram, a.address) for datagram in sent]
        assert not a.send(b"", Address("::1" if host != "::1" else "127.0.0.1", 9)), "other family"


async def test_the_fake_network_loses_and_delays_as_told(net: FakeNet, autojump_clock: MockClock) -> None:
    seed = 20
    rng = random.Random(seed)
    delays = [None if rng.random() < 0.3 else rng.uniform(0.0, 5.0) for _ in range(200)]  # seconds
    async with trio.open_nursery() as nursery, opened("10.0.0.1", "10.0.0.2") as (a, b):

        async def deliver_late(packet: UDPPacket, delay: float) -> None:
            await trio.sleep(delay)
            net.deliver_packet(packet)

        def route(packet: UDPPacket) -> None:
            delay = delays[packet.payload[0]]
            if delay is not None:
                nursery.start_soon(deliver_late, packet, delay)

        net.route_packet = route  # type: ignore[assignment]
        start = trio.current_time()
        for n in range(200):
            assert a.send(bytes([n]), b.address)
        arriving = sorted((delay, n) for n, delay in enumerate(delays) if delay is not None)
        assert 100 < len(arriving) < 180, f"seed {seed}"
        received = await receive(b, len(arriving))
        assert [datagram[0] for datagram, _ in received] == [n for _, n in arriving], f"seed {seed}"
        assert trio.current_time() - start == pytest.approx(arriving[-1][0])
        assert b.receive() == []


async def test_the_fake_network_drops_what_no_queue_holds(net: FakeNet) -> None:
    async with opened("10.0.0.1", "10.0.0.2") as (a, b):
        taken = sum(a.send(b"x", b.address) for _ in range(MAX_BATCH + 10))
        assert taken == MAX_BATCH
        await trio.testing.wait_all_tasks_blocked()
        assert a.send(b"one too many for the other end", b.address)
        await trio.testing.wait_all_tasks_blocked()
        assert b.receive() == [(b"x", a.address)] * MAX_BATCH


async def test_the_fake_network_sends_what_was_sent_before_close(net: FakeNet) -> None:
    async with opened("10.0.0.1", "10.0.0.2") as (a, b):
        for n in range(5):
            assert a.send(bytes([n]), b.address)
        a.close()
        assert [datagram for datagram, _ in await receive(b, 5)] == [bytes([n]) for n in range(5)]


async def test_the_fake_network_binds_an_address_once_until_it_is_closed(net: FakeNet) -> None:
    async with opened("10.0.0.1") as (a,), trio.open_nursery() as nursery:
        with pytest.raises(OSError, match="cannot bind UDP") as caught:
            await open_datagrams(a.address, nursery)
        assert caught.value.errno == errno.EADDRINUSE
        a.close()
        again = await open_datagrams(a.address, nursery)
        assert again.address == a.address
        again.close()


async def test_a_cancelled_nursery_closes_its_datagrams(net: FakeNet) -> None:
    async with trio.open_nursery() as nursery:
        end = await open_datagrams(Address("10.0.0.1", 7946), nursery)
        assert end.send(b"never sent", end.address)
        nursery.cancel_scope.cancel()
    with pytest.raises(trio.ClosedResourceError):
        await end.readable()
    async with trio.open_nursery() as nursery:
        (await open_datagrams(Address("10.0.0.1", 7946), nursery)).close()


class FailingSocket(trio.socket.SocketType):
    """A trio socket whose calls end as scripted; when the script ends, it was closed by somebody else."""

    def __init__(self, script: list[tuple[bytes, Any] | OSError]) -> None:
        self.script = script
        self.sent: list[bytes] = []

    def getsockname(self) -> Any:
        return ("127.0.0.1", 7946)

    def close(self) -> None:
        pass

    async def recvfrom(self, size: int, flags: int = 0) -> Any:
        await trio.lowlevel.checkpoint()
        step = self.script.pop(0) if self.script else OSError(errno.EBADF, "bad file descriptor")
        if isinstance(step, OSError):
            raise step
        return step

    async def sendto(self, *args: Any) -> int:
        await trio.lowlevel.checkpoint()
        if args[0] == b"unlucky":
            raise OSError(errno.ENETUNREACH, "network is unreachable")
        self.sent.append(args[0])
        return len(args[0])


async def test_errors_of_a_trio_socket_lose_only_what_failed() -> None:
    source = ("127.0.0.1", 7947)
    sock = FailingSocket([(b"a", source), ConnectionResetError(errno.ECONNRESET, "refused"), (b"b", source)])
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            end = TrioDatagrams(sock, nursery)
            for datagram in (b"first", b"unlucky", b"last"):
                assert end.send(datagram, Address(*source))
            assert await receive(end, 2) == [(b"a", Address(*source)), (b"b", Address(*source))]
            end.close()
    assert sock.sent == [b"first", b"last"]
