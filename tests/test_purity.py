"""The rooms: the pure ones touch no clock, chance, socket or thread, and imports point only downwards."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import gossipgroups

ROOT = Path(gossipgroups.__file__).parent
FORBIDDEN = {
    *(
        "asyncio",
        "concurrent",
        "importlib",
        "logging",
        "multiprocessing",
        "os",
        "random",
        "secrets",
        "select",
    ),
    *(
        "selectors",
        "signal",
        "socket",
        "socketserver",
        "ssl",
        "subprocess",
        "sys",
        "threading",
        "time",
        "trio",
    ),
}

LAYERS = [
    ["gossipgroups", "gossipgroups.__main__", "gossipgroups.cli", "gossipgroups.tooz"],
    ["gossipgroups.blocking", "gossipgroups.testing"],
    ["gossipgroups.coordinator"],
    ["gossipgroups.callbacks", "gossipgroups.calling", "gossipgroups.door"],
    ["gossipgroups.transport"],
    ["gossipgroups.streams", "gossipgroups.watches"],
    ["gossipgroups.discovery", "gossipgroups.key_source"],
    ["gossipgroups.local_directory"],
    ["gossipgroups.directory_entry"],
    ["gossipgroups.url"],
    ["gossipgroups.node", "gossipgroups.plan", "gossipgroups.snapshot"],
    ["gossipgroups.reception"],
    ["gossipgroups.answers", "gossipgroups.learning", "gossipgroups.settling"],
    [
        "gossipgroups.admission",
        "gossipgroups.contacts",
        "gossipgroups.convergence",
        "gossipgroups.gossip",
        "gossipgroups.intake",
        "gossipgroups.operations",
        "gossipgroups.ports",
        "gossipgroups.reconcile",
        "gossipgroups.reports",
    ],
    ["gossipgroups.early", "gossipgroups.state", "gossipgroups.spanning"],
    ["gossipgroups.swim"],
    ["gossipgroups.groups"],
    ["gossipgroups.wire"],
    ["gossipgroups.registers", "gossipgroups.events"],
    [
        "gossipgroups.budget",
        "gossipgroups.clock",
        "gossipgroups.config",
        "gossipgroups.digest",
        "gossipgroups.stats",
        "gossipgroups.testing.latency",
        "gossipgroups.testing.medium",
    ],
    ["gossipgroups.ids", "gossipgroups.keys", "gossipgroups.status"],
    ["gossipgroups.errors"],
]
"""From the doors down to the foundations: a room imports from layers below, or its own folder."""

IMPURE = (
    "transport",
    "cli",
    "blocking",
    "callbacks",
    "calling",
    "coordinator",
    "discovery",
    "door",
    "key_source",
    "local_directory",
    "streams",
    "testing.directory",
    "testing.network",
    "testing.sockets",
    "tooz",
    "watches",
)
"""Everything else is a pure room, a new one too."""


def _name(path: Path) -> str:
    parts = ("gossipgroups", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}
PURE = [name for name in MODULES if "." in name and not name.removeprefix("gossipgroups.").startswith(IMPURE)]


def imports(source: str) -> set[str]:
    """Every module that a source imports, wherever it does; of `from a import b` both a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names):
                found |= {each.name for each in names}
            case ast.ImportFrom(str(module), names, 0):
                found |= {module, *(f"{module}.{each.name}" for each in names)}
            case ast.ImportFrom():
                raise AssertionError("a relative import")
            case ast.Call(ast.Name("__import__")) | ast.Attribute(attr="import_module"):
                found.add("importlib")
    return found


def _forbidden(source: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(source)} & FORBIDDEN


def _layer(module: str) -> int | None:
    """The place of a module, or else of the folder that it is in, among the layers; 0 is the top."""
    folder = ".".join(module.split(".")[:2])
    places = {name: place for place, layer in enumerate(LAYERS) for name in layer}
    return places.get(module, places.get(folder))


def test_the_pure_rooms_are_the_ones_of_the_design() -> None:
    names = {name.removeprefix("gossipgroups.") for name in PURE}
    assert {"node", "convergence", "reconcile", "digest", "registers", "status", "ids", "config"} <= names
    assert {"swim.detector", "swim.probing", "groups.replica", "wire.codec", "errors"} <= names
    assert {"reports", "operations", "testing.medium", "testing.latency"} <= names
    assert not {"transport.driver", "testing.network"} & names


def test_the_design_names_every_room() -> None:
    rooms = (ROOT.parent / "docs" / "design.md").read_text("utf-8").split("## Rooms")[1].split("```")[1]
    files = {f"{path.name}/" if path.is_dir() else path.name for path in ROOT.iterdir()}
    hidden = {name for name in files if name.startswith("_")} | {"py.typed"}
    assert files - hidden == set(re.findall(r"\b\w+(?:\.py|/)", rooms))


@pytest.mark.parametrize("module", PURE)
def test_a_pure_room_touches_no_clock_chance_socket_or_thread(module: str) -> None:
    assert _forbidden(MODULES[module].read_text("utf-8")) == set()


@pytest.mark.parametrize("module", MODULES)
def test_every_room_has_its_layer_and_imports_only_from_below(module: str) -> None:
    mine = _layer(module)
    assert mine is not None, f"{module} is in no layer"
    folder = module.rpartition(".")[0]
    for other in imports(MODULES[module].read_text("utf-8")):
        if other not in MODULES or other == module:
            continue
        same_folder = folder != "gossipgroups" and f"{other}.".startswith(f"{folder}.")
        same_folder |= other.startswith(f"{module}.")
        assert other != "gossipgroups" or mine == 0, f"{module} imports the package as a whole"
        theirs = _layer(other)
        assert theirs is not None
        assert theirs > mine or (theirs == mine and (same_folder or mine == 0)), f"{module} imports {other}"


def test_no_room_imports_itself_by_a_detour() -> None:
    below = {
        name: {each for each in imports(path.read_text("utf-8")) if each in MODULES and each != name}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " imports ".join([*above, name])
        if name not in done:
            for each in sorted(below[name]):
                visit(each, (*above, name))
            done.add(name)

    for name in below:
        visit(name, ())


@pytest.mark.parametrize(
    "source",
    [
        "import trio",
        "import os.path",
        "from time import monotonic",
        "def f():\n    import random",
        "if False:\n    from concurrent.futures import Future",
        "x = __import__('socket')",
        "import importlib\nimportlib.import_module('os')",
    ],
)
def test_the_check_finds_what_is_forbidden(source: str) -> None:
    assert _forbidden(source)


def test_the_check_passes_what_is_allowed() -> None:
    assert not _forbidden("import msgpack\nfrom gossipgroups.ids import Random\nfrom math import log")
