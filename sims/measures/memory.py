"""What a node keeps in memory: all that can be reached from it, and is not code.

Law: an object counts once. What nodes of one process share counts for each of them, as if each had a process
of its own.
"""

from __future__ import annotations

import gc
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from gossipgroups.node import Node

CODE = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""What is there whether or not there is a node."""


def held_bytes(node: Node) -> int:
    """Bytes of everything that a node holds."""
    seen: set[int] = set()
    waiting: list[Any] = [node]
    total = 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, CODE):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        waiting += gc.get_referents(each)
    return total
