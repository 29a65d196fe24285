"""What the documents show is true: every Python block runs, and every command that they name exists.

A block that cannot run here is marked in the line before it: `<!-- not run: reason -->`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.waiting import LIMIT

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])

_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.*?) *-->")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: Path
    line: int
    language: str
    code: str
    skipped: str | None
    """Why it is not run."""

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks_of(document: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    blocks: list[Block] = []
    fence: str | None = None
    code: list[str] = []
    start, language, skipped, previous = 0, "", None, ""
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if fence is None:
            opening = re.match(r" {0,3}(?P<fence>```+)(?P<language>[\w-]*) *$", line)
            if opening:
                fence, language = opening["fence"], opening["language"]
                marker = _NOT_RUN.fullmatch(previous.strip())
                skipped = marker["reason"] if marker else None
                start, code = number, []
            elif line.strip():
                previous = line
        elif line.strip() == fence:
            blocks.append(Block(document, start, language, "\n".join(code), skipped))
            fence, previous = None, ""
        else:
            code.append(line)
    assert fence is None, f"{document.name}:{start}: this block does not end"
    return blocks


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
SHELL = [block for block in BLOCKS if block.language in ("console", "sh", "shell", "bash")]


def commands_of(block: Block) -> list[list[str]]:
    """The commands of a block as words: each one of a pipe or a chain, without variables and comments."""
    prompted = block.language == "console"
    commands: list[list[str]] = []
    for line in block.code.replace("\\\n", " ").splitlines():
        if prompted and not line.startswith("$ "):
            continue  # what a command has printed
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word and set(word) <= set("|&;"):
                if words:
                    commands.append(words)
                words = []
            elif words or not re.fullmatch(r"[A-Z_]+=\S*", word):
                words.append(word)
    return commands


COMMANDS = [(block, command) for block in SHELL for command in commands_of(block)]


def is_ours(command: list[str]) -> bool:
    return "gossipgroups" in command or any(Path(word).name in ("python", "python3") for word in command[:1])


def named(pair: tuple[Block, list[str]]) -> str:
    return f"{pair[0]} {' '.join(pair[1])[:60]}"


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_blocks_run(block: Block, tmp_path: Path) -> None:
    if block.skipped:
        pytest.skip(block.skipped)
    script = tmp_path / "block.py"
    script.write_text(block.code, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, ""), f"{block}\n{result.stdout}{result.stderr}"


OUR_COMMANDS = [pair for pair in COMMANDS if is_ours(pair[1])]


@pytest.mark.parametrize("pair", OUR_COMMANDS, ids=map(named, OUR_COMMANDS))
def test_commands_exist(pair: tuple[Block, list[str]]) -> None:
    block, command = pair
    if "gossipgroups" in command and not command[0].endswith("python"):
        check_command_line(command[command.index("gossipgroups") + 1 :], str(block))
    else:
        check_python(command[1:], str(block))


def check_command_line(words: list[str], where: str) -> None:
    """Hold that the subcommand exists and knows the options named."""
    subcommand = next((word for word in words if not word.startswith("-")), None)
    arguments = [subcommand, "--help"] if subcommand else ["--help"]
    result = subprocess.run(
        [sys.executable, "-m", "gossipgroups.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert result.returncode == 0, f"{where}: {result.stderr}"
    known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", result.stdout)) | {"--version"}
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert given <= known, f"{where}: {sorted(given - known)} is no option of {subcommand}"


def check_python(words: list[str], where: str) -> None:
    """Hold that the module or script exists; pip and venv are not ours."""
    if words[:1] == ["-m"]:
        assert find_spec(words[1]) is not None or words[1] == "tox", f"{where}: no module {words[1]}"
        if words[1].partition(".")[0] in ("sims", "gossipgroups"):
            check_help(["-m", words[1]], words[2:], where)
    elif words and not words[0].startswith("-"):
        assert (ROOT / words[0]).is_file(), f"{where}: no file {words[0]}"
        check_help([words[0]], words[1:], where)


def check_help(program: list[str], words: list[str], where: str) -> None:
    result = subprocess.run(
        [sys.executable, *program, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert result.returncode == 0, f"{where}: {result.stderr}"
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    unknown = {option for option in given if option not in result.stdout}
    assert not unknown, f"{where}: {sorted(unknown)} is not in --help"


def test_skipped_blocks_say_why() -> None:
    for document in DOCUMENTS:
        for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
            if "not run" in line and line.lstrip().startswith("<!--"):
                assert _NOT_RUN.fullmatch(line.strip()), f"{document.name}:{number}: give the reason"


def test_links_lead_somewhere() -> None:
    missing = [
        f"{document.relative_to(ROOT)}: {match['target']}"
        for document in DOCUMENTS
        for match in _LINK.finditer(document.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:|#", match["target"])
        and not (document.parent / match["target"].partition("#")[0]).exists()
    ]
    assert missing == []


def test_the_blocks_are_found() -> None:
    assert any(block.document.name == "README.md" for block in PYTHON)
    assert any(command[:2] == ["gossipgroups", "demo"] for _, command in COMMANDS)
