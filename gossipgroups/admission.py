"""Admission: which datagrams, of all that open, are taken in.

Law: each datagram has an effect once at most, at the node that it was sent to, in the run that it was sent
to. No clock is compared, and nothing is kept of who is not heard.

    to                      of a sender      is
    me                      heard before     taken in, if its number was not seen and it comes from one place
    me                      not yet heard    taken in: my id is of this run, so it was never taken in before,
                                             unless a sender was ever dropped: then it must prove to be fresh,
                                             by a cookie, or as the answer to a ping that is under way;
                                             without keys, so must any sender that no register names
    anybody                 any              answered by a cookie, no larger, and otherwise ignored
    another                 heard before     answered that I am another, if its number was not seen

Without keys a sender's address is anybody's word, and with keys that of a sender that no register names: a
stranger may have brought its datagram. Until it has sent back a cookie from there, or answered a ping there,
it is sent no more bytes than came from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gossipgroups.budget import Budget
from gossipgroups.errors import BadPacket
from gossipgroups.groups.replica import Replica
from gossipgroups.ids import Address, NodeId, Peer, Random
from gossipgroups.wire.codec import pack_section
from gossipgroups.wire.cookies import Cookies
from gossipgroups.wire.header import Message
from gossipgroups.wire.messages import Cookie, Ping, Proof, Section
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.window import Window

UNPROVED = "unproved"
"""Why a datagram is refused that its sender may repeat with proof."""
STRAY = "for another"
STRANGERS = 1024
"""Senders remembered that no register names."""
COOKIES_A_SECOND = 2000.0
"""Cookies given at most; who gets none asks again."""
ELSEWHERE = 60.0
"""Seconds that a sender must be silent at one address before it is heard from another that is not its
register's."""


class _Sender:
    """What is remembered of one node that was heard."""

    __slots__ = ("heard", "proved", "source", "window")

    def __init__(self, source: Address, now: float) -> None:
        self.window = Window()
        self.source = source
        self.heard = now
        self.proved: Address | None = None


class Admission:
    """The senders of one node. Times are on the node's clock, in seconds."""

    def __init__(
        self,
        me: NodeId,
        replica: Replica,
        outbox: Outbox,
        random: Random,
        answers: Callable[[Iterable[Section]], bool],
        *,
        sealed: bool,
    ) -> None:
        self._me = me
        self._replica = replica
        self._outbox = outbox
        self._sealed = sealed
        self._answers = answers
        """Whether one of these sections answers a ping that is under way."""
        self._cookies = Cookies(random)
        self._budget = Budget(COOKIES_A_SECOND, COOKIES_A_SECOND)
        self._senders: dict[NodeId, _Sender] = {}
        self._strangers: dict[NodeId, None] = {}
        self._dropped = False

    def __len__(self) -> int:
        return len(self._senders)

    def admit(self, message: Message, source: Address, now: float) -> None:
        """Take a datagram in. Raises `BadPacket` if it is not to be."""
        sender = self._senders.get(message.sender)
        if sender is None:
            sender = self._first(message, source, now)
        elif source != sender.source:
            self._moved(sender, message, source, now)
        if not sender.window.accept(message.number):
            raise BadPacket("replayed")
        sender.heard = now

    def ask_for_proof(self, message: Message, source: Address, room: int, now: float) -> None:
        """Answer a ping with a cookie, in no more bytes than `room`, if the budget has it."""
        for section in message.sections:
            if isinstance(section, Ping):
                if self._budget.spend(1, now):
                    peer = Peer(message.sender, source)
                    cookie = Cookie(section.number, self._cookies.make(peer, now))
                    self._outbox.limit(peer, room)
                    self._outbox.answer(peer, pack_section(cookie))
                return

    def cookie(self, peer: Peer, now: float) -> bytes:
        """What to say to a peer that is to prove itself before it is sent more."""
        return pack_section(Cookie(0, self._cookies.make(peer, now)))

    def prove(self, peer: Peer) -> None:
        """The node has answered from this address."""
        sender = self._senders.get(peer.node_id)
        if sender is not None:
            sender.proved = peer.address
            self._outbox.unlimit(peer)

    def check_proof(self, peer: Peer, section: Proof, now: float) -> None:
        """A cookie came back."""
        if self._cookies.good(peer, section.cookie, now):
            self.prove(peer)

    def has_proved(self, peer: Peer) -> bool:
        """Whether the node has answered from this address."""
        sender = self._senders.get(peer.node_id)
        return sender is not None and sender.proved == peer.address

    def forget(self, node_id: NodeId) -> None:
        """The node was dropped from the replica."""
        if self._senders.pop(node_id, None) is not None:
            self._dropped = True

    def _first(self, message: Message, source: Address, now: float) -> _Sender:
        if message.receiver != self._me:
            raise BadPacket(STRAY)
        if self._must_prove(message.sender) and not self._is_fresh(message, source, now):
            raise BadPacket(UNPROVED)
        sender = self._senders[message.sender] = _Sender(source, now)
        if message.sender not in self._replica.nodes:
            self._strangers[message.sender] = None
            if len(self._strangers) > STRANGERS:
                oldest = next(iter(self._strangers))
                del self._strangers[oldest]
                if oldest not in self._replica.nodes:
                    self.forget(oldest)
        return sender

    def _must_prove(self, sender: NodeId) -> bool:
        return self._dropped or (not self._sealed and sender not in self._replica.nodes)

    def _is_fresh(self, message: Message, source: Address, now: float) -> bool:
        if self._answers(message.sections):
            return True
        peer = Peer(message.sender, source)
        return any(
            isinstance(section, Proof) and self._cookies.good(peer, section.cookie, now)
            for section in message.sections
        )

    def _moved(self, sender: _Sender, message: Message, source: Address, now: float) -> None:
        """A known sender at another address: its twin, unless the old place is silent or was not its own.

        Nor is it who answers a ping under way: a seed that was asked through a relay answers by itself.
        """
        register = self._replica.nodes.get(message.sender)
        at_home = register is not None and register.address == source
        if not at_home and now - sender.heard < ELSEWHERE and not self._answers(message.sections):
            raise BadPacket("elsewhere")
        sender.source = source
