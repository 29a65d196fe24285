"""Settled views: truth, order and agreement, of each one that a node comes to, reported or not.

    truth       every node that it holds alive has held exactly this view, at this stamp: having held the
                same view some time before does not count. What a twin that is listened to has held, counts
    order       at one stamp a node holds one view under one live set, and stamps only rise
    agreement   settled at the same stamp, with a node in common: the same view; a node and its twin who are
                both listened to are none in common, as each may have witnessed another view
    digest      one digest of a scope stands for one view

A node that forgets a group begins with it anew, at stamp 1. So from then on order counts anew at that node,
and agreement at one stamp is not asked of that group: stamps are no longer those of one history.

Law: what is compared are marks computed from the maps, not the library's digests.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from gossipgroups.ids import NodeId
from gossipgroups.registers import GroupRegister, Register
from gossipgroups.wire.messages import ROOT, WHOLE, Scope
from sims.checks.broken import Broken
from sims.checks.holdings import Holdings, Mark, Position, alive_of
from sims.engine import Process


class Settled:
    """The check of settlements."""

    def __init__(self, holdings: Holdings, tally: Counter[str]) -> None:
        self._holdings = holdings
        self._tally = tally
        self._positions: dict[NodeId, dict[Scope, Position]] = defaultdict(dict)
        self._settled: dict[NodeId, dict[Scope, Position]] = defaultdict(dict)
        self._agreed: dict[tuple[Scope, int], dict[Mark, list[tuple[frozenset[NodeId], str]]]] = defaultdict(
            dict
        )
        self._begun_anew: set[Scope] = set()
        self._meanings: dict[tuple[Scope, int, int], Mark] = {}

    def forgotten(self, process: Process, register: Register) -> None:
        """A node has forgotten this."""
        if isinstance(register, GroupRegister):
            self._begun_anew.add(register.group)
            self._positions[process.node.node_id].pop(register.group, None)
            self._settled[process.node.node_id].pop(register.group, None)

    def look(self, process: Process) -> None:
        """Look at all scopes of a node after a call."""
        if _is_amid_a_turn(process):
            return
        node = process.node
        convergence = node._convergence
        been = self._holdings[node.node_id].been
        positions, settled = self._positions[node.node_id], self._settled[node.node_id]
        for scope, each in convergence._scopes.items():
            now = (each.stamp, each.digest, each.live)
            before = positions.get(scope)
            if before != now:
                if before is not None and now[0] <= before[0]:
                    raise Broken(
                        "order", f"{process.name}: {_named(scope)} went from (stamp, D, L) {before} to {now}"
                    )
                positions[scope] = now
                been.add((scope, now))
            if scope not in convergence.open and settled.get(scope) != now:
                self._check(process, scope, now, each.bits)

    def look_at_twin(self, process: Process) -> None:
        """Note where a twin is with all scopes."""
        if not _is_amid_a_turn(process):
            been = self._holdings.of_twin(process).been
            for scope, each in process.node._convergence._scopes.items():
                been.add((scope, (each.stamp, each.digest, each.live)))

    def who_did_not_witness(self, process: Process, scope: Scope) -> str | None:
        """Of those that a process holds alive, the first that was never where it is with a scope.

        Having been where it is with the whole is as good. `None` when there is nobody.
        """
        alive = alive_of(process.node.state.replica)
        positions = self._positions[process.node.node_id]
        who = self._who_was_not_at(scope, positions.get(scope), alive)
        return who and self._who_was_not_at(WHOLE, positions.get(WHOLE), alive)

    def _who_was_not_at(self, scope: Scope, position: Position | None, nodes: Iterable[NodeId]) -> str | None:
        for node_id in nodes:
            named = self._holdings.in_name_of(node_id)
            if position is None or not any((scope, position) in each.been for each in named):
                return self._holdings[node_id].process.name if node_id in self._holdings else node_id.hex()
        return None

    def _has_one_voice(self, nodes: Iterable[NodeId]) -> bool:
        """Whether any of these nodes has no twin that is listened to."""
        return any(len(self._holdings.in_name_of(each)) < 2 for each in nodes)

    def _check(self, process: Process, scope: Scope, now: Position, bits: int) -> None:
        node = process.node
        replica = node.state.replica
        live = node.state.live
        if now[2] != live.digest:
            return  # closed under an older live set, and nobody has asked since
        if bits.bit_count() < len(live) - len(live.suspects):
            return
        alive = frozenset(alive_of(replica))
        held = {node_id for place, node_id in enumerate(live.ids) if bits >> place & 1}
        if not alive <= held:
            return  # never opened under this live set: nothing is claimed
        self._settled[node.node_id][scope] = now
        # A node alone settles at once: that shows nothing.
        self._tally["settled reports"] += len(live) > 1
        self._tally[f"settled {'group' if isinstance(scope, str) else _named(scope)}"] += 1
        name = self._holdings.who_never_held(process, scope)
        if name is not None:
            raise Broken("truth", f"{process.name} settled {_named(scope)}, but {name} never held this view")
        if who := self._who_was_not_at(scope, now, alive):
            raise Broken(
                "truth",
                f"{process.name} settled {_named(scope)}, but {who} never held this view at stamp {now[0]}, "
                "at most some time before",
            )
        mark = self._holdings[node.node_id].of(scope)
        meaning = self._meanings.setdefault((scope, now[1], now[2] if scope in (ROOT, WHOLE) else 0), mark)
        if meaning != mark:
            raise Broken("digest", f"{process.name}: one digest of {_named(scope)} for two views")
        if scope in self._begun_anew:
            return
        agreed = self._agreed[scope, now[0]]
        for other, settlers in agreed.items():
            if other == mark:
                continue
            for others, who in settlers:
                if self._has_one_voice(alive & others):
                    raise Broken(
                        "agreement",
                        f"{process.name} and {who} settled {_named(scope)} differently at stamp {now[0]}",
                    )
        agreed.setdefault(mark, []).append((alive, process.name))


def _is_amid_a_turn(process: Process) -> bool:
    """What was received is compared at the end of the turn: no claim is made before."""
    node, state = process.node, process.node.state
    root = (state.epochs_digest, state.live.version)
    return bool(state.views.touched) or node._settler._root_seen != root


def _named(scope: Scope) -> str:
    if isinstance(scope, str):
        return scope
    return "root" if scope == ROOT else "whole"
