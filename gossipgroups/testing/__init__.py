"""Test programs that use coordinators: a simulated network, in virtual time."""

from gossipgroups.testing.latency import Constant, Exponential, Latency, LogNormal, Recorded, Uniform
from gossipgroups.testing.medium import Line

__all__ = ["Constant", "Exponential", "Latency", "Line", "LogNormal", "Recorded", "Uniform"]
