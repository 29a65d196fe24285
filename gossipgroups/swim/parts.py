"""The parts of the failure detector that go beyond SWIM, each of which can be left out to measure its worth.

Law: without any of them the detector is that of SWIM (Das, Gupta & Motivala 2002, section 4) with its
suspicions; the numbers that turn off Lifeguard's other parts are in the config: `awareness_limit=0`,
`confirmations=0`, and a `stall_tolerance` without bound.
"""

from __future__ import annotations

from enum import Enum, auto


class Part(Enum):
    """Something that the detector may do without."""

    EVEN_PROBES = auto()
    """Each node is probed by one other per period, at even gaps; without, shuffled round-robin (SWIM 4.3)."""
    CORROBORATION = auto()
    """Some of those that hear an accusation probe the suspect at once."""
    DOUBT = auto()
    """A death that was heard of is believed only when the node does not answer a ping of our own."""
    BUDDY = auto()
    """A suspect is told first, with the ping that would clear it (Lifeguard, section IV.C)."""
