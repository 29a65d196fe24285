"""Reception: what is done with a datagram, from its first byte to the last of its sections.

Law: a datagram is processed as one, or counted and dropped as one, for one reason. All that can be wrong with
it is found before anything changes; its registers are learnt before any of its sections is handled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from gossipgroups.admission import STRAY, Admission
from gossipgroups.contacts import Contacts
from gossipgroups.errors import BadPacket
from gossipgroups.ids import ANYBODY, Address, NodeId, Peer
from gossipgroups.intake import FLOOD, Intake
from gossipgroups.learning import Learning
from gossipgroups.reconcile import Reconciler
from gossipgroups.registers import Register, decode_register
from gossipgroups.settling import Settler
from gossipgroups.state import State
from gossipgroups.stats import Stats
from gossipgroups.status import Status
from gossipgroups.swim.detector import Detector
from gossipgroups.swim.probing import Prober
from gossipgroups.wire.codec import pack_section, unpack_payload
from gossipgroups.wire.header import Message, unpack_header
from gossipgroups.wire.messages import (
    Accusations,
    Ack,
    AskSettling,
    Buckets,
    Cookie,
    Hashes,
    Nack,
    NotMe,
    Ping,
    PingReq,
    Repair,
    Rumours,
    Settling,
    Want,
)
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.seal import Seal

Heard = tuple[Register | None, float, bool]
"""A register, or one of a kind that only a later version knows, its age, and whether it repairs."""


class Addressees(NamedTuple):
    """The parts of a node that datagrams are for."""

    admission: Admission
    contacts: Contacts
    prober: Prober
    detector: Detector
    reconciler: Reconciler
    settler: Settler
    learning: Learning


class Reception:
    """The receiving end of one node. Times are on the node's clock, in seconds."""

    def __init__(
        self, state: State, seal: Seal, stats: Stats, outbox: Outbox, addressees: Addressees
    ) -> None:
        self._me = state.me
        self._state = state
        self._seal = seal
        self._stats = stats
        self._outbox = outbox
        self._admission = addressees.admission
        self._contacts = addressees.contacts
        self._prober = addressees.prober
        self._detector = addressees.detector
        self._reconciler = addressees.reconciler
        self._settler = addressees.settler
        self._learning = addressees.learning
        self._intake = Intake(state)
        self._sealed = seal.ring is not None
        self._heard: dict[Peer, None] = {}

    def members_heard(self) -> Collection[Peer]:
        """The live nodes heard since the last call."""
        heard, self._heard = self._heard, {}
        return heard

    def read(self, datagram_untrusted: bytes) -> Message:
        """What a datagram says. Raises `BadPacket`."""
        header, payload = self._seal.open(datagram_untrusted)
        return Message(*unpack_header(header), unpack_payload(payload))

    def receive(self, datagram_untrusted: bytes, source: Address, now: float) -> str | None:
        """Process a datagram, or count and drop it for the reason returned."""
        size = len(datagram_untrusted)
        self._stats.received += 1
        self._stats.received_bytes += size
        try:
            self._intake.admit(source, now)
            packed, payload = self._seal.open(datagram_untrusted)
            header = unpack_header(packed)
            if header.sender == ANYBODY:
                raise BadPacket("sender")
            self._admission.check(header)
            message = Message(*header, unpack_payload(payload))
            if message.sender == self._me:
                self._contacts.on_own(message.sections, source)
                raise BadPacket("own datagram")
            registers = _registers(message)
            self._admission.admit(message, source, size, now)
            if message.receiver not in (self._me, ANYBODY):
                self._on_stray(message, source, size)
                raise BadPacket(STRAY)
        except BadPacket as error:
            self._stats.refused[error.reason] += 1
            if error.reason != FLOOD:
                self._intake.charge(source, now)
            return error.reason
        if message.receiver == ANYBODY:
            self._intake.charge(source, now)
            return None
        for register, age, repaired in self._news(registers):
            self._learning.hear(register, message.sender, age, repaired, now)
        peer = self._peer(message.sender, source, size)
        for section in message.sections:
            handler = _HANDLERS.get(type(section))
            if handler is not None:
                handler(self, message, peer, section, now)
        if message.sender in self._state.live:
            self._detector.hearing.note(now)
            self._heard[peer] = None
        return None

    def _news(self, registers: list[Heard]) -> Iterable[tuple[Register, float, bool]]:
        """Those that are not held, of each key the highest: many steps to it must cost no more than one."""
        known = self._state.replica.by_hash
        highest: dict[Any, tuple[Register, float, bool]] = {}
        for register, age, repaired in registers:
            if register is not None and register.hash not in known:
                other = highest.get(register.key)
                if other is None or register.rank > other[0].rank:
                    highest[register.key] = (register, age, repaired)
        return highest.values()

    def _peer(self, sender: NodeId, source: Address, size: int) -> Peer:
        """Where answers go: to the node's own address, once that is known. What they may cost is noted."""
        register = self._state.replica.nodes.get(sender)
        # With keys the address is that of the register, or else of whoever may have recorded the datagram.
        if register is not None and (self._sealed or self._admission.has_proved(register.peer)):
            return register.peer
        here = Peer(sender, source)
        if self._admission.has_proved(here):
            return here
        peer = here if register is None else register.peer
        self._outbox.limit(peer, size)
        return peer

    def _on_stray(self, message: Message, source: Address, size: int) -> None:
        """A datagram for another node, which may have had our address."""
        peer = self._peer(message.sender, source, size)
        for section in message.sections:
            if isinstance(section, Ping):
                self._prober.on_stray(peer, message.receiver, section)

    def _on_ping(self, message: Message, peer: Peer, section: Ping, now: float) -> None:
        self._prober.on_ping(peer, section, now)
        self._tell_if_dead(peer)
        if section.digest != self._state.replica.digest:
            self._differs(message, peer, now)

    def _on_ack(self, message: Message, peer: Peer, section: Ack, now: float) -> None:
        number = section.number
        pinged = self._prober.pinged(message.sender, number) or self._contacts.pinged(number)
        if pinged is not None:
            self._admission.prove(Peer(message.sender, pinged))
        self._detector.on_ack(message.sender, section, now)
        self._contacts.on_ack(message.sender, section)
        self._tell_if_dead(peer)
        if section.digest != self._state.replica.digest:
            self._differs(message, peer, now)

    def _on_cookie(self, message: Message, peer: Peer, section: Cookie, now: float) -> None:
        if not self._prober.on_cookie(message.sender, section, now):
            self._contacts.on_cookie(message.sender, section, now)

    def _tell_if_dead(self, peer: Peer) -> None:
        """A node that is held dead may not know, and only it can clear itself."""
        register = self._state.replica.nodes.get(peer.node_id)
        if register is not None and register.status is Status.DEAD:
            self._outbox.answer(peer, pack_section(Rumours([register.packed])))

    def _on_accusations(self, message: Message, peer: Peer, section: Accusations, now: float) -> None:
        for accusation in section.accusations:
            if accusation.subject != self._me:
                self._detector.on_accusation(accusation, now)
            elif accusation.incarnation == self._state.own.incarnation:
                # Only this node raises it: what is said of a higher one is made up, to use them all up.
                self._learning.refute(accusation.incarnation, now)

    def _on_settling(self, message: Message, peer: Peer, section: Settling | AskSettling, now: float) -> None:
        if self._settler.hear(peer, section, now):
            self._differs(message, peer, now)

    def _differs(self, message: Message, peer: Peer, now: float) -> None:
        """A node holds another state: repair, unless it has begun already."""
        begun = any(isinstance(section, Buckets) for section in message.sections)
        leaving = self._state.own.status is Status.LEFT
        if not begun and not leaving:
            self._reconciler.differs(peer, now)


