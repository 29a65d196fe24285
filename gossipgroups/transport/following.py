"""Following a key file: what stands in it is used, a moment later, for as long as the coordinator runs.

Law: a file that cannot be read, or holds no keys, changes nothing, and is said once. Nobody is kept from a
step of a rotation that comes too early: who is cut off by it is named in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from gossipgroups.errors import InvalidValue
from gossipgroups.key_source import KeyFile
from gossipgroups.keys import KeyRing
from gossipgroups.snapshot import Snapshot

logger = logging.getLogger("gossipgroups")

KEY_FILE_SECONDS = 2.0
"""How often a key file is looked at."""


async def follow_keys(
    file: KeyFile, name: str, use: Callable[[KeyRing], None], held: Callable[[], Snapshot]
) -> None:
    """Call `use` with the ring of a file when it has changed; `name` is the coordinator's, for the log."""
    said = ""
    while True:
        await trio.sleep(KEY_FILE_SECONDS)
        try:
            ring = await trio.to_thread.run_sync(file.changed, abandon_on_cancel=True)
        except InvalidValue as error:
            if str(error) != said:
                said = str(error)
                logger.warning("coordinator %r keeps its keys: %s", name, said)
            continue
        if ring is not None:
            said = ""
            logger.info("coordinator %r uses %r from now on", name, ring)
            if without := held().without_key(ring.ids[0]):
                names = ", ".join(without)
                logger.warning("key %s is not held by %s: cut off until it is", ring.ids[0], names)
            use(ring)
