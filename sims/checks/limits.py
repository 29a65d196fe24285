"""Limits: what a node keeps is bounded by what it holds, or by a named constant.

Law: each row of `LIMITS` names something that grows, says how much there is at a node, and how much there may
be. What a socket's buffer holds and what a datagram has in bytes is bounded too. What is spent in a time
is held in budgets.py.
"""

from __future__ import annotations

from collections.abc import Callable

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.contacts import CATCH_UP, PENDING
from gossipgroups.node import Node
from gossipgroups.reconcile import REQUESTS
from gossipgroups.settling import FAREWELLS
from gossipgroups.status import Status
from gossipgroups.swim.probe import Purpose
from gossipgroups.swim.relays import RELAYS
from sims.checks.broken import Broken
from sims.engine import Process

Measure = Callable[[Node], float]


def _registers(node: Node) -> int:
    return len(node.state.replica.by_hash)


def _nodes(node: Node) -> int:
    return len(node.state.replica.nodes)


def _accusers(node: Node) -> int:
    return sum(len(each.accusers) for each in node._detector.suspicions.values())


def _presences(node: Node) -> int:
    return sum(map(len, node.state.replica.presences.values()))


def _probes(node: Node, purpose: Purpose) -> int:
    return sum(1 for each in node._prober._probes.values() if each.purpose is purpose)


def _overlapping(node: Node) -> int:
    """Probes that may be under way at once for one target: one lasts so many periods."""
    return 2 + node.config.awareness_limit


LIMITS: dict[str, tuple[Measure, Measure]] = {
    # One for each key: a newer register takes the older one's place.
    "rumours": (lambda node: len(node._rumours), lambda node: _registers(node) + _accusers(node)),
    "tombstones": (lambda node: len(node.state.tombstones), _registers),
    "relays": (lambda node: len(node._prober.relays), lambda node: RELAYS),
    "probes of the round": (
        lambda node: _probes(node, Purpose.ROUND),
        lambda node: _overlapping(node) * max(1, _nodes(node)),
    ),
    "probes of challenges": (
        lambda node: _probes(node, Purpose.CHALLENGE),
        lambda node: _overlapping(node) * max(1, _nodes(node)),
    ),
    "probes of doubts": (lambda node: _probes(node, Purpose.DOUBT), _nodes),
    "doubts": (lambda node: len(node._detector._doubts), _nodes),
    "suspicions": (
        lambda node: len(node._detector.suspicions),
        lambda node: sum(each.status is Status.SUSPECT for each in node.state.replica.nodes.values()),
    ),
    "accusers": (_accusers, lambda node: len(node._detector.suspicions) * max(1, _nodes(node))),
    "awareness": (lambda node: node._prober.awareness.score, lambda node: node.config.awareness_limit),
    "farewells": (lambda node: len(node._settler._farewells), lambda node: FAREWELLS),
    "contacts": (lambda node: len(node._contacts._pending), lambda node: PENDING),
    "catch-ups": (lambda node: node._contacts._catch_ups, lambda node: CATCH_UP + 1),
    "requests for repair": (lambda node: len(node._reconciler._requests), lambda node: REQUESTS),
    "scopes": (
        lambda node: len(node._convergence._scopes),
        lambda node: len(node.state.replica.groups.keys() | node.state.replica.presences.keys()) + 2,
    ),
    "open scopes": (
        lambda node: len(node._convergence.open),
        lambda node: len(node._convergence._scopes),
    ),
    "members shown and not told": (
        lambda node: sum(map(len, node._reports._shown.values())),
        _presences,
    ),
    "members told and not shown": (
        lambda node: sum(map(len, node._reports._hidden.values())),
        _presences,
    ),
}
"""What grows, how much of it a node has, and how much it may have."""


def check_limits(process: Process, started: int) -> None:
    """Hold a process against its limits; `started` processes have run so far."""
    node = process.node
    for what, (has, may_have) in LIMITS.items():
        if has(node) > may_have(node):
            raise Broken("limit", f"{process.name} has {has(node)} {what}: at most {may_have(node)}")
    if _nodes(node) > started:
        raise Broken("limit", f"{process.name} holds {_nodes(node)} nodes of {started} that ever ran")
    # What has settled keeps its bits, also when a node of then is forgotten.
    bits = max(each.bits.bit_length() for each in node._convergence._scopes.values())
    if bits > started:
        raise Broken("limit", f"{process.name} has {bits} bits for {started} nodes that ever ran")
    waiting = process.inbox_bytes
    if waiting > process.buffer_bytes:
        raise Broken("limit", f"{process.name}: {waiting} bytes wait in {process.buffer_bytes} of its socket")


def check_datagram(process: Process, datagram: bytes) -> None:
    """Hold a datagram against the limit of its bytes."""
    if len(datagram) > DATAGRAM_BYTES:
        raise Broken("limit", f"{process.name} sent {len(datagram)} bytes: at most {DATAGRAM_BYTES}")
