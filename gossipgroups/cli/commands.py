"""The commands and their options; what each does is in its own file.

Law: nothing is decided here. An option is read, checked for its form, and passed on; the exit status is what
the command returns.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

import click

from gossipgroups import __version__
from gossipgroups.cli.connection import Connection, node_options, observer_options
from gossipgroups.cli.lines import Printer
from gossipgroups.cli.node import Plan, run_node
from gossipgroups.cli.running import run
from gossipgroups.config import PRESETS
from gossipgroups.errors import InvalidValue
from gossipgroups.key_source import KEY_ITSELF
from gossipgroups.keys import looks_like_key

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


class Discreet(click.Group):
    """Repeats no key that was given where none belongs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises what it does, without a key in the message."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            if looks_like_key(error.message):
                kind = click.UsageError if isinstance(error, click.UsageError) else click.ClickException
                raise kind(KEY_ITSELF) from None
            raise


@click.group(cls=Discreet, context_settings=_SETTINGS)
@click.version_option(__version__, "-V", "--version", prog_name="gossipgroups")
def gossipgroups() -> None:
    """Group membership between processes, without a server.

    \b
    See it run:             gossipgroups demo
    One node, in a group:   gossipgroups node --group workers
    Another, from afar:     gossipgroups node --group workers --seeds 192.0.2.7:7946
    Look:                   gossipgroups groups
                            gossipgroups members workers
                            gossipgroups nodes
    What to expect:         gossipgroups plan --nodes 500 --loss 1%
    Keep strangers out:     gossipgroups keygen --out cluster.keys
                            gossipgroups node --keys cluster.keys
    """  # noqa: D301  (click reads the character)
    # A name that the terminal's encoding lacks must not end a node.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@gossipgroups.command()
