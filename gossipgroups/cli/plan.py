"""`gossipgroups plan`: what to expect of a cluster of some size, on some network, with some config.

Law: every figure comes from `gossipgroups.plan`, and is printed with its unit; nothing is measured here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from gossipgroups.cli.console import open_console, table
from gossipgroups.config import PRESETS, Config
from gossipgroups.errors import InvalidValue
from gossipgroups.plan import LATENCIES, Network, Plan, Rate, Times, plan

Row = tuple[str, str, str]


def show_plan(
    preset: str,
    changes: Sequence[str],
    *,
    nodes: int,
    loss: float,
    latency: float | None,
    groups: int,
    members: int | None,
    as_json: bool,
) -> int:
    """Print the plan. Raises `InvalidValue` on fields, values or sizes that cannot be."""
    config = changed(PRESETS[preset](), changes)
    network = Network(LATENCIES[preset] if latency is None else latency, loss)
    found = plan(config, network, nodes, groups=groups, members=members)
    if as_json:
        print(json.dumps(_as_json(preset, config, network, found), indent=2))
        return 0
    console = open_console()
    console.print(
        f"{nodes:,} nodes, preset {preset}, {100 * loss:.3g} % of the datagrams lost, "
        f"{_seconds(network.latency)} one way",
        soft_wrap=True,
    )
    console.print(table(("until the last callback", "p50", "p99"), _times(found), numbers=("p50", "p99")))
    console.print()
    console.print(table(("sent by a node", "datagrams", "bytes"), _rates(found), ("datagrams", "bytes")))
    console.print()
    console.print(table(("what else", "figure"), _others(found), numbers=("figure",)))
    return 0


def changed(config: Config, changes: Sequence[str]) -> Config:
    """The config with fields changed, each given as `field=value`. Raises `InvalidValue`."""
    kinds = {field.name: str(field.type) for field in fields(Config)}
    values: dict[str, int | float] = {}
    for each in changes:
        name, equals, text = each.partition("=")
        if not equals:
            raise InvalidValue(f"--set {each}: give a field and its value, as in --set probe_period=0.5")
        if name not in kinds:
            raise InvalidValue(f"--set {each}: Config has no field {name}; its fields are {', '.join(kinds)}")
        try:
            values[name] = int(text) if kinds[name] == "int" else float(text)
        except ValueError:
            needed = "a whole number" if kinds[name] == "int" else "a number"
            raise InvalidValue(f"--set {each}: {name} must be {needed}") from None
    return config.but(**values)


def _times(found: Plan) -> list[Row]:
    def row(what: str, times: Times) -> Row:
        return what, _seconds(times.p50), _seconds(times.p99)

    return [
        row("a process crashes (its port is refused)", found.process_crash),
        row("a machine crashes (silence)", found.machine_crash),
        row("a member joins or leaves", found.change),
    ]


def _rates(found: Plan) -> list[Row]:
    def row(what: str, rate: Rate) -> Row:
        return what, f"{rate.datagrams:.3g}", f"{rate.bytes:,.0f}"

    return [
        row("idle, in a second", found.idle),
        row("idle, in a second, with keys", found.idle_sealed),
        row("for one change of a group", found.change_cost),
        row("for one change of a group, with keys", found.change_cost_sealed),
    ]


def _others(found: Plan) -> list[tuple[str, str]]:
    largest = found.largest
    return [
        ("wait for an ack before others are asked", _seconds(found.ack_wait)),
        ("false suspicions of a node in an hour, refuted", _rarely(found.false_suspicions)),
        (
            f"memory of a node's tables, {found.groups:,} × {found.members:,} members",
            f"{found.memory / 1000:,.0f} kB",
        ),
        ("most live nodes in a cluster", f"{largest.nodes:,}"),
        ("most starts of nodes in an hour, on average", f"{largest.starts_an_hour:,.0f}"),
        ("most groups", f"{largest.groups:,}"),
        ("most members of one group, of all", f"{largest.members:,}, {largest.presences:,}"),
    ]


def _rarely(times: float) -> str:
    if times >= 100:
        return f"{times:,.0f}"
    return f"{times:.3g}" if times >= 0.001 else "under 0.001"


def _seconds(seconds: float) -> str:
    if seconds >= 100:
        return f"{seconds:,.0f} s"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _as_json(preset: str, config: Config, network: Network, found: Plan) -> dict[str, Any]:
    given = {"preset": preset, "loss": network.loss, "latency": network.latency, "config": asdict(config)}
    return {**given, **asdict(found)}
