"""One file of the per-user directory: where a coordinator is, named by a hash of its cluster and its node id.

    {"version": 1, "pid": 4711, "address": "127.0.0.1:4012", "cluster": "blue", "node": "0123456789abcdef"}

Law: what lies in the directory is untrusted: a file is either exactly of this form, or skipped.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from functools import lru_cache
from typing import NamedTuple

from gossipgroups.errors import GossipError
from gossipgroups.ids import NODE_ID_BYTES, Address, check_name, encode_name
from gossipgroups.url import parse_endpoint

MAX_ENTRY_BYTES = 4096
"""Over twice the longest file, which has a cluster name of 255 bytes, each escaped as six characters."""

_VERSION = 1
_FIELDS = {"version": int, "pid": int, "address": str, "cluster": str, "node": str}


class Entry(NamedTuple):
    """What one file says."""

    pid: int
    address: Address
    cluster: str
    node_id: bytes

    def encode(self) -> bytes:
        """The content of the file."""
        values = (_VERSION, self.pid, str(self.address), self.cluster, self.node_id.hex())
        return json.dumps(dict(zip(_FIELDS, values, strict=True))).encode("ascii")

    def file_name(self) -> str:
        """The name of the file."""
        return f"{cluster_prefix(self.cluster)}{self.node_id.hex()}.json"


@lru_cache(maxsize=64)
def cluster_prefix(cluster: str) -> str:
    """How the names of a cluster's files begin."""
    return hashlib.blake2b(encode_name(cluster), digest_size=8).hexdigest() + "-"


@lru_cache(maxsize=256)  # the same few files are read at every look
def decode_untrusted(content: bytes) -> Entry | None:
    """The entry of a file's content, None when it is odd in any way."""
    try:
        fields = json.loads(content.decode("ascii")) if len(content) <= MAX_ENTRY_BYTES else None
        if not isinstance(fields, dict) or {key: type(value) for key, value in fields.items()} != _FIELDS:
            return None
        host, port = parse_endpoint(fields["address"])
        place = ipaddress.ip_address(host)
        cluster = check_name("cluster", fields["cluster"])
        node_id = bytes.fromhex(fields["node"])
    except (ValueError, RecursionError, GossipError):
        return None
    if fields["version"] != _VERSION or not 0 < fields["pid"] < 1 << 31 or len(node_id) != NODE_ID_BYTES:
        return None
    if port == 0 or place.is_unspecified or place.is_multicast:
        return None
    entry = Entry(fields["pid"], Address(host, port), cluster, node_id)
    return entry if json.loads(entry.encode()) == fields else None
