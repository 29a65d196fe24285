"""Admission: which datagrams, of all that open, are taken in.

Law: each datagram has an effect once at most, at the node that it was sent to, in the run that it was sent
to. No clock is compared, and nothing is kept of who is not heard.

    to        of a sender      is
    me        heard before     taken in, if its number was not seen and it comes from its place
    me        not yet heard    taken in: my id is of this run, so it was never taken in before, unless a
                               sender was ever dropped: then it must prove to be fresh; without keys, so must
                               any sender that no register names
    anybody   any              answered by a cookie, no larger, and otherwise ignored
    another   known            ignored, but for the answer that I am another; its number is seen from then on

What was dropped leaves its highest number behind, for a while: of that sender, all up to it was seen.

Fresh is what carries a good cookie, or answers a ping that is under way. A sender's place is the address of
its register, or where it has sent a cookie back from that went to that address, or answered a ping that did.
Whoever must prove something is asked to, by a cookie.

Without keys a sender's address is anybody's word, and with keys that of a sender that no register names: a
stranger may have brought its datagram. Until it has sent back a cookie from there, or answered a ping there,
it is answered with no more bytes than came from it.
"""

from __future__ import annotations

from typing import Protocol

from gossipgroups.budget import Budget
from gossipgroups.errors import BadPacket
from gossipgroups.groups.replica import Replica
from gossipgroups.ids import ANYBODY, Address, NodeId, Peer, Random
from gossipgroups.wire.codec import pack_section
from gossipgroups.wire.cookies import Cookies
from gossipgroups.wire.header import Header, Message
from gossipgroups.wire.messages import Cookie, Ping, Proof
from gossipgroups.wire.outbox import Outbox
from gossipgroups.wire.window import Window

STRAY, UNPROVED, ELSEWHERE, REPLAYED = "for another", "unproved", "elsewhere", "replayed"
"""Why a datagram that opens is refused."""
STRANGERS = 1024
"""Senders remembered that no register names, and of dropped ones their highest number."""
COOKIES_A_SECOND = 2000.0
"""Cookies given to strangers at most; who gets none asks again."""
ASK_AGAIN = 1.0
"""Seconds after which a sender that is known is asked for proof again."""


class Answers(Protocol):
    """Pings of ours that are under way."""

    def is_answer(self, message: Message) -> bool:
        """Whether a datagram answers one that went to its sender, or by way of it."""
        ...

    def pinged_at(self, message: Message) -> Address | None:
        """Where the one went that a datagram answers; `None` if it answers none."""
        ...


class _Sender:
    """What is remembered of one node that was heard."""

    __slots__ = ("place", "proved", "settled", "window")

    def __init__(self) -> None:
        self.window = Window()
        self.place: Address | None = None
        """Where it was heard last."""
        self.settled = False
        """Whether its register told then where it is at home."""
        self.proved: Address | None = None


