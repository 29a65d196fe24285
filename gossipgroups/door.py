"""What the trio door and the blocking door share: arguments are checked, then a command crosses the link.

Law: an argument that cannot be right is refused here, in the caller's thread, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from os import PathLike
from typing import Any

from gossipgroups.config import Config
from gossipgroups.errors import CoordinatorClosed, InvalidValue, KeyInUse, KeyNotHeld
from gossipgroups.events import MemberJoinedGroup, MemberLeftGroup
from gossipgroups.groups.rules import Create, Delete, Join, Leave, Settle, Update
from gossipgroups.ids import NodeId, check_name
from gossipgroups.key_source import KeySource, find_keys, ring_of
from gossipgroups.keys import Key, KeyRing, check_key_id
from gossipgroups.registers import encode_capabilities
from gossipgroups.snapshot import NodeInfo, Snapshot
from gossipgroups.transport.link import Link, Settings, Ticket
from gossipgroups.url import DEFAULT_PORT, check_seed, format_endpoint, parse_endpoint
from gossipgroups.watches import Callback, Kind, Watch, WatchTable

Name = str | bytes
"""A group or member id as the application gives it: `bytes` are UTF-8 with surrogateescape."""
Keys = KeySource | str | PathLike[str]
"""Keys as the application gives them: a ring, a key file or its path, or "env:NAME"."""


def check_settings(  # noqa: PLR0913  (one of them is positional)
    member_id: Name,
    *,
    bind: str,
    advertise: str | None,
    seeds: Iterable[str] | None,
    cluster: Name,
    config: Config,
    join_timeout: float,
    lease: float | None = None,
    keys: Keys | None = None,
) -> Settings:
    """Settings of checked arguments. Raises `InvalidValue` or `LimitExceeded`."""
    if isinstance(seeds, str | bytes) or not isinstance(seeds, Iterable | None):
        raise InvalidValue(f"seeds must be an iterable of 'host:port', not {seeds!r}: put it in a list")
    if not isinstance(config, Config):
        raise InvalidValue(f"config must be a Config, such as Config.lan(), not {config!r}")
    _check_seconds("join_timeout", join_timeout)
    if lease is not None:
        _check_seconds("lease", lease)
    if advertise is not None:
        parse_endpoint(advertise, default_port=0, what="advertise")
    return Settings(
        name=check_name("member id", member_id),
        bind=format_endpoint(*parse_endpoint(bind, default_port=DEFAULT_PORT, what="bind")),
        advertise=advertise,
        seeds=None if seeds is None else tuple(check_seed(seed) for seed in seeds),
        cluster=check_name("cluster", cluster),
        config=config,
        join_timeout=float(join_timeout),
        lease=None if lease is None else float(lease),
        keys=None if keys is None else _check_keys(keys),
    )


class Door:
    """Commands, watches and the local state of one coordinator."""

    def __init__(self, link: Link, watches: WatchTable) -> None:
        self._link = link
        self._watches = watches

    @property
    def member_id(self) -> str:
        """The member id of this coordinator."""
        return self._link.settings.name

    @property
    def node(self) -> NodeInfo:
        """This coordinator's own node, with the address told to others. Raises `CoordinatorClosed`."""
        own = self._link.snapshot.registers.get(self._link.node_id or NodeId(b""))
        if own is None:
            raise CoordinatorClosed("the coordinator has no node yet: start it first")
        return NodeInfo.of(own)

    def nodes(self) -> tuple[NodeInfo, ...]:
        """Every node held, live or not, as frozen snapshots: id, name, address, status, incarnation."""
        return self._link.snapshot.nodes()

    def stats(self) -> dict[str, Any]:
        """Counters since the start: datagrams, bytes, refusals by reason, what was over a limit and so on."""
        stats = self._link.stats
        return {
            "received": stats.received,
            "received_bytes": stats.received_bytes,
            "sent": stats.sent,
            "sent_bytes": stats.sent_bytes,
            "unsent": stats.unsent,
            "refused": dict(stats.refused),
            "disbelieved": dict(stats.disbelieved),
            "over_limit": dict(stats.over_limit),
            "stalls": stats.stalls,
            "refutations": stats.refutations,
        }

    def _add_key(self, key: Key) -> Future[None]:
        if not isinstance(key, Key):
            raise InvalidValue(f"key is {type(key).__name__}, it must be a Key: Key.parse(text)")
        return self._link.change_keys(lambda ring, snapshot: ring.add(key))

    def _use_key(self, key_id: str, force: bool) -> Future[None]:
        wanted = check_key_id(key_id)

        def use(ring: KeyRing, snapshot: Snapshot) -> KeyRing:
            changed = ring.use(wanted)
            if (without := snapshot.without_key(wanted)) and not force:
                raise KeyNotHeld(wanted, without)
            return changed

        return self._link.change_keys(use)

    def _remove_key(self, key_id: str, force: bool) -> Future[None]:
        wanted = check_key_id(key_id)

        def remove(ring: KeyRing, snapshot: Snapshot) -> KeyRing:
            changed = ring.remove(wanted)
            if (users := snapshot.sealing_with(wanted)) and not force:
                raise KeyInUse(wanted, users)
            return changed

        return self._link.change_keys(remove)

    def _create(self, group_id: Name) -> Ticket:
        return self._link.submit(Create(_group(group_id)))

    def _delete(self, group_id: Name) -> Ticket:
        return self._link.submit(Delete(_group(group_id)))

    def _join(self, group_id: Name, capabilities: object, create: bool) -> Ticket:
        packed = encode_capabilities(capabilities)
        return self._link.submit(Join(_group(group_id), self.member_id, packed, create))

    def _leave(self, group_id: Name, member_id: Name | None) -> Ticket:
        member = self.member_id if member_id is None else check_name("member id", member_id)
        return self._link.submit(Leave(_group(group_id), member))

    def _update(self, group_id: Name, capabilities: object) -> Ticket:
        packed = encode_capabilities(capabilities)
        return self._link.submit(Update(_group(group_id), self.member_id, packed))

    def _settle(self, group_id: Name | None) -> Ticket:
        return self._link.submit(Settle(None if group_id is None else _group(group_id)))

    def _watch(self, kind: Kind, group_id: Name, callback: Callback) -> Watch:
        self._link.check_running()
        if not callable(callback):
            raise InvalidValue(f"callback {callback!r} is not callable: pass a function of one event")
        return self._watches.begin(kind, _group(group_id), callback, lambda: self._link.snapshot)

    def _unwatch(self, kind: Kind, group_id: Name, callback: Callback) -> Watch:
        return self._watches.remove(kind, _group(group_id), callback)


def _check_keys(keys: Keys) -> KeySource:
    source = find_keys(keys)
    ring_of(source)  # a file that cannot be read is the caller's error
    return source


def _check_seconds(what: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise InvalidValue(f"{what} is {value!r}: it must be a number of seconds above 0 and below 1e9")


def _group(group_id: Name) -> str:
    return check_name("group id", group_id)


JOINS: Kind = MemberJoinedGroup
LEAVES: Kind = MemberLeftGroup
