"""The command line: what it prints, how it ends, and the demo from its first process to its last."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from termios import FIONREAD
from typing import IO, Any

import click
import pytest
import trio
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import gossipgroups
from gossipgroups import events
from gossipgroups.cli import output
from gossipgroups.cli.commands import gossipgroups as commands
from gossipgroups.cli.connection import Connection, node_options, observer_options
from gossipgroups.cli.ledger import KNOWN, Ledger, Told
from gossipgroups.cli.lines import DEPTH, plain, printable, text_line
from gossipgroups.cli.operations import Operation, parse_operation
from gossipgroups.errors import InvalidValue
from gossipgroups.ids import Address
from gossipgroups.registers import decode_capabilities

SECONDS = 30.0
"""How long anything may take that takes well under a second on an idle machine."""
RUN = (sys.executable, "-m", "gossipgroups.cli")
IN_A_TERMINAL = (
    sys.executable,
    "-c",
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))",
    *RUN,
)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Process:
    """`gossipgroups …` as a real process; its output is read as it comes."""

    def __init__(
        self, command: tuple[str, ...], arguments: tuple[str, ...], environment: dict[str, str]
    ) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GOSSIPGROUPS_")}
        self.popen = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=kept | environment,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        self._errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(self.popen.stdout, self._lines.put)),
            threading.Thread(target=self._read, args=(self.popen.stderr, self._errors.append)),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(stream: IO[str], put: Callable[[str], Any]) -> None:
        for line in stream:
            put(line.rstrip("\n"))

    def line(self, having: str = "") -> str:
        """The next line with this text; lines before it are passed over."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line with {having!r} after {self.seen} {self._errors}") from None
            self.seen.append(line)
            if having in line:
                return line

    def event(self, event: str, /, **values: object) -> dict[str, Any]:
        """The next JSON line of this event with these values."""
        while True:
            found: dict[str, Any] = json.loads(self.line(f'"event": "{event}"'))
            if found.items() >= values.items():
                return found

    def say(self, line: str) -> None:
        """Write a line to its input."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def end(self) -> tuple[int, str, str]:
        """Wait for its end: exit status, the rest of its output, its errors."""
        status = self.popen.wait(SECONDS)
        for thread in self._threads:
            thread.join(SECONDS)
        rest: list[str] = []
        while not self._lines.empty():
            rest.append(self._lines.get())
        return status, "\n".join(rest), "\n".join(self._errors)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send it a signal and wait for its end."""
        self.popen.send_signal(number)
        return self.end()

    def close(self) -> None:
        """Leave nothing behind."""
        self.popen.kill()
        self.popen.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


@contextmanager
def running(*arguments: str, command: tuple[str, ...] = RUN, **environment: str) -> Iterator[Process]:
    process = Process(command, arguments, environment)
    try:
        yield process
    finally:
        process.close()


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(commands, list(arguments), env=environment)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {SECONDS} s for {what}"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie that nobody has reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# Starting, help, and what is missing.


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.mark.parametrize(("module", "arguments"), [("click", ["node"]), ("rich", ["demo"])])
def test_without_the_extra_it_says_what_to_install(module: str, arguments: list[str]) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv[1:] = {arguments!r}; "
        "from gossipgroups.cli import main; main()"
    )
    done = run_code(code)
    assert done.returncode == 2
    assert "install it with: pip install 'gossipgroups[cli]'" in done.stderr
    assert module in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_another_missing_module_is_not_blamed_on_the_extra() -> None:
    code = "import sys; sys.modules['msgpack'] = None; from gossipgroups.cli import main; main()"
    done = run_code(code)
    assert done.returncode == 1
    assert "msgpack" in done.stderr
    assert "install it with" not in done.stderr


