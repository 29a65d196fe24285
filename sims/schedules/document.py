"""Schedules as JSON, to be written by hand, kept and replayed.

Law: `load(dump(schedule)) == schedule`. What has its usual value is left out. Nothing is guessed: an unknown
name, a missing one, or a value of another type is refused with its path in the document.

    {"seed": 1, "nodes": 3, "up": 3, "groups": ["red"], "steps": [
        {"do": "operate", "what": "join or create", "place": 0, "group": "red"},
        {"do": "partition", "sides": [[0]]},
        {"do": "weather", "line": {"latency": {"kind": "exponential", "mean": 0.05}, "loss": 0.1}},
        {"do": "wait", "seconds": 5}]}
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gossipgroups.errors import InvalidValue
from gossipgroups.testing.latency import Constant, Exponential, Latency, LogNormal, Recorded, Uniform
from sims.schedules.schedule import Schedule
from sims.schedules.steps import STEPS, Step

LATENCIES = {each.__name__.lower(): each for each in (Constant, Uniform, Exponential, LogNormal, Recorded)}
CHOICES: dict[Any, tuple[str, dict[str, type[Any]]]] = {
    Step: ("do", dict(STEPS)),
    Latency: ("kind", dict(LATENCIES)),
}
"""For each type that comes in several kinds: the key that names the kind, and the kinds."""


class BadDocument(ValueError):
    """A document that is no schedule; the message says where and why."""


def dump(schedule: Schedule) -> str:
    """A schedule as a JSON text, one step a line."""
    values = _written(schedule)
    steps = values.pop("steps", [])
    head = json.dumps(values)[1:-1]
    lines = ",\n".join("    " + json.dumps(step) for step in steps)
    return f'{{\n  {head},\n  "steps": [\n{lines}\n  ]\n}}\n'


def load(text: str) -> Schedule:
    """The schedule of a JSON text. Raises `BadDocument`."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadDocument(f"no JSON: {error}") from None
    schedule: Schedule = _read(value, Schedule, "schedule")
    return schedule


def _written(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_written(each) for each in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    out: dict[str, Any] = {}
    for key, kinds in CHOICES.values():
        for name, kind in kinds.items():
            if type(value) is kind:
                out[key] = name
    for field in fields(value):
        held = getattr(value, field.name)
        if held != field.default:
            out[field.name] = _written(held)
    return out


def _read(value: Any, wanted: Any, path: str) -> Any:
    """A value of the wanted type."""
    if wanted in CHOICES:
        key, kinds = CHOICES[wanted]
        _expect(isinstance(value, dict), path, value, "an object")
        kind = value.get(key)
        known = isinstance(kind, str) and kind in kinds
        _expect(known, f"{path}.{key}", kind, f"one of {', '.join(kinds)}")
        rest = {name: each for name, each in value.items() if name != key}
        return _read_object(rest, kinds[kind], path)
    if hasattr(wanted, "__dataclass_fields__"):
        _expect(isinstance(value, dict), path, value, "an object")
        return _read_object(value, wanted, path)
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is tuple:
        _expect(isinstance(value, list), path, value, "a list")
        return tuple(_read(each, arguments[0], f"{path}[{at}]") for at, each in enumerate(value))
    if origin is Literal:
        _expect(value in arguments, path, value, f"one of {', '.join(map(str, arguments))}")
        return value
    assert origin not in (Union, UnionType), wanted
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    kinds_allowed = (int, float) if wanted is float else (wanted,)
    _expect(type(value) in kinds_allowed, path, value, names[wanted])
    return value


def _read_object(value: dict[str, Any], wanted: type[Any], path: str) -> Any:
    hints = get_type_hints(wanted)
    known = {field.name: field for field in fields(wanted) if field.init}
    if unknown := [name for name in value if name not in known]:
        raise BadDocument(f"{path}.{unknown[0]} is no name here: choose from {', '.join(known)}")
    for name, field in known.items():
        if name not in value and field.default is MISSING:
            raise BadDocument(f"{path} has no {name}: it must be given")
    arguments = {name: _read(each, hints[name], f"{path}.{name}") for name, each in value.items()}
    try:
        return wanted(**arguments)
    except InvalidValue as error:
        raise BadDocument(f"{path}: {error}") from None


def _expect(right: bool, path: str, value: Any, wanted: str) -> None:
    if not right:
        raise BadDocument(f"{path} is {json.dumps(value)}: it must be {wanted}")
