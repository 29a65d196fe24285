"""What a coordinator holds, as rows of plain values: for tables, for JSON, and for a node's first line.

Law: a row has only values that JSON has; a group that goes away while its rows are read is left out.
"""

from __future__ import annotations

from contextlib import suppress

from gossipgroups.cli.lines import Fields, plain
from gossipgroups.coordinator import Coordinator
from gossipgroups.errors import GroupNotCreated, MemberNotJoined


def group_rows(coordinator: Coordinator) -> list[Fields]:
    """Every group by name, with its members."""
    rows: list[Fields] = []
    for group in sorted(coordinator.get_groups()):
        with suppress(GroupNotCreated):
            members = sorted(coordinator.get_members(group))
            rows.append({"group_id": group, "members": len(members), "member_ids": members})
    return rows


def member_rows(coordinator: Coordinator, group: str) -> list[Fields]:
    """The members of a group by name, each with its node. Raises `GroupNotCreated`."""
    status = {each.node_id: each.status for each in coordinator.nodes()}
    rows: list[Fields] = []
    for member in sorted(coordinator.get_members(group)):
        with suppress(GroupNotCreated, MemberNotJoined):
            info = coordinator.get_member_info(group, member)
            rows.append(
                {
                    "group_id": group,
                    "member_id": member,
                    "capabilities": plain(info.capabilities),
                    "node_id": info.node_id.hex(),
                    "address": str(info.address),
                    "status": str(status[info.node_id]) if info.node_id in status else "alive",
                }
            )
    return rows


def node_rows(coordinator: Coordinator) -> list[Fields]:
    """Every node by name, this coordinator's own too; `live` is false for the dead and the departed."""
    return [
        {
            "node_id": each.node_id.hex(),
            "name": each.name,
            "address": str(each.address),
            "status": str(each.status),
            "incarnation": each.incarnation,
            "key_ids": list(each.key_ids),
            "live": each.status.live,
        }
        for each in coordinator.nodes()
    ]
