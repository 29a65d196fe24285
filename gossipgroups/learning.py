"""Learning: what a register that is heard, forgotten or put out means for all parts of the node.

Law: a change of the state is followed at once by all that depends on it: who is probed, contacted and
admitted, what settles, and what is told on. A death is doubted before it is learnt, and of itself a node
believes nobody: it refutes.
"""

from __future__ import annotations

from dataclasses import dataclass

from gossipgroups.admission import Admission
from gossipgroups.config import Config
from gossipgroups.contacts import Contacts
from gossipgroups.convergence import Convergence
from gossipgroups.gossip import Gossip
from gossipgroups.ids import NodeId
from gossipgroups.operations import Operations
from gossipgroups.reconcile import Reconciler
from gossipgroups.registers import MAX_COUNTER, GroupRegister, NodeRegister, Register
from gossipgroups.reports import Reports
from gossipgroups.state import State
from gossipgroups.stats import Stats
from gossipgroups.status import Status
from gossipgroups.swim.awareness import REFUTED, Awareness
from gossipgroups.swim.detector import Detector
from gossipgroups.swim.dissemination import RumourQueue


@dataclass(slots=True, eq=False)
class Learning:
    """The only one who changes the state of a node. Times are on the node's clock, in seconds."""

    state: State
    awareness: Awareness
    detector: Detector
    contacts: Contacts
    admission: Admission
    reconciler: Reconciler
    convergence: Convergence
    reports: Reports
    operations: Operations
    rumours: RumourQueue
    gossip: Gossip
    stats: Stats
    config: Config

    def hear(self, register: Register, sender: NodeId, age: float, repaired: bool, now: float) -> None:
        """Learn what another node has sent, spent for `age` seconds; or doubt it, or refute it."""
        if isinstance(register, NodeRegister):
            if register.node_id == self.state.me:
                if register.rank > self.state.own.rank:
                    self.refute(register.incarnation, now)
                return
            if self.detector.doubts(register, now):
                return
        # What a joiner is given, the others have.
        tell = not repaired or self.contacts.joined
        if self.learn(register, now, age=age, tell=tell, repaired=repaired):
            self.gossip.heard_news(sender)

    def learn(
        self,
        register: Register,
        now: float,
        *,
        tell: bool = True,
        age: float = 0.0,
        repaired: bool = False,
    ) -> bool:
        """Merge a register; whether it was news. `tell` spreads it as a rumour."""
        change = self.state.merge(register, now, age)
        if change is None:
            return False
        if change.evicted is not None:
            self.put_out(change.evicted, now)
        self.reconciler.last_change = now
        if isinstance(register, NodeRegister):
            if register.node_id != self.state.me:
                self.detector.status_changed(register, now)
                if self.state.replica.nodes[register.node_id] is not register:
                    return True  # the detector concluded more from it, which is told instead
                self.contacts.status_changed(register.node_id, register.status, now)
        elif isinstance(register, GroupRegister):
            self.convergence.add(register.group)
        if tell:
            # The neighbours of a repaired node mostly know: it tells them once.
            self.rumours.add(register, max(0, self.gossip.limit - self.config.fanout) if repaired else 0)
        else:
            self.rumours.drop(register.key)
        return True

    def refute(self, incarnation: int, now: float) -> None:
        """Clear this node of what is said of it at an incarnation, unless it has left."""
        own = self.state.own
        if own.status is not Status.LEFT:
            self.stats.refutations += 1
            self.awareness.note(REFUTED)
            self.learn(own.become(Status.ALIVE, min(incarnation + 1, MAX_COUNTER)), now)

    def forget(self, register: Register) -> None:
        """Drop a register that is spent for long enough, if it is held still."""
        if register.key != self.state.own.key and self.state.forget(register):
            self.rumours.drop(register.key)
            if isinstance(register, NodeRegister):
                self.contacts.forget(register.node_id)
                self.admission.forget(register.node_id)
            elif isinstance(register, GroupRegister):
                self.convergence.forget(register.group)
                self.reports.forget(register.group)

    def put_out(self, register: Register, now: float) -> None:
        """A register was put out for a limit, maybe one that is still at work here."""
        self.rumours.drop(register.key)
        if isinstance(register, NodeRegister):
            self.detector.status_changed(register.become(Status.LEFT), now)
            self.contacts.forget(register.node_id)
            self.admission.forget(register.node_id)
        elif isinstance(register, GroupRegister):
            self.convergence.update(register.group, 0, now)  # so that the whole settles anew
            self.convergence.forget(register.group)
            self.reports.forget(register.group)
            self.operations.reported(register.group, converged=False)
