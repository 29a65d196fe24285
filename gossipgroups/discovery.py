"""Where seeds come from: a list, DNS, and the per-user directory of this machine.

Law: discovery only ever suggests addresses. A wrong, stale or hostile suggestion costs one datagram, and a
source that fails gives fewer suggestions and a line on the log, never an exception.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import trio

from gossipgroups.errors import InvalidValue
from gossipgroups.ids import Address
from gossipgroups.local_directory import LocalDirectory, per_user_directory
from gossipgroups.url import DEFAULT_PORT, check_seed, format_endpoint, parse_endpoint

__all__ = [
    "DEFAULT_PORT",
    "LocalDirectory",
    "Seeds",
    "StaticSeeds",
    "advertised_address",
    "ask_system",
    "format_endpoint",
    "numeric_host",
    "parse_endpoint",
    "per_user_directory",
    "resolve",
]

logger = logging.getLogger("gossipgroups.discovery")

RESOLVE_SECONDS = 2.0
"""How long one name may take: a dead name server must not use up the whole time for joining."""

_ELSEWHERE = (Address("2001:db8::1", DEFAULT_PORT), Address("192.0.2.1", DEFAULT_PORT))
"""Documentation addresses: nobody has them, so the route to them is the route to anywhere."""


LookUp = Callable[[str], Awaitable[Sequence[str]]]
"""Gives the numeric addresses of a name: none, `OSError`, `ValueError` or `RuntimeError` when it has none."""


class Seeds(Protocol):
    """Something that suggests where other coordinators may be."""

    async def addresses(self) -> tuple[Address, ...]:
        """The addresses to try now, the best first; asked again for as long as the coordinator runs."""

    def describe(self) -> tuple[str, ...]:
        """The sources, for messages."""


async def ask_system(name: str) -> list[str]:
    """The numeric addresses of a name, from the operating system's resolver. Raises `OSError` and others."""
    answers = await trio.socket.getaddrinfo(name, None, type=trio.socket.SOCK_DGRAM)
    return [str(place[0]) for *_, place in answers]


async def resolve(endpoint: str, look_up: LookUp = ask_system) -> tuple[Address, ...]:
    """All addresses of "host:port" (`DEFAULT_PORT` when it names none), in the resolver's order.

    A numeric endpoint asks no resolver. A name gives () when it does not resolve, or not within
    `RESOLVE_SECONDS`. Raises `InvalidValue` when the text is not an endpoint.
    """
    return await _addresses(*parse_endpoint(endpoint, default_port=DEFAULT_PORT), look_up)


class StaticSeeds:
    """Seeds named by the user. A name is resolved at every call, and keeps its last answer while it fails."""

    def __init__(self, endpoints: Iterable[str], look_up: LookUp = ask_system) -> None:
        """Raises `InvalidValue` for an endpoint that cannot be one."""
        if isinstance(endpoints, str | bytes) or not isinstance(endpoints, Iterable):
            raise InvalidValue(
                f"seeds must be an iterable of 'host:port', not {endpoints!r}: put it in a list"
            )
        self._endpoints = tuple(dict.fromkeys(map(check_seed, endpoints)))
        self._look_up = look_up
        self._known: dict[str, tuple[Address, ...]] = {}
        self._failing: set[str] = set()

    async def addresses(self) -> tuple[Address, ...]:
        """The addresses of all seeds in the order given, within `RESOLVE_SECONDS`.

        Under a deadline of the caller's, half of what is left when the first resolves is for asking that one:
        names that take longer are left for the next call.
        """
        async with trio.open_nursery() as nursery:
            for endpoint in self._endpoints:
                nursery.start_soon(self._refresh, endpoint, nursery.cancel_scope)
        known = (self._known.get(endpoint, ()) for endpoint in self._endpoints)
        return tuple(dict.fromkeys(itertools.chain.from_iterable(known)))

    def describe(self) -> tuple[str, ...]:
        """The seeds as "host:port"."""
        return self._endpoints

    async def _refresh(self, endpoint: str, others: trio.CancelScope) -> None:
        found = await resolve(endpoint, self._look_up)
        if found:
            if others.deadline == math.inf:
                others.deadline = (trio.current_time() + trio.current_effective_deadline()) / 2
            self._known[endpoint] = found
            self._failing.discard(endpoint)
        elif endpoint not in self._failing:
            self._failing.add(endpoint)
            logger.warning("seed %s does not resolve to any address; it will be asked for again", endpoint)


