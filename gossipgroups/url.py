"""How places are written: endpoints ("127.0.0.1:7946") and coordinator URLs ("gossip://…").

Law: text either parses to exactly one value, or raises an error that names the part, the value and the form
expected; formatting a parsed value and parsing it again gives the same value. No name is looked up here.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from gossipgroups.config import PRESETS as CONFIGS
from gossipgroups.errors import InvalidValue, LimitExceeded
from gossipgroups.ids import Address, check_name
from gossipgroups.keys import looks_like_key

DEFAULT_PORT = 7946
"""The UDP port of an endpoint that names none (the port that memberlist uses, too)."""

PRESETS = tuple(CONFIGS)

MAX_OPTIONS = 64
"""Options in one URL: far more than there are; a longer list is a mistake, and is refused."""

_NAME = re.compile(r"(?=.{1,253}\Z)[\w-]{1,63}(\.[\w-]{1,63})*\.?")
_NUMBER = re.compile(r"[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE)
_KEY_ITSELF = (
    "the URL seems to hold a key itself, which it would show to others: give keys= the path of a key file"
)
_FORM = "gossip://host:port,host:port/cluster?bind=host:port&advertise=host:port&preset=lan&keys=file"


def parse_endpoint(text: str, *, default_port: int | None = None, what: str = "endpoint") -> tuple[str, int]:
    """The host and port of "host:port", "[::1]:port" and, with a `default_port`, of "host" and "::1".

    A numeric host is returned in its one canonical form, an IPv4-mapped IPv6 one as IPv4. Raises
    `InvalidValue`, whose message calls the text `what`.
    """
    if not isinstance(text, str):
        raise InvalidValue(f"{what} {text!r} must be str, such as '127.0.0.1:{DEFAULT_PORT}'")
    text = text.strip()
    try:
        host, port_text = _split_endpoint(text)
        host = _parse_host(host, ipv6=text.startswith("[") or ":" in host)
        port = default_port if port_text is None else _parse_port(port_text)
        if port is None:
            raise ValueError("it has no port")
    except ValueError as error:
        raise InvalidValue(f"{what} {text!r}: {error}; expected 'host:port' or '[ipv6]:port'") from None
    return host, port


def format_endpoint(host: str, port: int) -> str:
    """The text that `parse_endpoint` reads: an IPv6 host in brackets."""
    return str(Address(host, port))


def check_seed(text: str) -> str:
    """A seed as "host:port", `DEFAULT_PORT` filled in. Raises `InvalidValue`, also for port 0."""
    host, port = parse_endpoint(text, default_port=DEFAULT_PORT, what="seed")
    if port == 0:
        raise InvalidValue(
            f"seed {text!r}: port 0 cannot be sent to; name the port that the seed is bound to"
        )
    return format_endpoint(host, port)


def _split_endpoint(text: str) -> tuple[str, str | None]:
    """The unchecked host and port of an endpoint. Raises `ValueError`, as the next two do, saying why."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError("']' and then ':port' must follow '['")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _parse_host(host: str, *, ipv6: bool) -> str:
    if not host:
        raise ValueError("it has no host (all interfaces are '0.0.0.0' or '[::]')")
    if "%" in host:
        # Addresses are told to other nodes, and a scope names an interface of this one only.
        raise ValueError("an address with a scope ('%') means nothing to other nodes")
    try:
        address = ipaddress.IPv6Address(host) if ipv6 else ipaddress.IPv4Address(host)
    except ValueError:
        if ipv6:
            raise ValueError(f"{host!r} is not an IPv6 address") from None
        # No name ends in a number, so this is a mistyped address, not something to ask DNS for.
        if host.rstrip(".").rpartition(".")[2].isdecimal():
            raise ValueError(f"{host!r} is not an IPv4 address") from None
        if not _NAME.fullmatch(host):
            raise ValueError(f"{host!r} is neither an IP address nor a host name") from None
        return host
    return (getattr(address, "ipv4_mapped", None) or address).compressed


def _parse_port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 0xFFFF:
        raise ValueError(f"port {text!r} is not a number from 0 to 65535")
    return int(text)


@dataclass(frozen=True)
class GossipUrl:
    """What a `gossip://` URL says; its `str` is a URL that parses to an equal value.

    `seeds` are "host:port" (None: the per-user directory), `join_timeout` is in seconds, `keys` is the path
    of a key file, or "env:NAME", and never a key. `options` are the options that were blank or are not known,
    kept and otherwise ignored.
    """

    seeds: tuple[str, ...] | None = None
    cluster: str = "default"
    bind: str = "127.0.0.1:0"
    advertise: str | None = None
    preset: str = "lan"
    join_timeout: float = 5.0
    keys: str | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def __str__(self) -> str:
        query = {"bind": self.bind, "preset": self.preset, "join_timeout": repr(self.join_timeout)}
        if self.advertise is not None:
            query["advertise"] = self.advertise
        if self.keys is not None:
            query["keys"] = self.keys
        query |= self.options
        cluster = quote(self.cluster, safe="", errors="surrogateescape")
        return (
            f"gossip://{','.join(self.seeds or ())}/{cluster}?"
            f"{urlencode(query, errors='surrogateescape', quote_via=quote, safe=':[]')}"
        )