def test_version() -> None:
    result = invoke("--version")
    assert result.exit_code == 0
    assert gossipgroups.__version__ in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("demo",),
        ("node",),
        ("members",),
        ("groups",),
        ("nodes",),
        ("keygen",),
        ("keys",),
        ("keys", "add"),
    ],
)
def test_help_of_every_command(arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.output
    assert all(len(line) <= 100 for line in result.output.splitlines())
    assert "\\b" not in result.output
    examples = [
        line for line in result.output.splitlines() if line.startswith("  ") and "gossipgroups " in line
    ]
    assert all(line.count("gossipgroups ") == 1 for line in examples), "one example a line"


# Options.


def connection_of(
    decorate: Callable[[Callable[..., Any]], Callable[..., Any]], *arguments: str, **environment: str
) -> Connection:
    taken: list[Connection] = []

    def take(connection: Connection) -> None:
        taken.append(connection)

    result = CliRunner().invoke(click.command()(decorate(take)), list(arguments), env=environment)
    assert result.exit_code == 0, result.output
    return taken[0]


def test_seeds_are_separated_by_commas_and_repeatable() -> None:
    connection = connection_of(node_options, "--seeds", "a:1,b:2", "--seeds", "c:3")
    assert connection.seeds == ("a:1", "b:2", "c:3")


def test_without_seeds_the_directory_is_searched() -> None:
    assert connection_of(node_options).seeds is None


def test_environment_is_read_and_an_option_wins() -> None:
    environment = {
        "GOSSIPGROUPS_SEEDS": "a:1,b:2 c:3",
        "GOSSIPGROUPS_CLUSTER": "blue",
        "GOSSIPGROUPS_BIND": "127.0.0.1:7946",
    }
    read = connection_of(node_options, **environment)
    assert (read.seeds, read.cluster, read.bind) == (("a:1", "b:2", "c:3"), "blue", "127.0.0.1:7946")
    given_too = connection_of(node_options, "--cluster", "red", "--seeds", "d:4", **environment)
    assert (given_too.seeds, given_too.cluster) == (("d:4",), "red")


def test_an_observer_does_not_take_the_port_of_the_node_beside_it() -> None:
    assert connection_of(observer_options, GOSSIPGROUPS_BIND="127.0.0.1:7946").bind is None
    assert connection_of(observer_options, "--bind", "127.0.0.1:1").bind == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("node", "--alone", "--seeds", "127.0.0.1:1"), "--alone"),
        (("node", "--group", "g", "--capabilities", "{"), "not JSON"),
        (("node", "--capabilities", "{}"), "name one with --group"),
        (("node", "--preset", "moon"), "moon"),
        (("demo", "--nodes", "2"), "3<=x<=64"),
        (("members",), "GROUP"),
    ],
)
def test_wrong_usage_is_status_2(arguments: tuple[str, ...], said: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def taken_port() -> tuple[socket.socket, str]:
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("127.0.0.1", 0))
    return holder, f"127.0.0.1:{holder.getsockname()[1]}"


def test_errors_are_one_line_and_status_1() -> None:
    holder, address = taken_port()
    with holder:
        unreachable = invoke("node", "--seeds", address, "--join-timeout", "0.2")
        in_use = invoke("node", "--alone", "--bind", address)
    for result, said in (
        (unreachable, f"no answer within 0.2 s from any seed of {address}"),
        (in_use, f"cannot bind UDP {address}"),
        (invoke("node", "--seeds", "127.0.0.1:x"), "seed '127.0.0.1:x'"),
        (invoke("node", "--alone", "--member-id", "x" * 256), "the limit is 255"),
        (invoke("members", "g", "--cluster", ""), "cluster is empty"),
    ):
        assert result.exit_code == 1
        assert result.stdout == ""
        assert said in result.stderr
        assert result.stderr.startswith("Error: ")
        assert len(result.stderr.splitlines()) == 1
        assert "seeds=" not in result.stderr


# Lines.


def event_classes() -> list[type[events.Event]]:
    found = [
        each for each in vars(events).values() if isinstance(each, type) and issubclass(each, events.Event)
    ]
    return [each for each in found if each not in (events.Event, events.GroupEvent, events.NodeEvent)]


SAMPLES: dict[str, Any] = {
    "group_id": "g",
    "converged": True,
    "member_id": "m",
    "reason": "failed",
    "node_id": b"\x01" * 8,
    "name": "n",
    "address": Address("::1", 7),
    "count": 3,
}


@pytest.mark.parametrize("kind", event_classes())
def test_every_event_has_a_line(kind: type[events.Event]) -> None:
    values = {each.name: SAMPLES[each.name] for each in dataclasses.fields(kind)}
    line = text_line(kind.__name__, values)
    assert line is not None
    assert "not converged" not in line
    if "converged" in values:
        assert "(not converged)" in str(text_line(kind.__name__, values | {"converged": False}))


