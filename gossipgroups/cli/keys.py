"""Key files on the command line: make one, look at it, rotate it.

Law: a key is written to a file or, by `keygen` alone, to standard output; everything else prints ids. A file
is replaced as a whole, so a coordinator that follows it never reads half of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from gossipgroups.cli.console import open_console, table
from gossipgroups.key_source import KeyFile
from gossipgroups.keys import Key, KeyRing


async def make_key(path: str | None) -> int:
    """Print a new key, or write a new key file with it and print its id."""
    key = Key.generate(os.urandom)
    if path is None:
        print(key.text)
    else:
        KeyFile(path).write(KeyRing([key]), new=True)
        print(key.id)
    return 0


async def list_keys(path: str, as_json: bool) -> int:
    """Print the ids of a key file, that of the key that seals first."""
    ids = KeyFile(path).read().ids
    rows = [(key_id, "seals and opens" if place == 0 else "opens") for place, key_id in enumerate(ids)]
    if as_json:
        print(json.dumps([{"key_id": key_id, "seals": place == 0} for place, key_id in enumerate(ids)]))
    else:
        open_console().print(table(("key", "use"), rows))
    return 0


async def add_key(path: str, source: str | None) -> int:
    """Add a new key to a file, or those of another file, and print the ids that are new."""
    added = [Key.generate(os.urandom)] if source is None else KeyFile(source).read().keys
    file = KeyFile(path)
    ring = old = file.read()
    for key in added:
        ring = ring.add(key)
    file.write(ring)
    print("\n".join(key.id for key in ring.keys if key not in old.keys) or "it holds these keys already")
    return 0


async def change_keys(path: str, change: Callable[[KeyRing], KeyRing]) -> int:
    """Put a changed ring in the place of a file's."""
    file = KeyFile(path)
    file.write(change(file.read()))
    return await list_keys(path, as_json=False)
