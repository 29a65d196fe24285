"""Where seeds come from: names and lists, the address to advertise, and the per-user directory."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups import discovery, local_directory
from gossipgroups.directory_entry import MAX_ENTRY_BYTES, Entry, decode_untrusted
from gossipgroups.discovery import (
    DEFAULT_PORT,
    LocalDirectory,
    Seeds,
    StaticSeeds,
    advertised_address,
    per_user_directory,
    resolve,
)
from gossipgroups.errors import InvalidValue, LimitExceeded
from gossipgroups.ids import Address
from gossipgroups.local_directory import EXPIRED_SECONDS, MAX_ENTRIES, STALE_SECONDS

HERE = Address("127.0.0.1", 40001)
THERE = Address("127.0.0.1", 40002)

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no user ids and file modes")


class Resolver(trio.abc.HostnameResolver):
    """Answers from a table that tests change as they go; a name that is not in it does not resolve."""

    def __init__(self, table: dict[str, list[tuple[Any, ...]]]) -> None:
        self.table = table
        self.asked: list[str] = []
        self.silent: set[str] = set()

    async def getaddrinfo(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        name = host.decode("ascii")
        self.asked.append(name)
        if name in self.silent:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        if name not in self.table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6 if len(rest) == 2 else socket.AF_INET, type, 17, "", (numeric, port, *rest))
            for numeric, *rest in self.table[name]
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise AssertionError("no address is turned into a name")


@pytest.fixture
async def resolver() -> Resolver:
    made = Resolver({"node-1": [("10.0.0.1",)]})
    trio.socket.set_custom_hostname_resolver(made)
    return made


async def test_numeric_endpoints_ask_no_resolver(resolver: Resolver) -> None:
    assert await resolve("127.0.0.1:7000") == (Address("127.0.0.1", 7000),)
    assert await resolve("[0:0::1]:7000") == (Address("::1", 7000),)
    assert await resolve("::1") == (Address("::1", DEFAULT_PORT),)
    assert await StaticSeeds(["10.0.0.1", "[::1]:5"]).addresses() == (
        Address("10.0.0.1", DEFAULT_PORT),
        Address("::1", 5),
    )
    assert resolver.asked == []


async def test_a_name_gives_all_its_addresses_once(resolver: Resolver) -> None:
    resolver.table["workers"] = [
        ("10.0.0.2",),
        ("2001:db8:0::2", 0, 0),
        ("10.0.0.1",),
        ("10.0.0.2",),
        ("::ffff:10.0.0.1", 0, 0),
        ("fe80::1%eth0", 0, 3),
    ]
    assert await resolve("workers:5") == (
        Address("10.0.0.2", 5),
        Address("2001:db8::2", 5),
        Address("10.0.0.1", 5),
    )


async def test_a_name_that_does_not_resolve_gives_nothing(resolver: Resolver) -> None:
    assert await resolve("nowhere:5") == ()
    assert resolver.asked == ["nowhere"]
    # Longer than a label can be, once it is written in IDNA: refused before the resolver is asked.
    assert await resolve(f"{'ü' * 63}:5") == ()
    assert resolver.asked == ["nowhere"]


async def test_a_silent_name_server_takes_a_bounded_time(
    resolver: Resolver, autojump_clock: trio.testing.MockClock
) -> None:
    resolver.silent.add("slow")
    assert await StaticSeeds(["slow", "node-1", "127.0.0.1"]).addresses() == (
        Address("10.0.0.1", DEFAULT_PORT),
        Address("127.0.0.1", DEFAULT_PORT),
    )
    assert trio.current_time() == pytest.approx(discovery.RESOLVE_SECONDS)


async def test_localhost_resolves_by_the_system() -> None:
    assert Address("127.0.0.1", 5) in await resolve("localhost:5")


async def test_seed_keeps_its_last_answer_and_says_once_that_it_fails(
    resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    seeds = StaticSeeds(["node-1:1", "node-2:2"])
    assert await seeds.addresses() == (Address("10.0.0.1", 1),)
    assert await seeds.addresses() == (Address("10.0.0.1", 1),)
    assert [record.getMessage().split(" ")[1] for record in caplog.records] == ["node-2:2"]
    resolver.table = {"node-2": [("10.0.0.2",)]}
    assert await seeds.addresses() == (Address("10.0.0.1", 1), Address("10.0.0.2", 2))
    resolver.table = {"node-1": [("10.0.0.9",)]}
    assert await seeds.addresses() == (Address("10.0.0.9", 1), Address("10.0.0.2", 2))


async def test_static_seeds_describe_themselves() -> None:
    seeds: Seeds = StaticSeeds(endpoint for endpoint in ("node-1", "[::1]:5", "node-1:7946"))
    assert seeds.describe() == ("node-1:7946", "[::1]:5")
    assert await StaticSeeds(()).addresses() == ()


@pytest.mark.parametrize("value", ["127.0.0.1:7946", b"x", 7946, None, ["127.0.0.1:0"], [7946], ["a b"]])
def test_bad_seeds_are_refused(value: Any) -> None:
    with pytest.raises(InvalidValue, match="seed"):
        StaticSeeds(value)


class Routes(trio.abc.SocketFactory):
    """A kernel whose routes are a table: destination to the address it is reached from."""

    def __init__(self, table: dict[str, str]) -> None:
        self.table = table
        self.tried: list[str] = []

    def socket(self, family: int = 0, type: int = 0, proto: int = 0) -> Any:
        return _Probe(self, family)


class _Probe:
    def __init__(self, routes: Routes, family: int) -> None:
        self.routes, self.family, self.local = routes, family, ""

    def __enter__(self) -> _Probe:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.local = ""

    async def connect(self, target: tuple[str, int]) -> None:
        await trio.lowlevel.checkpoint()
        assert (self.family == socket.AF_INET6) == (":" in target[0])
        self.routes.tried.append(target[0])
        if target[0] not in self.routes.table:
            raise OSError(101, "Network is unreachable")
        self.local = self.routes.table[target[0]]

    def getsockname(self) -> tuple[str, int]:
        return self.local, 40000


def at(*hosts: str) -> tuple[Address, ...]:
    return tuple(Address(host, 7946) for host in hosts)


@pytest.mark.parametrize(
    ("bound", "seeds", "routes", "expected"),
    [
        ("0.0.0.0", at("10.0.0.1", "10.1.0.1"), {"10.0.0.1": "10.0.0.9", "10.1.0.1": "10.1.0.9"}, "10.0.0.9"),
        ("0.0.0.0", at("10.0.0.1", "10.1.0.1"), {"10.1.0.1": "10.1.0.9"}, "10.1.0.9"),
        (
            "0.0.0.0",
            at("127.0.0.1", "10.1.0.1"),
            {"127.0.0.1": "127.0.0.1", "10.1.0.1": "10.1.0.9"},
            "10.1.0.9",
        ),
        ("0.0.0.0", at("127.0.0.1"), {"127.0.0.1": "127.0.0.1", "192.0.2.1": "10.1.0.9"}, "127.0.0.1"),
        ("0.0.0.0", at("2001:db8::5"), {"2001:db8::5": "2001:db8::9", "192.0.2.1": "10.1.0.9"}, "10.1.0.9"),
        ("0.0.0.0", (), {"192.0.2.1": "10.1.0.9", "2001:db8::1": "2001:db8::9"}, "10.1.0.9"),
        ("::", (), {"192.0.2.1": "10.1.0.9", "2001:db8::1": "2001:db8::9"}, "2001:db8::9"),
        ("::", (), {"192.0.2.1": "10.1.0.9"}, "10.1.0.9"),
        ("::", (), {"192.0.2.1": "10.1.0.9", "2001:db8::1": "fe80::9%eth0"}, "10.1.0.9"),
        ("::", at("10.0.0.1"), {"10.0.0.1": "10.0.0.9", "2001:db8::1": "2001:db8::9"}, "10.0.0.9"),
    ],
)
async def test_a_wildcard_is_told_as_the_address_that_reaches_a_seed(
    bound: str, seeds: tuple[Address, ...], routes: dict[str, str], expected: str
) -> None:
    trio.socket.set_custom_socket_factory(Routes(routes))
    assert await advertised_address(Address(bound, 40000), None, seeds) == Address(expected, 40000)


@pytest.mark.parametrize(("bound", "loopback"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
async def test_without_any_route_loopback_is_told_with_a_warning(
    bound: str, loopback: str, caplog: pytest.LogCaptureFixture
) -> None:
    trio.socket.set_custom_socket_factory(Routes({}))
    assert await advertised_address(Address(bound, 5), None, at("10.0.0.1")) == Address(loopback, 5)
    assert "advertise=" in caplog.text
    assert caplog.records[0].name == "gossipgroups.discovery"


async def test_the_real_kernel_reaches_loopback_from_loopback() -> None:
    bound = Address("0.0.0.0", 40000)
    assert await advertised_address(bound, None, at("127.0.0.1")) == Address("127.0.0.1", 40000)


async def test_a_bound_address_is_told_as_it_is() -> None:
    routes = Routes({})
    trio.socket.set_custom_socket_factory(routes)
    assert await advertised_address(HERE, None, at("10.0.0.1")) == HERE
    assert routes.tried == []


@pytest.mark.parametrize(
    ("advertise", "expected"),
    [
        ("198.51.100.7:9", Address("198.51.100.7", 9)),
        ("198.51.100.7", Address("198.51.100.7", 40001)),
        ("198.51.100.7:0", Address("198.51.100.7", 40001)),
        ("[2001:db8::7]", Address("2001:db8::7", 40001)),
        ("both", Address("10.0.0.3", 40001)),
        ("six:1", Address("2001:db8::3", 1)),
    ],
)
async def test_advertise_overrules(resolver: Resolver, advertise: str, expected: Address) -> None:
    resolver.table |= {"both": [("2001:db8::3", 0, 0), ("10.0.0.3",)], "six": [("2001:db8::3", 0, 0)]}
    assert await advertised_address(HERE, advertise, at("10.0.0.1")) == expected


@pytest.mark.parametrize(
    ("advertise", "says"),
    [
        ("nowhere:5", "'nowhere:5' does not resolve"),
        ("0.0.0.0:5", "'0.0.0.0:5': 0.0.0.0 cannot be sent to"),
        ("[ff02::1]:5", "cannot be sent to"),
        ("a:b", "advertise 'a:b': port 'b'"),
    ],
)
async def test_bad_advertise_is_refused(resolver: Resolver, advertise: str, says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        await advertised_address(HERE, advertise, ())


# The per-user directory.


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The per-user directory of this test, not made yet."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield runtime / "gossipgroups"
    for path in tmp_path.rglob("*"):
        assert not path.name.startswith(".new-") or "unfinished" in path.name, f"{path} was left behind"


def node_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def put(home: Path, entry: Entry, *, age: float = 0.0, content: bytes | None = None) -> Path:
    """The file of a coordinator that was touched `age` seconds ago."""
    home.mkdir(mode=0o700, exist_ok=True)
    path = home / entry.file_name()
    path.write_bytes(entry.encode() if content is None else content)
    os.utime(path, (time.time() - age,) * 2)
    return path


def entry(number: int = 1, *, cluster: str = "default", pid: int | None = None) -> Entry:
    return Entry(pid or os.getpid(), Address("127.0.0.1", 40000 + number), cluster, node_id(number))


@pytest.fixture(scope="module")
def gone_pid() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


async def test_coordinators_of_one_cluster_find_each_other(home: Path) -> None:
    one, two, other = LocalDirectory("default"), LocalDirectory("default"), LocalDirectory("other")
    assert await one.addresses() == ()
    await one.announce(HERE, node_id(1))
    await two.announce(THERE, node_id(2))
    await other.announce(Address("::1", 40003), node_id(3))
    assert await one.addresses() == (THERE,)
    assert await two.addresses() == (HERE,)
    assert await other.addresses() == ()
    assert len(list(home.iterdir())) == 3
    await one.withdraw()
    await one.withdraw()
    assert await two.addresses() == ()
    assert len(list(home.iterdir())) == 2


async def test_what_was_announced_last_counts(home: Path) -> None:
    one, two = LocalDirectory("default"), LocalDirectory("default")
    await one.announce(HERE, node_id(1))
    await one.announce(THERE, node_id(1))
    assert await two.addresses() == (THERE,)
    await one.announce(HERE, node_id(9))
    assert await two.addresses() == (HERE,)
    await one.withdraw()
    assert await two.addresses() == ()


@pytest.mark.parametrize("cluster", ["default", "../../etc", "ü" * 127, "\udcff" * 255, "a\nb\0"])
async def test_every_cluster_name_works(home: Path, cluster: str) -> None:
    one, two = LocalDirectory(cluster), LocalDirectory(cluster)
    await one.announce(HERE, node_id(1))
    assert await two.addresses() == (HERE,)
    assert [path.parent for path in home.iterdir()] == [home]


async def test_bad_arguments_are_refused(home: Path) -> None:
    with pytest.raises(InvalidValue):
        LocalDirectory("")
    with pytest.raises(LimitExceeded):
        LocalDirectory("x" * 256)
    with pytest.raises(InvalidValue, match="not a numeric IP address"):
        await LocalDirectory("x").announce(Address("localhost", 1), node_id(1))
    with pytest.raises(InvalidValue, match="8 bytes"):
        await LocalDirectory("x").announce(HERE, b"short")
    assert not home.exists()


@posix
async def test_the_directory_is_private(home: Path) -> None:
    directory = LocalDirectory("default")
    await directory.announce(HERE, node_id(1))
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()] == [0o600]
    assert directory.describe() == (f"the per-user directory {home}",)


@posix
@pytest.mark.parametrize("unusable", ["unset", "relative", "missing", "file", "writable by others"])
def test_without_a_runtime_directory_the_temp_directory_is_used(
    unusable: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert per_user_directory() == home
    if unusable == "unset":
        monkeypatch.delenv("XDG_RUNTIME_DIR")
    elif unusable == "relative":
        monkeypatch.chdir(home.parent.parent)
        monkeypatch.setenv("XDG_RUNTIME_DIR", home.parent.name)
    elif unusable == "missing":
        home.parent.rmdir()
    elif unusable == "file":
        home.parent.rmdir()
        home.parent.touch()
    else:
        home.parent.chmod(0o777)
    assert per_user_directory() == tmp_path / f"gossipgroups-{os.geteuid()}"


@posix
async def test_a_foreign_runtime_directory_is_not_used(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: home.parent.stat().st_uid + 1)
    assert per_user_directory().parent == tmp_path


def test_without_user_ids_the_temp_directory_is_trusted(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.delattr(os, "geteuid", raising=False)
    assert per_user_directory() == tmp_path / "gossipgroups"


async def test_a_runtime_directory_that_goes_away_is_replaced(home: Path, tmp_path: Path) -> None:
    one, two = LocalDirectory("default"), LocalDirectory("default")
    await one.announce(HERE, node_id(1))
    next(home.iterdir()).unlink()
    home.rmdir()
    home.parent.rmdir()
    assert await one.addresses() == ()
    assert per_user_directory() != home
    assert await two.addresses() == (HERE,)
    await one.withdraw()
    assert await two.addresses() == ()


async def use(directory: LocalDirectory) -> tuple[Address, ...]:
    """Every operation, twice: what is wrong must be said once, and nothing raised."""
    for _ in range(2):
        await directory.announce(THERE, node_id(2))
        found = await directory.addresses()
    await directory.withdraw()
    return found


@posix
@pytest.mark.parametrize("trap", ["symlink", "dangling symlink", "file", "mode"])
async def test_a_directory_prepared_by_somebody_else_is_not_used(
    trap: str, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "elsewhere"
    if trap == "symlink":
        put(target, entry())
        home.symlink_to(target)
    elif trap == "dangling symlink":
        home.symlink_to(target)
    elif trap == "file":
        home.touch()
    else:
        put(home, entry())
        home.chmod(0o770)
    before = sorted(tmp_path.rglob("*"))
    assert await use(LocalDirectory("default")) == ()
    assert sorted(tmp_path.rglob("*")) == before
    assert len(caplog.records) == 1
    assert caplog.records[0].name == "gossipgroups.discovery"
    assert caplog.records[0].levelno == logging.WARNING
    assert str(home) in caplog.text
    assert "is not used" in caplog.text


@posix
async def test_a_directory_of_somebody_else_is_not_used(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = os.geteuid()
    put(tmp_path / f"gossipgroups-{own + 1}", entry())
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert await use(LocalDirectory("default")) == ()
    assert f"belongs to user id {own}, not to {own + 1}" in caplog.text
    assert len(caplog.records) == 1


def refuse(*args: Any, **kwargs: Any) -> Any:
    raise OSError(30, "Read-only file system")


async def test_an_unwritable_directory_is_read_with_one_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = put(home, Entry(os.getpid(), HERE, "default", node_id(1)))
    old = put(home, entry(3), age=2 * EXPIRED_SECONDS)
    for name in ("mkdir", "utime", "unlink", "replace"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    assert await use(LocalDirectory("default")) == (HERE, Address("127.0.0.1", 40003))
    assert path.exists()
    assert old.exists()
    assert len(caplog.records) == 1
    assert "cannot write to" in caplog.text
    assert "Read-only file system" in caplog.text
    monkeypatch.undo()


@posix
async def test_file_modes_make_a_directory_unwritable_or_unreadable(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(home, Entry(os.getpid(), HERE, "default", node_id(1)))
    home.chmod(0o500)
    if os.access(home, os.W_OK):
        pytest.skip("file modes do not bind this user")
    assert await use(LocalDirectory("default")) == (HERE,)
    home.chmod(0o300)
    assert await use(LocalDirectory("default")) == ()
    home.chmod(0o700)
    assert ["cannot write" in record.getMessage() for record in caplog.records] == [True, False]


async def test_a_directory_that_cannot_be_made_or_read_is_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "mkdir", refuse)
    assert await use(LocalDirectory("default")) == ()
    monkeypatch.undo()
    assert [record.getMessage().count("Read-only file system") for record in caplog.records] == [1]
    caplog.clear()
    monkeypatch.setattr(local_directory, "per_user_directory", refuse)
    directory = LocalDirectory("default")
    assert await use(directory) == ()
    assert "cannot be had" in directory.describe()[0]
    assert len(caplog.records) == 1


def no_thread(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("can't start new thread")


async def test_without_a_thread_to_ask_in_a_name_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio.to_thread, "run_sync", no_thread)
    monkeypatch.setattr(trio.socket, "getaddrinfo", no_thread)
    assert await resolve("localhost:5") == ()


async def test_without_a_thread_to_work_in_the_directory_is_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(home, Entry(os.getpid(), HERE, "default", node_id(1)))
    directory = LocalDirectory("default")
    monkeypatch.setattr(trio.to_thread, "run_sync", no_thread)
    assert await use(directory) == ()
    monkeypatch.undo()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "can't start new thread" in caplog.text


async def test_a_file_that_cannot_be_finished_leaves_nothing_behind(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "replace", refuse)
    assert await use(LocalDirectory("default")) == ()
    monkeypatch.undo()
    assert list(home.iterdir()) == []
    assert len(caplog.records) == 1


async def test_a_directory_that_cannot_be_listed_is_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "scandir", refuse)
    assert await use(LocalDirectory("default")) == ()
    monkeypatch.undo()
    assert len(caplog.records) == 1
    assert "cannot read" in caplog.text


GOOD = json.loads(entry().encode())
ODD_CONTENTS = {
    "empty": b"",
    "not JSON": b"\x00\xff",
    "not ASCII": entry().encode().replace(b"default", "défault".encode()),
    "cut": entry().encode()[:-3],
    "doubled": entry().encode() * 2,
    "too long": entry().encode() + b" " * MAX_ENTRY_BYTES,
    "deep": b"[" * MAX_ENTRY_BYTES,
    "huge number": b'{"version":' + b"9" * 4000 + b"}",
    "no object": b"[1]",
} | {
    name: json.dumps(fields).encode()
    for name, fields in {
        "no fields": {},
        "extra field": GOOD | {"more": 1},
        "missing field": {key: value for key, value in GOOD.items() if key != "pid"},
        "later version": GOOD | {"version": 2},
        "version true": GOOD | {"version": True},
        "version 1.0": GOOD | {"version": 1.0},
        "pid 0": GOOD | {"pid": 0},
        "pid of a process group": GOOD | {"pid": -1},
        "pid too large": GOOD | {"pid": 1 << 40},
        "pid null": GOOD | {"pid": None},
        "address list": GOOD | {"address": ["127.0.0.1", 40001]},
        "address name": GOOD | {"address": "localhost:40001"},
        "address without port": GOOD | {"address": "127.0.0.1"},
        "address port 0": GOOD | {"address": "127.0.0.1:0"},
        "address wildcard": GOOD | {"address": "0.0.0.0:40001"},
        "address multicast": GOOD | {"address": "[ff02::1]:40001"},
        "address scoped": GOOD | {"address": "[fe80::1%eth0]:40001"},
        "address not canonical": GOOD | {"address": "[0::1]:40001"},
        "other cluster": GOOD | {"cluster": "other"},
        "empty cluster": GOOD | {"cluster": ""},
        "long cluster": GOOD | {"cluster": "x" * 256},
        "cluster surrogate": GOOD | {"cluster": "\ud800"},
        "other node": GOOD | {"node": "00" * 8},
        "short node": GOOD | {"node": "01"},
        "node not hex": GOOD | {"node": "x" * 16},
        "node with blanks": GOOD | {"node": "00 00 00 00 00 00 00 01"},
    }.items()
}


@pytest.mark.parametrize("odd", ODD_CONTENTS)
async def test_odd_content_is_skipped(odd: str, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = put(home, entry(), content=ODD_CONTENTS[odd])
    put(home, entry(5))
    assert await LocalDirectory("default").addresses() == (entry(5).address,)
    os.utime(path, (time.time() - 2 * STALE_SECONDS,) * 2)
    assert await LocalDirectory("default").addresses() == (entry(5).address,)
    assert path.exists(), "it may be the file of a later version"
    os.utime(path, (time.time() - 2 * EXPIRED_SECONDS,) * 2)
    assert await LocalDirectory("default").addresses() == (entry(5).address,)
    assert not path.exists()
    assert caplog.records == []


@posix
async def test_odd_files_are_skipped(home: Path, tmp_path: Path) -> None:
    put(home, entry(5))
    outside = put(tmp_path / "outside", entry(1))
    (home / entry(1).file_name()).symlink_to(outside)
    os.mkfifo(home / entry(2).file_name())
    (home / entry(3).file_name()).mkdir()
    (home / entry(4).file_name().upper()).write_bytes(entry(4).encode())
    (home / "README").write_text("by hand")
    assert await LocalDirectory("default").addresses() == (entry(5).address,)
    for path in home.iterdir():
        if path.name != entry(5).file_name():
            os.utime(path, (0, 0), follow_symlinks=False)
    assert await LocalDirectory("default").addresses() == (entry(5).address,)
    assert outside.exists()
    left = {path.name for path in home.iterdir()}
    assert left == {entry(5).file_name(), entry(3).file_name(), entry(4).file_name().upper(), "README"}


# Not plain st.text(): it first builds tables of Unicode, too slowly for Hypothesis's own check of speed.
any_text = st.text(st.integers(0, 0x10FFFF).map(chr), max_size=20)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda odd: json.dumps(GOOD | odd).encode(), st.dictionaries(st.sampled_from([*GOOD]), json_values)
    )
)
def test_any_content_is_an_entry_or_nothing(content: bytes) -> None:
    found = decode_untrusted(content)
    assert found is None or decode_untrusted(found.encode()) == found


@given(
    st.builds(
        Entry,
        st.integers(1, 2**31 - 1),
        st.builds(
            Address,
            st.ip_addresses()
            .filter(lambda ip: not (ip.is_multicast or ip.is_unspecified or getattr(ip, "ipv4_mapped", None)))
            .map(str),
            st.integers(1, 65535),
        ),
        st.binary(min_size=1, max_size=255).map(lambda name: name.decode("utf-8", "surrogateescape")),
        st.binary(min_size=8, max_size=8),
    )
)
def test_encoded_entry_decodes_to_itself(made: Entry) -> None:
    assert len(made.encode()) <= MAX_ENTRY_BYTES / 2
    assert decode_untrusted(made.encode()) == made


@posix
async def test_the_file_of_a_dead_process_is_removed_when_it_is_old(home: Path, gone_pid: int) -> None:
    fresh = put(home, entry(1, pid=gone_pid))
    stale = put(home, entry(2, pid=gone_pid), age=STALE_SECONDS + 10)
    ahead = put(home, entry(3, pid=gone_pid), age=-STALE_SECONDS - 10)
    quiet = put(home, entry(4), age=STALE_SECONDS + 10)
    expired = put(home, entry(5), age=EXPIRED_SECONDS + 10)
    other = put(home, entry(6, cluster="other", pid=gone_pid), age=STALE_SECONDS + 10)
    unfinished = home / ".new-unfinished"
    unfinished.touch()
    os.utime(unfinished, (0, 0))
    directory = LocalDirectory("default")
    await directory.addresses()
    assert [path.exists() for path in (stale, ahead, expired, other, unfinished)] == [False] * 5
    assert [path.exists() for path in (fresh, quiet)] == [True] * 2
    assert await directory.addresses() == (entry(1).address, entry(4).address)


def test_whether_a_process_is_gone(gone_pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not local_directory._is_gone(os.getpid())
    assert local_directory._is_gone(gone_pid) == (sys.platform != "win32")

    def denied(pid: int, signal: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", denied)
    assert not local_directory._is_gone(1)
    # Signal 0 ends or interrupts a process there, so it must not be sent.
    monkeypatch.setattr(os, "kill", lambda pid, signal: pytest.fail("a signal was sent"))
    monkeypatch.setattr(sys, "platform", "win32")
    assert not local_directory._is_gone(gone_pid)


async def test_asking_shows_that_the_coordinator_lives(home: Path) -> None:
    directory = LocalDirectory("default")
    await directory.announce(HERE, node_id(1))
    (path,) = home.iterdir()
    os.utime(path, (0, 0))
    await directory.addresses()
    assert path.stat().st_mtime > time.time() - STALE_SECONDS
    path.unlink()
    await directory.addresses()
    assert await LocalDirectory("default").addresses() == (HERE,)


async def test_only_the_newest_files_are_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(MAX_ENTRIES + 10):
        put(home, entry(number), age=number)
        put(home, entry(number, cluster="other"))
    newest = tuple(entry(number).address for number in range(MAX_ENTRIES))
    assert await LocalDirectory("default").addresses() == newest
    monkeypatch.setattr(local_directory, "MAX_LISTED", 20)
    assert len(await LocalDirectory("default").addresses()) <= 20


async def test_many_announce_at_once(home: Path) -> None:
    directories = [LocalDirectory("default") for _ in range(24)]
    done = trio.Event()
    seen: set[Address] = set()

    async def watch() -> None:
        reader = LocalDirectory("default")
        while not done.is_set():
            seen.update(await reader.addresses())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        async with trio.open_nursery() as announcing:
            for number, directory in enumerate(directories):
                announcing.start_soon(directory.announce, entry(number).address, node_id(number))
                announcing.start_soon(directory.announce, entry(number).address, node_id(number))
        done.set()
    everyone = {entry(number).address for number in range(24)}
    assert seen <= everyone
    for number, directory in enumerate(directories):
        assert set(await directory.addresses()) == everyone - {entry(number).address}
    async with trio.open_nursery() as nursery:
        for directory in directories:
            nursery.start_soon(directory.withdraw)
    assert list(home.iterdir()) == []


PROCESS = """
import sys, trio
from gossipgroups.discovery import LocalDirectory
from gossipgroups.ids import Address