@given(st.text())
def test_no_name_reaches_the_terminal_as_a_control_code(name: str) -> None:
    shown = printable(name)
    assert shown.isprintable()
    assert shown == name or not name.isprintable()
    line = text_line("NodeJoined", {"name": name, "address": Address("127.0.0.1", 1)})
    assert line is not None
    assert line.isprintable()


def test_bytes_that_are_no_text_can_be_shown() -> None:
    assert printable(b"a\xff\x1b[2J".decode("utf-8", "surrogateescape")) == r"a\udcff\x1b[2J"


capabilities = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner),
    max_leaves=10,
)


@given(capabilities)
def test_any_capabilities_become_strict_json(value: object) -> None:
    json.dumps(plain(value), allow_nan=False)


def test_hostile_capabilities_do_not_exhaust_the_stack() -> None:
    deep = decode_capabilities(b"\x91" * 511 + b"\xc0")
    assert json.dumps(plain(deep)).count("[") == DEPTH


# Operations.


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        ("create workers", Operation("create", "workers")),
        ("  join   workers  ", Operation("join", "workers")),
        ('join workers {"slots": [1, 2]}', Operation("join", "workers", {"slots": [1, 2]})),
        ("update workers null", Operation("update", "workers")),
        ('["join", "my group", {"slots": 4}]', Operation("join", "my group", {"slots": 4})),
        ('["leave", "my group"]', Operation("leave", "my group")),
    ],
)
def test_operations_that_are_understood(line: str, operation: Operation) -> None:
    assert parse_operation(line) == operation


@pytest.mark.parametrize(
    "line",
    ["join", "jump workers", "create workers {}", "join workers {", "[", "[1, 2]", '["join"]', "[" * 100_000],
)
def test_operations_that_are_refused(line: str) -> None:
    with pytest.raises(InvalidValue, match="line"):
        parse_operation(line)


@given(st.text())
def test_a_line_is_an_operation_or_refused(line: str) -> None:
    with suppress(InvalidValue):
        assert isinstance(parse_operation(line), Operation)


# The ledger: the demo's verdict can be "no".

JOINED, FAILED = Told("MemberJoinedGroup", "m"), Told("MemberLeftGroup", "m", "failed")


def test_ledger_of_a_good_demo() -> None:
    ledger = Ledger()
    found = ledger.owe("found", Told(KNOWN), ["a", "b"], origin=1.0)
    joined = ledger.owe("m joined", JOINED, ["a", "b"])
    for observer, at in (("a", 1.5), ("b", 1.25)):
        ledger.tell(observer, Told(KNOWN), at)
        ledger.tell(observer, JOINED, at + 1)
    assert found.complete
    assert not joined.complete, "nobody knows when it began"
    joined.origin = 2.0
    assert joined.complete
    assert joined.latencies() == {"b": 250.0, "a": 500.0}
    assert list(joined.latencies()) == ["b", "a"]
    row = joined.row()
    assert (row["first_observer"], row["first_ms"], row["last_observer"], row["last_ms"]) == (
        "b",
        250,
        "a",
        500,
    )
    assert ledger.close() == []


def test_ledger_names_who_missed_what() -> None:
    ledger = Ledger()
    step = ledger.owe("m joined", JOINED, ["a", "b", "c"], origin=0.0)
    ledger.tell("b", JOINED, 1.0)
    assert step.missing == ("a", "c")
    assert ledger.close() == ["not told to a, c: m joined"]


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ([FAILED, JOINED], "a was told 'm left (failed)' when it was owed 'm joined'"),
        ([JOINED, JOINED, FAILED], "a was told 'm joined' when it was owed 'm left (failed)'"),
        ([JOINED, FAILED, JOINED], "a was told 'm joined' when it was owed nothing"),
        (
            [JOINED, Told("MemberLeftGroup", "m", "left")],
            "a was told 'm left' when it was owed 'm left (failed)'",
        ),
    ],
)
def test_ledger_finds_what_is_out_of_order_doubled_or_wrong(told: list[Told], fault: str) -> None:
    ledger = Ledger()
    ledger.owe("m joined", JOINED, ["a"], origin=0.0)
    ledger.owe("m killed", FAILED, ["a"], origin=1.0)
    for each in told:
        ledger.tell("a", each, 2.0)
    assert fault in ledger.close()


def test_ledger_finds_what_had_not_converged() -> None:
    ledger = Ledger()
    ledger.owe("m joined", JOINED, ["a"], origin=0.0)
    ledger.tell("a", JOINED, 1.0, converged=False)
    assert ledger.close() == ["a was told 'm joined' before it had converged"]