def parse_url(text: str, options: Mapping[str, str] = MappingProxyType({})) -> GossipUrl:
    """The parts of a `gossip://` URL; of an option given twice the last counts, and `options` come last.

    Raises `InvalidValue`, or `LimitExceeded` for a cluster name over `MAX_NAME` bytes; neither repeats a key.
    """
    try:
        return _parse_url(text, options)
    except (InvalidValue, LimitExceeded):
        if isinstance(text, str) and looks_like_key(text):
            raise InvalidValue(_KEY_ITSELF) from None
        raise


def _parse_url(text: str, options: Mapping[str, str]) -> GossipUrl:
    if not isinstance(text, str):
        raise InvalidValue(f"URL {text!r} must be str: {_FORM}")
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() != "gossip":
        raise InvalidValue(f"URL {text!r} does not begin with 'gossip://': {_FORM}")
    if any(character <= " " or character == "\x7f" for character in text):
        raise InvalidValue(f"URL {text!r} has a blank or control character: write it as %20 and the like")
    # urlsplit refuses several bracketed addresses in one authority, so that part is read here.
    end = re.search(r"[/?#]|\Z", rest)
    authority, tail = rest[: end.start()], rest[end.start() :]  # type: ignore[union-attr]
    parts = urlsplit(f"gossip://seeds{tail}")
    if "#" in tail:
        raise InvalidValue(f"URL {text!r} has a fragment, which says nothing here: write '#' as %23")
    seeds = tuple(dict.fromkeys(map(check_seed, authority.split(",")))) if authority else None
    given = _parse_options(text, parts.query) | dict(options)
    if given.get("keys") == "":
        # What a template left empty must not turn sealing off.
        raise InvalidValue("keys is empty: give a key file or 'env:NAME', or leave it out to have no keys")
    if any(isinstance(value, str) and looks_like_key(value) for value in (parts.query, *given.values())):
        raise InvalidValue(_KEY_ITSELF)
    known = {key: given.pop(key) for key in _OPTIONS if given.get(key)}
    values = {"bind": default_bind(seeds)} | {key: _OPTIONS[key](value) for key, value in known.items()}
    return GossipUrl(
        seeds=seeds,
        cluster=_parse_cluster(text, parts.path[1:]),
        options=MappingProxyType(given),
        **values,
    )


def default_bind(seeds: tuple[str, ...] | None) -> str:
    """The endpoint to bind when none was named: only as open to the network as the seeds need.

    No seeds, or all of them on loopback: loopback. All of them numeric IPv6: every IPv6 interface, as an
    IPv4 socket could not reach them. Otherwise every IPv4 interface.
    """
    hosts = [parse_endpoint(seed, default_port=DEFAULT_PORT)[0] for seed in seeds or ()]
    ipv6 = bool(hosts) and all(":" in host for host in hosts)
    if all(map(_is_loopback, hosts)):
        return "[::1]:0" if ipv6 else "127.0.0.1:0"
    return "[::]:0" if ipv6 else "0.0.0.0:0"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _parse_cluster(text: str, path: str) -> str:
    if not path:
        return "default"
    if "/" in path:
        raise InvalidValue(f"URL {text!r}: cluster {path!r} contains '/': write it as %2F, or leave it out")
    return check_name("cluster", unquote(path, errors="surrogateescape"))


def _parse_options(text: str, query: str) -> dict[str, str]:
    try:
        return dict(
            parse_qsl(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=MAX_OPTIONS)
        )
    except ValueError:
        raise InvalidValue(f"URL {text[:80]!r}… has more than {MAX_OPTIONS} options") from None


def _parse_bind(value: str) -> str:
    return format_endpoint(*parse_endpoint(value, default_port=DEFAULT_PORT, what="bind"))


def _parse_advertise(value: str) -> str:
    # Port 0 means the port that was bound, which nobody knows yet.
    return format_endpoint(*parse_endpoint(value, default_port=0, what="advertise"))


def _parse_preset(value: str) -> str:
    if value not in PRESETS:
        raise InvalidValue(f"preset {value!r} is not one of {', '.join(PRESETS)}")
    return value


def _parse_join_timeout(value: str) -> float:
    try:
        seconds = float(value) if _NUMBER.fullmatch(value) else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidValue(f"join_timeout {value!r} is not a number of seconds above 0, such as 5 or 0.5")
    return seconds


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "bind": _parse_bind,
    "advertise": _parse_advertise,
    "preset": _parse_preset,
    "join_timeout": _parse_join_timeout,
    "keys": str,
}
