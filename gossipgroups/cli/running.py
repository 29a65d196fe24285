"""Running a command's trio function, and saying what went wrong with it in one line.

Law: what the user or the network did wrong is one line on standard error and exit status 1; only a defect of
ours shows a traceback.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable

import click
import trio

from gossipgroups.errors import GossipError, SeedsUnreachable

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def run(main: Callable[[], Awaitable[int]]) -> int:
    """Run a trio function; its exit status. Raises `click.ClickException` for errors that are no defect."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    failure: BaseException
    try:
        return trio.run(main)
    except* (GossipError, OSError) as group:
        failure = _first(group)
    except* KeyboardInterrupt:
        return_code = INTERRUPTED
        failure = SystemExit(return_code)
    if isinstance(failure, SystemExit):
        raise failure
    if isinstance(failure, BrokenPipeError):
        return reader_gone()
    raise click.ClickException(explain(failure))


def explain(error: BaseException) -> str:
    """An error as one line for the user."""
    if isinstance(error, SeedsUnreachable):
        return (
            f"no answer within {error.seconds:g} s from any seed of {', '.join(error.seeds)}: check that one "
            "of them runs, that --cluster and --keys are the same there, and that UDP "
            "passes; "
            "'gossipgroups node --alone' begins a cluster"
        )
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


def reader_gone() -> int:
    """Nobody reads standard output any more: let nothing fail on it, and give the exit status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