# Nodes and observers, as processes.


def test_a_node_from_its_first_line_to_its_last() -> None:
    with running("node", "--json", "--alone", "--member-id", "first", "--group", "workers") as first:
        started = json.loads(first.line())
        assert started["event"] == "Started"
        assert started["member_id"] == "first"
        assert started["cluster"] == "default"
        assert re.fullmatch(r"127\.0\.0\.1:\d+", started["address"])
        assert re.fullmatch("[0-9a-f]{16}", started["node_id"])
        assert started["nodes"] == {started["node_id"]: "first"}
        assert started["pid"] == first.popen.pid
        assert 0 < started["monotonic"] <= time.monotonic()
        first.event("MemberJoinedGroup", group_id="workers", member_id="first", converged=True)
        arguments = ("--member-id", "second", "--group", "workers", "--capabilities", '{"slots": 4}')
        with running("node", *arguments, "--seeds", started["address"]) as second:
            assert " second listens on 127.0.0.1:" in second.line()
            second.line("workers: second joined")
            first.event("NodeJoined", name="second")
            first.event("MemberJoinedGroup", group_id="workers", member_id="second", converged=True)

            seeds = ("--seeds", started["address"])
            shown = invoke("members", "workers", *seeds)
            assert shown.exit_code == 0, shown.output
            rows = shown.stdout.splitlines()
            assert rows[0].split() == ["member", "address", "status", "node", "capabilities"]
            assert [row.split()[0] for row in rows[2:]] == ["first", "second"]
            assert '{"slots": 4}' in rows[3]
            assert not CONTROL.search(shown.stdout.replace("\n", ""))
            told = json.loads(invoke("members", "workers", "--json", *seeds).stdout)
            assert [(row["member_id"], row["capabilities"]) for row in told] == [
                ("first", None),
                ("second", {"slots": 4}),
            ]
            assert told[0]["node_id"] == started["node_id"]
            assert json.loads(invoke("groups", "--json", *seeds).stdout) == [
                {"group_id": "workers", "members": 2, "member_ids": ["first", "second"]}
            ]
            assert "first, second" in invoke("groups", *seeds).stdout
            nodes = json.loads(invoke("nodes", "--json", *seeds).stdout)
            assert [(row["name"], row["status"]) for row in nodes] == [
                ("first", "alive"),
                ("second", "alive"),
            ]
            everyone = json.loads(invoke("nodes", "--all", "--json", *seeds).stdout)
            assert {row["status"] for row in everyone if row["name"].startswith("observer-")} == {"left"}
            unknown = invoke("members", "workesr", *seeds)
            assert unknown.exit_code == 1
            assert "group 'workesr' is not in cluster 'default': its groups are 'workers'" in unknown.stderr

            status, rest, errors = second.stop(signal.SIGINT)
            assert (status, errors) == (0, "")
            assert rest.splitlines()[-1].endswith("stopped")
        first.event("MemberLeftGroup", group_id="workers", member_id="second", reason="left", converged=True)
        status, rest, errors = first.stop(signal.SIGTERM)
        assert (status, errors) == (0, "")
        assert [json.loads(line)["event"] for line in rest.splitlines()[-2:]] == ["Stopping", "Stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_break_off_the_leave(number: int) -> None:
    with running("node", "--json", "--alone", "--member-id", "first") as first:
        seeds = ("--seeds", first.event("Started")["address"], "--preset", "local")
        with running("node", "--json", "--member-id", "second", *seeds) as second:
            second.event("Started")
            first.popen.send_signal(signal.SIGSTOP)  # so that the leave takes its time
            second.popen.send_signal(number)
            second.event("Stopping")
            status, rest, _ = second.stop(number)
            assert status == 0
            assert [json.loads(line)["event"] for line in rest.splitlines()][-1] == "Stopped"


def test_a_group_that_is_named_twice_is_joined_and_printed_once() -> None:
    twice = ("--group", "g", "--group", "g", "--watch", "g", "--watch", "g")
    with running("node", "--json", "--alone", "--member-id", "m", *twice) as node:
        node.event("OperationDone", operation="join", group_id="g")
        status, rest, errors = node.stop()
        assert (status, errors) == (0, "")
        seen = [json.loads(line)["event"] for line in [*node.seen, *rest.splitlines()]]
        assert seen.count("MemberJoinedGroup") == 1


@pytest.mark.parametrize("seeds", ["", ",", " , "])
def test_empty_seeds_are_refused(seeds: str) -> None:
    result = invoke("node", "--seeds", seeds)
    assert result.exit_code == 2
    assert "--seeds is empty" in result.output


def test_a_closed_standard_input_is_refused() -> None:
    script = "import os, sys; os.close(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    arguments = ["-m", "gossipgroups.cli", "node", "--alone", "--stdin"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert "standard input is closed" in done.stderr


def test_a_node_obeys_its_input_and_ends_with_it() -> None:
    with running("node", "--json", "--alone", "--stdin", "--member-id", "m", "--watch", "g") as node:
        node.event("Started")
        node.say("create g")
        node.event("OperationStarted", operation="create", group_id="g")
        node.event("OperationDone", operation="create", group_id="g", converged=True)
        node.say('join g {"slots": 4}')
        node.event("MemberJoinedGroup", group_id="g", member_id="m")
        node.say('join g {"slots": 4}')
        refused = node.event("OperationFailed")
        assert refused["error"] == "MemberAlreadyJoined"
        node.say("dance g")
        assert "is no operation" in node.event("OperationFailed")["message"]
        node.say("join other")
        node.event("OperationDone", operation="join", group_id="other")
        node.say("update g 5")
        node.event("MemberCapabilitiesUpdated", group_id="g", member_id="m")
        node.say("leave g")
        node.event("MemberLeftGroup", group_id="g", member_id="m", reason="left")
        node.say("delete g")
        node.event("GroupDeleted", group_id="g")
        assert node.popen.stdin is not None
        node.popen.stdin.close()
        node.event("Stopped")
        status, _, errors = node.end()
        assert (status, errors) == (0, "")
        seen = [json.loads(line) for line in node.seen]
        joins = [(each["group_id"]) for each in seen if each["event"] == "MemberJoinedGroup"]
        assert joins == ["g"], "told once, by its callback, and nothing of a group that is not watched"


def test_a_node_whose_reader_is_gone_leaves() -> None:
    arguments = [*RUN, "node", "--alone", "--stdin", "--json"]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as node:
        try:
            assert node.stdin is not None
            assert node.stdout is not None
            assert node.stderr is not None
            assert "Started" in node.stdout.readline()
            node.stdout.close()
            node.stdin.write("create g\n")
            node.stdin.flush()
            assert node.wait(SECONDS) == 1
            assert node.stderr.read() == ""
        finally:
            node.kill()


@contextmanager
def unread(*, blocking: bool) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A node that has more to say than its pipe holds, which is full, and the end to read it from."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, blocking)
    arguments = [*RUN, "node", "--alone", "--stdin", "--json", "--cluster", "unread"]
    with (
        os.fdopen(reader) as lines,
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=writer, text=True) as node,
    ):
        try:
            os.close(writer)
            assert node.stdin is not None
            node.stdin.writelines(f"create g{number}\n" for number in range(60))
            node.stdin.flush()
            waiting = array("i", [0])
            # What does not block writes no part of what is larger than the room.
            least = 3000 if blocking else 300
            wait_until(lambda: not fcntl.ioctl(lines, FIONREAD, waiting) and waiting[0] > least, "it is full")
            yield node, lines
        finally:
            node.kill()


