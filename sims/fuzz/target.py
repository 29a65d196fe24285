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
from gossipgroups.ids import ANYBODY, Address, NodeId, Peer
from gossipgroups.keys import Key, KeyRing
from gossipgroups.node import Node
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, Register
from gossipgroups.status import Status
from gossipgroups.wire.codec import pack_payload, pack_section
from gossipgroups.wire.header import Header
from gossipgroups.wire.messages import Accusation, Accusations, Proof, Rumours, Section
from gossipgroups.wire.seal import make_seal
from sims.fuzz.makers import IDS, KINDS, Kind, shaped

CLUSTER = "fuzzed"
HERE = Address("10.0.0.250", 7946)
STRANGER = Address("10.9.9.9", 4000)
RING = KeyRing([Key(bytes(range(32)))])
EACH_TURN = 16
"""Datagrams that one turn of the node takes in."""
RECORDED = 3_000
"""Datagrams kept to be sent again: more than a window holds, and from before the last restart."""
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
        self._number = 3
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

    def seal_for(self, payload: bytes, chance: random.Random) -> tuple[bytes, Address]:
        """A payload in the node's own envelope, mostly to the node itself, not sent before, and from home."""
        self._number += chance.choice((1, 1, 1, 1, 2, 3000))
        receiver = chance.choices((self.node.node_id, ANYBODY, chance.choice(IDS)), (8, 1, 1))[0]
        number = self._number - chance.choice((0, 0, 0, 0, 0, 1, 100, 2000))
        place = chance.randrange(1, len(IDS))
        header = Header(IDS[place] if chance.random() < 0.98 else IDS[0], receiver, max(0, number))
        source = Address(f"10.0.0.{place}", 7946) if chance.random() < 0.95 else STRANGER
        return self.seal.seal(header.pack(), payload), source

    def next_number(self) -> int:
        """Of a datagram that nobody has sent before."""
        self._number += 1
        return self._number

    def forget(self, sender: NodeId, *, entirely: bool) -> None:
        """Let the node forget that it has ever heard another; `entirely` as if many others were since."""
        self.node._admission.forget(sender)
        if entirely:
            self.node._admission._floors.pop(sender, None)

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
            for place, each in enumerate(IDS[1:4], 1)
        ]
        known += [GroupRegister("g", 1), PresenceRegister("g", "a", 1, IDS[1], 1, b"\xc0")]
        charge = Accusations([Accusation(IDS[2], 0, IDS[1], 0)])
        for place, each in enumerate(IDS[1:], 1):
            peer = Peer(each, Address(f"10.0.0.{place}", 7946))
            proof = Proof(node._admission._cookies.make(peer, self._now))
            header = Header(each, node.node_id, 1)
            node.receive(
                self.seal.seal(header.pack(), pack_payload([pack_section(proof)])), peer.address, self._now
            )
        sections: list[Section] = [Rumours([each.packed for each in known]), charge]
        for number, section in enumerate(sections, 2):
            header = Header(IDS[1], node.node_id, number)
            datagram = self.seal.seal(header.pack(), pack_payload([pack_section(section)]))
            node.receive(datagram, Address("10.0.0.1", 7946), self._now)
        node.submit(Join("g", "member", b"\xc0"), self._now)
        self.turn()


def fuzz(kind: Kind, *, keyed: bool, seed: int, count: int) -> Tally:
    """Give a target so many datagrams of a kind. Raises `Broken`."""
    target = Target(keyed=keyed, seed=seed)
    chance = random.Random(f"makers {seed}")
    for _ in range(count):
        made = kind.make(chance)
        if kind.sealed:
            target.give(*target.seal_for(made, chance))
        else:
            target.give(made, stranger=True)
    return target.tally


def fuzz_forged(*, seed: int, count: int) -> Tally:
    """Give a target with keys what looks as if it were sealed, and is not. Raises `Broken`.

    Half are real datagrams with some bits changed, half were sealed with another key of the same id.
    """
    target = Target(keyed=True, seed=seed)
    chance = random.Random(f"forged {seed}")
    kinds = [kind for kind in KINDS.values() if kind.sealed]
    for number in range(count):
        payload = chance.choice(kinds).make(chance)[:1300] or b"\x90"
        header = Header(chance.choice(IDS), target.node.node_id, number).pack()
        datagram = bytearray(target.seal.seal(header, payload))
        if number % 2:
            for place in chance.sample(range(3, len(datagram)), chance.randint(1, 4)):
                datagram[place] ^= 1 << chance.randrange(8)
            if chance.random() < 0.2:
                del datagram[chance.randrange(3, len(datagram)) :]
        else:
            other = make_seal(CLUSTER, KeyRing([Key(chance.randbytes(32))]), chance.randbytes)
            datagram = bytearray(datagram[:3] + other.seal(header, payload)[3:])
        target.give(bytes(datagram), stranger=True)
    return target.tally


def fuzz_replayed(*, keyed: bool, seed: int, count: int) -> Tally:
    """Give a target what it was given before, so many times. Raises `Broken` if any of it is processed.

    It is sent again at once or much later, from the same address or another, and to the node that has taken
    the place of the one that had it; in between the node forgets senders.
    """
    target = Target(keyed=keyed, seed=seed)
    chance = random.Random(f"replayed {seed}")
    recorded: list[tuple[bytes, Address]] = []
    replayed = Tally()
    while replayed.datagrams < count:
        sender = chance.choice(IDS[1:])
        header = Header(sender, target.node.node_id, target.next_number())
        datagram = target.seal.seal(header.pack(), shaped(chance))
        processed = target.tally.processed
        home = Address(f"10.0.0.{IDS.index(sender)}", 7946)
        target.give(datagram, home)
        if target.tally.processed > processed:
            recorded.append((datagram, home))
            del recorded[:-RECORDED]
        if chance.random() < 0.02:
            target.forget(chance.choice(IDS), entirely=chance.random() < 0.5)
        for again, home in chance.choices(recorded, k=min(4, count - replayed.datagrams) if recorded else 0):
            source = home if chance.random() < 0.8 else Address(f"10.0.0.{chance.randrange(8)}", 7946)
            refused = target.tally.refused.copy()
            target.give(again, source, stranger=True)
            replayed.datagrams += 1
            replayed.refused += target.tally.refused - refused
    replayed.slowest, replayed.over_a_millisecond = target.tally.slowest, target.tally.over_a_millisecond
    return replayed
