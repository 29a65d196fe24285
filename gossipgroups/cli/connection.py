"""How a command reaches its cluster: options that several commands share, and the coordinator they open.

Law: an option given wins over its environment variable, and that over the default; addresses are judged by
the library, so a command line, a URL and the API refuse the same values with the same words.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import click

from gossipgroups.config import PRESETS
from gossipgroups.coordinator import Coordinator, open_coordinator
from gossipgroups.url import check_seed, default_bind


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a coordinator binds, and whom it looks for: as the arguments of `open_coordinator`."""

    seeds: tuple[str, ...] | None
    bind: str | None
    advertise: str | None
    cluster: str
    preset: str
    join_timeout: float
    keys: str | None = None

    def without_seeds(self) -> Connection:
        """The same, looking for nobody."""
        return replace(self, seeds=())

    def open(self, member_id: str) -> AbstractAsyncContextManager[Coordinator]:
        """A coordinator of these settings. Raises as `open_coordinator` does."""
        seeds = None if self.seeds is None else tuple(map(check_seed, self.seeds))
        return open_coordinator(
            member_id,
            bind=self.bind or default_bind(seeds),
            advertise=self.advertise,
            seeds=seeds,
            cluster=self.cluster,
            config=PRESETS[self.preset](),
            join_timeout=self.join_timeout,
            keys=self.keys,
        )


KEYS_VARIABLE = "GOSSIPGROUPS_KEYS"
Command = Callable[..., Any]

_BIND_HELP = (
    "UDP address to bind; port 0 draws one. Default: loopback, or every interface when a seed is on another "
    "machine."
)
_BIND = click.option(
    "--bind",
    metavar="HOST:PORT",
    envvar="GOSSIPGROUPS_BIND",
    show_envvar=True,
    help=_BIND_HELP,
)
# An observer beside a node has the node's environment, and cannot have its port.
_BIND_OBSERVER = click.option("--bind", metavar="HOST:PORT", help=_BIND_HELP)

_OPTIONS = (
    click.option(
        "--seeds",
        multiple=True,
        metavar="HOST:PORT,…",
        envvar="GOSSIPGROUPS_SEEDS",
        show_envvar=True,
        help="Other coordinators to join, separated by commas; repeatable. Without it, those of this user on "
        "this machine are found by themselves.",
    ),
    click.option(
        "--advertise",
        metavar="HOST:PORT",
        help="Address told to others, when it is not the one bound (NAT, containers).",
    ),
    click.option(
        "--cluster",
        metavar="NAME",
        default="default",
        show_default=True,
        envvar="GOSSIPGROUPS_CLUSTER",
        show_envvar=True,
        help="Clusters of different names never mix.",
    ),
    click.option(
        "--preset",
        type=click.Choice(sorted(PRESETS)),
        default="lan",
        show_default=True,
        help="Timing: one machine, one data centre, or data centres apart.",
    ),
    click.option(
        "--join-timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        default=5.0,
        show_default=True,
        help="How long the seeds may take to answer.",
    ),
    click.option(
        "--keys",
        metavar="FILE",
        envvar=KEYS_VARIABLE,
        show_envvar=True,
        help="Seal all datagrams with the keys of this file, whose changes are followed; env:NAME takes them "
        "from an environment variable. Never a key itself.",
    ),
)


def node_options(command: Command) -> Command:
    """Give a command that is a node the shared options, passed to it as one `connection`."""
    return _with_options(command, (_OPTIONS[0], _BIND, *_OPTIONS[1:]))


def observer_options(command: Command) -> Command:
    """The same for a command that only looks."""
    return _with_options(command, (_OPTIONS[0], _BIND_OBSERVER, *_OPTIONS[1:]))


def _with_options(command: Command, options: tuple[Command, ...]) -> Command:

    @functools.wraps(command)
    def with_connection(
        *,
        seeds: tuple[str, ...],
        bind: str | None,
        advertise: str | None,
        cluster: str,
        preset: str,
        join_timeout: float,
        keys: str | None,
        **others: Any,
    ) -> Any:
        if keys is None and os.environ.get(KEYS_VARIABLE) == "":
            raise click.UsageError(f"{KEYS_VARIABLE} is empty: unset it to have no keys")
        named = tuple(seed for text in seeds for seed in text.split(",") if seed.strip())
        if seeds and not named:
            raise click.UsageError("--seeds is empty: name a seed, or leave it out to look on this machine")
        connection = Connection(
            seeds=named or None,
            bind=bind,
            advertise=advertise,
            cluster=cluster,
            preset=preset,
            join_timeout=join_timeout,
            keys=keys,
        )
        return command(connection=connection, **others)

    for option in reversed(options):
        with_connection = option(with_connection)
    return with_connection
