"""Payloads of real traffic, as seeds of damage: `python -m sims.fuzz.corpus` records them anew.

Law: they come from the simulator, from one seed, so that recording again gives the same file but for changes
of the protocol; each combination of sections is there a few times, not each datagram of a long run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import click

from gossipgroups.groups.rules import Create, Delete, Join, Leave, Update
from gossipgroups.ids import Address
from gossipgroups.testing.medium import Line
from gossipgroups.wire.codec import pack_payload, pack_section
from sims.engine.process import Process
from sims.engine.simulation import Simulation, address_of
from sims.engine.watching import Watcher

PLACE = Path(__file__).parents[2] / "tests" / "corpus" / "payloads.txt"
OF_EACH = 6
"""Payloads that are kept of one combination of sections."""
NODES = 7


class Recorder(Watcher):
    """Keeps a few payloads of each combination of sections."""

    def __init__(self) -> None:
        self.payloads: dict[bytes, str] = {}
        self._kept: Counter[str] = Counter()

    def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
        message = process.node.read(datagram)
        kinds = " ".join(type(each).__name__ for each in message.sections)
        if self._kept[kinds] < OF_EACH:
            self._kept[kinds] += 1
            payload = pack_payload([pack_section(each) for each in message.sections])
            self.payloads[payload] = kinds


def record() -> dict[bytes, str]:
    """Traffic of a small cluster to which everything happens; each payload with the names of its sections."""
    recorder = Recorder()
    simulation = Simulation(11, line=Line(loss=0.05, duplication=0.02), watchers=[recorder])
    processes: list[Process] = []
    for place in range(NODES):
        seeds = [address_of(0)] if place else []
        processes.append(simulation.start(address_of(place), f"host-{place}", seeds=seeds))
        simulation.advance(0.5)
    for place, process in enumerate(processes):
        simulation.submit(process, Create(f"group-{place % 3}"))
        simulation.submit(
            process, Join(f"group-{place % 3}", f"member-{place}", bytes((place,)), create=True)
        )
    simulation.advance(3.0)
    simulation.submit(processes[1], Update("group-1", "member-1", b"\xa5hello"))
    simulation.medium.partition([each.host for each in processes[:3]])
    simulation.submit(processes[2], Leave("group-2", "member-2"))
    simulation.advance(30.0)
    simulation.medium.mend()
    simulation.advance(10.0)
    simulation.crash(processes[5])
    simulation.crash(processes[6], silent=True)
    simulation.submit(processes[0], Create("short"))
    simulation.advance(1.0)
    simulation.submit(processes[0], Delete("short"))
    simulation.start(address_of(5), "host-5", seeds=[address_of(1)])
    simulation.advance(20.0)
    simulation.stop(processes[4])
    simulation.advance(5.0)
    return recorder.payloads


@lru_cache(maxsize=1)
def payloads() -> tuple[bytes, ...]:
    """What was recorded."""
    lines = PLACE.read_text("ascii").splitlines()
    return tuple(bytes.fromhex(line.partition("#")[0]) for line in lines if not line.startswith("#"))


@click.command(help="Record the corpus anew.")
def main() -> None:
    """Write the file."""
    lines = [f"{payload.hex()}  # {kinds}\n" for payload, kinds in record().items()]
    PLACE.write_text("# Payloads of real traffic: python -m sims.fuzz.corpus\n" + "".join(lines), "ascii")
    click.echo(f"{len(lines)} payloads in {PLACE}")


if __name__ == "__main__":
    main()
