"""Real processes on loopback: killed, stopped and continued, restarted, blocked.

What exactly was told is looked at only after a later change of the same group was told too: by then nothing
of what came before can still be on its way.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.waiting import LIMIT, wait_until

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs POSIX signals")

PATIENT = {"probe_period": 1.0, "probe_timeout": 0.6, "suspicion_multiplier": 2.0}
"""For tests in which nobody may be suspected: what a busy machine needs."""
ONLY_WORDS = {"suspicion_multiplier": 10_000.0, "refused_timeout": 10_000.0}
"""For tests in which neither time nor the kernel may settle a node's fate."""


class Process:
    """A coordinator in a process of its own; `told` is what it has printed."""

    def __init__(self, member_id: str, **settings: Any) -> None:
        self.member_id = member_id
        self.told: list[dict[str, Any]] = []
        arguments = [
            sys.executable,
            "-m",
            "tests.node_process",
            json.dumps({"member_id": member_id} | settings),
        ]
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.told.append(json.loads(line))

    def __repr__(self) -> str:
        return f"{self.member_id}: {self.told}"

    @property
    def address(self) -> str:
        """Where it is, once it is ready."""
        wait_until(lambda: self.told, f"{self.member_id} is ready")
        address: str = self.told[0]["ready"]
        return address

    def do(self, command: str) -> dict[str, Any]:
        """Have a command carried out; what it says when it is done."""
        self.begin(command)
        return self.finish(command)

    def begin(self, command: str) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")

    def finish(self, command: str) -> dict[str, Any]:
        """Wait until the command given last is done."""
        wait_until(lambda: self._done(command), lambda: (command, self))
        return self._done(command)[-1]

    def _done(self, command: str) -> list[dict[str, Any]]:
        return [each for each in list(self.told) if each.get("done") == command]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self._process.pid, number)

    def stop(self) -> int:
        """Let it leave gracefully; its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(LIMIT)

    def end(self) -> None:
        """Make sure that it is gone, and nothing of it is left open."""
        self._process.kill()
        self._process.wait(LIMIT)
        self._reader.join(LIMIT)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def heard(self, *kinds: str, **fields: object) -> list[dict[str, Any]]:
        """The events of some kinds that have these fields."""
        return [
            each
            for each in list(self.told)
            if each.get("event") in kinds and all(each.get(key) == value for key, value in fields.items())
        ]

    def about(self, member_id: str) -> list[str]:
        """The joins and leaves of a member of the group "workers"."""
        events = self.heard("MemberJoinedGroup", "MemberLeftGroup", group_id="workers", member_id=member_id)
        assert all(event["converged"] for event in events), events
        return ["joined" if event["event"] == "MemberJoinedGroup" else event["reason"] for event in events]


@contextmanager
def cluster(count: int, **settings: Any) -> Iterator[list[Process]]:
    processes: list[Process] = []
    try:
        for number in range(count):
            seeds = [processes[0].address] if processes else []
            processes.append(Process(f"host-{number}", seeds=seeds, join_timeout=LIMIT, **settings))
        for process in processes:
            assert process.address
        # Whoever joins late could be told of this group by a report of its own: so once all are there.
        assert processes[0].do("create workers")["result"] is True
        for process in processes:
            wait_until(lambda: process.heard("GroupCreated"), process)  # noqa: B023
        yield processes
    finally:
        for process in processes:
            process.end()


def join(member: Process, observers: list[Process]) -> None:
    """Have a member join, and all observers told so."""
    assert member.do("join workers") == {"done": "join workers", "result": True}
    for each in observers:
        wait_until(lambda: each.about(member.member_id)[-1:] == ["joined"], lambda: each)  # noqa: B023


def mark_the_end(member: Process, observers: list[Process]) -> None:
    """After this, observers have been told all that happened in the group before."""
    join(member, observers)


def wait_for(observers: list[Process], member_id: str, *events: str) -> None:
    for each in observers:
        wait_until(lambda: len(each.about(member_id)) >= len(events), lambda: each)  # noqa: B023


def hold(observers: list[Process], member_id: str, *events: str) -> None:
    assert {each.member_id: tuple(each.about(member_id)) for each in observers} == {
        each.member_id: events for each in observers
    }


def test_a_killed_process_is_a_leave_at_every_observer() -> None:
    with cluster(4) as processes:
        *observers, victim = processes
        join(victim, processes)
        victim.signal(signal.SIGKILL)
        wait_for(observers, victim.member_id, "joined", "failed")
        mark_the_end(observers[0], observers)
        hold(observers, victim.member_id, "joined", "failed")
        for each in observers:
            assert len(each.heard("NodeFailed")) == 1


def test_a_process_that_stops_gracefully_has_left() -> None:
    with cluster(4) as processes:
        *observers, leaver = processes
        join(leaver, processes)
        assert leaver.stop() == 0
        wait_for(observers, leaver.member_id, "joined", "left")
        mark_the_end(observers[0], observers)
        hold(observers, leaver.member_id, "joined", "left")
        for each in observers:
            assert len(each.heard("NodeLeft")) == 1
            assert not each.heard("NodeFailed")


def test_a_stopped_process_comes_back_by_itself() -> None:
    with cluster(4) as processes:
        *observers, victim = processes
        join(victim, processes)
        join(observers[1], processes)
        victim.signal(signal.SIGSTOP)
        wait_for(observers, victim.member_id, "joined", "failed")
        victim.signal(signal.SIGCONT)
        wait_for(observers, victim.member_id, "joined", "failed", "joined")
        mark_the_end(observers[0], processes)
        hold(observers, victim.member_id, "joined", "failed", "joined")
        assert not victim.heard("NodeFailed"), "it accuses nobody of its own sleep"
        hold([victim], observers[1].member_id, "joined")


def test_a_restart_under_the_same_member_id_takes_it_over_at_once() -> None:
    with cluster(3, config=ONLY_WORDS) as processes:
        *observers, victim = processes
        join(victim, processes)
        victim.signal(signal.SIGKILL)
        again = Process(victim.member_id, seeds=[observers[0].address], config=ONLY_WORDS)
        try:
            assert again.do("join workers") == {"done": "join workers", "result": True}
            wait_for(observers, victim.member_id, "joined", "failed", "joined")
            mark_the_end(observers[0], observers)
            hold(observers, victim.member_id, "joined", "failed", "joined")
        finally:
            again.end()


def test_a_restart_on_the_same_port_settles_the_old_nodes_fate() -> None:
    with cluster(3, config=ONLY_WORDS) as processes:
        *observers, victim = processes
        join(victim, processes)
        address = victim.address
        victim.end()
        again = Process("reborn", bind=address, seeds=[observers[0].address], config=ONLY_WORDS)
        try:
            assert again.address == address
            wait_for(observers, victim.member_id, "joined", "failed")
            mark_the_end(again, observers)
            hold(observers, victim.member_id, "joined", "failed")
        finally:
            again.end()


@pytest.mark.parametrize("isolation", ["thread", "task"])
def test_an_application_that_blocks_its_loop(isolation: str) -> None:
    """With the gossip thread nobody notices. In the caller's own loop it is a failure: the test can fail."""
    with cluster(4, config=PATIENT, isolation=isolation) as processes:
        *observers, blocked = processes
        join(blocked, processes)
        blocked.begin("block 5")  # suspicion: a probe in a second at most, 2 s with two accusers
        if isolation == "task":
            wait_for(observers, blocked.member_id, "joined", "failed")
            return
        blocked.finish("block 5")
        mark_the_end(observers[0], processes)
        for each in observers:
            assert not each.heard("NodeSuspected", name=blocked.member_id)
            assert not each.heard("NodeFailed")
        hold(observers, blocked.member_id, "joined")
