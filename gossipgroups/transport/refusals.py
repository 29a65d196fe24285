"""Refused datagrams in the log: those that mostly mean a mistake in somebody's configuration.

Law: each reason is said again only when its count has grown tenfold, so whoever floods the port does not
flood the log; what the datagram held is never shown.
"""

from __future__ import annotations

import logging

from gossipgroups.ids import Address
from gossipgroups.stats import Stats

logger = logging.getLogger("gossipgroups")

SAID = {
    "not sealed": "it is not sealed, and this node has keys: give that one keys too, or stop it",
    "sealed": "it is sealed, and this node has no keys: start it with the cluster's keys",
    "unknown key": "it is sealed with a key that is not held here: add that key, or remove it there",
    "forged": "it was not sealed with the key that it names, or for another cluster",
    "elsewhere": "its sender is heard from another address. Two processes have one node id, as when a "
    "machine is cloned while it runs: restart the one there",
    "version": "it is of another version of the protocol, or of another program",
}
"""What is worth a word, and what to do about it."""


def say_refused(name: str, stats: Stats, reason: str, source: Address) -> None:
    """Say that a datagram was dropped; `name` is that of the coordinator that did."""
    count = stats.refused[reason]
    if reason in SAID and count == 10 ** (len(str(count)) - 1):
        logger.warning(
            "coordinator %r has dropped %d datagram(s), the last from %s: %s",
            name,
            count,
            source,
            SAID[reason],
        )
