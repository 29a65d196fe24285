"""Groups without trio: a coordinator from a URL, requests with `.get()`, callbacks on a thread of their own.

`gossip://` alone finds the coordinators of this user on this machine; a URL with addresses finds any others:

    python examples/blocking.py
    python examples/blocking.py 'gossip://127.0.0.1:7946/cluster'
"""

from __future__ import annotations

import argparse
import os
import queue

import gossipgroups


def main(url: str) -> None:
    told: queue.SimpleQueue[gossipgroups.MemberJoinedGroup] = queue.SimpleQueue()
    coordinator = gossipgroups.get_coordinator(url, f"host-{os.getpid()}")
    coordinator.start()

    try:
        coordinator.create_group("workers").get(timeout=5)
    except gossipgroups.GroupAlreadyExists:
        print("another one has created the group")

    coordinator.watch_join_group("workers", told.put)
    # Without .get() it is on its way; operations of one coordinator apply in the order of the calls.
    coordinator.join_group("workers", capabilities={"slots": 4})
    update = coordinator.update_capabilities("workers", {"slots": 2})
    update.get(timeout=5)
    print("a callback was told:", told.get(timeout=5).member_id, "has joined")

    for member in sorted(coordinator.get_members("workers").get()):
        print(member, "offers", coordinator.get_member_capabilities("workers", member).get())

    coordinator.stop()  # leaves all groups, and returns when the others know


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Join a group with the blocking API, and show its members.")
    parser.add_argument("url", nargs="?", default="gossip://", help="the cluster (default: %(default)s)")
    main(parser.parse_args().url)
