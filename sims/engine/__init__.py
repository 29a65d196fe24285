"""The discrete-event simulator: real nodes, a simulated network, processes with faults, virtual time.

    agenda.py      what is to be done, and when
    simulation.py  processes and datagrams, and what may be done to them
    process.py     one run of one coordinator: its node, its socket's buffer, its share of the processor
    clock.py       the clock that a process reads: off, too fast, jumping
    watching.py    who looks on
    trace.py       what happened, in lines for people

The network is `gossipgroups.testing.medium`, which users' own tests run on too.
"""

from sims.engine.clock import Clock
from sims.engine.process import Cost, Process
from sims.engine.simulation import Simulation, address_of, host_of
from sims.engine.trace import Trace
from sims.engine.watching import Watcher

__all__ = ["Clock", "Cost", "Process", "Simulation", "Trace", "Watcher", "address_of", "host_of"]
