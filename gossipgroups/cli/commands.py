"""The commands and their options: the tool itself, and those about a running cluster.

Law: nothing is decided here, nor in the files of the other commands. An option is read, checked for its form,
and passed on; the exit status is what the command returns.
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
from gossipgroups.cli.keys_commands import keygen, keys
from gossipgroups.cli.node import Plan, run_node
from gossipgroups.cli.options import as_json_option
from gossipgroups.cli.plan_command import plan
from gossipgroups.cli.running import run
from gossipgroups.key_source import KEY_ITSELF
from gossipgroups.keys import looks_like_key

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


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
    if capabilities is not None and not groups:
        raise click.UsageError("--capabilities are of this member in a group: name one with --group")
    if stdin and sys.stdin is None:
        raise click.UsageError("--stdin: standard input is closed")
    plan = Plan(
        member_id=member_id if member_id is not None else f"{socket.gethostname()}-{os.getpid()}",
        groups=tuple(dict.fromkeys(groups)),
        watched=tuple(dict.fromkeys(watched)),
        capabilities=_parse_json(capabilities),
        stdin=stdin,
    )
    sys.exit(run(lambda: run_node(plan, connection, as_json)))


@gossipgroups.command()
@observer_options
@as_json_option
def groups(connection: Connection, as_json: bool) -> None:
    """Print the groups of a cluster, and who is in them."""
    from gossipgroups.cli.show import show_groups  # noqa: PLC0415

    sys.exit(run(lambda: show_groups(connection, as_json)))


@gossipgroups.command()
@click.argument("group")
@observer_options
@as_json_option
def members(group: str, connection: Connection, as_json: bool) -> None:
    """Print the members of GROUP, with their nodes and capabilities."""
    from gossipgroups.cli.show import show_members  # noqa: PLC0415

    sys.exit(run(lambda: show_members(connection, group, as_json)))


@gossipgroups.command()
@click.option("--all", "everyone", is_flag=True, help="Also nodes that are dead or have left.")
@observer_options
@as_json_option
def nodes(everyone: bool, connection: Connection, as_json: bool) -> None:
    """Print the nodes of a cluster."""
    from gossipgroups.cli.show import show_nodes  # noqa: PLC0415

    sys.exit(run(lambda: show_nodes(connection, everyone, as_json)))


for _command in (plan, keygen, keys):
    gossipgroups.add_command(_command)


def _parse_json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(
            f"{text[:80]!r} is not JSON: {error}", param_hint="'--capabilities'"
        ) from None
