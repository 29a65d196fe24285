"""Sweeps: wherever the cases run, the results are the same and in order, and an end is an end.

Law: every process that a test starts is waited for with a limit, and ended.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sims import sweep as sweeping
from sims.experiments.experiment import Row, Scale
from sims.sweep import CaseFailed, Where, options, sweep, sweep_on
from tests.tiny_experiment import EXPERIMENT, Case, Fate, meet, run
from tests.waiting import LIMIT, wait_until

ROOT = Path(__file__).parent.parent
CASES = [Case(nodes, seed) for nodes in (2, 3) for seed in range(6)]


@pytest.fixture(scope="module")
def here() -> list[list[Row]]:
    """What the cases give in this process."""
    return [run(case) for case in CASES]


def test_this_process(here: list[list[Row]]) -> None:
    assert list(sweep(run, CASES)) == here
    assert len({rows[0]["trace"] for rows in here}) == len(CASES), "each seed has a run of its own"


def test_two_processes(here: list[list[Row]]) -> None:
    assert list(sweep(run, CASES, Where(jobs=2))) == here


def test_an_executor_of_the_callers(here: list[list[Row]]) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(sweep_on(pool, run, CASES)) == here


class Reversed(Executor):
    """Carries out what it was given last first, and notes how much waits at most."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.most = 0

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Wanted = Wanted(self)
        self.waiting.append(lambda: future.set_result(function(*arguments, **named)))
        self.most = max(self.most, len(self.waiting))
        return future


class Wanted(Future[Any]):
    """Done when its result is asked for."""

    def __init__(self, pool: Reversed) -> None:
        super().__init__()
        self._pool = pool

    def result(self, timeout: float | None = None) -> Any:
        while not self.done():
            self._pool.waiting.pop()()
        return super().result(timeout)


def test_results_come_in_order_and_few_cases_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    pool = Reversed()
    assert list(sweep_on(pool, meet, [Fate("return", seed) for seed in range(100)])) == list(range(100))
    assert 1 < pool.most <= 2 * sweeping.AHEAD


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_case_is_named(jobs: int) -> None:
    fates = [Fate("return", 0), Fate("return", 1), Fate("raise", 4711), Fate("return", 2)]
    results = sweep(meet, fates, Where(jobs))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(
        CaseFailed, match=r"Fate\(what='raise'.*seed 4711.*ValueError: that is not"
    ) as failure:
        next(results)
    assert failure.value.case == fates[2]
    assert isinstance(failure.value.__cause__, ValueError)


def test_what_waits_behind_a_failing_case_is_cancelled() -> None:
    begun: list[int] = []
    release = threading.Event()

    def follow(seed: int) -> int:
        begun.append(seed)
        if seed == 0:
            raise ValueError("first")
        release.wait(LIMIT)
        return seed

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(CaseFailed, match="the case 0 failed"):
            next(sweep_on(pool, follow, range(100)))
        release.set()
    assert begun in ([0], [0, 1]), "at most the next one had begun"


