"""A process that floods one address with garbage: `python -m sims.loopback.flooder 127.0.0.1:7946 20000 60`.

Law: it sends to one address of this machine's loopback, so many datagrams a second, for so many seconds, and
ends. What it sends no node can open: random bytes, and heads of real envelopes with random bytes behind.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from ipaddress import ip_address

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.url import parse_endpoint

STEP = 0.002
"""Seconds between two bursts."""
DIFFERENT = 512
"""Datagrams that are made, and sent over and over."""


def garbage(chance: random.Random, key_id: bytes) -> bytes:
    """A datagram that no node can open."""
    head = chance.choice((b"", b"\x01", b"\x02", b"\x02" + key_id, b"\x03"))
    sizes = (0, 1, 20, 60, 200, 1200, DATAGRAM_BYTES - len(head), DATAGRAM_BYTES, 9000)
    return head + chance.randbytes(chance.choice(sizes))


def flood(target: tuple[str, int], rate: int, seconds: float, key_id: bytes) -> int:
    """Flood an address; how many datagrams were sent."""
    if not ip_address(target[0]).is_loopback:
        raise SystemExit(f"{target[0]} is not a loopback address: a flood is for this machine only")
    chance = random.Random(1)
    datagrams = [garbage(chance, key_id) for _ in range(DIFFERENT)]
    sent = 0
    begun = time.monotonic()
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        while (passed := time.monotonic() - begun) < seconds:
            while sent < rate * passed:
                try:
                    sock.sendto(datagrams[sent % DIFFERENT], target)
                except OSError:  # the kernel's buffer is full, or the port was closed
                    time.sleep(STEP)
                sent += 1
            time.sleep(STEP)
    return sent


if __name__ == "__main__":
    endpoint, per_second, duration, *ids = sys.argv[1:]
    print(flood(parse_endpoint(endpoint), int(per_second), float(duration), bytes.fromhex("".join(ids))))
