"""The URL and the options of a tooz coordinator, read into a coordinator that was not started.

Law: nothing is opened here. An option that is ours and cannot be right is an error; one without a value, or
that is not ours, is as if it was not given: applications pass options of other drivers to every driver.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tooz
from tooz import utils

from gossipgroups.blocking import BlockingCoordinator, make_coordinator
from gossipgroups.tooz.results import translated
from gossipgroups.url import GossipUrl, parse_url

JOIN_SECONDS = 1.75
"""Seconds in which a seed must answer, unless `join_timeout` says otherwise: `start` fails within 2."""
IN_URLS = ("bind", "advertise", "preset", "join_timeout", "keys")
NAMES = (*IN_URLS, "timeout", "leader")


@dataclass(frozen=True, slots=True)
class Options:
    """What a URL says. `lease` is in seconds."""

    url: GossipUrl
    lease: float | None
    leader: bool

    def coordinator(self, member_id: bytes) -> BlockingCoordinator:
        """A coordinator of these options. Raises `InvalidValue`, `LimitExceeded`."""
        return make_coordinator(self.url, member_id, polled=True, lease=self.lease)


def read_options(parsed_url: Any, options: Mapping[str, Any]) -> Options:
    """Read what `tooz.coordination.get_coordinator` passes on. Raises `tooz.ToozError`."""
    passed = utils.collapse(dict(options))
    given = {name: str(passed[name]).strip() for name in NAMES if passed.get(name) is not None}
    leader = given.get("leader") or "none"
    if leader not in ("none", "advisory"):
        raise tooz.ToozError(f"leader {leader!r} is not 'none' or 'advisory'")
    in_url = {"join_timeout": str(JOIN_SECONDS)} | {
        name: given[name] for name in IN_URLS if given.get(name) or name == "keys" in given
    }
    with translated():
        url = parse_url(f"gossip://{parsed_url.netloc}{parsed_url.path}", in_url)
    return Options(url, _seconds(given.get("timeout")), leader == "advisory")


def _seconds(text: str | None) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise tooz.ToozError(f"timeout {text!r} is not a number of seconds above 0")
    return seconds
