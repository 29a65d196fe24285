"""What everybody was to be told in the demo, and what they were told: the demo's verdict.

Law: an observer is owed the steps that name it, in their order, each once. Being told anything but what it is
owed next is a fault; so is what had not converged. No faults and nothing owed: the demo succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KNOWN = "NodesKnown"
"""The event of a step that no callback tells: an observer holds all nodes."""


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that an observer was told. `member` and `reason` are `None` where the event has none."""

    event: str
    member: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        if self.event == KNOWN:
            return "all nodes are there"
        if self.event == "GroupCreated":
            return "the group was created"
        if self.event == "MemberJoinedGroup":
            return f"{self.member} joined"
        return f"{self.member} left" if self.reason == "left" else f"{self.member} left ({self.reason})"


@dataclass(slots=True, eq=False)
class Step:
    """One change: who is owed it, when it was made, and when each was told (monotonic seconds)."""

    title: str
    owed: Told
    observers: tuple[str, ...]
    origin: float | None = None
    told: dict[str, float] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[str, ...]:
        """The observers who were not told yet."""
        return tuple(each for each in self.observers if each not in self.told)

    @property
    def complete(self) -> bool:
        """Whether everybody was told, and it is known after how long."""
        return self.origin is not None and not self.missing

    def latencies(self) -> dict[str, float]:
        """Milliseconds from the cause to each observer's callback, the first observer first."""
        if self.origin is None:
            return {}
        each = {observer: max(0.0, at - self.origin) * 1000 for observer, at in self.told.items()}
        return dict(sorted(each.items(), key=lambda item: item[1]))

    def row(self) -> dict[str, Any]:
        """The step as JSON has it."""
        latencies = {observer: round(value, 3) for observer, value in self.latencies().items()}
        names = list(latencies)
        return {
            "step": self.title,
            "event": self.owed.event,
            "member_id": self.owed.member,
            "reason": self.owed.reason,
            "observers": len(self.observers),
            "missing": list(self.missing),
            "first_observer": names[0] if names else None,
            "first_ms": latencies[names[0]] if names else None,
            "last_observer": names[-1] if names else None,
            "last_ms": latencies[names[-1]] if names else None,
            "ms": latencies,
        }


class Ledger:
    """The steps so far, and what went wrong."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.faults: list[str] = []

    def owe(self, title: str, owed: Told, observers: list[str], origin: float | None = None) -> Step:
        """Begin a step, before its change is made."""
        step = Step(title, owed, tuple(observers), origin)
        self.steps.append(step)
        return step

    def tell(self, observer: str, told: Told, at: float, converged: bool = True) -> None:
        """An observer was told something."""
        step = self._next(observer)
        if step is None or step.owed != told:
            waited = "nothing" if step is None else f"'{step.owed}'"
            self.faults.append(f"{observer} was told '{told}' when it was owed {waited}")
            return
        step.told[observer] = at
        if not converged:
            self.faults.append(f"{observer} was told '{told}' before it had converged")

    def close(self) -> list[str]:
        """All that went wrong, with what is still owed; empty when the demo succeeded."""
        owing = [
            f"not told to {', '.join(step.missing)}: {step.title}" for step in self.steps if step.missing
        ]
        return [*self.faults, *owing]

    def _next(self, observer: str) -> Step | None:
        for step in self.steps:
            if observer in step.observers and observer not in step.told:
                return step
        return None
