"""The URL and the options of a tooz coordinator, read into a coordinator that was not started.

Law: nothing is opened here. An option that is ours and cannot be right is an error; one that is not ours is
left alone, as applications pass options of other drivers to every driver.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import tooz
from tooz import utils

from gossipgroups.blocking import BlockingCoordinator
from gossipgroups.config import PRESETS
from gossipgroups.door import check_settings
from gossipgroups.url import parse_url

JOIN_SECONDS = 1.75
"""Seconds in which a seed must answer, unless `join_timeout` says otherwise: `start` fails within 2."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a URL says. `lease` is in seconds."""

    url: str
    lease: float | None
    leader: bool

    def coordinator(self, member_id: bytes) -> BlockingCoordinator:
        """A coordinator of these options. Raises `InvalidValue`, `LimitExceeded`."""
        parts = parse_url(self.url)
        settings = check_settings(
            member_id,
            bind=parts.bind,
            advertise=parts.advertise,
            seeds=parts.seeds,
            cluster=parts.cluster,
            config=PRESETS[parts.preset](),
            join_timeout=parts.join_timeout,
            lease=self.lease,
        )
        return BlockingCoordinator(settings, polled=True)


def read_options(parsed_url: Any, options: Mapping[str, Any]) -> Options:
    """Read what `tooz.coordination.get_coordinator` passes on. Raises `tooz.ToozError`."""
    given = {name: str(value) for name, value in utils.collapse(dict(options)).items()}
    if given.get("keys"):
        raise tooz.ToozError(
            "keys: this version cannot seal its datagrams; without the option everybody who can send to the "
            "port may take part, so keep it to a network that you trust"
        )
    leader = given.pop("leader", "")
    if leader not in ("", "none", "advisory"):
        raise tooz.ToozError(f"leader {leader!r} is not 'none' or 'advisory'")
    lease = _seconds(given.pop("timeout", ""))
    query = urlencode({"join_timeout": JOIN_SECONDS} | given, errors="surrogateescape")
    return Options(f"gossip://{parsed_url.netloc}{parsed_url.path}?{query}", lease, leader == "advisory")


def _seconds(text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise tooz.ToozError(f"timeout {text!r} is not a number of seconds above 0")
    return seconds