def test_a_reader_that_does_not_read_holds_nothing_up() -> None:
    with unread(blocking=True) as (node, _):
        node.send_signal(signal.SIGTERM)
        assert node.wait(SECONDS) == 0


def test_a_slow_reader_of_a_pipe_that_does_not_block_loses_nothing() -> None:
    with unread(blocking=False) as (node, lines):
        told = [json.loads(next(lines))]
        while told[-1].get("group_id") != "g59":
            told.append(json.loads(next(lines)))
        node.send_signal(signal.SIGTERM)
        assert json.loads(list(lines)[-1])["event"] == "Stopped"
        assert node.wait(SECONDS) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_an_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        arguments = [*RUN, "node", "--alone", "--json"]
        done = subprocess.run(
            arguments, stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False
        )
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


def test_without_a_standard_output_a_node_runs_all_the_same() -> None:
    script = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    arguments = [sys.executable, "-c", script, "-m", "gossipgroups.cli", "node", "--alone", "--stdin"]
    done = subprocess.run(
        arguments, input="create g\n", capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_lines_that_find_no_room_are_counted_and_the_others_come_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(output, "STDOUT", writer)
    monkeypatch.setattr(output, "MOST_LINES", 5)
    lines = output.Output()
    lines.lost = lambda count: f"{count} lost"
    for number in range(8):
        lines.put(str(number))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lines.run)
        await lines.finish()
        lines.put("more")
        await lines.finish()
        nursery.cancel_scope.cancel()
    os.close(writer)
    assert os.read(reader, 1000).decode().split("\n")[:-1] == ["0", "1", "2", "3", "4", "3 lost", "more"]
    os.close(reader)


