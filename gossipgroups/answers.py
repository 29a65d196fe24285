"""Which datagrams answer pings of ours: what shows that a sender is there now, and reads what goes to it.

Law: a ping's number is drawn at random, so only who has read the ping can answer it; and it is answered once.
"""

from __future__ import annotations

from gossipgroups.contacts import Contacts
from gossipgroups.ids import Address
from gossipgroups.swim.probing import Prober
from gossipgroups.wire.header import Message
from gossipgroups.wire.messages import Ack, Cookie, Nack, NotMe


class Answers:
    """The pings of one node that are under way, held against what comes."""

    __slots__ = ("_contacts", "_prober")

    def __init__(self, prober: Prober, contacts: Contacts) -> None:
        self._prober = prober
        self._contacts = contacts

    def is_answer(self, message: Message) -> bool:
        """Whether this answers a ping that is under way, and went to its sender or by way of it."""
        for section in message.sections:
            match section:
                case Ack(number) | Nack(number) | Cookie(number):
                    if self._contacts.awaits(number) or self._prober.expects(message.sender, number):
                        return True
                case NotMe(number):
                    if self._prober.awaits(number):
                        return True
        return False

    def pinged_at(self, message: Message) -> Address | None:
        """Where the ping went that this answers, as the node that was pinged; `None` if it answers none."""
        for section in message.sections:
            if isinstance(section, Ack | Cookie):
                number = section.number
                pinged = self._prober.pinged(message.sender, number) or self._contacts.pinged(number)
                if pinged is not None:
                    return pinged
        return None
