"""The command: `python -m sims.partitioner failover` or `churn`, for any tooz URL.

Law: the exit status is 0 only when every ring became right and tooz never raised.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import click
import rich
import trio

from sims.loopback.progress import Progress, open_progress
from sims.partitioner.measure import CHANGE_SECONDS, Found, churn, failover
from sims.partitioner.seed import running_seed

Measure = Callable[[str, Progress], Awaitable[Found]]


@click.group(help=__doc__)
def main() -> None:
    """Measure tooz partitioners."""


_url = click.option("--url", help="A tooz URL.  [default: gossip:// with a seed of its own]")
_poll = click.option(
    "--poll",
    type=click.FloatRange(0, min_open=True),
    default=0.5,
    show_default=True,
    help="Seconds between two run_watchers.",
)
_seed = click.option(
    "--seed", type=int, default=1, show_default=True, help="Decides what happens, though not how fast."
)


@main.command("failover")
@click.option(
    "--runs", type=click.IntRange(1), default=20, show_default=True, help="Members killed, one a run."
)
@_url
@_poll
@_seed
def _failover(runs: int, url: str | None, poll: float, seed: int) -> None:
    """Kill one of three members: how long until the others own every partition."""
    _measure(url, runs, lambda url, progress: failover(url, poll, runs, random.Random(seed), progress))


@main.command("churn")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="How long members come and go.",
)
@_url
@_poll
@_seed
def _churn(seconds: float, url: str | None, poll: float, seed: int) -> None:
    """Let members join, stop and die at random: whether every ring is right at the end."""
    steps = round(seconds / CHANGE_SECONDS)
    _measure(url, steps, lambda url, progress: churn(url, poll, seconds, random.Random(seed), progress))


def _measure(url: str | None, steps: int, measure: Measure) -> None:
    with ExitStack() as stack:
        url = url or f"gossip://{stack.enter_context(running_seed())}"
        progress = stack.enter_context(open_progress(steps))
        found = trio.run(measure, url, progress)
    rich.print(found.table.rich())
    for trouble in found.troubles:
        click.echo(trouble, err=True)
    sys.exit(bool(found.troubles))


if __name__ == "__main__":
    main()
