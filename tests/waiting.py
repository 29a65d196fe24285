"""Waiting for a condition, with a deadline, and where coordinators are. Shared by tests.

Law: nothing here sleeps and hopes. A condition that does not come true in time fails the test, which says
what was waited for: a text, or a function that gives one at that time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import trio

from gossipgroups import Address, BlockingCoordinator, Coordinator

LIMIT = 20.0
"""Seconds that any wait may take: a busy machine is slow, but not that slow."""
PAUSE = 0.005
"""Seconds between two looks at a condition."""


async def eventually(
    condition: Callable[[], object], what: object = "", limit: float = LIMIT, pause: float = PAUSE
) -> None:
    """Return once the condition holds; fail when it does not within the limit (seconds on trio's clock)."""
    with trio.move_on_after(limit):
        while not condition():
            await trio.sleep(pause)
        return
    raise AssertionError(f"not within {limit:g} s: {what() if callable(what) else what}")


def wait_until(condition: Callable[[], object], what: object = "", limit: float = LIMIT) -> None:
    """The same for a thread without trio."""
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, f"not within {limit:g} s: {what() if callable(what) else what}"
        time.sleep(PAUSE)


def address_of(coordinator: Coordinator | BlockingCoordinator) -> Address:
    """Where a coordinator is."""
    return coordinator.node.address


def free_port() -> int:
    """A UDP port of loopback that nobody holds now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port