def test_a_failing_case_ends_the_processes_that_hang(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    fates = [Fate("raise", 0), *(Fate("hang", seed, str(tmp_path)) for seed in range(1, 9))]
    with pytest.raises(CaseFailed, match="seed 0"):
        list(sweep(meet, fates, Where(jobs=2)))
    wait_until(lambda: set(multiprocessing.active_children()) <= before, "the processes to end")


def test_a_sweep_that_is_closed_ends_its_processes(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    results = sweep(
        meet, [Fate("return", 0), *(Fate("hang", seed, str(tmp_path)) for seed in range(9))], Where(jobs=2)
    )
    assert next(results) == 0
    results.close()
    wait_until(lambda: set(multiprocessing.active_children()) <= before, "the processes to end")


def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(CaseFailed, match=r"broke off at Fate\(.*fewer --jobs"):
        list(sweep(meet, [Fate("return", 0), Fate("die", 1), Fate("return", 2)], Where(jobs=2)))


def test_an_interrupt_ends_the_sweep_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.tiny_experiment", str(tmp_path)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 3, "all cases to begin")
        workers = [int(path.name) for path in tmp_path.iterdir()]
        # As a terminal does: to all processes of the command.
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=LIMIT)
        assert process.returncode in (-signal.SIGINT, 130), told
        assert told.count("Traceback") == 1, told
        wait_until(lambda: not any(map(runs, workers)), f"the end of {workers}")
    finally:
        process.kill()
        process.wait(LIMIT)


def test_an_interrupt_is_left_to_the_command() -> None:
    assert list(sweep(meet, [Fate("deaf", seed) for seed in range(3)], Where(jobs=2))) == [1, 1, 1]
    assert list(sweep(meet, [Fate("deaf", 0)])) == [0], "here it still does what it did"


def runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_options() -> None:
    @click.command()
    @options
    def command(where: Where) -> None:
        click.echo(repr(where))

    def said(*arguments: str) -> str:
        return CliRunner().invoke(command, arguments).output

    assert said("--jobs", "3") == "Where(jobs=3, dask=None)\n"
    assert said() == f"Where(jobs={os.cpu_count()}, dask=None)\n"
    assert said("--dask", "tcp://[::1]:9", "--jobs", "1") == "Where(jobs=1, dask='tcp://[::1]:9')\n"
    assert "0 is not in the range" in said("--jobs", "0")


# On a Dask cluster.


@pytest.fixture(scope="module")
def dask_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real scheduler with two workers, on loopback and on ports that the kernel chose."""
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    folder = tmp_path_factory.mktemp("dask")
    contact = folder / "scheduler.json"
    processes: list[subprocess.Popen[bytes]] = []

    def start(program: str, *arguments: str) -> None:
        with (folder / f"{len(processes)}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", f"distributed.cli.dask_{program}", *arguments],
                    cwd=folder,
                    env=os.environ | {"PYTHONPATH": str(ROOT)},
                    stdout=log,
                    stderr=log,
                )
            )

    def logs() -> str:
        return "".join(path.read_text() for path in sorted(folder.glob("*.log")))

    try:
        start("scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={contact}")
        wait_until(lambda: contact.exists() and contact.read_text().strip(), logs)
        for _ in range(2):
            start(
                "worker",
                f"--scheduler-file={contact}",
                "--host=127.0.0.1",
                "--nthreads=1",
                "--no-dashboard",
                "--no-nanny",
                f"--local-directory={folder}",
            )
        wait_until(lambda: logs().count("Starting established connection") >= 4, logs)
        yield json.loads(contact.read_text())["address"]
    finally:
        for process in reversed(processes):
            process.kill()
        for process in processes:
            process.wait(LIMIT)


def test_a_dask_cluster_gives_the_same(dask_address: str, here: list[list[Row]]) -> None:
    assert list(sweep(run, CASES, Where(dask=dask_address))) == here


def test_an_experiment_writes_the_same_files_on_dask(dask_address: str, tmp_path: Path) -> None:
    for name, where in (("here", Where()), ("dask", Where(dask=dask_address))):
        EXPERIMENT.carry_out(Scale(quick=True, seed=5), where, tmp_path / name)
    for file in ("rows.csv", "tables.md", "plot.svg"):
        assert (tmp_path / "dask" / file).read_bytes() == (tmp_path / "here" / file).read_bytes(), file


def test_a_case_that_fails_on_dask_is_named(dask_address: str) -> None:
    fates = [Fate("return", 0), Fate("raise", 77), *(Fate("return", seed) for seed in range(8))]
    with pytest.raises(CaseFailed, match=r"seed 77.*that is not right"):
        list(sweep(meet, fates, Where(dask=dask_address)))


def test_no_scheduler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    monkeypatch.setattr(sweeping, "DASK_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(click.ClickException, match=f"no Dask scheduler answers at tcp://127.0.0.1:{port}"):
        list(sweep(run, CASES, Where(dask=f"tcp://127.0.0.1:{port}")))


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "127.0.0.1:8786", "tcp://h:port", ""])
def test_what_is_no_address_is_refused_at_once(address: str) -> None:
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    with pytest.raises(click.ClickException, match=r"expected an address such as tcp://"):
        list(sweep(run, CASES, Where(dask=address)))
