"""Operations that `gossipgroups node --stdin` reads, one a line: `join workers {"slots": 4}`.

Law: a line is one operation, or refused with the reason; operations are carried out one after the other, and
one that fails changes nothing and ends nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gossipgroups.cli.lines import Printer
from gossipgroups.coordinator import Coordinator
from gossipgroups.errors import GossipError, InvalidValue


@dataclass(frozen=True, slots=True)
class Operation:
    """What to do to which group."""

    verb: str
    group: str
    capabilities: Any = None


Action = Callable[[Coordinator, Operation], Awaitable[bool]]
_ACTIONS: dict[str, Action] = {
    "create": lambda coordinator, operation: coordinator.create_group(operation.group),
    "delete": lambda coordinator, operation: coordinator.delete_group(operation.group),
    "join": lambda coordinator, operation: coordinator.join_group(
        operation.group, operation.capabilities, create=True
    ),
    "leave": lambda coordinator, operation: coordinator.leave_group(operation.group),
    "update": lambda coordinator, operation: coordinator.update_capabilities(
        operation.group, operation.capabilities
    ),
}
SHOWN = 80
"""Characters of a wrong line that its error repeats."""
_WITH_CAPABILITIES = {"join", "update"}


def parse_operation(line: str) -> Operation:
    """The operation of `VERB GROUP [CAPABILITIES]`, or of a JSON array `["join", "my group", {"slots": 4}]`.

    Raises `InvalidValue`.
    """
    line = line.strip()
    try:
        if line.startswith("["):
            words = json.loads(line)
        else:
            words = list(line.split(None, 2))
            words[2:] = [json.loads(word) for word in words[2:]]
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"line {line[:SHOWN]!r} has bad JSON: {error}") from None
    match words:
        case [str(verb), str(group)] if verb in _ACTIONS:
            return Operation(verb, group)
        case [str(verb), str(group), capabilities] if verb in _WITH_CAPABILITIES:
            return Operation(verb, group, capabilities)
    raise InvalidValue(
        f"line {line[:SHOWN]!r} is no operation: write create, delete, join, update or leave, then GROUP, "
        "and for join and update the capabilities as JSON"
    )


async def carry_out(coordinator: Coordinator, operation: Operation, printer: Printer) -> None:
    """Do it, and print its begin and its end. Raises `GossipError`, which is the caller's to print."""
    about = {"operation": operation.verb, "group_id": operation.group}
    began = time.monotonic()
    printer.say("OperationStarted", **about)
    converged = await _ACTIONS[operation.verb](coordinator, operation)
    elapsed = round((time.monotonic() - began) * 1000, 1)
    printer.say("OperationDone", **about, converged=converged, milliseconds=elapsed)


async def carry_out_line(coordinator: Coordinator, line: str, printer: Printer) -> None:
    """Do what a line says, and print how it went, also when it failed."""
    try:
        await carry_out(coordinator, parse_operation(line), printer)
    except GossipError as error:
        printer.say("OperationFailed", operation=line[:SHOWN], error=type(error).__name__, message=str(error))
