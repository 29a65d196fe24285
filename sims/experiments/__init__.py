"""The experiments: each module holds one, as `EXPERIMENT`, and runs as `python -m sims.experiments.NAME`.

`python -m sims.experiments` runs several, or all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sims.experiments.experiment import Experiment

NAMES = (
    "swim",
    "lifeguard",
    "rapid",
    "convergence",
    "churn",
    "detection",
    "crashes",
    "lossy",
    "regions",
    "overload",
    "partition",
)
"""All experiments, in the order of the report."""


def load(name: str) -> Experiment:
    """The experiment of a name."""
    experiment: Experiment = import_module(f"sims.experiments.{name}").EXPERIMENT
    return experiment
