"""`gossipgroups keygen` and `gossipgroups keys`, and their options."""

from __future__ import annotations

import sys

import click

from gossipgroups.cli.options import as_json_option
from gossipgroups.cli.running import run


@click.command()
@click.option(
    "--out", type=click.Path(), metavar="FILE", help="Write a new key file, and print the key's id."
)
def keygen(out: str | None) -> None:
    """Make a cluster key: 256 random bits, printed as a line of a key file.

    Every node of a cluster needs the same key file. Whoever reads it can take part and forge anything.

    \b
    Examples:
      gossipgroups keygen --out cluster.keys
      gossipgroups node --keys cluster.keys
    """  # noqa: D301  (click reads the character)
    from gossipgroups.cli.keys import make_key  # noqa: PLC0415

    sys.exit(run(lambda: make_key(out)))


@click.group()
def keys() -> None:
    """Look at a key file, and rotate its keys.

    Coordinators follow their key file, so a rotation without downtime is three changes, each made on all
    machines before the next: add, use, remove. `gossipgroups nodes` shows which node holds which keys.

    \b
    Example, with the file copied to all machines after each step:
      gossipgroups keys add cluster.keys
      gossipgroups keys use cluster.keys 9c41
      gossipgroups keys remove cluster.keys 07fe
    """  # noqa: D301  (click reads the character)


_key_file = click.argument("file", type=click.Path())
_key_id = click.argument("key_id")


@keys.command("list")
@_key_file
@as_json_option
def keys_list(file: str, as_json: bool) -> None:
    """Print the ids of the keys in FILE."""
    from gossipgroups.cli.keys import list_keys  # noqa: PLC0415

    sys.exit(run(lambda: list_keys(file, as_json)))


@keys.command("add")
@_key_file
@click.option(
    "--from", "source", type=click.Path(), metavar="FILE", help="Add the keys of this file instead."
)
def keys_add(file: str, source: str | None) -> None:
    """Add a new key to FILE: it opens datagrams, and seals none yet."""
    from gossipgroups.cli.keys import add_key  # noqa: PLC0415

    sys.exit(run(lambda: add_key(file, source)))


@keys.command("use")
@_key_file
@_key_id
def keys_use(file: str, key_id: str) -> None:
    """Let the key KEY_ID of FILE seal from now on. All nodes must hold it before."""
    from gossipgroups.cli.keys import change_keys  # noqa: PLC0415

    sys.exit(run(lambda: change_keys(file, lambda ring: ring.use(key_id))))


@keys.command("remove")
@_key_file
@_key_id
def keys_remove(file: str, key_id: str) -> None:
    """Remove the key KEY_ID from FILE. No node may seal with it any more."""
    from gossipgroups.cli.keys import change_keys  # noqa: PLC0415

    sys.exit(run(lambda: change_keys(file, lambda ring: ring.remove(key_id))))
