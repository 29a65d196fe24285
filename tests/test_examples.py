"""Every example runs as its docstring says, and shows what it promises."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gossipgroups
from tests.waiting import LIMIT, address_of

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "__init__.py")


def run(script: str, *arguments: str) -> list[str]:
    """The lines that an example prints; it must end well, and say nothing on standard error."""
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        capture_output=True,
        text=True,
        timeout=4 * LIMIT,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_example_says_what_it_shows(script: str) -> None:
    docstring = ast.get_docstring(ast.parse((EXAMPLES / script).read_text()))
    assert docstring, "a stranger reads this first"
    assert f"python examples/{script}" in docstring
    assert run(script, "--help")[0].startswith(f"usage: {script}")


def test_there_are_no_examples_without_a_test() -> None:
    assert SCRIPTS == [
        "blocking.py",
        "first_group.py",
        "simulated_agent.py",
        "tooz_group.py",
        "tooz_watch.py",
        "worker_pool.py",
    ]


def hold_first_group(lines: list[str]) -> None:
    assert lines[-1] == "host-1 is told: host-2 is gone from workers, it has left"
    assert sorted(lines[:-1]) == [
        "host-1 is told: host-2 has joined workers",
        "host-2 offers {'slots': 4}",
        "members: host-2",
    ]


def test_first_group_alone() -> None:
    hold_first_group(run("first_group.py"))


def test_first_group_in_a_cluster_that_runs_already() -> None:
    with gossipgroups.get_coordinator("gossip://", "host-0") as seed:
        hold_first_group(run("first_group.py", str(address_of(seed))))
        assert {node.name for node in seed.nodes()} == {"host-0", "host-1", "host-2"}


def test_blocking() -> None:
    joined, offers = run("blocking.py")
    name = re.fullmatch(r"a callback was told: (host-\d+) has joined", joined)
    assert name, joined
    assert offers == f"{name[1]} offers {{'slots': 2}}"


def test_blocking_with_others_there() -> None:
    with gossipgroups.get_coordinator("gossip:///pair?preset=local", "neighbour") as neighbour:
        neighbour.join_group("workers", "advice", create=True).get(LIMIT)
        lines = run("blocking.py", f"gossip://{address_of(neighbour)}/pair")
        assert lines[0] == "another one has created the group"
        assert lines[-1] == "neighbour offers advice"
        assert neighbour.get_members("workers").get(LIMIT) == {"neighbour"}, "the other has left"


def test_simulated_agent() -> None:
    lines = run("simulated_agent.py", "--agents", "3", "--shards", "12", "--seed", "2")
    assert lines[0] == "3 agents own 12 shards:"
    assert re.fullmatch(r"agent-3 is gone, \d+\.\d virtual seconds later:", lines[4])
    before, after = ([set(line.split()[1:]) for line in part] for part in (lines[1:4], lines[5:]))
    for shares in before, after:
        assert sorted(int(shard) for share in shares for shard in share) == list(range(12))
    assert all(old <= new for old, new in zip(before[:2], after, strict=True))
    assert run("simulated_agent.py", "--agents", "3", "--shards", "12", "--seed", "2") == lines


def test_tooz_group_alone() -> None:
    (member,) = run("tooz_group.py", f"gossip:///tooz-group-{os.getpid()}")
    assert re.fullmatch(r"member: host-\d+", member)


def test_tooz_watch_alone() -> None:
    lines = run("tooz_watch.py", f"gossip:///tooz-watch-{os.getpid()}", "--seconds", "0.1")
    assert lines == ["watching workers"]


def test_tooz_watch_is_told_of_tooz_group() -> None:
    url = f"gossip:///tooz-both-{os.getpid()}"
    command = [sys.executable, str(EXAMPLES / "tooz_watch.py"), url, "--seconds", str(2 * LIMIT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        try:
            assert watch.stdout is not None
            assert watch.stdout.readline() == "watching workers\n"
            found, member = run("tooz_group.py", url)
            told, errors = watch.communicate(timeout=4 * LIMIT)
        finally:
            watch.kill()
    name = member.removeprefix("member: ")
    assert found == "another one has created the group"
    assert told.splitlines() == [f"joined: {name}", f"left: {name}"]
    assert (watch.returncode, errors) == (0, "")


def test_worker_pool() -> None:
    lines = run("worker_pool.py", "--workers", "3", "--jobs", "300")
    assert lines[0] == "3 workers share 300 jobs:"
    assert lines[4] == "worker-3 is killed:"
    before = {name: int(share) for name, share in (line.split() for line in lines[1:4])}
    after = {name: (int(share), int(more)) for name, share, more in (line.split() for line in lines[5:])}
    assert set(before) == {"worker-1", "worker-2", "worker-3"}
    assert set(after) == {"worker-1", "worker-2"}
    assert sum(before.values()) == sum(share for share, _ in after.values()) == 300
    assert all(share == before[name] + more for name, (share, more) in after.items())
    assert sum(more for _, more in after.values()) == before["worker-3"]
    assert all(more >= 0 for _, more in after.values()), "consistent hashing moves no job that need not move"
