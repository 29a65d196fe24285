"""Sweeps: one function over many cases, here or on other machines, with the same results in the same order.

Law: a case holds all that its result depends on, so where it runs changes nothing. Results come in the order
of the cases; no more than a few cases per worker wait, so a sweep of a million needs no memory for them.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Case = TypeVar("Case")
Result = TypeVar("Result")
Command = TypeVar("Command", bound=Callable[..., Any])

AHEAD = 4
"""Cases per worker that are handed out before their turn."""
DASK_WORKERS = 256
"""Workers that a Dask cluster is taken to have: so many are kept busy."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where a sweep runs: in this process, in others of this machine, or on a Dask cluster."""

    jobs: int = 1
    dask: str | None = None

    @contextmanager
    def executor(self) -> Iterator[tuple[Executor | None, int]]:
        """Any `concurrent.futures` executor, and how many workers to keep busy; none for this process."""
        if self.dask is not None:
            with _dask_executor(self.dask) as pool:
                yield pool, DASK_WORKERS
        elif self.jobs > 1:
            with ProcessPoolExecutor(self.jobs) as workers:
                yield workers, self.jobs
        else:
            yield None, 1


def options(command: Command) -> Command:
    """Give a click command `--jobs` and `--dask`, which it gets as `where`."""

    @click.option(
        "--jobs",
        type=click.IntRange(1),
        default=os.cpu_count() or 1,
        show_default="processors",
        help="Processes of this machine that share the cases.",
    )
    @click.option(
        "--dask",
        metavar="ADDRESS",
        default=None,
        help="Run on the Dask cluster with this scheduler, such as tcp://10.0.0.1:8786. Its workers need "
        "this source tree on their PYTHONPATH.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, jobs: int, dask: str | None, **kwargs: Any) -> Any:
        return command(*args, where=Where(jobs, dask), **kwargs)

    return wrapped  # type: ignore[return-value]


def sweep(
    function: Callable[[Case], Result], cases: Sequence[Case], where: Where = Where(), *, label: str = ""
) -> Generator[Result, None, None]:
    """The results of a picklable function for each case, in their order, as they come.

    With a label, a progress bar is shown on standard error.
    """
    with where.executor() as (pool, workers), _progress(label) as progress:
        task = progress.add_task(label, total=len(cases))
        for result in _results(function, cases, pool, workers * AHEAD):
            progress.advance(task)
            yield result


def sweep_on(
    pool: Executor, function: Callable[[Case], Result], cases: Sequence[Case]
) -> Generator[Result, None, None]:
    """The same on an executor of the caller's."""
    yield from _results(function, cases, pool, (os.cpu_count() or 1) * AHEAD)


def _results(
    function: Callable[[Case], Result], cases: Sequence[Case], pool: Executor | None, ahead: int
) -> Generator[Result, None, None]:
    if pool is None:
        yield from map(function, cases)
        return
    waiting: deque[Future[Result]] = deque()
    try:
        for case in cases:
            waiting.append(pool.submit(function, case))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client  # noqa: PLC0415  (an extra of its own)
    except ImportError:
        raise click.ClickException(
            "--dask needs the Dask client: python -m pip install 'gossipgroups[dask]'"
        ) from None
    try:
        client = Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise click.ClickException(f"no Dask scheduler answers at {address}: {error}") from None
    with client, client.get_executor() as pool:  # type: ignore[no-untyped-call]
        yield pool


def _progress(label: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not label,
    )
