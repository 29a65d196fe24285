"""One run of one coordinator: its node, its socket's buffer, its clock and its share of the processor."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gossipgroups.groups.rules import Command
from gossipgroups.ids import Address
from gossipgroups.node import Node
from gossipgroups.testing.medium import BOOKKEEPING_BYTES
from sims.engine.clock import Clock

SOCKET_BUFFER = 4 * 2**20
"""Bytes that wait in a socket at most: what the driver asks of the kernel."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of the work of a process, in seconds."""

    turn: float = 0.0005
    """For each turn: what arrives meanwhile is read together in the next one."""
    received: float = 0.0
    """For each datagram read."""
    sent: float = 0.0
    """For each datagram sent."""


@dataclass(eq=False, slots=True)
class Process:
    """One run of one coordinator. The simulation alone changes it."""

    number: int
    """Counts the processes of a simulation in the order of their starts."""
    node: Node
    address: Address
    clock: Clock
    cost: Cost
    share: float = 1.0
    """Of one processor: at 0.1 everything takes ten times as long."""
    buffer_bytes: int = SOCKET_BUFFER
    inbox: deque[tuple[bytes, Address]] = field(default_factory=deque)
    inbox_bytes: int = 0
    overflows: int = 0
    """Datagrams lost because the socket's buffer was full."""
    refusals: list[tuple[Address, bytes]] = field(default_factory=list)
    turn_at: float = float("inf")
    busy_until: float = 0.0
    paused: bool = False
    blocked: bool = False
    held: list[tuple[bytes, Address]] = field(default_factory=list)
    """What leaves when the socket is blocked no more."""
    running: bool = True
    give_up_at: float | None = None
    """When a graceful stop ends anyway; `None` while the process is not stopping."""
    operations: dict[int, Command] = field(default_factory=dict)
    """What was submitted, by number."""

    @property
    def host(self) -> str:
        """The numeric address of its machine."""
        return self.address.host

    @property
    def name(self) -> str:
        """The name of its node, and its port: a restart keeps the name."""
        return f"{self.node.state.own.name}:{self.address.port}"

    @property
    def is_up(self) -> bool:
        """Whether it runs and is not about to stop."""
        return self.running and self.give_up_at is None

    def take(self, datagram: bytes, source: Address) -> bool:
        """Put a datagram into the socket's buffer; whether there was room."""
        size = len(datagram) + BOOKKEEPING_BYTES
        if self.inbox_bytes + size > self.buffer_bytes:
            self.overflows += 1
            return False
        self.inbox_bytes += size
        self.inbox.append((datagram, source))
        return True

    def read(self) -> deque[tuple[bytes, Address]]:
        """All that waits in the buffer, which is empty then; nothing while the socket is blocked."""
        if self.blocked:
            return deque()
        inbox, self.inbox, self.inbox_bytes = self.inbox, deque(), 0
        return inbox
