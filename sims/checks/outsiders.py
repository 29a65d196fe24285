"""Who keeps no rules, by address: nothing is promised to them.

    stranger        sends datagrams, and is no node
    twin            a copy of a node, made while it ran, that goes on elsewhere
    other version   a node whose datagrams nobody here can read

Law: what outsiders hold and tell is not held against them. What they do to the others is, by all checks.
"""

from __future__ import annotations

from typing import Literal

from gossipgroups.ids import Address

Outsider = Literal["stranger", "twin", "other version"]
Outsiders = dict[Address, Outsider]
