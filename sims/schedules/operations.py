"""What applications do: for each operation its usual weight, where it makes sense, and its command."""

from __future__ import annotations

from collections.abc import Callable, Collection

from gossipgroups.groups.rules import Command, Create, Delete, Join, Leave, LeaveAll, Settle, Update

Apt = Callable[[bool, Collection[str], str], bool]
"""Of whether the group exists, its view, and the member."""

OPERATIONS: dict[str, tuple[int, Apt, Callable[[str, str, bytes], Command]]] = {
    "join": (4, lambda there, view, member: there and member not in view, Join),
    "join or create": (
        6,
        lambda there, view, member: member not in view,
        lambda group, member, value: Join(group, member, value, create=True),
    ),
    "leave": (4, lambda there, view, member: member in view, lambda group, member, _: Leave(group, member)),
    "create": (1, lambda there, view, member: not there, lambda group, member, _: Create(group)),
    "delete": (4, lambda there, view, member: there and not view, lambda group, member, _: Delete(group)),
    "leave all": (1, lambda there, view, member: member in view, lambda group, member, _: LeaveAll(member)),
    "settle": (1, lambda there, view, member: there, lambda group, member, _: Settle(group)),
    "update": (4, lambda there, view, member: member in view, Update),
}
