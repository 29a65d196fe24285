"""The command: `python -m sims.loopback`.

Law: the exit status is 0 only when every cluster became whole and nobody missed a callback.
"""

from __future__ import annotations

import json
import os
import sys

import trio

from sims.loopback.cluster import WorkerFailed
from sims.loopback.faults import fault_steps, measure_faults
from sims.loopback.figures import Figure
from sims.loopback.options import CLUSTER_PHASES, Options, parse
from sims.loopback.phases import measure, steps
from sims.loopback.progress import open_progress
from sims.loopback.report import as_object, heading, rows, table


async def _run(options: Options) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    clustered = bool(set(options.phases) & set(CLUSTER_PHASES))
    with open_progress((steps(options) if clustered else 0) + fault_steps(options)) as progress:
        if clustered:
            figures |= await measure(options, progress)
        figures |= await measure_faults(options, progress)
    return figures


def main() -> int:
    """Measure, print, and say whether all was sound."""
    options = parse()
    before = os.getloadavg()[0]
    figures: dict[str, Figure] = {}
    gave_up: BaseException | None = None
    try:
        figures = trio.run(_run, options)
    except* WorkerFailed as failures:
        gave_up = failures
    if gave_up is not None:
        while isinstance(gave_up, BaseExceptionGroup):
            gave_up = gave_up.exceptions[0]
        print(f"the measurement was given up: {gave_up}", file=sys.stderr)
        return 1
    found = as_object(options, figures, (before, os.getloadavg()[0]))
    if options.as_json:
        print(json.dumps(found))
    else:
        table(heading(options, (before, found["load"]["after"])), rows(figures))
    return 0 if found["sound"] else 1


if __name__ == "__main__":
    sys.exit(main())
