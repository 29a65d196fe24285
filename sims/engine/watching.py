"""Who looks on: a watcher is told of all that happens to processes and datagrams, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gossipgroups.events import Event
from gossipgroups.ids import Address
from gossipgroups.operations import Outcome

if TYPE_CHECKING:
    from sims.engine.process import Process
    from sims.engine.simulation import Simulation


class Watcher:
    """Does nothing. A subclass takes what it wants to hear of."""

    closely = False
    """Whether to be `called` after every call into a node, not only at the end of each turn."""

    def began(self, simulation: Simulation) -> None:
        """A simulation begins."""

    def started(self, process: Process) -> None:
        """A process was started; its node has not been called yet."""

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        """A node was called, and told this."""

    def received(self, process: Process, datagram: bytes, source: Address) -> None:
        """A node is about to be given a datagram."""

    def taken(self, process: Process, datagram: bytes, source: Address, reason: str | None) -> None:
        """A node has taken a datagram in, or dropped it for this reason."""

    def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
        """A process has sent a datagram, which arrives at these times."""

    def did(self, what: str, process: Process | None, detail: str = "") -> None:
        """Something was done to a process (crash, pause, …) or to the network."""


def takers(watchers: Sequence[Watcher], name: str) -> list[Watcher]:
    """The watchers that do something with a call of this name: the others cost nothing."""
    return [each for each in watchers if getattr(type(each), name) is not getattr(Watcher, name)]
