"""Where the benchmark is: a bar on the terminal.

Law: it goes to standard error, and only when that is a terminal and rich is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Counts steps, and shows nothing."""

    def doing(self, what: str) -> None:
        """Say what is being done now."""

    def step(self) -> None:
        """One step of those announced is done."""


@contextmanager
def open_progress(steps: int) -> Iterator[Progress]:
    """A bar over so many steps, or nothing at all."""
    if not sys.stderr.isatty():
        yield Progress()
        return
    try:
        import rich.console  # noqa: PLC0415  (optional)
        import rich.progress as bars  # noqa: PLC0415
    except ImportError:
        yield Progress()
        return

    class Bar(Progress):
        def doing(self, what: str) -> None:
            shown.update(task, description=what)

        def step(self) -> None:
            shown.advance(task)

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=rich.console.Console(stderr=True), transient=True) as shown:
        task = shown.add_task("starting", total=steps)
        yield Bar()
