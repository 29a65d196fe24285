"""`gossipgroups plan`, and its options."""

from __future__ import annotations

from typing import Any

import click

from gossipgroups.cli.options import as_json_option
from gossipgroups.config import PRESETS
from gossipgroups.errors import InvalidValue


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


@click.command()
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
@as_json_option
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
