"""Network namespaces: a network of five nodes that can be cut in two and joined again, in the kernel.

    node 0 ─┐                 ┌─ node 3
    node 1 ─┼─ bridge ─cable─ bridge
    node 2 ─┘                 └─ node 4

Law: everything lives in namespaces of its own, which are deleted in the end; nothing outside is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

PORT = 7946


def obstacle() -> str | None:
    """Why no namespaces can be made here; `None` when they can."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if shutil.which("ip") is None:
        return "network namespaces need the ip command (iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return (
        None if probe.returncode == 0 else f"network namespaces are not allowed here: {probe.stderr.strip()}"
    )


class Network:
    """Nodes on two bridges, and the cable between these."""

    def __init__(self, name: str, sides: Sequence[int]) -> None:
        self._hub = f"{name}-hub"
        self._sides = [side for side, size in enumerate(sides) for _ in range(size)]
        self._nodes = [f"{name}-{place}" for place in range(len(self._sides))]

    @property
    def prefixes(self) -> list[list[str]]:
        """What runs a command in the namespace of each node."""
        return [["ip", "netns", "exec", node] for node in self._nodes]

    @property
    def hub(self) -> str:
        """The namespace of the bridges; the link of node n is `port<n>` there."""
        return self._hub

    @property
    def namespaces(self) -> list[str]:
        """The namespace of each node."""
        return list(self._nodes)

    @property
    def endpoints(self) -> list[str]:
        """The address of each node."""
        return [f"10.77.0.{place + 1}:{PORT}" for place in range(len(self._nodes))]

    async def lay(self) -> None:
        """Make the namespaces, bridges and links."""
        hub = ["-n", self._hub]
        for name in (self._hub, *self._nodes):
            await _ip("netns", "add", name)
        for side in (0, 1):
            await _ip(*hub, "link", "add", f"bridge{side}", "type", "bridge")
            await _ip(*hub, "link", "set", f"bridge{side}", "up")
        await _ip(*hub, "link", "add", "cable0", "type", "veth", "peer", "name", "cable1")
        for side in (0, 1):
            await _ip(*hub, "link", "set", f"cable{side}", "master", f"bridge{side}", "up")
        for place, (node, side) in enumerate(zip(self._nodes, self._sides, strict=True)):
            port = f"port{place}"
            await _ip(*hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", node)
            await _ip(*hub, "link", "set", port, "master", f"bridge{side}", "up")
            await _ip("-n", node, "address", "add", f"10.77.0.{place + 1}/24", "dev", "eth0")
            await _ip("-n", node, "link", "set", "eth0", "up")
            await _ip("-n", node, "link", "set", "lo", "up")

    async def cut(self) -> None:
        """Unplug the cable."""
        await _ip("-n", self._hub, "link", "set", "cable0", "down")

    async def heal(self) -> None:
        """Plug it in again."""
        await _ip("-n", self._hub, "link", "set", "cable0", "up")

    async def remove(self) -> None:
        """Delete what was made, as far as it was."""
        for name in (*self._nodes, self._hub):
            await trio.run_process(["ip", "netns", "delete", name], check=False, capture_stderr=True)


@asynccontextmanager
async def open_network(sides: Sequence[int]) -> AsyncIterator[Network]:
    """A network with so many nodes on each of two sides."""
    network = Network(f"gg{os.getpid()}", sides)
    try:
        await network.lay()
        yield network
    finally:
        with trio.CancelScope(shield=True):
            await network.remove()


async def _ip(*arguments: str) -> None:
    await trio.run_process(["ip", *arguments])
