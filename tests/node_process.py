"""One coordinator in a process of its own, for tests: `python -m tests.node_process SETTINGS`.

SETTINGS is a JSON object: the arguments of `open_coordinator`, with `config` as the fields that differ from
`Config.local()`. Commands come in on standard input, one a line; one JSON object a line goes out: `ready`
with the address, every event by the name of its class, and each command when it is done, or its error.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import trio

from gossipgroups import Config, Coordinator, EventStream, GossipError, open_coordinator


def tell(**fields: object) -> None:
    print(json.dumps(fields, default=lambda value: value.hex()), flush=True)


async def block(coordinator: Coordinator, seconds: str) -> None:
    time.sleep(float(seconds))  # what an application should not do, and does


COMMANDS: dict[str, Callable[..., Awaitable[object]]] = {
    "create": Coordinator.create_group,
    "join": Coordinator.join_group,
    "leave": Coordinator.leave_group,
    "block": block,
}


async def show(events: EventStream) -> None:
    async for event in events:
        tell(event=type(event).__name__, **asdict(event))


async def obey(coordinator: Coordinator) -> None:
    async for line in trio.wrap_file(sys.stdin):
        name, *arguments = line.split()
        try:
            tell(done=line.strip(), result=await COMMANDS[name](coordinator, *arguments))
        except GossipError as error:
            tell(done=line.strip(), error=type(error).__name__)


async def main(settings: dict[str, Any]) -> None:
    settings["config"] = Config.local().but(**settings.get("config", {}))
    async with open_coordinator(**settings) as coordinator, coordinator.events() as events:
        tell(ready=str(coordinator.node.address))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show, events)
            await obey(coordinator)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
