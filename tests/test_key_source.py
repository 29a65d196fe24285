"""Where keys come from: files and environment variables, read whole, said by name, never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gossipgroups import Key, KeyFile, KeyRing
from gossipgroups.errors import InvalidValue
from gossipgroups.key_source import FILE_BYTES, find_keys, ring_of

ONE, TWO = Key(bytes(range(32))), Key(bytes(range(1, 33)))
BOTH = KeyRing([ONE, TWO])


def test_a_file_holds_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "cluster.keys"
    KeyFile(path).write(BOTH)
    assert path.stat().st_mode & 0o777 == 0o600
    assert ring_of(find_keys(path)) == ring_of(find_keys(str(path))) == BOTH
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "cluster.keys"
    KeyFile(path).write(BOTH, new=True)
    with pytest.raises(InvalidValue, match="exists"):
        KeyFile(path).write(KeyRing([TWO]), new=True)
    assert ring_of(KeyFile(path)) == BOTH
    assert list(tmp_path.iterdir()) == [path]


def test_a_change_is_seen_once(tmp_path: Path) -> None:
    path = tmp_path / "cluster.keys"
    file = KeyFile(path)
    file.write(BOTH)
    file.read()
    assert file.changed() is None
    KeyFile(path).write(BOTH.use(TWO.id))
    assert file.changed() == BOTH.use(TWO.id)
    assert file.changed() is None
    path.unlink()
    with pytest.raises(InvalidValue, match="cannot be read"):
        file.changed()


def test_a_file_that_all_can_read_is_used_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cluster.keys"
    file = KeyFile(path)
    file.write(BOTH)
    path.chmod(0o644)
    assert file.read() == file.read() == BOTH
    (record,) = caplog.records
    assert "chmod 600" in record.getMessage()
    assert ONE.text not in record.getMessage()


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (0o600, None),
        (0o660, None),
        (0o601, None),
        (0o604, "be read by"),
        (0o602, "be changed by"),
        (0o666, "be read and changed by"),
    ],
)
def test_what_others_can_do_to_a_file_is_said_also_when_its_mode_alone_was_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, said: str | None
) -> None:
    path = tmp_path / "cluster.keys"
    file = KeyFile(path)
    file.write(BOTH)
    file.read()
    path.chmod(mode)
    for _ in range(3):
        assert file.changed() is None
    assert [said in record.getMessage() for record in caplog.records if said] == [True] * (said is not None)
    assert bool(caplog.records) == (said is not None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "at least one"),
        (b"\xff\xfe", "not ASCII"),
        (ONE.text.encode()[:-4], "line 1"),
        (b"#" * (FILE_BYTES + 1), "more than"),
    ],
)
def test_what_holds_no_keys_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, why: str
) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    with pytest.raises(InvalidValue, match=why) as caught:
        ring_of(find_keys(path))
    assert str(path) in str(caught.value)
    monkeypatch.setitem(os.environ, "ODD_KEYS", os.fsdecode(content))
    with pytest.raises(InvalidValue, match=why) as caught:
        find_keys("env:ODD_KEYS")
    assert "ODD_KEYS" in str(caught.value)


def test_an_environment_variable_holds_lines_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_KEYS", BOTH.text)
    assert find_keys("env:OUR_KEYS") == BOTH
    with pytest.raises(InvalidValue, match="no variable 'OTHER_KEYS'"):
        find_keys("env:OTHER_KEYS")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"absent.*cannot be read"):
        ring_of(find_keys(tmp_path / "absent"))
    with pytest.raises(InvalidValue, match="cannot be written"):
        KeyFile(tmp_path / "absent" / "file").write(BOTH)


@pytest.mark.parametrize(
    "wrong",
    [
        ONE.text,
        ONE.text.rstrip("="),
        f"{ONE.text}  # {ONE.id}",
        BOTH.text,
        f"env:{ONE.text}",
        Path(ONE.text),
    ],
    ids=["key", "cut", "line", "file", "variable", "path"],
)
def test_a_key_where_its_place_belongs_is_refused_and_not_repeated(wrong: str | Path) -> None:
    with pytest.raises(InvalidValue, match="key itself") as caught:
        find_keys(wrong)
    assert ONE.text.rstrip("=") not in str(caught.value)


def test_no_keys_are_not_empty_keys() -> None:
    with pytest.raises(InvalidValue, match="keys is empty"):
        find_keys("")


@pytest.mark.timeout(20)
def test_what_is_no_file_holds_up_nobody(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for odd, why in (
        (pipe, "no regular file"),
        (tmp_path, "cannot be read|no regular"),
        ("a\0b", "cannot be read"),
    ):
        with pytest.raises(InvalidValue, match=why):
            ring_of(find_keys(odd))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing counts descriptors here")
def test_a_path_that_became_a_directory_costs_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "cluster.keys"
    file = KeyFile(path)
    file.write(BOTH)
    file.read()
    path.unlink()
    path.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with pytest.raises(InvalidValue, match="no regular file"):
            file.changed()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_relative_path_means_the_same_after_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    KeyFile(tmp_path / "k").write(BOTH)
    monkeypatch.chdir(tmp_path)
    file = find_keys("k")
    monkeypatch.chdir("/")
    assert ring_of(file) == BOTH


@pytest.mark.parametrize("source", [7, b"path", [ONE], ONE])
def test_other_things_are_no_source(source: object) -> None:
    with pytest.raises(InvalidValue, match="must be a KeyRing"):
        find_keys(source)  # type: ignore[arg-type]


def test_a_rewritten_file_keeps_its_mode_and_its_links(tmp_path: Path) -> None:
    path, link = tmp_path / "cluster.keys", tmp_path / "link.keys"
    KeyFile(path).write(BOTH)
    path.chmod(0o640)
    link.symlink_to(path)
    KeyFile(link).write(KeyRing([TWO]))
    assert link.is_symlink()
    assert KeyFile(path).read() == KeyRing([TWO])
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.iterdir()) == [path, link]
