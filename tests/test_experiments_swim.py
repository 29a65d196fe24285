"""The SWIM experiment, in small: its figures are counted, not assumed."""

from __future__ import annotations

from collections.abc import Sequence
from math import e

import pytest
from matplotlib.figure import Figure

from gossipgroups.groups.rules import Create
from gossipgroups.ids import Address
from sims.engine import Process, Watcher
from sims.experiments import swim
from sims.experiments.experiment import Row, Scale
from sims.experiments.swim import Case


def _value(rows: list[Row], measure: str) -> list[float]:
    return [float(row["value"] or 0) for row in rows if row["measure"] == measure]


@pytest.mark.parametrize("kind", ["gossipgroups", "SWIM, with suspicion"])
def test_a_member_sends_one_ping_and_one_ack_in_a_period(kind: str) -> None:
    rows = swim.run(Case("load", kind, 8, seed=1))
    assert _value(rows, "messages") == [pytest.approx(2.0, abs=0.05)]
    assert _value(rows, "messages under loss")[0] > 2.2


def test_a_crash_is_pinged_suspected_and_declared_in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swim, "CRASHES", 5)
    rows = swim.run(Case("detect", "gossipgroups", 6, seed=2))
    for pinged, suspected, dead in zip(
        *(_value(rows, each) for each in ("first ping", "first suspicion", "first death")), strict=True
    ):
        # Even probing: the first ping comes within a period, and the suspicion three short waits after it.
        assert 0 <= pinged <= 1.1
        assert pinged + 0.29 <= suspected < dead
    assert len(_value(rows, "spread")) == 5


def test_random_probing_takes_longer_to_the_first_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swim, "CRASHES", 40)

    def whole(kind: str) -> float:
        values = _value(swim.run(Case("detect", kind, 6, seed=3)), "first ping, in whole periods")
        return sum(values) / len(values)

    assert whole("gossipgroups") <= 1.1
    assert whole("SWIM, with suspicion") == pytest.approx(e / (e - 1), rel=0.2)


def test_under_loss_the_group_stays_whole_and_without_suspicion_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(swim, "WATCHED_PERIODS", 60)
    removals = "false removals per member and hour"
    ours = swim.run(Case("lossy", "gossipgroups", 8, seed=4))
    without = swim.run(Case("lossy", "SWIM, without suspicion", 8, seed=4))
    assert set(_value(ours, "size")) == {8.0}
    assert _value(ours, removals) == [0.0]
    assert _value(without, removals)[0] > 0


def test_the_basic_protocol_tells_each_change_to_all() -> None:
    targets: list[Address] = []

    class Told(Watcher):
        def sent(self, process: Process, datagram: bytes, target: Address, arrivals: Sequence[float]) -> None:
            if b"news" in datagram and process is first:
                targets.append(target)

    first: Process | None = None
    simulation = swim._cluster(Case("lossy", "basic", swim.MEMBERS, seed=5), Told())
    first = next(iter(simulation.processes.values()))
    simulation.submit(first, Create("news"))
    simulation.advance(0.1)
    assert set(targets) == set(simulation.processes) - {first.address}


def test_all_parts_end_up_in_tables_and_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CRASHES": 1, "WATCHED_PERIODS": 5, "LOAD_PERIODS": 5, "BETWEEN_JOINS": 1}.items():
        monkeypatch.setattr(swim, name, value)
    rows = [row for case in swim.cases(Scale(quick=True, seed=0)) for row in swim.run(case)]
    load, detection, lossy = swim.tables(rows)
    assert [row[0] for row in load.rows] == [6, 32]
    assert [row[0] for row in detection.rows] == list(swim.UNTIL)
    assert {row[0]: row[3] for row in lossy.rows}["basic"] == 2
    figure = Figure()
    swim.plot(rows, figure)
    assert len(figure.axes) == 2
