"""tooz's own tests, unmodified, against our driver: `python -m tests.tooz.suite`.

Law: it fails unless exactly the expected tests are skipped, and all others pass. The tests are those of the
tooz that is installed; each run has a seed of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import click

from sims.partitioner.seed import running_seed

MODULES = ("tooz.tests.test_coordination", "tooz.tests.test_partitioner")
TESTS = 98
TEST_SECONDS = 60
"""Five of the tests wait for an event without a limit."""

LOCKS = {
    *("test_acquire_twice_no_deadlock_releasing", "test_ensure_acquire_release_return", "test_get_lock"),
    *("test_get_lock_concurrency_locking2", "test_get_lock_concurrency_locking_same_lock"),
    "test_get_lock_concurrency_locking_two_lock_process",
    *(f"test_get_lock_concurrency_locking_two_lock_thread{number}" for number in (1, 2)),
    *("test_get_lock_context_check_value", "test_get_lock_context_fails", "test_get_lock_locked_twice"),
    "test_get_lock_locking_exclusive_and_shared",
    "test_get_lock_locking_shared_and_exclusive",
    *("test_get_lock_multiple_coords", "test_get_lock_release_broken"),
    "test_get_lock_serial_locking_two_lock_process",
    "test_get_lock_twice_locked_one_released_two",
    *("test_get_lock_twice_locked_twice", "test_get_multiple_locks_with_same_coord"),
    *("test_get_shared_lock", "test_get_shared_lock_locking_same_lock_twice"),
    *("test_get_shared_lock_locking_two_lock", "test_heartbeat_lock_not_acquired"),
    *(
        f"test_lock_context_manager_acquire_{what}"
        for what in (
            *("argument", "argument_release_within", "argument_return_value", "argument_timeout"),
            "no_argument",
        )
    ),
}
"""We have no locks."""
LEADERS = {
    *("test_get_leader", "test_run_for_election", "test_run_for_election_multiple_clients"),
    "test_run_for_election_multiple_clients_stand_down",
    *("test_unwatch_elected_as_leader", "test_unwatch_elected_as_leader_callback_not_found"),
}
"""We have leaders only when asked for them."""
OTHERS = {"test_watch_join_group_disappear"}
"""Written for three drivers, by their classes."""


@click.command(help=__doc__)
@click.option("--runs", type=click.IntRange(1), default=1, show_default=True, help="Runs in a row.")
@click.option("-n", "processes", type=click.IntRange(0), default=0, help="In so many processes at once.")
@click.option("--leader", is_flag=True, help="With ?leader=advisory.")
def main(runs: int, processes: int, leader: bool) -> None:
    """Run tooz's tests."""
    skips = LOCKS | OTHERS | (set() if leader else LEADERS)
    unsound = 0
    for number in range(1, runs + 1):
        began = time.monotonic()
        outcomes = _run(processes, "?leader=advisory" if leader else "")
        faults = _faults(outcomes, skips)
        skipped = sum(outcome == "skipped" for _, outcome in outcomes)
        click.echo(
            f"run {number} of {runs}: {len(outcomes) - skipped} not skipped, {skipped} skipped, "
            f"{len(faults)} not as expected, {time.monotonic() - began:.1f} s"
        )
        for fault in faults:
            click.echo(f"  {fault}")
        unsound += bool(faults)
    sys.exit(bool(unsound))


def _run(processes: int, query: str) -> list[tuple[str, str]]:
    """The tests with what became of each: passed, skipped or failed."""
    with running_seed() as seed, tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.xml"
        command = [sys.executable, "-m", "pytest", "--quiet", "--pyargs", *MODULES]
        command += ["--timeout", str(TEST_SECONDS), "-p", "no:cacheprovider", "--junitxml", str(report)]
        command += ["-n", str(processes)] if processes else []
        ran = subprocess.run(
            command,
            cwd=place,
            env=os.environ | {"TOOZ_TEST_URL": f"gossip://{seed}{query}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            click.echo(ran.stdout + ran.stderr, err=True)
            return []
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314
        outcomes = [(case.get("name", ""), _outcome(case)) for case in cases]
        if any(outcome == "failed" for _, outcome in outcomes):
            click.echo(ran.stdout, err=True)
        return outcomes


def _outcome(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "passed" if case.find("skipped") is None else "skipped"


def _faults(outcomes: list[tuple[str, str]], skips: set[str]) -> list[str]:
    """What is not as expected."""
    faults = [
        f"{name}: {outcome}"
        for name, outcome in outcomes
        if outcome != ("skipped" if name in skips else "passed")
    ]
    if len(outcomes) != TESTS:
        faults.append(f"{len(outcomes)} tests ran, not {TESTS}: another version of tooz?")
    return faults


if __name__ == "__main__":
    main()
