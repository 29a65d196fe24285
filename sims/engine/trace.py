"""A trace for people: what happened, line by line, as one would note it on paper.

12.043125  10.0.0.2:1000   > 10.0.0.5:1000  Ping Settling            84 bytes, arrives 12.044022
12.044522  10.0.0.5:1000   MemberJoinedGroup red member-1 converged
14.000000  10.0.0.2:1000   crash
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TextIO

from gossipgroups.events import Event
from gossipgroups.ids import Address
from gossipgroups.operations import Outcome
from sims.engine.process import Process
from sims.engine.simulation import Simulation
from sims.engine.watching import Watcher


class Trace(Watcher):
    """Writes a line for all that happens, datagrams included unless `datagrams` is false."""

    closely = True

    def __init__(self, out: TextIO, *, datagrams: bool = True) -> None:
        self._out = out
        self._datagrams = datagrams
        self._simulation: Simulation

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        for each in (*events, *outcomes):
            self._line(process, _described(each))

    def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
        if self._datagrams:
            message = process.node.read(datagram)
            kinds = " ".join(type(each).__name__ for each in message.sections)
            fate = ", ".join(f"arrives {each:.6f}" for each in arrivals) or "lost"
            self._line(process, f"> {target!s:<18} {kinds:<30} {len(datagram)} bytes, {fate}")

    def did(self, what: str, process: Process | None, detail: str = "") -> None:
        self._line(process, f"{what} {detail}".rstrip())

    def _line(self, process: Process | None, text: str) -> None:
        who = "" if process is None else str(process.address)
        self._out.write(f"{self._simulation.now:12.6f}  {who:<18} {text}\n")


def _described(each: object) -> str:
    values = " ".join(
        value.hex() if isinstance(value, bytes) else str(value)
        for value in (getattr(each, field.name) for field in fields(each))  # type: ignore[arg-type]
    )
    return f"{type(each).__name__} {values}"
