"""The loop of the gossip thread: the turns of all its nodes, and whatever else is to be called there.

Law: one wait serves all that there is to do by then, each node once, and then looks again: nobody's flood
holds up the turns of others for longer than one turn. The kernel is told of a socket once, not at each wait.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from math import ceil, inf
from selectors import EVENT_READ, DefaultSelector
from typing import Any

import trio

from gossipgroups.transport.datagrams import Datagrams
from gossipgroups.transport.kernel_datagrams import KernelDatagrams
from gossipgroups.transport.turns import Turns

TOGETHER = 0.04
"""Nodes that are due within so many seconds take their turns at the end of them: to wake up from idleness,
with cold caches, costs as much as a turn."""
NO_STALL = 0.8
"""Share of `Config.stall_tolerance` that a node waits for others at most."""
FAR = 0.1
"""Seconds ahead from which on a node waits for others; what is due sooner belongs to something under way."""
MOST_QUEUED = 64
"""Entries in the queue of times, besides two for each node, beyond which old ones are thrown out."""


class SharedTurns(Turns):
    """The turns of one node among those of the others in the gossip thread."""

    def __init__(
        self, loop: Loop, datagrams: KernelDatagrams, turn: Callable[[], float], tolerance: float
    ) -> None:
        super().__init__(datagrams, turn)
        self.datagrams = datagrams
        self.together = min(TOGETHER, NO_STALL * tolerance)
        """Seconds within which others' turns are waited for."""
        self.queued = inf
        """The earliest time for which it stands in the loop's queue."""
        self.queued_for = inf
        """When it was due, as it was put there."""
        self._loop = loop

    async def wait(self) -> None:  # noqa: D102
        self._loop.add(self)
        try:
            await self.ended.wait()
        finally:
            self._loop.remove(self)

    def moved(self) -> None:  # noqa: D102
        self._loop.expect(self)


