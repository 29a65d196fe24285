"""A first group: two coordinators meet, one joins a group, and the other is told; likewise when it stops.

Both run in this process, alone, or in the cluster of coordinators that run already:

    python examples/first_group.py
    python examples/first_group.py 127.0.0.1:7946
"""

from __future__ import annotations

import argparse

import trio

from gossipgroups import MemberJoinedGroup, MemberLeftGroup, open_coordinator


async def main(seeds: list[str]) -> None:
    joined, left = trio.Event(), trio.Event()

    def on_join(event: MemberJoinedGroup) -> None:
        print(f"host-1 is told: {event.member_id} has joined {event.group_id}")
        joined.set()

    async def on_leave(event: MemberLeftGroup) -> None:  # a callback may be async, too
        print(f"host-1 is told: {event.member_id} is gone from {event.group_id}, it has {event.reason}")
        left.set()

    async with open_coordinator("host-1", seeds=seeds) as one:
        one.watch_join_group("workers", on_join)
        one.watch_leave_group("workers", on_leave)

        # Usually in another process, on another machine. All it needs is the address of any one coordinator.
        async with open_coordinator("host-2", seeds=[str(one.node.address)]) as two:
            await two.join_group("workers", capabilities={"slots": 4}, create=True)
            print("members:", *one.get_members("workers"))
            print("host-2 offers", one.get_member_capabilities("workers", "host-2"))
            await joined.wait()
        await left.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Two coordinators meet, and one is told what the other does."
    )
    parser.add_argument(
        "seeds", nargs="*", metavar="HOST:PORT", help="coordinators that run already; none: start alone"
    )
    trio.run(main, parser.parse_args().seeds)
