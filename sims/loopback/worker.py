"""One process of the benchmark: coordinators that do what JSON lines on standard input tell them.

    in   {"id": 7, "do": "join", "name": "node-003"}
    out  {"id": 7, "called": 81.20, "returned": 81.21}            or {"id": 7, "error": "…"}
    out  {"records": [["node-001", "joined", "node-003", 81.208, true], …]}

Law: every stamp is CLOCK_MONOTONIC, which all processes of a machine share, and is taken where the
application is told. The process ends when its input ends, so that it never outlives whoever started it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

import gossipgroups
from gossipgroups import Coordinator, MemberJoinedGroup, MemberLeftGroup, NodeFailed, NodeSuspected
from gossipgroups.config import PRESETS
from gossipgroups.ids import NODE_ID_BYTES, NodeId
from gossipgroups.registers import REGISTER_CACHE, PresenceRegister, decode_register

GROUP = "workers"
POLL = 0.01
"""Seconds between two looks at a coordinator that does not hold everybody yet."""
BATCHING = 0.02
"""Seconds that records wait for others to be written with them: writing must not delay callbacks."""
JOIN_TIMEOUT = 60.0
NOTHING = b"\xc0"
"""Capabilities of a member that gave none."""

stamp = time.monotonic


@dataclass(slots=True)
class Seat:
    """One coordinator that is open."""

    coordinator: Coordinator
    nursery: trio.Nursery
    leave: trio.Event = field(default_factory=trio.Event)
    closed: trio.Event = field(default_factory=trio.Event)


class Worker:
    """The coordinators of this process, and what can be asked of them."""

    def __init__(self, preset: str, cluster: str, nursery: trio.Nursery) -> None:
        self._config = PRESETS[preset]()
        self._cluster = cluster
        self._nursery = nursery
        self._output = trio.lowlevel.FdStream(os.dup(sys.stdout.fileno()))
        self._writing = trio.Lock()
        self._seats: dict[str, Seat] = {}
        self._records: list[tuple[object, ...]] = []
        self._recorded = trio.Event()
        self.requests: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "open": self._open,
            "whole": self._whole,
            "observe": self._observe,
            "create": partial(self._operate, Coordinator.create_group),
            "join": partial(self._operate, Coordinator.join_group),
            "leave": partial(self._operate, Coordinator.leave_group),
            "close": self._close,
            "members": self._members,
            "counters": self._counters,
            "keys": self._keys,
            "memory": self._memory,
            "fill": self._fill,
            "block": self._block,
        }

    async def run(self) -> None:
        """Serve requests until the input ends."""
        self._nursery.start_soon(self._write_records)
        await self._write({"ready": os.getpid()})
        buffered = b""
        async for chunk in trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())):
            *lines, buffered = (buffered + chunk).split(b"\n")
            for line in lines:
                self._nursery.start_soon(self._answer, json.loads(line))

    async def _answer(self, request: dict[str, Any]) -> None:
        number, do = request.pop("id"), request.pop("do")
        try:
            answer = await self.requests[do](**request)
        except Exception as error:
            answer = {"error": f"{do}: {error!r}"}
        await self._write({"id": number, **answer})

    async def _write(self, message: dict[str, Any]) -> None:
        async with self._writing:
            await self._output.send_all(json.dumps(message).encode() + b"\n")

    async def _write_records(self) -> None:
        while True:
            await self._recorded.wait()
            await trio.sleep(BATCHING)
            records, self._records = self._records, []
            self._recorded = trio.Event()
            await self._write({"records": records})

    def _record(self, *record: object) -> None:
        self._records.append(record)
        self._recorded.set()

    # Requests.

    async def _open(
        self, names: list[str], seeds: list[str], bind: str = "127.0.0.1:0", keys: str | None = None
    ) -> dict[str, Any]:
        """Open coordinators, all at the same moment."""
        called = stamp()
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(self._nursery.start, self._occupy, name, seeds, bind, keys)
        return {
            "called": called,
            "returned": stamp(),
            "addresses": {name: self._address(name) for name in names},
        }

    async def _occupy(
        self, name: str, seeds: list[str], bind: str, keys: str | None, task_status: trio.TaskStatus[None]
    ) -> None:
        opening = gossipgroups.open_coordinator(
            name,
            bind=bind,
            seeds=seeds,
            cluster=self._cluster,
            config=self._config,
            join_timeout=JOIN_TIMEOUT,
            keys=keys,
        )
        async with opening as coordinator, trio.open_nursery() as nursery:
            seat = self._seats[name] = Seat(coordinator, nursery)
            task_status.started()
            await seat.leave.wait()
            nursery.cancel_scope.cancel()
        seat.closed.set()

    def _address(self, name: str) -> str:
        for node in self._seats[name].coordinator.nodes():
            if node.name == name and node.status.live:
                return str(node.address)
        raise LookupError(f"{name} does not hold itself live")

    async def _whole(self, count: int, limit: float) -> dict[str, Any]:
        """When every coordinator here held exactly so many nodes live; null if that took too long."""
        with trio.move_on_after(limit):
            while True:
                for seat in self._seats.values():
                    while _live(seat.coordinator) != count:
                        await trio.sleep(POLL)
                at = stamp()
                if all(_live(seat.coordinator) == count for seat in self._seats.values()):
                    return {"at": at}
        return {"at": None, "held": sorted(_live(seat.coordinator) for seat in self._seats.values())}

    async def _observe(self, names: list[str], groups: list[str]) -> dict[str, Any]:
        """Record from now on what these coordinators tell of the groups, and whom they accuse."""
        for name in names:
            seat = self._seats[name]
            for group in groups:
                seat.coordinator.watch_join_group(group, partial(self._on_join, name))
                seat.coordinator.watch_leave_group(group, partial(self._on_leave, name))
            seat.nursery.start_soon(self._accusations, name, seat.coordinator)
        return {"at": stamp()}

    def _on_join(self, observer: str, event: MemberJoinedGroup) -> None:
        self._record(observer, "joined", event.member_id, stamp(), event.converged)

    def _on_leave(self, observer: str, event: MemberLeftGroup) -> None:
        self._record(observer, event.reason, event.member_id, stamp(), event.converged)

    async def _accusations(self, observer: str, coordinator: Coordinator) -> None:
        async with coordinator.events() as events:
            async for event in events:
                match event:
                    case NodeSuspected():
                        self._record(observer, "node suspected", event.name, stamp(), True)
                    case NodeFailed():
                        self._record(observer, "node failed", event.name, stamp(), True)

    async def _operate(
        self, operation: Callable[[Coordinator, str], Awaitable[bool]], name: str, group: str = GROUP
    ) -> dict[str, Any]:
        coordinator = self._seats[name].coordinator
        called = stamp()
        await operation(coordinator, group)
        return {"called": called, "returned": stamp()}

    async def _close(self, name: str) -> dict[str, Any]:
        """Stop a coordinator gracefully, as leaving its block does."""
        seat = self._seats.pop(name)
        called = stamp()
        seat.leave.set()
        await seat.closed.wait()
        return {"called": called, "returned": stamp()}

    async def _members(self, name: str, group: str = GROUP) -> dict[str, Any]:
        return {"members": sorted(self._seats[name].coordinator.get_members(group))}

    async def _keys(self, name: str) -> dict[str, Any]:
        """Ids of the keys of each live node as this one holds them, and what it has refused, by reason."""
        coordinator = self._seats[name].coordinator
        return {
            "held": {node.name: node.key_ids for node in coordinator.nodes() if node.status.live},
            "refused": coordinator.stats()["refused"],
        }

    async def _counters(self) -> dict[str, Any]:
        """What this process has used and sent until now, and how many nodes each here holds live."""
        totals = {"sent": 0, "sent_bytes": 0, "stalls": 0, "refutations": 0, "refused": 0}
        for seat in self._seats.values():
            stats = seat.coordinator.stats()
            stats["refused"] = sum(stats["refused"].values())
            for key in totals:
                totals[key] += stats[key]
        live = [_live(seat.coordinator) for seat in self._seats.values()]
        return {"at": stamp(), "cpu": time.process_time(), "live": live, **totals}

    async def _memory(self) -> dict[str, Any]:
        """KiB resident, with shared pages shared out, and its own alone; null where the system does not tell.

        And how many blocks the interpreter has allocated: what leaks shows there long before it takes a page.
        """
        rollup = "/proc/self/smaps_rollup"
        own = [_kib(rollup, field_name) for field_name in ("Private_Clean:", "Private_Dirty:")]
        return {
            "rss": _kib("/proc/self/status", "VmRSS:"),
            "pss": _kib(rollup, "Pss:"),
            "uss": None if None in own else sum(each or 0 for each in own),
            "blocks": sys.getallocatedblocks(),
        }

    async def _fill(self) -> dict[str, Any]:
        """Fill the cache of decoded registers, as so many changes do, so that it grows no more.

        Twice: its table grows once more when a third of a full cache has been replaced.
        """
        for clock in range(1, 2 * REGISTER_CACHE + 1):
            node_id = NodeId(clock.to_bytes(NODE_ID_BYTES, "big"))
            decode_register(PresenceRegister(GROUP, "node-0", clock, node_id, 1, NOTHING).packed)
        return {}

    async def _block(self, seconds: float) -> dict[str, Any]:
        """Block this application's loop, as a long computation would."""
        called = stamp()
        time.sleep(seconds)
        return {"called": called, "returned": stamp()}


def _live(coordinator: Coordinator) -> int:
    return sum(node.status.live for node in coordinator.nodes())


def _kib(path: str, field_name: str) -> int | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(field_name)), None)


async def main(preset: str, cluster: str) -> None:
    """Run a worker until its input ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    async with trio.open_nursery() as nursery:
        await Worker(preset, cluster, nursery).run()
        # Nobody waits for a farewell: coordinators that are still open are dropped with the process.
        os._exit(0)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