class Admission:
    """The senders of one node. Times are on the node's clock, in seconds."""

    def __init__(
        self,
        me: NodeId,
        replica: Replica,
        outbox: Outbox,
        random: Random,
        answers: Answers,
        *,
        sealed: bool,
    ) -> None:
        self._me = me
        self._replica = replica
        self._outbox = outbox
        self._sealed = sealed
        self._answers = answers
        self._cookies = Cookies(random)
        self._budget = Budget(COOKIES_A_SECOND, COOKIES_A_SECOND)
        self._senders: dict[NodeId, _Sender] = {}
        self._strangers: dict[NodeId, None] = {}
        self._dropped = False
        self._floors: dict[NodeId, int] = {}
        """The highest number seen of senders that were dropped; no other has sent one below 1."""
        self._asked: dict[NodeId, float] = {}
        """When each was asked at home, the last ones."""

    def __len__(self) -> int:
        return len(self._senders)

    def check(self, header: Header) -> None:
        """Raise `BadPacket` if this was taken in before, as can be told before it is decoded."""
        sender = self._senders.get(header.sender)
        if sender is None:
            seen = header.number <= self._floors.get(header.sender, 0)
        else:
            seen = sender.window.has_seen(header.number)
        if seen:
            raise BadPacket(REPLAYED)

    def admit(self, message: Message, source: Address, room: int, now: float) -> None:
        """Take a datagram in. Raises `BadPacket` if it is not to be; `room` is what a question may take."""
        sender = self._senders.get(message.sender)
        if message.receiver == ANYBODY:
            if sender is not None and source in (sender.place, self._home(message.sender)):
                sender.window.accept(message.number)
            self._ask(Peer(message.sender, source), message, room, now)
            return
        if message.receiver != self._me:
            self._overhear(sender, message, source)
            return
        proved = self._proved(message, source, now)
        if sender is None:
            fresh = proved is not None or self._answers.is_answer(message)
            if self._must_prove(message.sender) and not fresh:
                self._ask(Peer(message.sender, source), message, room, now)
                raise BadPacket(UNPROVED)
        home = self._home(message.sender)
        if not self._may_speak(sender or _Sender(), message, source, home, proved):
            self._ask_at_home(message.sender, now)
            raise BadPacket(ELSEWHERE)
        if sender is None:
            sender = self._add(message.sender)
            if self._dropped:
                sender.window.begin_at(message.number)  # what was sent before may have been taken in before
        if not sender.window.accept(message.number):
            raise BadPacket(REPLAYED)
        sender.place, sender.settled = source, home is not None
        if proved is not None:
            self.prove(proved)

    def cookie(self, peer: Peer, now: float) -> bytes:
        """What to say to a peer that is to prove itself before it is sent more."""
        return pack_section(Cookie(0, self._cookies.make(peer, now)))

    def prove(self, peer: Peer) -> None:
        """The node has answered from this address."""
        sender = self._senders.get(peer.node_id)
        if sender is not None:
            sender.proved = peer.address
            self._outbox.unlimit(peer)

    def has_proved(self, peer: Peer) -> bool:
        """Whether the node has answered from this address."""
        sender = self._senders.get(peer.node_id)
        return sender is not None and sender.proved == peer.address

    def forget(self, node_id: NodeId) -> None:
        """The node was dropped from the replica. Cookies that were given before count no more."""
        self._strangers.pop(node_id, None)
        if self._drop(node_id):
            self._cookies.renew()

    def _home(self, node_id: NodeId) -> Address | None:
        register = self._replica.nodes.get(node_id)
        return None if register is None else register.address

    def _may_speak(
        self, sender: _Sender, message: Message, source: Address, home: Address | None, proved: Peer | None
    ) -> bool:
        """Whether this can be the sender itself: its twin reads nothing that goes to its address.

        Before a register tells that address, who is heard first is the one, and who answers: a seed that was
        asked through a relay answers by itself.
        """
        if home is None:
            known = sender.place in (None, source)
            return known or proved is not None or self._answers.is_answer(message)
        known = source == home or (sender.settled and source == sender.place)
        reads_there = proved is not None and proved.address == home
        return known or reads_there or self._answers.pinged_at(message) == home

    def _overhear(self, sender: _Sender | None, message: Message, source: Address) -> None:
        """A datagram for another node: its number is seen, and its sender is not moved by it."""
        if source != self._home(message.sender) and (sender is None or source != sender.place):
            raise BadPacket(STRAY)
        if sender is None:
            if self._dropped:
                raise BadPacket(STRAY)
            sender = self._add(message.sender)
        if not sender.window.accept(message.number):
            raise BadPacket(REPLAYED)

    def _add(self, node_id: NodeId) -> _Sender:
        sender = self._senders[node_id] = _Sender()
        self._floors.pop(node_id, None)
        if node_id not in self._replica.nodes:
            self._strangers[node_id] = None
            if len(self._strangers) > STRANGERS:
                oldest = next(iter(self._strangers))
                del self._strangers[oldest]
                # Without keys anybody could void all cookies so: there, the numbers alone must do.
                if oldest not in self._replica.nodes and self._drop(oldest) and self._sealed:
                    self._cookies.renew()
        return sender

    def _drop(self, node_id: NodeId) -> bool:
        """Forget what is known of a sender but its highest number; whether anything was."""
        sender = self._senders.pop(node_id, None)
        if sender is None:
            return False
        self._dropped = True
        self._floors[node_id] = sender.window.highest
        if len(self._floors) > STRANGERS:
            del self._floors[next(iter(self._floors))]
        return True

    def _must_prove(self, node_id: NodeId) -> bool:
        return self._dropped or (not self._sealed and node_id not in self._replica.nodes)

    def _proved(self, message: Message, source: Address, now: float) -> Peer | None:
        """The sender at the address that a good cookie in the datagram went to."""
        for section in message.sections:
            if isinstance(section, Proof):
                for address in (self._home(message.sender), source):
                    peer = Peer(message.sender, address or source)
                    if self._cookies.good(peer, section.cookie, now):
                        return peer
        return None

    def _ask(self, peer: Peer, message: Message, room: int, now: float) -> None:
        """Ask for proof, in a datagram of no more bytes than `room`, if the budget has it.

        A question that answers none of our pings is not answered by another: both would go on for ever.
        """
        number = next((each.number for each in message.sections if isinstance(each, Ping)), 0)
        if not number and any(isinstance(each, Cookie) for each in message.sections):
            return
        question = pack_section(Cookie(number, self._cookies.make(peer, now)))
        if self._outbox.size_of(question) <= room and self._budget.spend(1, now):
            self._outbox.add(peer, question)

    def _ask_at_home(self, node_id: NodeId, now: float) -> None:
        """A known sender at another place has moved, or is its own twin, who does not hear this."""
        home = self._home(node_id)
        if home is None or now - self._asked.get(node_id, -ASK_AGAIN) < ASK_AGAIN:
            return
        if self._budget.spend(1, now):
            self._asked.pop(node_id, None)
            self._asked[node_id] = now
            if len(self._asked) > STRANGERS:
                del self._asked[next(iter(self._asked))]
            peer = Peer(node_id, home)
            self._outbox.add(peer, self.cookie(peer, now))
