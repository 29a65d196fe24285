"""How events cross from the gossip loop to that of the application.

Law: in order, and never more than a bound: what comes above it is dropped, counted and told as lost.
"""

from __future__ import annotations

import logging
from collections import deque

import trio

from gossipgroups.events import Event, EventsLost
from gossipgroups.streams import EVENTS_WAITING
from gossipgroups.transport.link import Delivery
from gossipgroups.transport.loop import call_in

logger = logging.getLogger("gossipgroups")

LAST = 2**63
"""A sequence number after all others."""


class Crossing:
    """Carries events to the trio run that it was made in."""

    def __init__(self) -> None:
        self.receiver: Delivery = lambda events, sequence: None
        self._token = trio.lowlevel.current_trio_token()
        self._waiting: deque[tuple[list[Event], int]] = deque()
        # Each is written by one thread only: a sum of both threads would lose updates.
        self._put = 0
        self._taken = 0
        self._lost = 0
        self._lost_told = 0
        self._called = False
        """Whether a call of `_drain` is on its way: a loop that stands still must not gather them."""

    def publish(self, events: list[Event], sequence: int) -> None:
        """Hand events on, in the application's loop."""
        self.receiver(events, sequence)

    def deliver(self, events: list[Event], sequence: int) -> None:
        """Called in the gossip loop."""
        if self._put - self._taken + len(events) > EVENTS_WAITING:
            logger.error("the application's loop is too far behind: %d events were not told", len(events))
            self._lost += len(events)
        else:
            self._waiting.append((events, sequence))
            self._put += len(events)
        if not self._called:
            self._called = True
            call_in(self._token, self._drain)

    def _drain(self) -> None:
        self._called = False  # first: what comes from now on may be too late for this call
        while self._waiting:
            events, sequence = self._waiting.popleft()
            self._taken += len(events)
            self.publish(events, sequence)
        if self._lost > self._lost_told:
            lost, self._lost_told = self._lost - self._lost_told, self._lost
            self.publish([EventsLost(lost)], LAST)