async def main(number):
    directory = LocalDirectory("default")
    await directory.announce(Address("127.0.0.1", 40000 + number), number.to_bytes(8, "big"))
    print("announced", flush=True)
    await trio.to_thread.run_sync(sys.stdin.readline)
    await directory.withdraw()

trio.run(main, int(sys.argv[1]))
"""


@posix
async def test_processes_find_each_other_and_clean_up_after_a_killed_one(home: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await trio.to_thread.run_sync(process.stdout.readline) == "announced\n"
        directory = LocalDirectory("default")
        assert set(await directory.addresses()) == {entry(number).address for number in range(3)}
        processes[0].kill()
        await trio.to_thread.run_sync(processes[0].communicate)
        await trio.to_thread.run_sync(processes[1].communicate, "stop\n")
        assert set(await directory.addresses()) == {entry(0).address, entry(2).address}
        for path in home.iterdir():
            os.utime(path, (time.time() - STALE_SECONDS - 10,) * 2)
        await directory.addresses()
        assert await directory.addresses() == (entry(2).address,)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


async def test_withdraw_works_while_cancelled(home: Path) -> None:
    directory = LocalDirectory("default")
    await directory.announce(HERE, node_id(1))
    with trio.CancelScope() as scope:
        scope.cancel()
        await directory.withdraw()
    assert list(home.iterdir()) == []


async def test_a_write_held_up_by_the_disk_does_not_undo_the_withdrawal(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = LocalDirectory("default")
    may_write, written, removed = threading.Event(), threading.Event(), threading.Event()

    def write(work: Callable[[], None] = directory._write) -> None:
        may_write.wait(30)
        work()
        written.set()

    def remove(work: Callable[[], None] = directory._remove) -> None:
        work()
        removed.set()

    monkeypatch.setattr(directory, "_write", write)
    monkeypatch.setattr(directory, "_remove", remove)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(directory.announce, HERE, node_id(1))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await directory.withdraw()
    assert await trio.to_thread.run_sync(removed.wait, 10)
    may_write.set()
    assert await trio.to_thread.run_sync(written.wait, 10)
    assert await LocalDirectory("default").addresses() == ()
    assert list(home.iterdir()) == []


async def test_withdrawal_waits_a_bounded_time_for_the_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    directory = LocalDirectory("default")
    may_end, ended = threading.Event(), threading.Event()

    def remove() -> None:
        may_end.wait(30)
        ended.set()

    monkeypatch.setattr(directory, "_remove", remove)
    await directory.withdraw()
    assert trio.current_time() == pytest.approx(local_directory.WITHDRAW_SECONDS)
    assert not ended.is_set()
    may_end.set()
    assert await trio.to_thread.run_sync(ended.wait, 10)
