"""Faulty insiders: holders of the keys that break the rules by accident, not by malice.

    twin            a machine was cloned while it ran: the same node goes on at another address as well
    other version   a node that speaks another version of the protocol, and is not understood
    clock ahead     a probe clock that is far ahead of all others, which then take it over
    flood           an application that changes its member many times a second, for two seconds

Law: a twin shares all that its original had in memory, chance and counters too, but not its entropy: salts
come from the operating system. Twins end when all is calm; a node of another version runs to the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING

from gossipgroups.errors import BadPacket
from gossipgroups.groups.rules import Join, Update
from gossipgroups.keys import KeyRing
from gossipgroups.node import Node
from gossipgroups.registers import encode_capabilities
from gossipgroups.swim.order import ProbeOrder
from gossipgroups.swim.probe import Purpose
from gossipgroups.wire.seal import Seal, make_seal
from sims.engine import address_of
from sims.engine.simulation import CLUSTER

if TYPE_CHECKING:
    from sims.schedules.world import World

FLOOD_SECONDS = 2.0
TWINS, OTHERS = 50_000, 55_000
"""Places of the first machine of each kind: no step names them."""
VERSION = b"\x07"


def copy_of(node: Node, entropy: Callable[[int], bytes]) -> Node:
    """The same node in another memory, with another entropy."""
    # What only computes cannot be copied, and need not be.
    shared = {
        id(node._seal): make_seal(CLUSTER, node.keys, entropy),
        id(node._admission._cookies._keyed): node._admission._cookies._keyed,
    }
    twin = deepcopy(node, shared)
    # Functions are not copied with what they enclose: these would act on the original.
    twin._operations._apply = lambda register: twin._learn(register, twin._clock.now)
    twin._operations._challenge = lambda holder: twin._detector.probe(
        holder, Purpose.CHALLENGE, twin._clock.now
    )
    return twin


def start_twin(world: World, place: int) -> None:
    """Let the node at a place go on at another address as well."""
    process, simulation = world.at(place), world.simulation
    number = len(world.checks.outsiders)
    address = address_of(TWINS + number)
    twin = copy_of(process.node, random.Random(f"twin {world.simulation.seed} {number}").randbytes)
    world.checks.outsiders[address] = "twin"
    world.twins[twin.node_id] = simulation.adopt(twin, address, deepcopy(process.clock))
    simulation.did("twin", process, str(address))


class OtherVersion:
    """The envelope of another version: who does not speak it looks no further."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self.overhead = seal.overhead

    @property
    def ring(self) -> KeyRing | None:
        """The keys of what is within."""
        return self._seal.ring

    def seal(self, header: bytes, payload: bytes) -> bytes:
        """The datagram around a header and a payload."""
        return VERSION + self._seal.seal(header, payload)[1:]

    def open(self, datagram_untrusted: bytes) -> tuple[bytes, bytes]:
        """The header and the payload of a datagram. Raises `BadPacket`."""
        if datagram_untrusted[:1] != VERSION:
            raise BadPacket("version")
        own = b"\x01" if self._seal.ring is None else b"\x02"
        return self._seal.open(own + datagram_untrusted[1:])


def start_other_version(world: World) -> None:
    """Start a node of another version, which seeks all that run."""
    number = len(world.checks.outsiders)
    address = address_of(OTHERS + number)
    world.checks.outsiders[address] = "other version"
    seeds = [process.address for process in world.running.values()]
    process = world.simulation.start(address, f"other-{number}", seeds=seeds)
    node = process.node
    node._seal = node._outbox._seal = node._reception._seal = OtherVersion(node._seal)
    world.simulation.did("other version", process)


def put_clock_ahead(world: World, place: int, periods: float) -> None:
    """Let the probe clock of a node be so many periods further on."""
    process, simulation = world.at(place), world.simulation
    order = process.node._prober.order
    assert isinstance(order, ProbeOrder)
    order._ahead += int(periods)
    order._version = -1
    simulation.did("clock ahead", process, f"{periods:g}")


def flood(world: World, place: int, rate: float) -> None:
    """Let the application at a place change its member so many times a second, until calm at the latest."""
    process, simulation, calms = world.at(place), world.simulation, world.calms
    group, member = world.groups[place % len(world.groups)], f"member-{place}"

    def update(number: int) -> None:
        if process.is_up and not process.paused and world.calms == calms:
            simulation.submit(process, Update(group, member, encode_capabilities([number])))

    simulation.did("flood", process, f"{rate:g}")
    simulation.submit(process, Join(group, member, encode_capabilities(None), create=True))
    for number in range(int(rate * FLOOD_SECONDS)):
        simulation.after(number / rate, update, number)
