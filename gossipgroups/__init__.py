"""Peer-to-peer group membership: create, join, leave, list and watch groups, with no server."""

from __future__ import annotations

from gossipgroups.blocking import BlockingCoordinator, Request, get_coordinator
from gossipgroups.config import Config
from gossipgroups.coordinator import Coordinator, open_coordinator
from gossipgroups.errors import (
    CoordinatorClosed,
    GossipError,
    GroupAlreadyExists,
    GroupNotCreated,
    GroupNotEmpty,
    InvalidValue,
    KeyInUse,
    KeyNotHeld,
    LimitExceeded,
    MemberAlreadyJoined,
    MemberNotJoined,
    SeedsUnreachable,
    UnknownKey,
    WatchCallbackNotFound,
)
from gossipgroups.events import (
    Event,
    EventsLost,
    GroupCreated,
    GroupDeleted,
    GroupEvent,
    MemberCapabilitiesUpdated,
    MemberJoinedGroup,
    MemberLeftGroup,
    NodeEvent,
    NodeFailed,
    NodeJoined,
    NodeLeft,
    NodeSuspected,
)
from gossipgroups.ids import Address, NodeId
from gossipgroups.key_source import KeyFile
from gossipgroups.keys import Key, KeyRing
from gossipgroups.snapshot import MemberInfo, NodeInfo
from gossipgroups.status import Status
from gossipgroups.streams import EventStream

__all__ = [
    "Address",
    "BlockingCoordinator",
    "Config",
    "Coordinator",
    "CoordinatorClosed",
    "Event",
    "EventStream",
    "EventsLost",
    "GossipError",
    "GroupAlreadyExists",
    "GroupCreated",
    "GroupDeleted",
    "GroupEvent",
    "GroupNotCreated",
    "GroupNotEmpty",
    "InvalidValue",
    "Key",
    "KeyFile",
    "KeyInUse",
    "KeyNotHeld",
    "KeyRing",
    "LimitExceeded",
    "MemberAlreadyJoined",
    "MemberCapabilitiesUpdated",
    "MemberInfo",
    "MemberJoinedGroup",
    "MemberLeftGroup",
    "MemberNotJoined",
    "NodeEvent",
    "NodeFailed",
    "NodeId",
    "NodeInfo",
    "NodeJoined",
    "NodeLeft",
    "NodeSuspected",
    "Request",
    "SeedsUnreachable",
    "Status",
    "UnknownKey",
    "WatchCallbackNotFound",
    "get_coordinator",
    "open_coordinator",
]
__version__ = "0.1.0"
