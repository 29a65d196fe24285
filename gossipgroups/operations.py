"""The operations of one coordinator: carried out in call order, done once their changes were reported.

Law: an operation is accepted or refused exactly once, and after all that were called before it; it is done
when every scope that it changed or waits for was reported, converged or past the deadline, and says which.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gossipgroups.errors import GossipError
from gossipgroups.groups.rules import Command, Rules, Settle
from gossipgroups.ids import NodeId
from gossipgroups.registers import GroupRegister, NodeRegister, Register
from gossipgroups.wire.messages import ROOT, Scope


@dataclass(frozen=True, slots=True)
class Applied:
    """The operation is part of this node's state."""

    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """The operation's changes were reported. `converged` is false when the deadline passed first."""

    number: int
    converged: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The operation changed nothing, and why."""

    number: int
    error: GossipError


Outcome = Applied | Done | Refused


class Operations:
    """The queue of operations, and those that wait for their changes to be reported."""

    def __init__(
        self, rules: Rules, apply: Callable[[Register], object], challenge: Callable[[NodeId], None]
    ) -> None:
        self._rules = rules
        self._apply = apply
        self._challenge = challenge
        self._queue: deque[tuple[int, Command]] = deque()
        self._challenged: NodeId | None = None
        self._verdicts: dict[NodeId, bool] = {}
        self._waiting: dict[int, set[Scope]] = {}
        self._unconverged: set[int] = set()
        self._settling: list[tuple[int, Settle]] = []
        self._last = 0
        self.outcomes: list[Outcome] = []

    @property
    def idle(self) -> bool:
        """Whether the queue is empty."""
        return not self._queue

    @property
    def waiting(self) -> bool:
        """Whether some operation was carried out and is not done."""
        return bool(self._waiting or self._settling)

    @property
    def awaited(self) -> set[Scope]:
        """Scopes whose report some operation waits for."""
        return set().union(*self._waiting.values())

    def submit(self, command: Command) -> int:
        """Queue an operation; its outcomes carry the number returned."""
        self._last += 1
        self._queue.append((self._last, command))
        return self._last

    def run(self) -> None:
        """Carry out what can be carried out now."""
        while self._queue:
            number, command = self._queue[0]
            holder = self._rules.holder(command)
            if holder is not None and holder not in self._verdicts:
                if self._challenged != holder:
                    self._challenged = holder
                    self._verdicts.clear()  # whoever held it before may be back by the time it holds it again
                    self._challenge(holder)
                return
            self._queue.popleft()
            took_over = holder is not None and not self._verdicts[holder]
            self._challenged = None
            self._verdicts.clear()
            self._carry_out(number, command, took_over)

    def refuse_all(self, error: GossipError) -> None:
        """Refuse what was not carried out yet: the node leaves, and may take nothing over any more."""
        while self._queue:
            number, _ = self._queue.popleft()
            self.outcomes.append(Refused(number, error))

    def challenged(self, holder: NodeId, alive: bool) -> None:
        """The node that holds a wanted member id has answered, or has not."""
        if holder == self._challenged:
            self._verdicts[holder] = alive

    def pending(self, scopes: Collection[Scope]) -> None:
        """These scopes are not told yet; operations that wait for whatever is on its way, wait for them."""
        for number, settle in self._settling:
            awaited = {scope for scope in scopes if settle.group in (None, scope)}
            if awaited:
                self._waiting[number] = awaited
            else:
                self._finish(number)
        self._settling.clear()

    def reported(self, scope: Scope, converged: bool) -> None:
        """A scope's changes were told to the application."""
        for number, scopes in list(self._waiting.items()):
            if scope in scopes:
                scopes.discard(scope)
                if not converged:
                    self._unconverged.add(number)
                if not scopes:
                    self._finish(number)

    def _carry_out(self, number: int, command: Command, took_over: bool) -> None:
        try:
            registers = self._rules.registers(command, took_over)
        except GossipError as error:
            self.outcomes.append(Refused(number, error))
            return
        for register in registers:
            self._apply(register)
        if any(self._rules.is_ahead(register) for register in registers):
            self._unconverged.add(number)
        self.outcomes.append(Applied(number))
        if isinstance(command, Settle):
            self._settling.append((number, command))
            return
        if registers:
            self._waiting[number] = {_scope(register) for register in registers}
        else:
            self._finish(number)

    def _finish(self, number: int) -> None:
        self._waiting.pop(number, None)
        self.outcomes.append(Done(number, number not in self._unconverged))
        self._unconverged.discard(number)


def _scope(register: Register) -> Scope:
    return ROOT if isinstance(register, GroupRegister | NodeRegister) else register.group