def _registers(message: Message) -> list[Heard]:
    """The registers of a message, each with age and whether it repairs. May raise `BadPacket`.

    `None` stands for those of a kind that only a later version knows.
    """
    registers: list[Heard] = []
    for section in message.sections:
        if isinstance(section, Rumours):
            registers += [(decode_register(packed), 0.0, False) for packed in section.registers]
        elif isinstance(section, Repair):
            ages = section.ages or [0] * len(section.registers)
            if len(ages) != len(section.registers):
                raise BadPacket("ages")
            registers += [
                (decode_register(packed), age, True)
                for packed, age in zip(section.registers, ages, strict=True)
            ]
    return registers


Handler = Callable[[Reception, Message, Peer, Any, float], None]
_HANDLERS: dict[type[Any], Handler] = {
    Ping: Reception._on_ping,
    Ack: Reception._on_ack,
    PingReq: lambda self, message, peer, section, now: self._prober.on_ping_req(peer, section, now),
    Nack: lambda self, message, peer, section, now: self._prober.on_nack(message.sender, section),
    NotMe: lambda self, message, peer, section, now: self._detector.on_not_me(peer.address, section, now),
    Accusations: Reception._on_accusations,
    Settling: Reception._on_settling,
    AskSettling: Reception._on_settling,
    Buckets: lambda self, message, peer, section, now: self._reconciler.on_buckets(peer, section),
    Hashes: lambda self, message, peer, section, now: self._reconciler.on_hashes(peer, section),
    Want: lambda self, message, peer, section, now: self._reconciler.on_want(peer, section, now),
    Cookie: Reception._on_cookie,
}
"""What is done with each kind of section; registers are learnt before any of them."""
