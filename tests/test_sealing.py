"""The command that measures sealing, in small: it measures both kinds, and says so."""

from __future__ import annotations

from click.testing import CliRunner

from sims import sealing


def test_it_prints_what_it_measured() -> None:
    result = CliRunner().invoke(sealing.main, ["--nodes", "2", "--seconds", "1", "--runs", "1"])
    assert result.exit_code == 0, result.output
    for what in ("seal 1200 bytes", "open 1200 bytes", "idle, ms", "idle, bytes"):
        assert what in result.output
