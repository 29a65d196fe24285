"""A stranger without keys: it records what crosses the network, and sends that again, damaged, or made up.

Law: it acts by datagrams alone, and has no chance but its own. It records by lot, whoever else gets the
datagram. A source address is its choice; no cut and no partition holds it up.

    send again            as it was: later, more often, in another order, to whoever runs at that address now
    … from elsewhere      from an address of its own
    … as another          from another node's address
    … to another          to another node
    send back             to the node that had sent it, from where it went
    damage                a few bits or bytes changed, cut off or put on
    make up               bytes without form, or well-formed but sealed with no key, or with one of its own
    knock                 the question who is there: without keys anybody may ask it
    … as another          with a node's address as its own

It does not record twins: what a holder of the keys sends, from the original's address, is the original's.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence

from gossipgroups.ids import ANYBODY, NODE_ID_BYTES, Address, NodeId
from gossipgroups.keys import KEY_ID_BYTES, Key, KeyRing
from gossipgroups.wire.codec import pack_payload, pack_section
from gossipgroups.wire.header import Header
from gossipgroups.wire.messages import NO_COOKIE, Ping, Proof, Section
from gossipgroups.wire.seal import SEALED, TAG_BYTES, make_seal
from sims.checks.outsiders import Outsiders
from sims.engine import Process, Simulation, Watcher, address_of
from sims.engine.simulation import CLUSTER

HOMES = tuple(address_of(60_000 + number) for number in range(4))
"""The addresses of its own. Half of its machines say that the port is closed."""
KEPT = 4096
"""Datagrams kept; of more, the last."""
LATEST = 16
"""Half of the shots take one of so many last ones, which may overtake the original."""

Shot = tuple[bytes, Address, Address]
"""A datagram, from where it claims to come, and where it goes."""


def _is_to_anybody(datagram: bytes) -> bool:
    """What the header of a sealed or tagged datagram says, which is in the clear."""
    at = 1 + (KEY_ID_BYTES if datagram[0] == SEALED else TAG_BYTES)
    return datagram[at + NODE_ID_BYTES : at + 2 * NODE_ID_BYTES] == ANYBODY


class Stranger(Watcher):
    """Records this share of all datagrams, and sends when told to."""

    def __init__(self, seed: int, share: float, outsiders: Outsiders) -> None:
        self._chance = random.Random(f"stranger {seed}")
        self._share = share
        self._outsiders = outsiders
        outsiders.update(dict.fromkeys(HOMES, "stranger"))
        self._recorded: deque[Shot] = deque(maxlen=KEPT)
        self._questions: deque[Shot] = deque(maxlen=LATEST)
        """The last of those that are to anybody."""
        self._known: dict[Address, None] = {}
        self._works = 0
        self._simulation: Simulation

    def began(self, simulation: Simulation) -> None:
        self._simulation = simulation
        simulation.silent.update(home.host for home in HOMES[::2])
        key = KeyRing([Key(self._chance.randbytes(32))])
        self._seals = [make_seal(CLUSTER, ring, self._chance.randbytes) for ring in (None, key)]

    def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
        if self._share and process.address not in self._outsiders and self._chance.random() < self._share:
            self._recorded.append((datagram, process.address, target))
            if _is_to_anybody(datagram):
                self._questions.append(self._recorded[-1])
            self._known[process.address] = self._known[target] = None

    def work(self, what: str, count: int, seconds: float) -> None:
        """Send so many datagrams of a kind within the next seconds, at random times."""
        for _ in range(count):
            self._simulation.after(
                self._chance.random() * seconds, self._send, ATTACKS[what], what, self._works
            )

    def stop(self) -> None:
        """Send no more, until told to again; what was recorded is kept."""
        self._works += 1

    def _send(self, attack: Callable[[Stranger], Shot], what: str, works: int) -> None:
        if works == self._works and self._recorded:
            datagram, source, target = attack(self)
            self._simulation.tally[what] += 1
            self._simulation.arrive(datagram, source, target)

    # What it sends.

    def recorded(self) -> Shot:
        """One of all that it has, or of the last."""
        recorded = self._recorded
        first = max(0, len(recorded) - LATEST) if self._chance.random() < 0.5 else 0
        return recorded[self._chance.randrange(first, len(recorded))]

    def anybody(self) -> Address:
        """An address of a node that it has heard of."""
        return self._chance.choice(list(self._known))

    def home(self) -> Address:
        """An address of its own."""
        return self._chance.choice(HOMES)

    def anywhere(self) -> Address:
        """An address of a node or of its own."""
        return self.anybody() if self._chance.random() < 0.5 else self.home()

    def again_elsewhere(self) -> Shot:
        """A datagram from an address of its own."""
        datagram, _, target = self.recorded()
        return datagram, self.home(), target

    def again_as_another(self) -> Shot:
        """A datagram from any node's address."""
        datagram, _, target = self.recorded()
        return datagram, self.anybody(), target

    def again_to_another(self) -> Shot:
        """A datagram to any node."""
        datagram, source, _ = self.recorded()
        return datagram, source, self.anybody()

    def back(self) -> Shot:
        """A datagram to its sender."""
        # Questions above all: to whom they come back may take the other place for its own.
        about = self._questions if self._questions and self._chance.random() < 0.5 else None
        one = self.recorded() if about is None else self._chance.choice(about)
        datagram, source, target = one
        return datagram, target, source

    def damaged(self) -> Shot:
        """A datagram that is not what was sent."""
        datagram, source, target = self.recorded()
        chance, damaged = self._chance, bytearray(datagram)
        at = chance.randrange(len(damaged))
        match chance.randrange(4):
            case 0:
                damaged[at] ^= 1 << chance.randrange(8)
            case 1:
                del damaged[at:]
            case 2:
                damaged[at:at] = chance.randbytes(chance.randint(1, 40))
            case _:
                damaged[at:] = chance.randbytes(len(damaged) - at)
        if bytes(damaged) == datagram:
            damaged[at] ^= 1
        return bytes(damaged), self._chance.choice((source, self.home())), target

    def made_up(self) -> Shot:
        """Bytes without form, or a question that is sealed with the stranger's own key."""
        if self._chance.random() < 0.5:
            datagram = self._chance.randbytes(self._chance.choice((0, 1, 30, 60, 400, 1400, 1500)))
        else:
            datagram = self._question(1)
        return datagram, self.anywhere(), self.anybody()

    def knock(self) -> Shot:
        """The question who is there."""
        return self._question(0), self.home(), self.anybody()

    def knock_as_another(self) -> Shot:
        """The same with a node's address."""
        return self._question(0), self.anybody(), self.anybody()

    def _question(self, seal: int) -> bytes:
        chance = self._chance
        header = Header(NodeId(chance.randbytes(NODE_ID_BYTES)), ANYBODY, chance.randint(1, 1000)).pack()
        # Small and alone it has fewer bytes than its answer.
        small = chance.random() < 0.5
        ping = Ping(1, 0, 0) if small else Ping(chance.getrandbits(32), chance.getrandbits(64), 2**48 - 1)
        sections: list[Section] = [ping] if small else [Proof(NO_COOKIE), ping]
        return self._seals[seal].seal(header, pack_payload([pack_section(each) for each in sections]))


ATTACKS: dict[str, Callable[[Stranger], Shot]] = {
    "send again": Stranger.recorded,
    "send again from elsewhere": Stranger.again_elsewhere,
    "send again as another": Stranger.again_as_another,
    "send again to another": Stranger.again_to_another,
    "send back": Stranger.back,
    "damage": Stranger.damaged,
    "make up": Stranger.made_up,
    "knock": Stranger.knock,
    "knock as another": Stranger.knock_as_another,
}
"""All that it does, by name."""
