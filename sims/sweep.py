"""Sweeps: one function over many cases, here or on other machines, with the same results in the same order.

Law: a case holds all that its result depends on, so where it runs changes nothing. Results come in the order
of the cases; no more than a few cases per worker wait, so a sweep of a million needs no memory for them.
A case that fails ends the sweep: the error names it, and what still runs or waits is dropped.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

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
DASK_TIMEOUT = 10.0
"""Seconds in which a scheduler must answer."""


class CaseFailed(Exception):
    """A case of a sweep raised: `case` says which, and `__cause__` what."""

    def __init__(self, case: object, error: BaseException) -> None:
        self.case = case
        seed = getattr(case, "seed", None)
        named = f"{case!r}" if seed is None else f"{case!r}, seed {seed},"
        if isinstance(error, BrokenExecutor):
            told = f"the processes of the sweep broke off at {named} or a case beside it"
            super().__init__(f"{told}: {error} (out of memory? try fewer --jobs)")
        else:
            super().__init__(f"the case {named} failed: {type(error).__name__}: {error}")


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
            with _processes(self.jobs) as workers:
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

    With a label, a progress bar is shown on standard error. Raises `CaseFailed`. Close it if you do not read
    it to its end: that ends the processes.
    """
    with closing(_results(function, cases, where.executor())) as results, _progress(label) as progress:
        task = progress.add_task(label, total=len(cases))
        for result in results:
            progress.advance(task)
            yield result


def sweep_on(
    pool: Executor, function: Callable[[Case], Result], cases: Sequence[Case]
) -> Generator[Result, None, None]:
    """The same on an executor of the caller's."""
    yield from _results(function, cases, nullcontext((pool, os.cpu_count() or 1)))


def _results(
    function: Callable[[Case], Result],
    cases: Sequence[Case],
    executor: AbstractContextManager[tuple[Executor | None, int]],
) -> Generator[Result, None, None]:
    waiting: deque[tuple[Case, Future[Result]]] = deque()
    try:
        with executor as (pool, workers):
            for case in cases:
                if pool is None:
                    yield _result(case, functools.partial(function, case))
                    continue
                waiting.append((case, _result(case, functools.partial(pool.submit, function, case))))
                if len(waiting) >= workers * AHEAD:
                    first, future = waiting.popleft()
                    yield _result(first, future.result)
            while waiting:
                first, future = waiting.popleft()
                yield _result(first, future.result)
    finally:
        # After the end of processes of ours: a pool that breaks stumbles over futures cancelled before.
        for _, future in waiting:
            future.cancel()


def _result(case: Case, get: Callable[[], Result]) -> Result:
    try:
        return get()
    except Exception as error:
        raise CaseFailed(case, error) from error


@contextmanager
def _processes(jobs: int) -> Iterator[Executor]:
    """Processes that end at once with the sweep, whatever ends it; Ctrl-C is left to this one."""
    others = set(multiprocessing.active_children())
    # Not forked: the progress bar has a thread of its own here.
    start = multiprocessing.get_context("spawn")
    workers = ProcessPoolExecutor(jobs, start, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        yield workers
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        raise
    finally:
        workers.shutdown()


@contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client  # noqa: PLC0415  (an extra of its own)
    except ImportError:
        raise click.ClickException(
            "--dask needs the Dask client: python -m pip install 'gossipgroups[dask]'"
        ) from None
    parts = urlsplit(address)
    if not re.fullmatch("[a-z]+", parts.scheme) or _port(parts) is None:
        # The client itself would try for long, and complain when it is dropped.
        raise click.ClickException(f"--dask {address!r}: expected an address such as tcp://10.0.0.1:8786")
    try:
        client = Client(address, timeout=DASK_TIMEOUT, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"no Dask scheduler answers at {address}: {error}. Start one with `dask scheduler`, or give the "
            "address that it prints."
        ) from None
    with client:
        pool: Executor = client.get_executor(pure=False)  # type: ignore[no-untyped-call]
        try:
            yield pool
        finally:
            pool.shutdown(wait=False)


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        return None


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
