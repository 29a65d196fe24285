"""The ledger: every record that workers sent, and the changes that are waited for.

Law: a callback belongs to at most one change, once for each observer that owes it; whatever belongs to none
is unexpected. So a callback that is missing, doubled or false shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import trio

GROUP_KINDS = frozenset({"joined", "left", "failed", "deleted"})


@dataclass(frozen=True, slots=True)
class Record:
    """One callback or accusation: `at` is the observer's stamp in seconds."""

    observer: str
    kind: str
    subject: str
    at: float
    converged: bool


@dataclass(slots=True, eq=False)
class Change:
    """A change of the group that observers owe one callback each."""

    kind: str
    subject: str
    owed: set[str]
    welcome: set[str]
    records: dict[str, Record] = field(default_factory=dict)
    complete: trio.Event = field(default_factory=trio.Event)

    def take(self, record: Record) -> bool:
        """Whether the record's observer owed it, or may give it; nobody gives it twice."""
        if record.observer in self.welcome:
            self.welcome.discard(record.observer)
            return True
        if record.observer not in self.owed:
            return False
        self.owed.discard(record.observer)
        self.records[record.observer] = record
        if not self.owed:
            self.complete.set()
        return True

    @property
    def last(self) -> float | None:
        """The stamp of the last callback; `None` without any."""
        return max((record.at for record in self.records.values()), default=None)

    @property
    def unconverged(self) -> int:
        """Callbacks that came at their deadline, before the change had converged."""
        return sum(not record.converged for record in self.records.values())


class Ledger:
    """All records of one cluster."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.unexpected: list[Record] = []
        self.accusations: list[Record] = []
        """Those of nodes that nothing had happened to."""
        self.gone: set[str] = set()
        """Nodes whose accusation is right: they were killed, stopped or cut off."""
        self._expected: dict[tuple[str, str], list[Change]] = {}

    def expect(
        self, kind: str, subject: str, observers: Iterable[str], welcome: Iterable[str] = ()
    ) -> Change:
        """A change that is about to be made: who owes a callback, and who may give one but need not."""
        change = Change(kind, subject, set(observers), set(welcome))
        self._expected.setdefault((kind, subject), []).append(change)
        return change

    async def outcome(self, change: Change, limit: float) -> bool:
        """Wait until nothing is owed of a change, at most `limit` seconds; whether that came about."""
        with trio.move_on_after(limit):
            await change.complete.wait()
        self._expected[change.kind, change.subject].remove(change)
        return change.complete.is_set()

    def take(self, record: Record) -> None:
        """Enter a record that came."""
        self.records.append(record)
        if record.kind not in GROUP_KINDS:
            if record.subject not in self.gone:
                self.accusations.append(record)
        else:
            changes = self._expected.get((record.kind, record.subject), ())
            if not any(change.take(record) for change in changes):
                self.unexpected.append(record)

    def count(self, kind: str, subject: str, observer: str | None = None) -> int:
        """How many records of a kind there are about a subject."""
        return sum(
            (record.kind, record.subject) == (kind, subject) and observer in (None, record.observer)
            for record in self.records
        )

    def false_accusations(self, kind: str) -> int:
        """How many accusations of a kind were of nodes that were well."""
        return sum(record.kind == kind for record in self.accusations)
