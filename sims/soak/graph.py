"""The graph of a node's own objects: every table in it by name, with its length, and its size in bytes.

Law: each object is counted once, under the shortest path that leads to it. Registers are no tables, and what
a node only refers to (its config, its chance, functions, classes) is not its own.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Iterator
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from gossipgroups.config import Config
from gossipgroups.node import Node
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister

TABLES = (dict, set, frozenset, list, deque)
REGISTERS = (NodeRegister, GroupRegister, PresenceRegister)
FOREIGN = (Config, random.Random, FunctionType, BuiltinFunctionType, MethodType, ModuleType, type, Enum)
PACKAGE = "gossipgroups."


def tables_of(node: Node) -> dict[str, float]:
    """The number of entries of each table of a node; tables within a table are summed under `[]`."""
    counts: dict[str, float] = {}
    for path, found in _walk(node):
        if isinstance(found, TABLES):
            counts[path] = counts.get(path, 0) + len(found)
    return counts


def bytes_of(node: Node) -> int:
    """Bytes of all that a node reaches, its registers included, as if it were alone in its process."""
    return sum(sys.getsizeof(found) for _, found in _walk(node))


def _walk(node: Node) -> Iterator[tuple[str, Any]]:
    """Everything that is a node's own, once each, nearest first."""
    seen = {id(node)}
    waiting: deque[tuple[str, Any]] = deque([("", node)])
    while waiting:
        path, found = waiting.popleft()
        yield path, found
        for name, part in _parts(found):
            if id(part) not in seen and not isinstance(part, FOREIGN):
                seen.add(id(part))
                inner = f"{path}.{name}" if path and name != "[]" else path + name
                waiting.append((inner, part))


def _parts(found: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(found, dict):
        for key, value in found.items():
            yield "[]", key
            yield "[]", value
    elif isinstance(found, (*TABLES, tuple)):
        for each in found:
            yield "[]", each
    if type(found).__module__.startswith(PACKAGE):
        for name in _attributes(found):
            if hasattr(found, name):
                yield name, getattr(found, name)


def _attributes(found: Any) -> Iterator[str]:
    yield from vars(found) if hasattr(found, "__dict__") else ()
    for kind in type(found).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots
