"""A node that takes in hostile datagrams, and what must hold after each of them.

Law: a datagram is processed, or counted once and dropped; what was dropped has changed nothing, and nothing
that was not sealed with the key is ever processed. What a node sends fits a datagram, and no input raises.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field

from gossipgroups.config import DATAGRAM_BYTES, Config
from gossipgroups.groups.rules import Join
from gossipgroups.ids import Address
from gossipgroups.keys import Key, KeyRing
from gossipgroups.node import Node
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, Register
from gossipgroups.status import Status
from gossipgroups.wire.codec import pack_message, pack_section
from gossipgroups.wire.messages import Accusation, Accusations, Rumours
from gossipgroups.wire.seal import make_seal
from sims.fuzz.makers import IDS, KINDS, Kind

CLUSTER = "fuzzed"
HERE = Address("10.0.0.250", 7946)
STRANGER = Address("10.9.9.9", 4000)
RING = KeyRing([Key(bytes(range(32)))])
EACH_TURN = 16
"""Datagrams that one turn of the node takes in."""
FRESH_AFTER = 2_000
"""Datagrams after which a new node takes over: what the grammar allows may wear one out."""


class Broken(Exception):
    """A rule was broken; `datagram` did it."""

    def __init__(self, rule: str, datagram: bytes) -> None:
        super().__init__(f"{rule}: {datagram.hex()}")
        self.datagram = datagram


@dataclass
class Tally:
    """What came of the datagrams."""

    datagrams: int = 0
    processed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Seconds of this thread's processor for the slowest datagram."""
    over_a_millisecond: int = 0

    def add(self, other: Tally) -> None:
        """Take in another's figures."""
        self.datagrams += other.datagrams
        self.processed += other.processed
        self.refused += other.refused
        self.slowest = max(self.slowest, other.slowest)
        self.over_a_millisecond += other.over_a_millisecond


class Target:
    """A node in the middle of things, with keys or without."""

    def __init__(self, *, keyed: bool, seed: int) -> None:
        self._ring = RING if keyed else None
        self._chance = random.Random(seed)
        self.seal = make_seal(CLUSTER, self._ring, self._chance.randbytes)
        self.tally = Tally()
        self._renew()

    def give(self, datagram: bytes, source: Address = STRANGER, *, stranger: bool = False) -> None:
        """Let the node take in a datagram. Raises `Broken`; `stranger`: it must not be processed."""
        node, tally = self.node, self.tally
        refused = node.stats.refused.total()
        digest = node.state.replica.digest
        begun = time.thread_time()
        try:
            reason = node.receive(datagram, source, self._now)
        except Exception as error:
            raise Broken(f"{type(error).__name__} {error} was raised", datagram) from error
        spent = time.thread_time() - begun
        tally.datagrams += 1
        tally.slowest = max(tally.slowest, spent)
        tally.over_a_millisecond += spent > 0.001
        if node.stats.refused.total() - refused != (reason is not None):
            raise Broken("not counted, or counted twice", datagram)
        if reason is None:
            tally.processed += 1
            if stranger:
                raise Broken("a stranger's datagram was processed", datagram)
        else:
            tally.refused[reason] += 1
            if node.state.replica.digest != digest:
                raise Broken("a datagram that was dropped has changed the state", datagram)
        if tally.datagrams % EACH_TURN == 0:
            self.turn(datagram)
        if tally.datagrams % FRESH_AFTER == 0:
            self._renew()

    def turn(self, last: bytes = b"") -> None:
        """Let time pass and the node act."""
        self._now += self._chance.choice((0.0, 0.001, 0.05, 0.3))
        try:
            self.node.tick(self._now)
            sent = self.node.datagrams(self._now)
            self.node.events()
            self.node.outcomes()
            deadline = self.node.next_deadline()
        except Exception as error:
            raise Broken(f"{type(error).__name__} {error} was raised by the turn after", last) from error
        if any(len(datagram) > DATAGRAM_BYTES for datagram, _ in sent):
            raise Broken("it made the node send more than a datagram holds", last)
        if deadline < 0:
            raise Broken("it left the node with a deadline before all time", last)

    def _renew(self) -> None:
        self._now = 1.0
        self.node = node = Node(
            name="fuzzed",
            address=HERE,
            seal=self.seal,
            config=Config.lan(),
            random=random.Random(self._chance.getrandbits(64)),
            now=self._now,
        )
        known: list[Register] = [
            NodeRegister(each, 0, Status.ALIVE, Address(f"10.0.0.{place}", 7946), f"n{place}")
            for place, each in enumerate(IDS[:4])
        ]
        known += [GroupRegister("g", 1), PresenceRegister("g", "a", 1, IDS[1], 1, b"\xc0")]
        charge = Accusations([Accusation(IDS[2], 0, IDS[1], 0)])
        for section in (Rumours([each.packed for each in known]), charge):
            payload = pack_message(IDS[1], [pack_section(section)])
            node.receive(self.seal.seal(payload), Address("10.0.0.1", 7946), self._now)
        node.submit(Join("g", "member", b"\xc0"), self._now)
        self.turn()


def fuzz(kind: Kind, *, keyed: bool, seed: int, count: int) -> Tally:
    """Give a target so many datagrams of a kind. Raises `Broken`."""
    target = Target(keyed=keyed, seed=seed)
    chance = random.Random(f"makers {seed}")
    for _ in range(count):
        made = kind.make(chance)
        source = Address(f"10.0.0.{chance.randrange(8)}", 7946) if chance.random() < 0.5 else STRANGER
        if kind.sealed:
            target.give(target.seal.seal(made), source)
        else:
            target.give(made, source, stranger=True)
    return target.tally


def fuzz_forged(*, seed: int, count: int) -> Tally:
    """Give a target with keys what looks as if it were sealed, and is not. Raises `Broken`.

    Half are real datagrams with some bits changed, half were sealed with another key of the same id.
    """
    target = Target(keyed=True, seed=seed)
    chance = random.Random(f"forged {seed}")
    kinds = [kind for kind in KINDS.values() if kind.sealed]
    for number in range(count):
        datagram = bytearray(target.seal.seal(chance.choice(kinds).make(chance)[:1300] or b"\x90"))
        if number % 2:
            for place in chance.sample(range(3, len(datagram)), chance.randint(1, 4)):
                datagram[place] ^= 1 << chance.randrange(8)
            if chance.random() < 0.2:
                del datagram[chance.randrange(3, len(datagram)) :]
        else:
            other = make_seal(CLUSTER, KeyRing([Key(chance.randbytes(32))]), chance.randbytes)
            datagram = bytearray(datagram[:3] + other.seal(bytes(datagram[35:]) or b"\x90")[3:])
        target.give(bytes(datagram), stranger=True)
    return target.tally