def test_an_observer_that_finds_nobody_says_so() -> None:
    result = invoke("groups", "--cluster", "nobody-is-here")
    assert result.exit_code == 1
    assert "no other node of cluster 'nobody-is-here' was found" in result.stderr


# The demo.


def test_the_demo_from_start_to_end() -> None:
    with running("demo") as demo:
        status, output, errors = demo.end()
    assert status == 0, output + errors
    assert not CONTROL.search(output.replace("\n", ""))
    table = output.splitlines()[-14:]
    steps = ["all found each other", "group created", *(f"node-{number} joined " for number in range(1, 6))]
    steps += ["node-1 killed (kill -9)", "node-1 joined again", "node-5 stopped (SIGTERM)"]
    for step, row in zip(steps, table[2:], strict=False):
        assert row.startswith(step)
        told, of = re.findall(r"(\d+) of (\d+)", row)[0]
        assert told == of == ("4" if "killed" in step or "stopped" in step else "5")
    assert "9 changes, told 43 times, everything to everybody and in order" in table[-1]
    callbacks = re.findall(r"(node-\d) was told: (node-\d (?:joined|left.*)), after ([\d.]+) ms", output)
    for observer in ("node-2", "node-3", "node-4"):
        assert [what for who, what, _ in callbacks if who == observer] == [
            *(f"node-{number} joined" for number in range(1, 6)),
            "node-1 left (failed)",
            "node-1 joined",
            "node-5 left",
        ]
    pids = [int(pid) for pid in re.findall(r"runs: process (\d+)", output)]
    assert len(set(pids)) == 6
    assert not any(runs(pid) for pid in pids)


def test_the_demo_as_json() -> None:
    result = invoke("demo", "--nodes", "3", "--preset", "local", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["ok"], told["nodes"], told["faults"]) == (True, 3, [])
    killed = next(step for step in told["steps"] if step["reason"] == "failed")
    assert (killed["member_id"], killed["observers"], killed["missing"]) == ("node-1", 2, [])
    assert set(killed["ms"]) == {"node-2", "node-3"}
    assert killed["first_ms"] <= killed["last_ms"]


def test_the_demo_says_what_was_missed() -> None:
    with running("demo", "--nodes", "3") as demo:
        victim = demo.line("node-3 runs: process")
        demo.line("node-1: create demo")
        os.kill(int(victim.split("process ")[1].split(",")[0]), signal.SIGKILL)
        status, output, _ = demo.end()
    assert status == 1
    assert "not everybody was told everything in order" in output
    assert re.search(r"node-3 ended by itself with status -9|node-3 takes no orders", output)
    assert "everything to everybody" not in output


def test_ctrl_c_in_a_terminal_ends_the_demo_and_its_processes() -> None:
    with running("demo", "--nodes", "3", command=IN_A_TERMINAL, TERM="xterm") as demo:
        demo.line("node-1: join demo")
        demo.say("\x03")
        status, rest, _ = demo.end()
    assert status == 130
    output = "\n".join([*demo.seen, rest])
    assert ESCAPES.search(output)
    assert "interrupted" in rest
    pids = {int(found) for found in re.findall(r"node-\d +(\d+) +127", ESCAPES.sub("", output))}
    assert len(pids) == 3
    assert not any(runs(pid) for pid in pids)


def test_a_demo_that_is_killed_leaves_no_process_behind() -> None:
    with running("demo", "--nodes", "3") as demo:
        demo.line("node-1: create demo")
        pids = [int(found) for found in re.findall(r"process (\d+)", "\n".join(demo.seen))]
        assert len(pids) == 3
        demo.stop(signal.SIGKILL)
        wait_until(lambda: not any(runs(pid) for pid in pids), "the processes to end")
