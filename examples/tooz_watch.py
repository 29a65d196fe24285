"""Watch a group by OpenStack tooz, without a server: say who joins and who leaves.

The steps are those of tooz's own tutorial on watching groups; all that is ours is the URL. It prints nothing
about members unless somebody joins, such as tooz_group.py in another terminal. It ends once somebody has
left, or after some seconds:

    python examples/tooz_watch.py
    python examples/tooz_watch.py 'gossip://127.0.0.1:7946/cluster' --seconds 60
"""

from __future__ import annotations

import argparse
import os
import time

from tooz import coordination


def main(url: str, group: str, seconds: float) -> None:
    left = []

    def on_join(event: coordination.MemberJoinedGroup) -> None:
        print("joined:", event.member_id.decode())

    def on_leave(event: coordination.MemberLeftGroup) -> None:
        print("left:", event.member_id.decode())
        left.append(event.member_id)

    coordinator = coordination.get_coordinator(url, f"watcher-{os.getpid()}".encode())
    coordinator.start()
    try:
        coordinator.create_group(group.encode()).get()
    except coordination.GroupAlreadyExist:
        print("another one has created the group")

    coordinator.watch_join_group(group.encode(), on_join)
    coordinator.watch_leave_group(group.encode(), on_leave)
    print("watching", group, flush=True)

    until = time.monotonic() + seconds
    while not left and time.monotonic() < until:
        coordinator.run_watchers()  # calls on_join and on_leave, in this thread
        time.sleep(0.05)

    coordinator.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Watch a group through tooz.")
    parser.add_argument("url", nargs="?", default="gossip://", help="the cluster (default: %(default)s)")
    parser.add_argument("--group", default="workers", help="the group (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="how long (default: %(default)g)")
    arguments = parser.parse_args()
    main(arguments.url, arguments.group, arguments.seconds)