@click.option("--nodes", type=click.IntRange(3, 64), default=5, show_default=True, help="Processes to start.")
@click.option("--preset", type=click.Choice(["local", "lan"]), default="lan", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print nothing but one JSON object at the end.")
def demo(nodes: int, preset: str, as_json: bool) -> None:
    """See five processes form a group, and lose one.

    They find each other over loopback and join a group; one is killed and restarted, one is stopped. Every
    callback is shown with the milliseconds from its cause. The exit status is 0 only if everybody was told
    everything, in order.

    \b
    Examples:
      gossipgroups demo
      gossipgroups demo --nodes 12
      gossipgroups demo --json
    """  # noqa: D301  (click reads the character)
    from gossipgroups.cli.demo import run_demo  # noqa: PLC0415  (a node need not wait for rich)

    sys.exit(run(lambda: run_demo(nodes, preset, as_json)))


@gossipgroups.command()
@click.option("--member-id", metavar="ID", help="Name of this node and member.  [default: hostname-pid]")
@click.option(
    "--group", "groups", multiple=True, metavar="NAME", help="Join, and create if missing; repeatable."
)
@click.option(
    "--capabilities", metavar="JSON", help="What this member tells the others in its groups, up to 512 bytes."
)
@click.option(
    "--watch",
    "watched",
    multiple=True,
    metavar="NAME",
    help="Print joins and leaves of this group only, as its callbacks get them: exactly the changes since "
    "the start; repeatable.",
)
@click.option("--alone", is_flag=True, help="Look for nobody: begin a cluster that others join.")
@click.option(
    "--stdin",
    is_flag=True,
    help="Read operations from standard input, one a line (create GROUP, delete GROUP, join GROUP [JSON], "
    "update GROUP JSON, leave GROUP); its end stops the node.",
)
@node_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_context
def node(  # noqa: PLR0913  (one argument an option)
    context: click.Context,
    *,
    member_id: str | None,
    groups: tuple[str, ...],
    capabilities: str | None,
    watched: tuple[str, ...],
    alone: bool,
    stdin: bool,
    connection: Connection,
    as_json: bool,
) -> None:
    """Run one node until it is interrupted, and print what happens.

    The first line says the address and the node id. Ctrl-C or SIGTERM leaves all groups, with exit status 0.

    \b
    Examples:
      gossipgroups node --group workers --capabilities '{"slots": 4}'
      gossipgroups node --bind 0.0.0.0:7946 --cluster blue
      gossipgroups node --seeds 192.0.2.7:7946,192.0.2.8:7946 --json
    """  # noqa: D301  (click reads the character)
    if alone:
        if context.get_parameter_source("seeds") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("--alone looks for nobody, --seeds for somebody: give one of them")
        connection = connection.without_seeds()
    plan = Plan(
        member_id=member_id if member_id is not None else f"{socket.gethostname()}-{os.getpid()}",
        groups=groups,
        watched=watched,
        capabilities=_parse_json(capabilities),
        stdin=stdin,
    )
    sys.exit(run(lambda: run_node(plan, connection, Printer(as_json))))


@gossipgroups.command()
@observer_options
@_as_json
def groups(connection: Connection, as_json: bool) -> None:
    """Print the groups of a cluster, and who is in them."""
    from gossipgroups.cli.show import show_groups  # noqa: PLC0415

    sys.exit(run(lambda: show_groups(connection, as_json)))


@gossipgroups.command()
@click.argument("group")
@observer_options
@_as_json
def members(group: str, connection: Connection, as_json: bool) -> None:
    """Print the members of GROUP, with their nodes and capabilities."""
    from gossipgroups.cli.show import show_members  # noqa: PLC0415

    sys.exit(run(lambda: show_members(connection, group, as_json)))


@gossipgroups.command()
@click.option("--all", "everyone", is_flag=True, help="Also nodes that are dead or have left.")
@observer_options
@_as_json
def nodes(everyone: bool, connection: Connection, as_json: bool) -> None:
    """Print the nodes of a cluster."""
    from gossipgroups.cli.show import show_nodes  # noqa: PLC0415

    sys.exit(run(lambda: show_nodes(connection, everyone, as_json)))


class Share(click.ParamType[float]):
    """A share, as 0.05 or 5%."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """The number that it is. Its range is judged by the library."""
        if isinstance(value, float):
            return value
        text = str(value)
        try:
            return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            self.fail(f"{text!r} is no share: give it as 0.05 or 5%", param, context)


@gossipgroups.command()
@click.option("--nodes", type=int, required=True, metavar="N", help="Live nodes, 2 to 8,192.")
@click.option(
    "--loss",
    type=Share(),
    default=0.0,
    metavar="P",
    help="Share of the datagrams that are lost, as 0.05 or 5%, at most a half.  [default: 0]",
)
@click.option(
    "--latency",
    type=float,
    metavar="SECONDS",
    help="Median time of a datagram one way.  [default: 0.00011, 0.0011 or 0.06 for local, lan, wan]",
)
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    default="lan",
    show_default=True,
    help="The config to begin from.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Another value for a field of the config; repeatable.",
)
@click.option("--groups", type=int, default=1, show_default=True, metavar="N", help="Groups, for the memory.")
@click.option("--members", type=int, metavar="N", help="Members of each group.  [default: one on each node]")
@_as_json
def plan(
    *,
    nodes: int,
    loss: float,
    latency: float | None,
    preset: str,
    changes: tuple[str, ...],
    groups: int,
    members: int | None,
    as_json: bool,
) -> None:
    """Predict what a cluster will do: detection, convergence, bandwidth, memory.

    Computed from the config, not simulated; no cluster is asked. docs/tuning.md says what each field trades,
    and how well the figures agree with the simulator.

    \b
    Examples:
      gossipgroups plan --nodes 128
      gossipgroups plan --nodes 500 --loss 1% --preset wan --latency 0.08
      gossipgroups plan --nodes 32 --set probe_period=0.5 --set probe_timeout=0.25 --json
    """  # noqa: D301  (click reads the character)
    from gossipgroups.cli.plan import show_plan  # noqa: PLC0415

    try:
        show_plan(
            preset,
            changes,
            nodes=nodes,
            loss=loss,
            latency=latency,
            groups=groups,
            members=members,
            as_json=as_json,
        )
    except InvalidValue as error:
        raise click.UsageError(str(error)) from None


@gossipgroups.command()
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


@gossipgroups.group()
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
@_as_json
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


def _parse_json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(
            f"{text[:80]!r} is not JSON: {error}", param_hint="'--capabilities'"
        ) from None
