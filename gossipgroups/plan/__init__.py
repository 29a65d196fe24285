"""What to expect of a cluster: `plan` predicts it from the config, the network and the number of nodes."""

from gossipgroups.plan.network import LATENCIES, Network
from gossipgroups.plan.plan import Plan, Times, plan
from gossipgroups.plan.traffic import Rate

__all__ = ["LATENCIES", "Network", "Plan", "Rate", "Times", "plan"]
