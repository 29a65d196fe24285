"""A group by OpenStack tooz, without a server: create a group, join it, see who is there, stop.

The steps are those of tooz's own tutorial on group membership; all that is ours is the URL. Run
tooz_watch.py in another terminal to see this member come and go:

    python examples/tooz_group.py
    python examples/tooz_group.py 'gossip://127.0.0.1:7946/cluster'
"""

from __future__ import annotations

import argparse
import os

from tooz import coordination


def main(url: str, group: str) -> None:
    coordinator = coordination.get_coordinator(url, f"host-{os.getpid()}".encode())
    coordinator.start()

    try:
        coordinator.create_group(group.encode()).get()
    except coordination.GroupAlreadyExist:
        print("another one has created the group")

    coordinator.join_group(group.encode(), {"slots": 4}).get()
    for member in sorted(coordinator.get_members(group.encode()).get()):
        print("member:", member.decode())

    coordinator.stop()  # leaves the group


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Create and join a group through tooz.")
    parser.add_argument("url", nargs="?", default="gossip://", help="the cluster (default: %(default)s)")
    parser.add_argument("--group", default="workers", help="the group (default: %(default)s)")
    arguments = parser.parse_args()
    main(arguments.url, arguments.group)