class Loop:
    """Waits for all sockets at once, with one queue of times. The thread's trio run is its guest.

    A node's turn needs no task of trio's, which would cost more than the turn when the processor's caches are
    cold. trio's synchronous functions may be called in turns and calls alike.
    """

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self._queue: list[tuple[float, int, SharedTurns]] = []
        """By time, with entries of nodes that are due later by now, or gone: those are found at the front."""
        self._number = count()
        self._nodes = 0
        self._round_at = -inf
        """When this round began: what is due by then is taken in it."""
        self._calls: deque[Callable[[], object]] = deque()
        self._outgoing: dict[trio.lowlevel.TrioToken, list[Callable[[], object]]] = {}
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._rung = False
        self._over = False
        self._selector.register(self._ear, EVENT_READ)

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in the loop, after those given before; from any thread.

        Raises `trio.RunFinishedError` when the loop has ended, and has not called it.
        """
        self._calls.append(function)
        if self._over:
            with suppress(ValueError):  # called, with all that waited at the end
                self._calls.remove(function)
                raise trio.RunFinishedError
        if not self._rung:
            self._rung = True
            with suppress(OSError):  # full, so it is heard; or closed, after the end
                self._bell.send(b"\0")

    def call_next(self, function: Callable[[], object]) -> None:
        """The same, from the loop itself."""
        self._calls.append(function)

    def carry(self, token: trio.lowlevel.TrioToken, function: Callable[[], object]) -> None:
        """Call a function in another trio run, which is woken once for all that this round has for it.

        Whenever a thread is woken the two hand the interpreter to and fro: once for each of many nodes would
        cost more than the nodes. Called in the loop; nothing happens when that run has finished.
        """
        self._outgoing.setdefault(token, []).append(function)

    def add(self, node: SharedTurns) -> None:
        """Let a node take turns."""
        self._selector.register(node.datagrams.descriptor, EVENT_READ, node)
        self._nodes += 1
        self.expect(node)

    def remove(self, node: SharedTurns) -> None:
        """Forget a node, whose socket is still open."""
        # Closing would not do while a child, between its fork and its exec, has the socket too.
        self._selector.unregister(node.datagrams.descriptor)
        self._nodes -= 1
        node.due = node.queued = node.queued_for = inf

    def expect(self, node: SharedTurns) -> None:
        """Let a node take a turn when it is due."""
        if node.due == node.queued_for:
            return  # it waits for others already, however near that is by now
        at = self._moment(node)
        if at < node.queued:
            node.queued, node.queued_for = at, node.due
            heappush(self._queue, (at, next(self._number), node))
            if len(self._queue) > MOST_QUEUED + 2 * self._nodes:
                self._tidy()

    def run(self, ended: Callable[[], bool]) -> None:
        """Serve until all has ended."""
        select, calls = self._selector.select, self._calls
        current_time = trio.lowlevel.current_clock().current_time
        while not ended():
            timeout = 0 if calls else max(0.0, self._next_due() - current_time())
            ready = select(timeout if timeout < inf else None)
            self._round_at = current_time()
            for key, _events in ready:
                if key.data is None:
                    self._ear.recv(4096)
                    self._rung = False
                else:
                    key.data.datagrams.woken = True
                    self._take(key.data)
            for _ in range(len(calls)):
                calls.popleft()()
            if not ended():
                for node in self._due(self._round_at):
                    self._take(node)
            self._send_outgoing()
        self._over = True
        while calls:
            calls.popleft()()
        self._send_outgoing()
        self._selector.close()
        self._bell.close()
        self._ear.close()

    def _send_outgoing(self) -> None:
        while self._outgoing:
            token, functions = self._outgoing.popitem()
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(_call_all, functions)

    def _take(self, node: SharedTurns) -> None:
        node.take()
        self.expect(node)

    def _due(self, now: float) -> list[SharedTurns]:
        """The nodes that are due by now, out of the queue."""
        due: list[SharedTurns] = []
        while self._next_due() <= now:
            node = heappop(self._queue)[2]
            node.queued = node.queued_for = inf
            due.append(node)
        return due

    def _moment(self, node: SharedTurns) -> float:
        """When a node takes the turn that is due: then, or a moment later with others."""
        due = node.due
        if self._nodes > 1 and FAR < due - self._round_at < inf:
            # Never before it is due, as a rounded product may be: it would be looked up over and over.
            return max(due, ceil(due / node.together) * node.together)
        return due

    def _tidy(self) -> None:
        """Throw out entries that count no more; by themselves they might stay for a day."""
        standing = {entry[2]: entry for entry in self._queue if entry[0] == entry[2].queued < inf}
        self._queue[:] = standing.values()
        heapify(self._queue)

    def _next_due(self) -> float:
        """When the first node is to take its turn, which then stands at the front."""
        queue = self._queue
        while queue:
            at, _, node = queue[0]
            if at != node.queued:
                heappop(queue)
            elif node.due > at:
                node.queued, node.queued_for = self._moment(node), node.due
                heapreplace(queue, (node.queued, next(self._number), node))
            else:
                return at
        return inf


def host(main: Callable[[], Awaitable[None]]) -> None:
    """Run an async function in a trio run that is the guest of a loop in this thread. Raises what it does."""
    loop = Loop()
    outcomes: list[Any] = []

    async def guest() -> None:
        loop_here.set(loop)
        await main()

    trio.lowlevel.start_guest_run(
        guest,
        run_sync_soon_threadsafe=loop.call,
        run_sync_soon_not_threadsafe=loop.call_next,
        done_callback=outcomes.append,
    )
    loop.run(lambda: bool(outcomes))
    outcomes[0].unwrap()


def _call_all(functions: list[Callable[[], object]]) -> None:
    for function in functions:
        function()


loop_here: trio.lowlevel.RunVar[Loop | None] = trio.lowlevel.RunVar("gossipgroups.loop", default=None)
"""The loop whose guest this trio run is, if it is one's."""


def call_in(token: trio.lowlevel.TrioToken, function: Callable[[], object]) -> None:
    """Call a function in a trio run, unless that has finished: at once if it is this one, else soon."""
    here: trio.lowlevel.TrioToken | None = None
    loop: Loop | None = None
    with suppress(RuntimeError):  # in no run at all
        here, loop = trio.lowlevel.current_trio_token(), loop_here.get()
    if here is token:
        function()
    elif loop is not None:
        loop.carry(token, function)
    else:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(function)


def entry_here() -> Callable[[Callable[[], object]], None]:
    """What lets other threads call a function here."""
    loop = loop_here.get()
    return trio.lowlevel.current_trio_token().run_sync_soon if loop is None else loop.call


def turns_of(datagrams: Datagrams, turn: Callable[[], float], tolerance: float) -> Turns:
    """The turns of a node with this socket, which may be late by so many seconds."""
    loop = loop_here.get()
    if loop is not None and isinstance(datagrams, KernelDatagrams):
        return SharedTurns(loop, datagrams, turn, tolerance)
    return Turns(datagrams, turn)
