"""A pool of workers that split jobs among themselves: no server, no queue, no lock.

Each worker is a process and a member of one group. Every job belongs to the member that consistent hashing
(uhashring) gives it, so all workers that see the same members agree without a word. Join and leave callbacks
rebalance. Each worker tells its share as its capabilities, where anybody can read it.

    python examples/worker_pool.py

starts the workers, shows their shares, kills one, and shows where its share went. The exit status is 0 if all
jobs were in good hands each time, and no job moved that did not have to.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import trio
from uhashring import HashRing

from gossipgroups import Coordinator, GroupEvent, open_coordinator

GROUP = "workers"
SECONDS = 60.0
"""After this long something is wrong."""


async def work(member_id: str, seed: str, jobs: int) -> None:
    """One worker: keep a share of the jobs until standard input ends."""
    async with open_coordinator(member_id, seeds=[seed]) as coordinator:

        async def rebalance(event: GroupEvent | None = None) -> None:
            members = sorted(coordinator.get_members(GROUP))
            ring = HashRing(members)
            mine = [job for job in range(jobs) if ring.get_node(f"job-{job}") == member_id]
            # A real worker would take up or drop jobs here.
            await coordinator.update_capabilities(GROUP, {"jobs": len(mine), "among": len(members)})

        await coordinator.join_group(GROUP, {"jobs": 0, "among": 0})
        coordinator.watch_join_group(GROUP, rebalance)
        coordinator.watch_leave_group(GROUP, rebalance)
        await rebalance()
        await trio.to_thread.run_sync(sys.stdin.read)


async def balanced(coordinator: Coordinator, workers: int) -> dict[str, int]:
    """Wait until so many workers have shared the jobs among themselves; how many jobs each of them has."""
    async with coordinator.events(GROUP) as events:
        while True:
            told = {
                member: coordinator.get_member_capabilities(GROUP, member)
                for member in sorted(coordinator.get_members(GROUP))
            }
            if [share["among"] for share in told.values()] == [workers] * workers:
                return {member: share["jobs"] for member, share in told.items()}
            await anext(events)


async def show(workers: int, jobs: int) -> bool:
    """Start the workers, kill one, and see its share move."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    async with open_coordinator("pool", seeds=()) as coordinator:  # an observer: in no group
        await coordinator.create_group(GROUP)
        try:
            for number in range(1, workers + 1):
                name = f"worker-{number}"
                arguments = [name, "--seed", str(coordinator.node.address), "--jobs", str(jobs)]
                processes[name] = subprocess.Popen(
                    [sys.executable, __file__, "--worker", *arguments], stdin=subprocess.PIPE
                )
            with trio.fail_after(SECONDS):
                before = await balanced(coordinator, workers)
                print(f"{workers} workers share {jobs} jobs:")
                for member, share in before.items():
                    print(f"  {member}  {share:5}")

                processes[f"worker-{workers}"].kill()
                print(f"worker-{workers} is killed:")
                after = await balanced(coordinator, workers - 1)
                for member, share in after.items():
                    print(f"  {member}  {share:5}  {share - before[member]:+}")
        finally:
            for process in processes.values():
                process.communicate()  # ends its standard input, so it leaves; and waits for it
    complete = sum(before.values()) == sum(after.values()) == jobs
    return complete and all(after[member] >= before[member] for member in after)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Workers split jobs by consistent hashing over a group.")
    parser.add_argument("--workers", type=int, default=4, help="how many processes (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1000, help="how many jobs (default: %(default)s)")
    parser.add_argument(
        "--worker", metavar="NAME", help="be one worker of that name (used by the pool itself)"
    )
    parser.add_argument("--seed", metavar="HOST:PORT", help="with --worker: the address of any coordinator")
    options = parser.parse_args()
    if options.worker:
        trio.run(work, options.worker, options.seed, options.jobs)
    else:
        sys.exit(not trio.run(show, options.workers, options.jobs))
