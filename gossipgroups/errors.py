"""What can go wrong, said to the caller: what was asked, with what value, and what to do.

Law: every error that a public call raises on purpose is a `GossipError`; nothing off the wire raises
anything but `BadPacket`, which never leaves the node.
"""

from __future__ import annotations

NAMES_SHOWN = 8
"""Names of others that one message has at most."""


def some_of(names: tuple[str, ...]) -> str:
    """Names of others in a message: a few of them, and quoted, so that none adds a line."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(map(repr, names[:NAMES_SHOWN])) + (f" and {more} more" if more > 0 else "")


class GossipError(Exception):
    """Base of every error that this library raises on purpose."""


class GroupAlreadyExists(GossipError):
    """The group to create is there already, as far as this coordinator has heard."""

    def __init__(self, group_id: str) -> None:
        super().__init__(f"group {group_id!r} already exists: join it, or create another name")
        self.group_id = group_id


class GroupNotCreated(GossipError):
    """The group named does not exist, as far as this coordinator has heard."""

    def __init__(self, group_id: str) -> None:
        super().__init__(f"group {group_id!r} does not exist: create it first, or join it with create=True")
        self.group_id = group_id


class GroupNotEmpty(GossipError):
    """The group to delete still has members."""

    def __init__(self, group_id: str, members: int) -> None:
        super().__init__(
            f"group {group_id!r} still has {members} member(s): they must leave before it is deleted"
        )
        self.group_id = group_id
        self.members = members


class MemberAlreadyJoined(GossipError):
    """The member id is in the group already, held by a node that answers."""

    def __init__(self, group_id: str, member_id: str) -> None:
        super().__init__(
            f"member {member_id!r} is in group {group_id!r} already, held by a live node: "
            "use another member id, or join when it has left"
        )
        self.group_id = group_id
        self.member_id = member_id


class MemberNotJoined(GossipError):
    """The member named is not in the group."""

    def __init__(self, group_id: str, member_id: str) -> None:
        super().__init__(f"member {member_id!r} is not in group {group_id!r}: join it first")
        self.group_id = group_id
        self.member_id = member_id


class WatchCallbackNotFound(GossipError):
    """The callback to unwatch was not watching."""

    def __init__(self, group_id: str, callback: object) -> None:
        name = getattr(callback, "__qualname__", repr(callback))
        super().__init__(
            f"callback {name} does not watch group {group_id!r}: pass the object given to watch_*"
        )
        self.group_id = group_id
        self.callback = callback


class SeedsUnreachable(GossipError):
    """Seeds were named, none of them answered in time, and none is this coordinator itself."""

    def __init__(self, seeds: tuple[str, ...], seconds: float, bound: str = "") -> None:
        super().__init__(
            f"no answer within {seconds:g} s from any seed of {', '.join(seeds)}: check that one of them "
            "runs, that cluster name and keys are the same there, and that UDP passes; seeds=() starts alone"
            + (f"; bound to {bound}, which reaches only this machine: bind='0.0.0.0:0'" if bound else "")
        )
        self.seeds = seeds
        self.seconds = seconds


class LimitExceeded(GossipError):
    """A name, an id, capabilities or a count would be over its stated limit; nothing was sent."""

    def __init__(
        self, what: str, size: int, limit: int, unit: str = "bytes", advice: str = "use a smaller one"
    ) -> None:
        super().__init__(f"{what} has {size} {unit}, the limit is {limit}: {advice}")
        self.what = what
        self.size = size
        self.limit = limit


class InvalidValue(GossipError, ValueError):
    """An argument has a form that cannot be used."""


class UnknownKey(GossipError):
    """No key of this id is in the ring."""

    def __init__(self, key_id: str, held: tuple[str, ...]) -> None:
        super().__init__(f"no key {key_id!r} is held here, only {', '.join(held) or 'none'}: add it first")
        self.key_id = key_id
        self.held = held


class KeyInUse(GossipError):
    """A key to remove still seals datagrams: those of this node, or of the live nodes named."""

    def __init__(self, key_id: str, nodes: tuple[str, ...]) -> None:
        who = f"live node(s) {some_of(nodes)}" if nodes else "this node"
        super().__init__(f"key {key_id!r} still seals what {who} send(s): let another be used there first")
        self.key_id = key_id
        self.nodes = nodes


class KeyNotHeld(GossipError):
    """A key to seal with is not held by all live nodes: those named could not read what it seals."""

    def __init__(self, key_id: str, nodes: tuple[str, ...]) -> None:
        super().__init__(
            f"key {key_id!r} is not held by live node(s) {some_of(nodes)}: add it there first, or they "
            "are cut off"
        )
        self.key_id = key_id
        self.nodes = nodes


class CoordinatorClosed(GossipError):
    """The coordinator is not running: it was not started, it was stopped, or its process forked."""


class BadPacket(Exception):
    """A datagram that cannot be processed. `reason` names the counter that it is counted under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
