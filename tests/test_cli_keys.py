"""Keys on the command line: made, looked at, rotated under running nodes, and never shown by accident."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gossipgroups import Key, KeyFile, KeyRing
from tests.test_cli import invoke, running, wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.keys"
    assert invoke("keygen", "--out", str(path)).exit_code == 0
    return path


def ids(path: Path) -> list[str]:
    return [row["key_id"] for row in json.loads(invoke("keys", "list", str(path), "--json").stdout)]


def test_keygen_prints_a_line_of_a_key_file() -> None:
    one, two = invoke("keygen"), invoke("keygen")
    assert one.exit_code == two.exit_code == 0
    assert Key.parse(one.stdout) != Key.parse(two.stdout)


def test_keygen_writes_a_file_and_prints_the_id_only(path: Path) -> None:
    (key,) = KeyFile(path).read().keys
    assert path.stat().st_mode & 0o777 == 0o600
    again = invoke("keygen", "--out", str(path))
    assert again.exit_code == 1
    assert "exists" in again.stderr
    assert KeyFile(path).read() == KeyRing([key])


def test_a_key_is_added_used_and_removed(path: Path, tmp_path: Path) -> None:
    (old,) = ids(path)
    new = invoke("keys", "add", str(path)).stdout.strip()
    assert ids(path) == [old, new]
    shown = invoke("keys", "use", str(path), new).stdout
    assert ids(path) == [new, old]
    assert shown.splitlines()[2].split() == [new, "seals", "and", "opens"]
    refused = invoke("keys", "remove", str(path), new)
    assert (refused.exit_code, "still seals" in refused.stderr) == (1, True)
    assert invoke("keys", "remove", str(path), old).exit_code == 0
    assert ids(path) == [new]
    unknown = invoke("keys", "use", str(path), old)
    assert (unknown.exit_code, new in unknown.stderr) == (1, True)
    other = tmp_path / "other.keys"
    invoke("keygen", "--out", str(other))
    assert invoke("keys", "add", str(path), "--from", str(other)).stdout.split() == ids(other)
    assert "already" in invoke("keys", "add", str(path), "--from", str(other)).stdout


@pytest.mark.parametrize("arguments", [("list",), ("add",), ("use", "abcd"), ("remove", "abcd")])
def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    name, *rest = arguments
    result = invoke("keys", name, str(tmp_path / "absent"), *rest)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "absent" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("nodes --seeds 127.0.0.1:9 --keys KEY", 1),
        ("nodes --seeds 127.0.0.1:9 --keys base64:KEY", 1),
        ("nodes --seeds 127.0.0.1:9 --keys KEY,x", 1),
        ("nodes --seeds KEY", 1),
        ("keys add FILE KEY", 2),
        ("keys use FILE KEY", 1),
        ("keys KEY", 2),
        ("KEY", 2),
    ],
)
def test_a_key_where_none_belongs_is_refused_and_not_repeated(
    path: Path, arguments: str, status: int
) -> None:
    for text in ("AbCd" * 11, *(invoke("keygen").stdout.strip() for _ in range(10))):
        result = invoke(*(each.replace("KEY", text).replace("FILE", str(path)) for each in arguments.split()))
        assert result.exit_code == status
        assert "key itself" in result.stderr or "hexadecimal" in result.stderr
        assert text.strip("=") not in result.stderr + result.stdout


def test_what_is_refused_otherwise_is_repeated() -> None:
    assert "'surely-not-a-command'" in invoke("surely-not-a-command").stderr


def test_running_nodes_follow_their_key_file(path: Path) -> None:
    (old,) = ids(path)
    options = ("--group", "workers", "--json", "--keys", str(path))
    with running("node", "--member-id", "one", "--alone", *options) as one:
        address = one.event("Started")["address"]
        seeds = ("--seeds", address, "--join-timeout", "20")
        with running("node", "--member-id", "two", *seeds, *options) as two:
            two.event("MemberJoinedGroup", member_id="two")
            with_keys = (*seeds, "--keys", str(path), "--json")

            def held() -> list[list[str]]:
                return [row["key_ids"] for row in json.loads(invoke("nodes", *with_keys).stdout)]

            assert held() == [[old], [old]]
            new = invoke("keys", "add", str(path)).stdout.strip()
            wait_until(lambda: held() == [[old, new]] * 2, "both hold it")
            invoke("keys", "use", str(path), new)
            wait_until(lambda: held() == [[new, old]] * 2, "both use it")
            invoke("keys", "remove", str(path), old)
            wait_until(lambda: held() == [[new]] * 2, "the old one is gone")
            assert new in invoke("nodes", *with_keys[:-1]).stdout
            refused = invoke("nodes", "--seeds", address, "--join-timeout", "1")
            assert refused.exit_code == 1
            assert "--keys" in refused.stderr
            status, output, errors = two.stop()
            assert status == 0
            assert "NodeFailed" not in output
            assert "dropped" not in errors
        status, output, errors = one.stop()
        assert status == 0
        assert "NodeSuspected" not in output
        assert "not sealed" in errors


def test_neither_a_key_nor_nothing_is_taken_for_a_place() -> None:
    key = invoke("keygen").stdout.strip()
    for arguments in (("keys", "list", key), ("keys", "add", "f", "--from", key), ("keys", "use", "f", key)):
        result = invoke(*arguments)
        assert result.exit_code == 1
        assert key not in result.stderr
    result = invoke("nodes", GOSSIPGROUPS_KEYS="")
    assert (result.exit_code, "is empty" in result.stderr) == (2, True)
