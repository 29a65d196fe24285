"""The loopback benchmark, run small: every phase takes figures, and a callback that is missed or false shows.

Law: figures must be there and counts must be right; how long anything took is never asserted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sims.loopback.figures import Rotation, Rounds, Start, quantile
from sims.loopback.flooder import flood
from sims.loopback.ledger import Ledger, Record
from sims.loopback.options import CLUSTER_PHASES, parse
from sims.loopback.report import rows

ROOT = Path(__file__).parents[1]
SMALL = ["--nodes=3", "--rounds=1", "--preset=local", "--drain=0.2", "--window=0.5", "--limit=20", "--json"]


def run(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "sims.loopback", *SMALL, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("mode", [(), ("--in-process",)], ids=["processes", "in process"])
def test_every_phase_takes_its_figures(mode: tuple[str, ...]) -> None:
    found = run(*mode)
    figures = found["figures"]
    assert found["sound"]
    assert found["options"]["in_process"] == bool(mode)
    assert len(figures["start"]["runs"]) == 1
    assert figures["start"]["median"] > 0
    for name in ("leave", "join", "stop", "join after stop", "kill"):
        assert figures[name]["count"] == len(figures[name]["seconds"]) == 1, name
        assert figures[name]["missed"] == figures[name]["unconverged"] == 0, name
        assert 0 < figures[name]["p50"] == figures[name]["max"], name
    assert figures["join after kill"]["missed"] == 0
    assert figures["strays"]["unexpected"] == []
    assert figures["idle"]["cpu_ms"] > 0
    # No datagram is shorter than its headers.
    assert figures["idle"]["bytes"] > 28 * figures["idle"]["datagrams"] > 0
    if sys.platform == "linux":
        assert figures["memory"]["rss"] > 0


def test_a_start_is_repeated_from_nothing() -> None:
    figures = run("--in-process", "--phases", "start", "--runs", "2")["figures"]
    assert set(figures) == {"start"}
    assert len(figures["start"]["runs"]) == 2


def test_a_flood_is_counted_and_costs_no_callback() -> None:
    figure = run("--flood", "2", "--rate", "1000")["figures"]["flood"]
    assert figure["sound"]
    assert figure["sent"] > 0
    assert 0 < figure["refused"] <= figure["sent"]
    assert figure["join"]["count"] == figure["leave"]["count"] > 0
    assert figure["join"]["missed"] == figure["leave"]["missed"] == figure["failures"] == 0


def test_a_rotation_is_noticed_by_nobody_and_ends_the_old_key() -> None:
    found = run("--rotate", "--nodes", "4")
    figure = found["figures"]["rotation"]
    assert found["sound"]
    assert set(found["figures"]) == {"rotation"}
    assert figure["nodes"] == figure["known_before"] == figure["unknown_after"] == 4
    assert len(figure["seconds"]) == 3
    assert figure["callbacks"] == figure["suspicions"] == figure["failures"] == figure["refused"] == 0


SMOOTH = Rotation(
    nodes=4,
    seconds=[1.0, 2.0, 3.0],
    callbacks=0,
    suspicions=0,
    failures=0,
    refused=0,
    known_before=4,
    unknown_after=4,
)


@pytest.mark.parametrize(
    "changes",
    [
        {"callbacks": 1},
        {"suspicions": 1},
        {"failures": 1},
        {"refused": 1},
        {"known_before": 3},
        {"unknown_after": 3},
        {"seconds": [1.0, None]},
    ],
    ids=str,
)
def test_a_rotation_that_somebody_noticed_is_not_sound(changes: dict[str, Any]) -> None:
    assert SMOOTH.sound
    assert not replace(SMOOTH, **changes).sound


def test_a_flood_goes_to_this_machine_only() -> None:
    with pytest.raises(SystemExit, match="loopback"):
        flood(("192.0.2.1", 9), 1, 0.01, b"")


def record(observer: str, kind: str, subject: str, at: float = 1.0) -> Record:
    return Record(observer, kind, subject, at, converged=True)


async def test_a_missed_callback_is_counted() -> None:
    ledger = Ledger()
    change = ledger.expect("joined", "c", ["a", "b"])
    ledger.take(record("a", "joined", "c", at=3.0))
    assert not await ledger.outcome(change, 0.01)
    rounds = Rounds()
    rounds.add(change, since=1.0)
    assert (rounds.missed, rounds.max, rounds.sound) == (1, 2.0, False)


async def test_the_last_callback_ends_the_waiting() -> None:
    ledger = Ledger()
    change = ledger.expect("left", "c", ["a", "b"])
    ledger.take(record("b", "left", "c", at=5.0))
    ledger.take(record("a", "left", "c", at=4.0))
    assert await ledger.outcome(change, 10)
    assert change.last == 5.0
    assert ledger.unexpected == []


def test_doubled_and_false_callbacks_are_unexpected() -> None:
    ledger = Ledger()
    ledger.expect("joined", "c", ["a"])
    stray = [record("a", "joined", "c"), record("b", "joined", "c"), record("a", "failed", "c")]
    for each in (record("a", "joined", "c"), *stray):
        ledger.take(each)
    assert ledger.unexpected == stray


def test_only_accusations_of_the_well_are_false() -> None:
    ledger = Ledger()
    ledger.gone.add("dead")
    ledger.take(record("a", "node suspected", "dead"))
    ledger.take(record("a", "node suspected", "well"))
    assert ledger.false_accusations("node suspected") == 1
    assert ledger.false_accusations("node failed") == 0


def test_quantiles_are_of_the_nearest_rank() -> None:
    values = [float(each) for each in range(101)]
    assert [quantile(values, share) for share in (0, 0.5, 0.99, 1)] == [0, 50, 99, 100]
    assert quantile([], 0.5) is None


def test_a_start_that_was_given_up_has_no_median() -> None:
    start = Start.of([0.5, None])
    assert (start.sound, start.median) == (False, None)
    assert rows({"start": start}) == [
        ("all see all after a mass start", "median never", "runs 500.0 ms never")
    ]


def test_phases_come_in_their_order_and_faults_by_their_option() -> None:
    assert parse([]).phases == CLUSTER_PHASES
    assert parse(["--phases", "kill,start"]).phases == ("start", "kill")
    assert parse(["--rotate"]).phases == ("rotation",)
    options = parse(["--blocked", "3"])
    assert (options.phases, options.blocked, options.stopped) == (("blocked",), 3, 20)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [("--nodes 1", "at least 2"), ("--rounds 0", "above 0"), ("--phases sleep", "no phase sleep")],
)
def test_options_that_make_no_sense_are_refused(
    arguments: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments.split())
    assert word in capsys.readouterr().err
