"""The soak in small: quick forms of both kinds are sound, and whatever grows is found and named.

Law: every bound that the soak holds is broken here once, and must be named.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner

from gossipgroups.convergence import Convergence
from sims.loopback.progress import Progress
from sims.soak import real
from sims.soak.__main__ import main
from sims.soak.graph import bytes_of, tables_of
from sims.soak.growth import LEAST, Tolerance, Verdict, judge, series_of
from sims.soak.virtual import Plan, Soak
from tests.nodes import Wire

TOLERANCE = Tolerance(0.05, 2, 0.25, 5)
SHORT = Plan(hours=0.6, nodes=5, forget_after=300.0, every=60.0)


def verdict(samples: list[float], tolerance: Tolerance = TOLERANCE) -> Verdict:
    return judge("it", samples, tolerance)


def test_what_grows_is_found_and_what_swings_is_not() -> None:
    assert verdict([float(each) for each in range(90)]).grew
    assert not verdict([100.0 + each % 7 for each in range(90)]).grew
    assert not verdict([float(each) for each in range(30)] + [30.0] * 60).grew, "warm-up"
    assert not verdict([100.0] * 60 + [105.0] * 30).grew, "tolerated"
    assert verdict([100.0] * 60 + [108.0] * 30).grew


def test_a_peak_that_grows_is_found_though_the_median_stays() -> None:
    assert verdict([0.0] * 80 + [9.0] + [0.0] * 9).grew
    assert "peak 0, then 9" in verdict([0.0] * 80 + [9.0] + [0.0] * 9).complaint


def test_what_has_a_bound_may_fill_up_to_it() -> None:
    bounded = Tolerance(0, 0, 0, 0, bound=89)
    assert not verdict([float(each) for each in range(90)], bounded).grew
    assert verdict([float(each) for each in range(91)], bounded).grew


def test_too_few_samples_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="samples"):
        verdict([1.0] * (LEAST - 1))


def test_what_a_sample_does_not_name_is_nothing() -> None:
    assert series_of([{"a": 1.0}, {"b": 2.0}]) == {"a": [1.0, 0.0], "b": [0.0, 2.0]}


def test_every_table_of_a_node_is_found_once() -> None:
    node = Wire(2).nodes[0]
    tables, size = tables_of(node), bytes_of(node)
    assert tables["state.replica.nodes"] == len(node.state.replica.nodes) == 1
    assert not any("._replica" in path for path in tables), "shared, and counted before"
    node.kept = deque([b"1", b"2"])  # type: ignore[attr-defined]
    node.state.replica.groups["nested"] = {"a": [1, 2, 3]}  # type: ignore[assignment]
    grown = tables_of(node)
    assert grown["kept"] == 2
    assert (grown["state.replica.groups"], grown["state.replica.groups[]"]) == (1, 1)
    assert grown["state.replica.groups[][]"] == 3
    assert bytes_of(node) > size


def test_a_short_virtual_soak_is_sound_and_a_leak_in_it_is_named() -> None:
    soak = Soak(SHORT)
    node = soak.weather.steady[0].node
    node.unseen = []  # type: ignore[attr-defined]
    soak.run(lambda: node.unseen.append(len(node.unseen)))  # type: ignore[attr-defined]
    assert len(soak.samples) == SHORT.samples
    troubles = soak.troubles()
    assert len(troubles) == 1, "nothing else grows"
    assert troubles[0].startswith("unseen grew")
    tombstones = [sample["tombstones"] for sample in soak.samples]
    gone = soak.weather.tally["group deleted"] + soak.weather.tally["machine lost"]
    assert gone > 0
    assert any(new < old for old, new in pairwise(tombstones)), "they go, too"
    assert "unseen" in {row[0] for row in soak.tables()[0].rows}
    soak.weather.tally.pop("machine lost")
    assert "machine lost" in soak.troubles()[-1]


def test_a_table_that_a_node_forgets_to_empty_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Convergence, "forget", lambda self, group: None)
    soak = Soak(SHORT)
    soak.run()
    (trouble,) = soak.troubles()
    assert trouble.startswith("_convergence._scopes grew")


@pytest.mark.parametrize(
    ("hours", "status", "said"), [("0.6", 0, "nothing grew"), ("0.2", 1, "never occurred:")]
)
def test_the_status_says_how_it_went(hours: str, status: int, said: str) -> None:
    arguments = ["virtual", "--hours", hours, "--nodes", "5", "--forget-after", "120", "--seed", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == status, result.output
    assert said in result.output


def test_a_virtual_soak_without_a_warm_up_is_refused() -> None:
    result = CliRunner().invoke(main, ["virtual", "--hours", "1"])
    assert result.exit_code == 2
    assert "too short" in result.output


async def test_a_short_real_soak_harms_nobody() -> None:
    found = await real.soak(real.Plan(seconds=4.5, rate=10.0, every=0.5, preset="local"), Progress())
    assert found.changes > 0
    assert [len(samples) for samples in found.samples.values()] == [9] * 5
    # So short a run is all warm-up: memory may grow in it, and nothing else may be wrong.
    assert [each for each in found.troubles() if " grew: " not in each] == []
    assert all(sample["blocks"] > 0 for samples in found.samples.values() for sample in samples)
    assert [len(table.rows) for table in found.tables()][1] == 5


def a_finding(**changes: list[Any]) -> real.Found:
    """What a sound run would find, with some series of one process replaced."""
    found = real.Found(changes=1, cache=[1] * 10)
    for name in found.samples:
        found.samples[name] = [
            {
                **{"rss": 40_000, "pss": 30_000, "uss": 20_000, "blocks": 250_000, "live": [5]},
                **{"at": float(number), "cpu": 0.0, "sent": 0, "sent_bytes": 0, "stalls": 0, "refused": 0},
            }
            for number in range(30)
        ]
    for key, values in changes.items():
        for sample, value in zip(found.samples["node-3"], values, strict=True):
            sample[key] = value
    return found


def test_a_sound_finding_has_no_trouble() -> None:
    assert a_finding().troubles() == []
    assert len(a_finding().tables()[0].rows) == 4 * 5
    assert a_finding(rss=[None] * 30).troubles() == [], "a system that does not tell"


@pytest.mark.parametrize(
    ("key", "values", "said"),
    [
        ("rss", [40_000 + 100 * number for number in range(30)], "RSS, KiB: node-3 grew"),
        ("blocks", [250_000 + 200 * number for number in range(30)], "allocated blocks: node-3 grew"),
        ("live", [[5]] * 29 + [[4]], "node-3 did not hold all live in 1 of 30"),
        ("refused", [0] * 29 + [1], "node-3 refused 1 datagrams"),
    ],
)
def test_each_bound_of_the_real_soak_is_held(key: str, values: list[Any], said: str) -> None:
    (trouble,) = a_finding(**{key: values}).troubles()
    assert trouble.startswith(said)


def test_deaths_differences_and_idleness_are_troubles() -> None:
    found = a_finding()
    found.changes, found.failures = 0, 2
    found.differences.append("the members of workers are not the same everywhere")
    assert [each.split()[0] for each in found.troubles()] == ["no", "2", "the"]
