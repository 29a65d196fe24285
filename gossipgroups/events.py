"""Events: what a coordinator tells the application, as frozen values.

Law: a group event says whether its change had converged when it was told; for one member and group joins and
leaves alternate, and their sum is the last view reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gossipgroups.ids import Address, NodeId

Reason = Literal["left", "failed", "deleted", "unknown"]
"""Why a member is gone: it left or stopped gracefully, its node failed, or its group was deleted. Unknown:
callbacks of the blocking API were so far behind that they are told the difference only."""


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class GroupEvent(Event):
    """Something about a group. `converged`: every node held alive here has held this same view."""

    group_id: str
    converged: bool


@dataclass(frozen=True, slots=True)
class MemberJoinedGroup(GroupEvent):
    """A member is in a group that it was not in."""

    member_id: str


@dataclass(frozen=True, slots=True)
class MemberLeftGroup(GroupEvent):
    """A member is no more in a group."""

    member_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class MemberCapabilitiesUpdated(GroupEvent):
    """A member of a group has other capabilities than before."""

    member_id: str


@dataclass(frozen=True, slots=True)
class GroupCreated(GroupEvent):
    """A group exists that did not."""


@dataclass(frozen=True, slots=True)
class GroupDeleted(GroupEvent):
    """A group does not exist any more."""


@dataclass(frozen=True, slots=True)
class NodeEvent(Event):
    """Something about a node, as this coordinator holds it; not a matter of convergence."""

    node_id: NodeId
    name: str
    address: Address


@dataclass(frozen=True, slots=True)
class NodeJoined(NodeEvent):
    """A node was heard of, or one held dead is alive after all."""


@dataclass(frozen=True, slots=True)
class NodeSuspected(NodeEvent):
    """A node does not answer somebody; it may still refute."""


@dataclass(frozen=True, slots=True)
class NodeFailed(NodeEvent):
    """A node is held dead."""


@dataclass(frozen=True, slots=True)
class NodeLeft(NodeEvent):
    """A node has stopped gracefully."""


@dataclass(frozen=True, slots=True)
class EventsLost(Event):
    """The reader of a stream was too slow: so many events were dropped here."""

    count: int
