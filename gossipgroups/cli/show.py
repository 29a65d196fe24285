"""`gossipgroups groups`, `members` and `nodes`: join as an observer, print what is held, leave.

Law: an observer joins no group and shows nothing of itself; what cannot be known, as nobody answered, is an
error and not an empty table.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Sequence

from gossipgroups.cli.connection import Connection
from gossipgroups.cli.console import open_console, table
from gossipgroups.cli.held import group_rows, member_rows, node_rows
from gossipgroups.cli.lines import Fields, printable
from gossipgroups.coordinator import Coordinator
from gossipgroups.errors import GossipError

Read = Callable[[Coordinator], list[Fields]]


async def show_groups(connection: Connection, as_json: bool) -> int:
    """Print the groups of a cluster."""
    rows = await _observe(connection, group_rows)
    shown = [(row["group_id"], str(row["members"]), ", ".join(row["member_ids"])) for row in rows]
    _print(rows, as_json, ("group", "members", "who"), shown, numbers=("members",))
    return 0


async def show_members(connection: Connection, group: str, as_json: bool) -> int:
    """Print the members of a group. Raises `GossipError` when there is no such group."""

    def read(coordinator: Coordinator) -> list[Fields]:
        groups = sorted(coordinator.get_groups())
        if group not in groups:
            known = f"its groups are {', '.join(map(repr, groups))}" if groups else "it has no groups"
            raise GossipError(f"group {group!r} is not in cluster {connection.cluster!r}: {known}")
        return member_rows(coordinator, group)

    rows = await _observe(connection, read)
    shown = [
        (row["member_id"], row["address"], row["status"], row["node_id"], _brief(row["capabilities"]))
        for row in rows
    ]
    _print(rows, as_json, ("member", "address", "status", "node", "capabilities"), shown)
    return 0


async def show_nodes(connection: Connection, everyone: bool, as_json: bool) -> int:
    """Print the nodes of a cluster; with `everyone` also those that are dead or have left."""
    rows = [row for row in await _observe(connection, node_rows) if everyone or row["live"]]
    shown = [
        (
            row["name"],
            row["address"],
            row["status"],
            row["node_id"],
            str(row["incarnation"]),
            " ".join(row["key_ids"]),
        )
        for row in rows
    ]
    columns = ("name", "address", "status", "node", "incarnation", "keys")
    _print(rows, as_json, columns, shown, numbers=("incarnation",))
    return 0


async def _observe(connection: Connection, read: Read) -> list[Fields]:
    observer = f"observer-{socket.gethostname()}-{os.getpid()}"
    async with connection.open(observer) as coordinator:
        own = coordinator.node.node_id
        if not any(each.status.live and each.node_id != own for each in coordinator.nodes()):
            raise GossipError(
                f"no other node of cluster {connection.cluster!r} was found: start one with "
                "'gossipgroups node', or name one with --seeds host:port; --keys must be the same there"
            )
        return [row for row in read(coordinator) if row.get("node_id") != own.hex()]


def _print(
    rows: list[Fields],
    as_json: bool,
    columns: Sequence[str],
    shown: Sequence[Sequence[str]],
    numbers: Sequence[str] = (),
) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
    elif rows:
        open_console().print(table(columns, shown, numbers))
    else:
        print("none")


def _brief(capabilities: object) -> str:
    return "" if capabilities is None else printable(json.dumps(capabilities, ensure_ascii=False))
