"""The processes of the demo: each is `gossipgroups node`, heard by its lines and ordered through its input.

Law: a child never outlives the demo. Its standard input is a pipe from us, and a node leaves when that ends,
so this holds even if the demo itself is killed; only processes that were started here are ever signalled.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import trio

ERROR_LINES = 5
"""Lines of a child's standard error that are kept for saying why it ended."""
READ_BYTES = 65_536


class Child:
    """One process with one node. `report` gets it with each line that it prints, and `None` when it ends."""

    def __init__(self, member_id: str, report: Callable[[Child, dict[str, Any] | None], None]) -> None:
        self.member_id = member_id
        self.state = "starting"
        """For people: starting, running, killed, stopped, or ended, which is by itself."""
        self.address = ""
        self.nodes: dict[str, str] = {}
        """Names of the nodes that it holds alive, by node id."""
        self.members: set[str] = set()
        """Members of the group, as its callbacks have told it."""
        self.opened_at = 0.0
        """When it began to open its coordinator (monotonic seconds)."""
        self.complaints: deque[str] = deque(maxlen=ERROR_LINES)
        self.process: trio.Process
        self._report = report

    @property
    def status(self) -> int | None:
        """The exit status; `None` while it runs."""
        return self.process.poll()

    async def start(self, arguments: list[str], nursery: trio.Nursery) -> None:
        """Start the process. Tasks that read from it run in the nursery until it ends."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GOSSIPGROUPS_")}
        self.process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "gossipgroups.cli", "node", "--json", "--stdin", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the demo, which ends its children in order
        )
        nursery.start_soon(self._read_lines)
        nursery.start_soon(self._read_complaints)

    def note(self, line: dict[str, Any], group: str) -> None:
        """Take in what a line says of the node's state and of what it sees."""
        match line["event"]:
            case "Started":
                self.state, self.address, self.nodes = "running", line["address"], line["nodes"]
                self.members = set(line["groups"].get(group, ()))
                self.opened_at = line["monotonic"] - line["seconds"]
            case "NodeJoined":
                self.nodes[line["node_id"]] = line["name"]
            case "NodeFailed" | "NodeLeft":
                self.nodes.pop(line["node_id"], None)
            case "MemberJoinedGroup":
                self.members.add(line["member_id"])
            case "MemberLeftGroup":
                self.members.discard(line["member_id"])

    async def order(self, operation: str) -> None:
        """Have an operation carried out; what comes of it is in the lines."""
        assert self.process.stdin is not None  # noqa: S101  (it was opened as a pipe)
        await self.process.stdin.send_all(operation.encode() + b"\n")

    def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        self.state = "killed"
        self.process.kill()

    def stop(self) -> None:
        """Have it leave and end (SIGTERM)."""
        self.state = "stopped"
        self.process.send_signal(signal.SIGTERM)

    async def finish(self, seconds: float) -> None:
        """End it, by force if it takes longer than that."""
        if self.status is None:
            self.stop()
            with trio.move_on_after(seconds):
                await self.process.wait()
        if self.status is None:
            self.process.kill()
        await self.process.wait()

    async def _read_lines(self) -> None:
        async for line in _lines(self.process.stdout):
            self._report(self, json.loads(line))
        await self.process.wait()
        self._report(self, None)

    async def _read_complaints(self) -> None:
        async for line in _lines(self.process.stderr):
            self.complaints.append(line.decode("utf-8", "replace").strip())


async def _lines(stream: trio.abc.ReceiveStream | None) -> AsyncIterator[bytes]:
    """The complete lines of a pipe; a process that is killed may leave half a one."""
    assert stream is not None  # noqa: S101  (it was opened as a pipe)
    waiting = b""
    while received := await stream.receive_some(READ_BYTES):
        *lines, waiting = (waiting + received).split(b"\n")
        for line in lines:
            yield line
