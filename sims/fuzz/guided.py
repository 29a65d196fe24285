"""Fuzzing that is driven by what the code covers: `python -m sims.fuzz.guided` (package atheris).

Law: atheris chooses the bytes, everything else is the target's. A finding is written by atheris to a file
that it names; `python -m sims.fuzz.guided FILE` gives it again.
"""

from __future__ import annotations

import importlib
import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gossipgroups"]):
    for _room in ("node", "wire.codec", "wire.seal", "registers"):
        importlib.import_module(f"gossipgroups.{_room}")

from sims.fuzz.corpus import payloads
from sims.fuzz.target import Target

TARGETS = (Target(keyed=False, seed=1), Target(keyed=True, seed=2))
RUNS = 200_000
"""Inputs, unless `-runs=` says another number."""


def give(data: bytes) -> None:
    """One input: the first byte says whether it is sent as it is, or in the target's envelope."""
    target = TARGETS[data[0] & 1] if data else TARGETS[0]
    if data[:1] > b"\x7f":
        target.give(data[1:], stranger=True)
    else:
        target.give(*target.seal_for(data[1:], random.Random(data)))
    target.turn(data)


def main() -> None:
    """Run atheris over the corpus; its own options are passed on."""
    with tempfile.TemporaryDirectory() as folder:
        files = [each for each in sys.argv[1:] if not each.startswith("-")]
        if not files:
            chance = random.Random(1)
            for number, payload in enumerate(payloads()):
                Path(folder, f"{number:04}").write_bytes(bytes((chance.randrange(256),)) + payload)
            files = [folder]
        options = [each for each in sys.argv[1:] if each.startswith("-")]
        if not any(each.startswith("-runs=") for each in options):
            options.append(f"-runs={RUNS}")
        atheris.Setup([sys.argv[0], "-max_len=1500", *options, *files], give)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
