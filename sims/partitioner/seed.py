"""A seed: `gossipgroups node` as a process, for as long as a block lasts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def running_seed() -> Iterator[str]:
    """Run a seed on a free port of loopback; where it listens."""
    command = [sys.executable, "-m", "gossipgroups.cli", "node", "--alone", "--json"]
    arguments = ["--member-id", "seed", "--bind", "127.0.0.1:0"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())["address"]
            assert isinstance(address, str)
            yield address
        finally:
            process.kill()
