"""The cluster under measurement: worker processes, and which coordinator sits in which.

Law: only processes started here are ever signalled, by their handle; when the block ends they are gone,
stopped or blocked ones too.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from sims.loopback.ledger import Ledger, Record
from sims.loopback.worker import GROUP

ROOT = Path(__file__).parents[2]
BOOT = 120.0
"""Seconds that an interpreter may take to come up among many."""


class WorkerFailed(Exception):
    """A worker refused a request, ended, or did not answer in time."""


class WorkerProcess:
    """A worker, seen from outside."""

    def __init__(self, process: trio.Process, ledger: Ledger) -> None:
        self._process = process
        self._ledger = ledger
        self._number = 0
        self._answers: dict[int, trio.MemorySendChannel[dict[str, Any]]] = {}
        self._writing = trio.Lock()
        self._ready = trio.Event()
        self._ended = False

    async def ready(self) -> None:
        """Wait until the worker takes requests."""
        with trio.move_on_after(BOOT):
            await self._ready.wait()
        if not self._ready.is_set() or self._ended:
            raise WorkerFailed(f"a worker has ended, or was not up within {BOOT:g} s")

    async def ask(self, do: str, *, within: float, **arguments: object) -> dict[str, Any]:
        """Have the worker do something; its answer. Raises `WorkerFailed`."""
        self._number += 1
        number = self._number
        send, answers = trio.open_memory_channel[dict[str, Any]](1)
        self._answers[number] = send
        line = json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n"
        try:
            with trio.fail_after(within):
                async with self._writing:
                    assert self._process.stdin is not None
                    await self._process.stdin.send_all(line)
                answer = await answers.receive()
        except trio.TooSlowError:
            raise WorkerFailed(f"{do}: no answer within {within:g} s") from None
        except (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError):
            raise WorkerFailed(f"{do}: the worker has ended") from None
        finally:
            self._answers.pop(number, None)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    async def read(self) -> None:
        """Enter what the worker writes, until it ends."""
        assert self._process.stdout is not None
        buffered = bytearray()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for chunk in self._process.stdout:
                buffered += chunk
                *lines, rest = buffered.split(b"\n")
                buffered = bytearray(rest)
                for line in lines:
                    self._enter(json.loads(line))
        self._ended = True
        self._ready.set()
        for answers in self._answers.values():
            answers.close()

    def _enter(self, message: dict[str, Any]) -> None:
        if "records" in message:
            for record in message["records"]:
                self._ledger.take(Record(*record))
        elif "ready" in message:
            self._ready.set()
        elif message["id"] in self._answers:
            self._answers[message["id"]].send_nowait(message)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    async def end(self) -> None:
        """Kill the process and wait until it is gone."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Cluster:
    """Workers, and the coordinators in them by name."""

    def __init__(self, preset: str, name: str, ledger: Ledger, nursery: trio.Nursery) -> None:
        self.name = name
        self.ledger = ledger
        self.seats: dict[str, WorkerProcess] = {}
        self.addresses: dict[str, str] = {}
        self.workers: list[WorkerProcess] = []
        self._arguments = (preset, name)
        self._nursery = nursery

    async def spawn(self, count: int = 1, prefix: Sequence[Sequence[str]] = ((),)) -> list[WorkerProcess]:
        """Start worker processes; each command line is preceded by its prefix, cyclically."""
        workers = []
        for place in range(count):
            process = await trio.lowlevel.open_process(
                [
                    *prefix[place % len(prefix)],
                    sys.executable,
                    "-m",
                    "sims.loopback.worker",
                    *self._arguments,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
            )
            worker = WorkerProcess(process, self.ledger)
            self.workers.append(worker)
            workers.append(worker)
            self._nursery.start_soon(worker.read)
        for worker in workers:
            await worker.ready()
        return workers

    async def open(
        self,
        worker: WorkerProcess,
        names: Sequence[str],
        seeds: Sequence[str],
        within: float,
        **arguments: object,
    ) -> dict[str, Any]:
        """Open coordinators in a worker."""
        answer = await worker.ask("open", within=within, names=names, seeds=seeds, **arguments)
        self.seats.update(dict.fromkeys(names, worker))
        self.addresses.update(answer["addresses"])
        return answer

    async def ask(self, name: str, do: str, *, within: float, **arguments: object) -> dict[str, Any]:
        """Have one coordinator do something."""
        return await self.seats[name].ask(do, within=within, name=name, **arguments)

    async def ask_all(self, do: str, *, within: float, **arguments: object) -> list[dict[str, Any]]:
        """Ask every worker with a coordinator the same, at once."""
        workers = list(dict.fromkeys(self.seats.values()))
        answers: list[dict[str, Any]] = [{} for _ in workers]
        failures: list[WorkerFailed] = []

        async def one(place: int, worker: WorkerProcess) -> None:
            try:
                answers[place] = await worker.ask(do, within=within, **arguments)
            except WorkerFailed as failure:
                failures.append(failure)

        async with trio.open_nursery() as nursery:
            for place, worker in enumerate(workers):
                nursery.start_soon(one, place, worker)
        if failures:
            raise failures[0]
        return answers

    async def observe(self, names: Sequence[str], groups: Sequence[str] = (GROUP,)) -> None:
        """Record what these coordinators tell of the groups, from now on."""
        for worker in dict.fromkeys(self.seats[name] for name in names):
            mine = [name for name in names if self.seats[name] is worker]
            await worker.ask("observe", within=BOOT, names=mine, groups=groups)

    async def whole(self, limit: float, count: int | None = None) -> float | None:
        """The stamp at which every coordinator held all of them live; `None` if that took too long."""
        count = len(self.seats) if count is None else count
        give_up = trio.current_time() + limit
        while (left := give_up - trio.current_time()) > 0:
            answers = await self.ask_all("whole", within=left + BOOT, count=count, limit=left)
            if any(answer["at"] is None for answer in answers):
                return None
            # Held at one moment by all, and not one after the other: the second look must find it still so.
            again = await self.ask_all("whole", within=BOOT, count=count, limit=0.001)
            if all(answer["at"] is not None for answer in again):
                return max(float(answer["at"]) for answer in answers)
        return None

    async def end(self, name: str) -> None:
        """End the worker of a coordinator, which is then out of the cluster."""
        worker = self.seats.pop(name)
        self.addresses.pop(name)
        self.workers.remove(worker)
        await worker.end()


@asynccontextmanager
async def open_cluster(preset: str, name: str) -> AsyncIterator[Cluster]:
    """A cluster without workers yet; all that it has in the end are killed."""
    async with trio.open_nursery() as nursery:
        cluster = Cluster(preset, name, Ledger(), nursery)
        try:
            yield cluster
        finally:
            with trio.CancelScope(shield=True):
                for worker in cluster.workers:
                    await worker.end()
            nursery.cancel_scope.cancel()
