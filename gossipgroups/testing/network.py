"""A simulated network for the tests of programs that use coordinators, in their own trio run.

Law: inside its block, every coordinator that the code opens is on this network and in the caller's loop;
nothing of it touches a socket, a thread, a resolver or a file. All chance comes from the seed, and from which
address draws, never from the order in which trio runs tasks.
"""

from __future__ import annotations

import errno
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import trio

from gossipgroups.discovery import numeric_host
from gossipgroups.errors import InvalidValue
from gossipgroups.ids import Address, Random, check_name
from gossipgroups.keys import Entropy
from gossipgroups.testing.directory import SharedDirectory
from gossipgroups.testing.medium import Line
from gossipgroups.testing.sockets import Carrier, SimulatedDatagrams
from gossipgroups.transport.network import Network, current_network
from gossipgroups.url import parse_endpoint

T = TypeVar("T")
HERE = "127.0.0.1"
"""The host of all code that was not put on another one."""


@dataclass(frozen=True, eq=False, slots=True)
class Program:
    """One call of `SimulatedNetwork.run`."""

    network: SimulatedNetwork
    host: str
    scope: trio.CancelScope


_program: ContextVar[Program | None] = ContextVar("gossipgroups.testing.program", default=None)


class SimulatedNetwork:
    """A network of hosts with conditions and faults, for as long as its `with` block lasts.

    `hosts` are names: the first is at 10.0.0.1, the second at 10.0.0.2, and so on. Numeric addresses need no
    name. Wherever a host is asked for, its name or its numeric address will do.
    """

    open_to_strangers = False

    def __init__(self, seed: int = 0, *, hosts: Iterable[str] = (), line: Line = Line()) -> None:
        if isinstance(hosts, str):
            raise InvalidValue(f"hosts must be an iterable of names, not {hosts!r}: put it in a list")
        self.seed = seed
        self._carrier = Carrier(seed, _checked(line))
        self._names: dict[str, tuple[str, ...]] = {"localhost": (HERE,)}
        self._programs: list[Program] = []
        self._announced: dict[str, set[Address]] = {}
        self._token: Token[Network] | None = None
        medium = self._carrier.medium
        self.egress: MutableMapping[str, Line] = Conditions(self, medium.egress)
        """For all that a host sends, on top of `line`: `network.egress["alpha"] = Line(loss=0.8)`."""
        self.ingress: MutableMapping[str, Line] = Conditions(self, medium.ingress)
        """For all that a host is sent, on top of `line`."""
        for number, name in enumerate(hosts, 1):
            self.name(name, str(ipaddress.IPv4Address("10.0.0.0") + number))

    def __repr__(self) -> str:
        return f"SimulatedNetwork(seed={self.seed!r})"

    def __enter__(self) -> Self:
        if self._token is not None:
            raise InvalidValue(f"{self!r} was entered already: use one block, or one network for each")
        self._token = current_network.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token is not None  # noqa: S101  (Python calls this after `__enter__` only)
        current_network.reset(self._token)
        self._token = None
        if isinstance(error, Exception):
            error.add_note(f"on {self!r}")

    # Hosts and programs.

    def name(self, name: str, *addresses: str) -> None:
        """Let a name resolve to numeric addresses from now on, or, without any, not resolve."""
        if numeric_host(check_name("host name", name)) is not None:
            raise InvalidValue(f"host name {name!r} is an address: only names are given addresses")
        numeric = tuple(numeric_host(address) for address in addresses)
        if None in numeric:
            raise InvalidValue(f"addresses {', '.join(map(repr, addresses))} of {name!r} must be numeric")
        self._names[name] = tuple(filter(None, numeric))

    def address(self, host: str) -> str:
        """The numeric address of a host. Raises `InvalidValue` when it is unknown, or has several."""
        found = self._addresses(host)
        if len(found) != 1:
            raise InvalidValue(f"host {host!r} has {len(found)} addresses: name one of them")
        return found[0]

    async def run(
        self, host: str, program: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any
    ) -> T | None:
        """Run an async function on a host, until it ends or is crashed: then the result is `None`.

        Coordinators that it opens are at the host's address, also when they bind to loopback or to all
        addresses. For `nursery.start_soon(network.run, "alpha", agent, …)`, and for `nursery.start`.
        """
        with trio.CancelScope() as scope:
            here = Program(self, self.address(host), scope)
            self._programs.append(here)
            network, before = current_network.set(self), _program.set(here)
            try:
                return await program(*args, **kwargs)
            finally:
                _program.reset(before)
                current_network.reset(network)
                self._programs.remove(here)
        return None

    # Faults.

    @property
    def line(self) -> Line:
        """Conditions between all hosts; may be replaced at any time: `network.line = Line(loss=0.1)`."""
        return self._carrier.medium.line

    @line.setter
    def line(self, line: Line) -> None:
        self._carrier.medium.line = _checked(line)

    @property
    def tally(self) -> Counter[str]:
        """What became of datagrams: lost, cut, refused, duplicated, reordered, too large, and so on."""
        return self._carrier.medium.tally

    def cut(self, one: str, other: str, *, both: bool = True) -> None:
        """Let nothing pass from one host to another; nor back, if `both`."""
        for source in self._addresses(one):
            for target in self._addresses(other):
                self._carrier.medium.cut(source, target, both=both)

    def partition(self, *sides: Iterable[str]) -> None:
        """Let nothing pass between these sets of hosts; all others make up a side of their own."""
        if any(isinstance(side, str) for side in sides):
            raise InvalidValue(f"sides {sides!r} must be sets of hosts: put each in {{}}")
        numeric = [[address for host in side for address in self._addresses(host)] for side in sides]
        for address, count in Counter(each for side in numeric for each in set(side)).items():
            if count > 1:
                raise InvalidValue(f"host {address} is on {count} sides of the partition: name it once")
        self._carrier.medium.partition(*numeric)

    def heal(self) -> None:
        """Undo all cuts and partitions; conditions stay."""
        self._carrier.medium.mend()

    def crash(self, where: str | Address, *, silent: bool = False) -> None:
        """End all that runs on a host, or the one process at "host:port", without a word.

        Its ports refuse from now on; with `silent` the machine is gone, and says nothing. What `run` has
        started there is cancelled. A coordinator that was opened otherwise stands still: nothing that waits
        for it returns, and leaving its block takes `Config.leave_timeout`.
        Raises `InvalidValue` when nothing runs there.
        """
        hosts, port = self._place(where)
        sockets = [
            socket
            for address, socket in self._carrier.sockets.items()
            if address.host in hosts and port in (None, address.port)
        ]
        owners = {id(socket.owner) for socket in sockets}
        programs = [
            program
            for program in self._programs
            if program.host in hosts and (port is None or id(program) in owners)
        ]
        if not sockets and all(program.scope.cancel_called for program in programs):
            raise InvalidValue(f"nothing runs at {where}: {self._what_runs()}")
        for socket in sockets:
            socket.die()
        for program in programs:
            program.scope.cancel()
        if port is None:
            self._carrier.paused.difference_update(hosts)
        if silent:
            self._carrier.silent.update(hosts)

    def pause(self, host: str) -> None:
        """Let the coordinators on a host stand still, as on SIGSTOP; what is sent to them waits.

        Operations called meanwhile wait too. The program's own tasks go on: nothing else can stop them. A
        coordinator that is stopped meanwhile leaves as ever.
        """
        self._carrier.paused.update(self._addresses(host))

    def resume(self, host: str) -> None:
        """Let the coordinators on a host go on."""
        self._carrier.paused.difference_update(self._addresses(host))
        for address in list(self._carrier.sockets):
            if address.host in self._addresses(host):
                self._carrier.sockets[address].wake()

    # What coordinators ask for: see `gossipgroups.transport.network.Network`.

    async def bind(self, bind: Address, nursery: trio.Nursery) -> SimulatedDatagrams:
        """A socket on the host of the program that asks."""
        await trio.lowlevel.checkpoint()
        program = _program.get()
        if program is not None and program.network is not self:
            program = None
        here, place = HERE if program is None else program.host, ipaddress.ip_address(bind.host)
        if place.is_unspecified or (place.is_loopback and program is not None):
            bind = Address(here, bind.port)
        elif program is not None and bind.host != here:
            raise OSError(errno.EADDRNOTAVAIL, f"cannot bind UDP {bind} on the host at {here}")
        return self._carrier.bind(bind, program)

    async def look_up(self, name: str) -> Sequence[str]:
        """The addresses given to a name; none for other names."""
        await trio.lowlevel.checkpoint()
        return self._names.get(name, ())

    def directory(self, cluster: str) -> SharedDirectory:
        """One for the whole network."""
        return SharedDirectory(self._announced.setdefault(cluster, set()), self._carrier)

    def chance(self, address: Address) -> Random:
        """A generator made of the seed, the address, and how often it was bound."""
        return self._carrier.chance("node", address)

    def entropy(self, address: Address) -> Entropy:
        """Not secret at all: made of the seed and the address, as all else here."""
        return self._carrier.chance("entropy", address).randbytes

    # Places.

    def _addresses(self, host: str) -> tuple[str, ...]:
        numeric = numeric_host(host)
        if numeric is not None:
            return (numeric,)
        if host not in self._names:
            known = ", ".join(sorted(self._names))
            raise InvalidValue(f"host {host!r} is unknown: the names are {known}; addresses need none")
        return self._names[host]

    def _place(self, where: str | Address) -> tuple[tuple[str, ...], int | None]:
        if isinstance(where, Address):
            return self._addresses(where.host), where.port
        if where in self._names or numeric_host(where) is not None:
            return self._addresses(where), None
        host, port = parse_endpoint(where, default_port=0, what="place")
        return self._addresses(host), port or None

    def _what_runs(self) -> str:
        running = ", ".join(map(str, sorted(self._carrier.sockets)))
        return f"there is {running}" if running else "no coordinator runs on this network"


class Conditions(MutableMapping[str, Line]):
    """Lines by host, given by name or numeric address."""

    def __init__(self, network: SimulatedNetwork, lines: dict[str, Line]) -> None:
        self._network = network
        self._lines = lines

    def __setitem__(self, host: str, line: Line) -> None:
        for address in self._network._addresses(host):
            self._lines[address] = _checked(line)

    def __getitem__(self, host: str) -> Line:
        address = self._network.address(host)
        if address not in self._lines:
            raise KeyError(f"{host} has no conditions of its own")
        return self._lines[address]

    def __delitem__(self, host: str) -> None:
        addresses = [address for address in self._network._addresses(host) if address in self._lines]
        if not addresses:
            raise KeyError(f"{host} has no conditions of its own")
        for address in addresses:
            del self._lines[address]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


def _checked(line: object) -> Line:
    if not isinstance(line, Line):
        raise InvalidValue(f"a line is set to {line!r}: give a Line, such as Line(loss=0.1)")
    return line