async def advertised_address(
    bound: Address, advertise: str | None, seeds: tuple[Address, ...], look_up: LookUp = ask_system
) -> Address:
    """The address to tell others: `advertise` if given (its port 0 or missing: the bound port), else `bound`.

    A wildcard is replaced by the local address that the kernel would use to reach a seed, or anywhere, or by
    loopback with a warning; nothing is sent. Raises `InvalidValue` when `advertise` names no usable address.
    """
    if advertise is not None:
        return await _named_address(bound, advertise, look_up)
    if not ipaddress.ip_address(bound.host).is_unspecified:
        await trio.lowlevel.checkpoint()
        return bound
    # A seed on loopback tells nothing about the way to the others, so it is asked last; a "::" socket
    # takes IPv4 as well, a "0.0.0.0" socket IPv4 only.
    targets = [*sorted(seeds, key=lambda seed: ipaddress.ip_address(seed.host).is_loopback), *_ELSEWHERE]
    for target in targets:
        if _family(target) == _family(bound) or ":" in bound.host:
            local = await _local_host(target)
            if local is not None:
                return Address(local, bound.port)
    loopback = Address("::1" if ":" in bound.host else "127.0.0.1", bound.port)
    logger.warning(
        "bound to %s, but there is no route to a seed or anywhere: others are told %s, which only this "
        "machine can reach; give advertise= to name another address",
        bound,
        loopback,
    )
    return loopback


async def _named_address(bound: Address, advertise: str, look_up: LookUp) -> Address:
    host, port = parse_endpoint(advertise, default_port=0, what="advertise")
    found = await _addresses(host, port or bound.port, look_up)
    if not found:
        raise InvalidValue(
            f"advertise {advertise!r} does not resolve: give an IP address, or a name that DNS has"
        )
    best = next((address for address in found if _family(address) == _family(bound)), found[0])
    numeric = ipaddress.ip_address(best.host)
    if numeric.is_unspecified or numeric.is_multicast:
        raise InvalidValue(
            f"advertise {advertise!r}: {best.host} cannot be sent to; name one address of this node"
        )
    return best


async def _addresses(host: str, port: int, look_up: LookUp) -> tuple[Address, ...]:
    if numeric_host(host):
        await trio.lowlevel.checkpoint()
        return (Address(host, port),)
    found: Sequence[str] = ()
    # ValueError: a name that cannot be written in IDNA. RuntimeError: no thread left to ask in.
    with trio.move_on_after(RESOLVE_SECONDS), contextlib.suppress(OSError, ValueError, RuntimeError):
        found = await look_up(host)
    return tuple(dict.fromkeys(Address(numeric, port) for text in found if (numeric := numeric_host(text))))


def numeric_host(host: str) -> str | None:
    """The canonical form of a numeric host without a scope, else None."""
    try:
        ipaddress.ip_address(host)
        return parse_endpoint(host, default_port=0)[0]
    except ValueError:
        return None


def _family(address: Address) -> int:
    return trio.socket.AF_INET6 if ":" in address.host else trio.socket.AF_INET


async def _local_host(target: Address) -> str | None:
    """The host that the kernel would send from, None without a route. Connecting UDP sends nothing."""
    try:
        with trio.socket.socket(_family(target), trio.socket.SOCK_DGRAM) as socket:
            await socket.connect((target.host, target.port))
            return numeric_host(socket.getsockname()[0])
    except OSError:
        return None
