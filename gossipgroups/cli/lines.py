"""What `gossipgroups node` prints: one line for each thing that happens, for people or as a JSON object.

Law: a line is complete or absent. Names come off the network: in text no character of theirs reaches the
terminal as a control code, in JSON they are escaped. Bytes and ids are lower-case hex.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from gossipgroups.cli.output import Output
from gossipgroups.events import Event
from gossipgroups.ids import Address

Fields = dict[str, Any]

DEPTH = 32
"""Levels of capabilities that are printed: hostile ones must not exhaust the stack."""

TEXTS: Mapping[str, str] = {
    "Started": "{member_id} listens on {address} (node {node_id}, cluster {cluster})",
    "MemberJoinedGroup": "{group_id}: {member_id} joined",
    "MemberLeftGroup": "{group_id}: {member_id} is gone ({reason})",
    "MemberCapabilitiesUpdated": "{group_id}: {member_id} has new capabilities",
    "GroupCreated": "{group_id}: group created",
    "GroupDeleted": "{group_id}: group deleted",
    "NodeJoined": "node {name} joined ({address})",
    "NodeSuspected": "node {name} is suspected ({address})",
    "NodeFailed": "node {name} failed ({address})",
    "NodeLeft": "node {name} left ({address})",
    "EventsLost": "{count} events were lost: the output is read too slowly",
    "OperationFailed": "{operation} failed: {message}",
    "Stopping": "stopping ({cause}): leaving all groups",
    "Stopped": "stopped",
}
"""The lines for people; what is not here is in JSON only."""


class Printer:
    """Prints lines to standard output. Used from one trio run."""

    def __init__(self, as_json: bool, output: Output) -> None:
        self._as_json = as_json
        self._output = output
        output.lost = lambda count: self._line("EventsLost", {"count": count})

    def say(self, event: str, **values: Any) -> None:
        """Print a line about this command itself."""
        line = self._line(event, values)
        if line is not None:
            self._output.put(line)

    def tell(self, event: Event) -> None:
        """Print an event of the coordinator; also its callback for joins and leaves."""
        self.say(type(event).__name__, **{each.name: getattr(event, each.name) for each in fields(event)})

    def _line(self, event: str, values: Fields) -> str | None:
        return self._json(event, values) if self._as_json else text_line(event, values)

    @staticmethod
    def _json(event: str, values: Fields) -> str:
        stamps = {"time": datetime.now(UTC).isoformat(timespec="microseconds"), "monotonic": time.monotonic()}
        return json.dumps({"event": event, **stamps, **plain(values)})


def text_line(event: str, values: Fields) -> str | None:
    """A line for people, with the local time; `None` for what they need not see."""
    text = TEXTS.get(event)
    if text is None:
        return None
    shown = {key: printable(str(plain(value))) for key, value in values.items()}
    unsettled = "" if values.get("converged", True) else " (not converged)"
    now = datetime.now().astimezone().isoformat(sep=" ", timespec="milliseconds")[11:23]
    return f"{now}  {text.format_map(shown)}{unsettled}"


def plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON has it: bytes as hex, addresses as "host:port", keys as text, no NaN, bounded depth."""
    match value:
        case Address():
            return str(value)
        case bytes():
            return value.hex()
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping() | list() | tuple() if depth == DEPTH:
            return "…"
        case Mapping():
            return {str(plain(key, depth + 1)): plain(each, depth + 1) for key, each in value.items()}
        case list() | tuple():
            return [plain(each, depth + 1) for each in value]
        case _:
            return str(value)


def printable(text: str) -> str:
    """The text with everything escaped that a terminal might obey or could not show."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )
