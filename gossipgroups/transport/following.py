"""Following a key file: what stands in it is used, a moment later, for as long as the coordinator runs.

Law: a file that cannot be read, or holds no keys, changes nothing, and is said once. Nobody is kept from a
step of a rotation that comes too early: who is cut off by it is named in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from gossipgroups.errors import some_of
from gossipgroups.key_source import KeyFile
from gossipgroups.keys import KeyRing
from gossipgroups.snapshot import Snapshot

logger = logging.getLogger("gossipgroups")

KEY_FILE_SECONDS = 2.0
"""How often a key file is looked at."""


async def follow_keys(
    file: KeyFile,
    known: KeyRing | None,
    name: str,
    use: Callable[[KeyRing], None],
    held: Callable[[], Snapshot],
) -> None:
    """Call `use` with the ring of a file when it has changed. `known` is what it held, `name` whose it is."""
    said = ""
    unused: KeyRing | None = None
    while True:
        await trio.sleep(KEY_FILE_SECONDS)
        try:
            unused = await trio.to_thread.run_sync(file.changed, abandon_on_cancel=True) or unused
            if (ring := unused) is not None:
                use(ring)
            unused = None
        except Exception as error:  # no thread to be had, say: not worth a coordinator
            if str(error) != said:
                said = str(error)
                logger.warning("coordinator %r keeps its keys: %s", name, said)
            continue
        said = ""
        if ring is not None:
            logger.info("coordinator %r uses %r from now on", name, ring)
            if without := held().without_key(ring.ids[0]):
                names = some_of(without)
                logger.warning("key %s is not held by %s: cut off until it is", ring.ids[0], names)
            for key_id in set(known.ids if known else ()).difference(ring.ids):
                if users := held().sealing_with(key_id):
                    names = some_of(users)
                    logger.warning(
                        "removed key %s still seals what %s send: unheard from now on", key_id, names
                    )
            known = ring
