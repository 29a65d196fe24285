"""The speed command, in small: it measures a cluster that is whole, and tells the engine from the nodes."""

from __future__ import annotations

from click.testing import CliRunner

from sims import speed


def test_it_prints_what_it_measured() -> None:
    result = CliRunner().invoke(speed.main, ["--large", "9", "--nodes", "4", "--seconds", "2"])
    assert result.exit_code == 0, result.output
    assert "start of 9 nodes" in result.output
    assert "4 idle nodes" in result.output


def test_the_engine_has_a_part_of_the_time_and_not_all_of_it() -> None:
    assert 0 < speed.engine_share(speed.start(6), 5.0) < 1
