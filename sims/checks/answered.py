"""Answers to strangers: an address from which no node speaks is sent no more bytes than came from it.

Law: bytes of datagrams are counted, for each process and address, from the first on. With keys such an
address gets cookies only, but for what a stranger has brought from there before anybody else: its sender's
address is not known yet, and may be this. Who speaks another version gets nothing.
"""

from __future__ import annotations

from collections import Counter

from gossipgroups.ids import ANYBODY, Address
from gossipgroups.wire.messages import Cookie
from sims.checks.admitted import header_of
from sims.checks.broken import Broken
from sims.checks.outsiders import Outsiders
from sims.engine import Process


class Answered:
    """The check of what is sent to outsiders."""

    def __init__(self, outsiders: Outsiders, tally: Counter[str]) -> None:
        self._outsiders = outsiders
        self._tally = tally
        self._left: Counter[tuple[int, Address]] = Counter()
        """Bytes that a process may send to an address."""
        self._brought: Counter[tuple[int, Address]] = Counter()
        """Of these, those that need not be cookies."""

    def received(self, process: Process, datagram: bytes, source: Address) -> None:
        """A datagram came from this address."""
        if self._outsiders.get(source) == "stranger":
            self._left[process.number, source] += len(datagram)

    def taken(self, process: Process, datagram: bytes, source: Address, reason: str | None) -> None:
        """A datagram from this address was dropped, or not: it was recorded, and never came before."""
        if reason is not None or self._outsiders.get(source) != "stranger":
            return
        if header_of(process, datagram).receiver != ANYBODY:
            self._tally["brought by a stranger"] += 1
            self._brought[process.number, source] += len(datagram)

    def sent(self, process: Process, datagram: bytes, target: Address) -> None:
        """Check a datagram that a process has sent."""
        kind = self._outsiders.get(target)
        if kind == "other version":
            raise Broken("answers", f"{process.name} answered a node of another version at {target}")
        if kind != "stranger":
            return
        self._tally["stranger answered"] += 1
        self._left[process.number, target] -= len(datagram)
        if (left := self._left[process.number, target]) < 0:
            raise Broken(
                "answers", f"{process.name} sent {-left} bytes more to {target} than came from there"
            )
        if process.node.keys is not None:
            sections = process.node.read(datagram).sections
            if all(isinstance(each, Cookie) for each in sections):
                return
            self._brought[process.number, target] -= len(datagram)
            if self._brought[process.number, target] < 0:
                raise Broken("answers", f"{process.name} sent {sections} to a stranger at {target}")
