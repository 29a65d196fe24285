"""A promise was broken: which one, by whom, and what was seen."""

from __future__ import annotations


class Broken(AssertionError):
    """Raised by a check. `promise` is one word; two breaches of one promise count as the same defect."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(promise, text)
        self.promise = promise
        self.text = text

    def __str__(self) -> str:
        return f"{self.promise}: {self.text}"
