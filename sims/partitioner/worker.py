"""One member of a partitioned group, as an application would be: `worker URL MEMBER GROUP SECONDS`.

It runs its watchers every so many seconds and writes a line of JSON when its ring has changed, or when tooz
has raised: `{"at": 81.2, "ring": ["a", "b"], "trouble": null}`. It stops when its input ends.

Law: the stamp is CLOCK_MONOTONIC, which all processes of a machine share, taken when `run_watchers` returned.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from tooz import coordination


def main(url: str, member: str, group: str, seconds: str) -> None:
    """Be a member until the input ends."""
    over = threading.Event()

    def read() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=read, daemon=True).start()
    coordinator = coordination.get_coordinator(url, member.encode())
    coordinator.start(start_heart=True)
    partitioner = coordinator.join_partitioned_group(group.encode())
    told: tuple[object, ...] = ()
    while not over.is_set():
        trouble = None
        try:
            coordinator.run_watchers()
        except Exception as error:
            trouble = f"{type(error).__name__}: {error}"
        ring = sorted(each.decode() for each in partitioner.ring.nodes)
        if (ring, trouble) != told:
            told = ring, trouble
            print(json.dumps({"at": time.monotonic(), "ring": ring, "trouble": trouble}), flush=True)
        over.wait(float(seconds))
    coordinator.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
