"""The gossip thread: one background thread per process in which the coordinators of the process run.

Law: the gossip loop does not share the fate of the application's. The thread is a daemon, so that a
coordinator that was never stopped keeps no interpreter alive; it ends with its last coordinator; a forked
child starts its own. One that cannot start fails whoever waits for it, and the next coordinator tries anew.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from errno import EAGAIN

import trio

from gossipgroups.transport.loop import host


def start(thread: threading.Thread) -> None:
    """Start a thread. Raises `OSError` when the system has none left."""
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(
            EAGAIN, f"thread {thread.name!r} cannot be started ({error}): end other threads"
        ) from error


class GossipThread:
    """A loop in a thread of its own, with a trio run as its guest, for as long as it has anything to run."""

    def __init__(self) -> None:
        self._running = 0
        self._lock = threading.Lock()
        self._ready: Future[tuple[trio.lowlevel.TrioToken, trio.Nursery]] = Future()
        self._done: trio.Event
        self._thread = threading.Thread(target=self._host, name="gossipgroups", daemon=True)

    def take(self) -> bool:
        """Reserve a place for one more task; false when the thread is ending already."""
        with self._lock:
            if self._running < 0:
                return False
            if self._running == 0 and not self._thread.is_alive():
                start(self._thread)  # counted after: it may fail where threads are limited
            self._running += 1
            return True

    def spawn(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine in the thread; needs a place from `take`."""
        token, nursery = self._ready.result()
        token.run_sync_soon(nursery.start_soon, self._run, run)

    def _host(self) -> None:
        try:
            host(self._main)
        except BaseException as error:
            with self._lock:
                self._running = -1
            if self._ready.done():
                raise
            self._ready.set_exception(error)  # no descriptor was left for the loop, say

    async def _main(self) -> None:
        self._done = trio.Event()
        async with trio.open_nursery() as nursery:
            self._ready.set_result((trio.lowlevel.current_trio_token(), nursery))
            await self._done.wait()

    async def _run(self, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    self._running = -1
                    self._done.set()


_current = GossipThread()
_current_lock = threading.Lock()


def spawn(run: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function in this process's gossip thread, which is started if there is none.

    Raises `OSError` when it cannot be started.
    """
    global _current  # noqa: PLW0603  (one thread per process is the point)
    with _current_lock:
        if not _current.take():
            _current = GossipThread()
            _current.take()
        thread = _current
    thread.spawn(run)


def _after_fork() -> None:
    global _current, _current_lock  # noqa: PLW0603
    _current = GossipThread()
    _current_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
