"""What has been recorded of the cluster's traffic, and who was at which address then.

Law: only datagrams of the cluster's own nodes are kept, each once; what the attackers send is not heard.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import trio

from gossipgroups.ids import Address, NodeId
from gossipgroups.keys import KEY_ID_BYTES
from gossipgroups.wire.header import HEADER_BYTES, Header, unpack_header
from gossipgroups.wire.seal import SEALED, TAG_BYTES
from sims.loopback.hostile.scene import STRANGER, Scene
from sims.loopback.hostile.wire import Recorded, heard, listening

KEPT = 20_000
"""Datagrams kept: the oldest make room."""


class Recorder:
    """Genuine datagrams of one cluster."""

    def __init__(self, scene: Scene) -> None:
        self._names = {scene.address(name): name for name in scene.binds}
        self.records: deque[Recorded] = deque(maxlen=KEPT)
        self.fresh: list[Recorded] = []
        """Those that have come since this list was emptied last."""
        self.ids: dict[str, NodeId] = {}
        """The id of the node that was heard last from each one's address."""

    def take(self, records: list[Recorded]) -> None:
        """Keep what was heard."""
        for each in records:
            if (
                each.source in self._names
                and each.target in self._names
                and len(each.datagram) > HEADER_BYTES
            ):
                self.ids[self._names[each.source]] = header_of(each.datagram).sender
                self.records.append(each)
                self.fresh.append(each)

    def name(self, address: Address) -> str:
        """Whose address it is."""
        return self._names[address]


@asynccontextmanager
async def recording(scene: Scene) -> AsyncIterator[Recorder]:
    """Listen to the wire while the block lasts, or to the relay where there is one."""
    recorder = Recorder(scene)
    async with trio.open_nursery() as nursery:
        if scene.network is None:
            assert scene.relay is not None
            # Only who is where counts of what was before: some of it may have been refused then.
            recorder.take(scene.relay.records)
            recorder.records.clear()
            nursery.start_soon(_follow, scene.relay.records, recorder.take)
            yield recorder
        else:
            with closing(listening(scene.network.hub)) as sock:

                async def listen() -> None:
                    while True:
                        await trio.lowlevel.wait_readable(sock)
                        recorder.take(heard(sock, f"port{STRANGER}"))

                nursery.start_soon(listen)
                yield recorder
        nursery.cancel_scope.cancel()


async def _follow(records: list[Recorded], take: Callable[[list[Recorded]], None]) -> None:
    known = len(records)
    while True:
        await trio.sleep(0.01)
        take(records[known:])
        known = len(records)


def header_of(datagram: bytes) -> Header:
    """The header of a genuine datagram, which is in the clear."""
    at = 1 + (KEY_ID_BYTES if datagram[0] == SEALED else TAG_BYTES)
    return unpack_header(datagram[at : at + HEADER_BYTES])
