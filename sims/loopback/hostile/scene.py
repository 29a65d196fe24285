"""The place of the attack: a cluster of five real processes, and the addresses that send at it.

Law: whatever is sent is counted at the address that it was sent from, and at the node that it was sent to.
In a network of its own where namespaces can be made; else on loopback, where no source can be forged.
"""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import trio

from gossipgroups.errors import BadPacket
from gossipgroups.ids import ANYBODY, Address, NodeId
from gossipgroups.keys import Key
from gossipgroups.url import parse_endpoint
from gossipgroups.wire.codec import unpack_payload
from gossipgroups.wire.header import HEADER_BYTES, unpack_header
from gossipgroups.wire.messages import Cookie, Ping
from gossipgroups.wire.seal import TAGGED_BYTES
from sims.loopback.cluster import BOOT, Cluster
from sims.loopback.faults import NAMES
from sims.loopback.hostile.pen import Pen
from sims.loopback.hostile.relay import Relay
from sims.loopback.hostile.wire import packet, raw, udp
from sims.loopback.namespaces import Network
from sims.loopback.options import Options

STRANGER, VICTIM = len(NAMES), len(NAMES) + 1
"""Places in the network."""
VICTIM_PORT = 5353
PATIENCE = 0.5
"""Seconds after which what was asked is answered, or never."""

Refused = dict[str, Counter[str]]
"""Datagrams refused by each node, by reason."""


class Source:
    """One address that sends, by its own socket or forged by another, and what came back to it."""

    def __init__(self, sock: socket.socket | None, address: Address, forger: socket.socket | None) -> None:
        self.address = address
        self._sock = sock
        self._forger = forger
        self.sent = self.sent_bytes = self.returned = self.returned_bytes = 0
        self.answers: list[bytes] = []
        """The last that came back."""

    def send(self, datagram: bytes, target: Address) -> bool:
        """Send a datagram; whether the kernel took it."""
        try:
            if self._forger is not None:
                self._forger.sendto(packet(self.address, target, datagram), (target.host, 0))
            elif self._sock is not None:
                self._sock.sendto(datagram, target)
        except OSError:  # the buffer is full, or the port was closed
            return False
        self.sent += 1
        self.sent_bytes += len(datagram)
        return True

    def collect(self) -> None:
        """Count what has come back."""
        if self._sock is None:
            return
        with suppress(OSError):
            while True:
                answer = self._sock.recv(65_535)
                self.returned += 1
                self.returned_bytes += len(answer)
                self.answers.append(answer)

    def close(self) -> None:
        """Close its own socket."""
        if self._sock is not None:
            self._sock.close()


class Scene:
    """The cluster, and those who send at it."""

    def __init__(
        self,
        options: Options,
        cluster: Cluster,
        network: Network | None,
        key: Key | None,
        path: Path | None,
        binds: Sequence[str],
        prefixes: Sequence[Sequence[str]],
        relay: Relay | None,
    ) -> None:
        self.options = options
        self.cluster = cluster
        self.network = network
        self.relay = relay
        """Stands before the first node where there is no network to listen to."""
        self.key = key
        self.path = path
        self.binds = dict(zip(NAMES, binds, strict=True))
        self.prefixes = {name: prefixes[place % len(prefixes)] for place, name in enumerate(NAMES)}
        self.chance = random.Random()
        self.sent: Counter[str] = Counter()
        """By node: datagrams that it must have refused."""
        self.sources: list[Source] = []
        self._forger = None if network is None else raw(network.namespaces[STRANGER])

    def stranger(self) -> Source:
        """Another address of the stranger's."""
        host, namespace = "127.0.0.1", None
        if self.network is not None:
            host, namespace = parse_endpoint(self.network.endpoints[STRANGER])[0], self._stranger
        sock = udp(namespace, Address(host, 0))
        return self._add(Source(sock, Address(*sock.getsockname()), None))

    def victim(self) -> Source:
        """The address of a bystander, in whose name the stranger sends."""
        assert self.network is not None
        address = Address(parse_endpoint(self.network.endpoints[VICTIM])[0], VICTIM_PORT)
        sock = udp(self.network.namespaces[VICTIM], address)
        return self._add(Source(sock, address, self._forger))

    def forged(self, address: Address) -> Source:
        """Somebody else's address, in whose name the stranger sends; what comes back is not seen."""
        return self._add(Source(None, address, self._forger))

    def pen(self) -> Pen:
        """What a new stranger writes with."""
        return Pen(self.cluster.name, self.key, self.chance)

    def send(self, source: Source, datagram: bytes, name: str, *, answered: bool = False) -> None:
        """Send to a node. `answered`: it may be answered by a cookie, and is not counted as refused then."""
        if source.send(datagram, self.address(name)) and not answered:
            self.sent[name] += 1

    def address(self, name: str) -> Address:
        """Where a node is, or was."""
        return Address(*parse_endpoint(self.binds[name]))

    async def ids(self, source: Source) -> dict[str, tuple[NodeId, bytes]]:
        """The id of each node and a cookie of it, as it tells anybody who asks, if there are no keys."""
        found: dict[str, tuple[NodeId, bytes]] = {}
        pen = self.pen()
        for name in NAMES if self.key is None else ():
            source.answers.clear()
            source.send(pen.write(ANYBODY, [Ping(1, 2**64 - 1, 2**40)]), self.address(name))
            with trio.move_on_after(PATIENCE):
                while not source.answers:
                    await trio.sleep(0.01)
                    source.collect()
            for answer in source.answers:
                header = unpack_header(answer[TAGGED_BYTES - HEADER_BYTES : TAGGED_BYTES])
                with suppress(BadPacket):
                    for section in unpack_payload(answer[TAGGED_BYTES:]):
                        if isinstance(section, Cookie):
                            found[name] = header.sender, section.cookie
        return found

    async def refused(self) -> Refused:
        """What each node has refused."""
        return {
            name: Counter((await self.cluster.ask(name, "keys", within=BOOT))["refused"])
            for name in self.cluster.seats
        }

    def close(self) -> None:
        """Close all sockets."""
        for source in self.sources:
            source.close()
        if self._forger is not None:
            self._forger.close()

    @property
    def _stranger(self) -> str:
        assert self.network is not None
        return self.network.namespaces[STRANGER]

    def _add(self, source: Source) -> Source:
        self.sources.append(source)
        return source
