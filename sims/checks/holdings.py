"""What each node holds, and which views it has held: the ground on which all checks stand.

Law: computed from the registers alone. A view is known by its mark: the exclusive or of 16-byte digests of
its presences' bytes, which are not the library's own digests. Who listens to a node's twin hears it in the
node's name: from then on what the twin has held counts as held by the node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from gossipgroups.groups.replica import Replica
from gossipgroups.ids import Address, NodeId
from gossipgroups.registers import GroupRegister, NodeRegister, PresenceRegister, Register
from gossipgroups.status import Status
from gossipgroups.wire.messages import ROOT, WHOLE, Scope
from sims.checks.broken import Broken
from sims.engine import Process

Mark = int
Pair = tuple[Register | None, Register]
"""A register that was replaced, and by what."""
NOTHING: Mark = 0
Position = tuple[int, int, int]
"""Where a node is with a scope: stamp, digest of the view, digest of the live set."""
Key = tuple[object, ...]


@lru_cache(maxsize=65_536)
def mark(packed: bytes) -> Mark:
    """The mark of one register or id."""
    return int.from_bytes(blake2b(packed, digest_size=16, person=b"checks").digest(), "big")


def marks(packed: Iterable[bytes]) -> Mark:
    """The mark of several."""
    total = NOTHING
    for each in packed:
        total ^= mark(each)
    return total


def is_live(register: Register | None) -> bool:
    """Whether this is the register of a node that is held alive or suspect."""
    return isinstance(register, NodeRegister) and register.status in (Status.ALIVE, Status.SUSPECT)


def is_takeover(old: Register | None, new: Register) -> bool:
    """Whether a member that is there goes from one node to another."""
    return (
        isinstance(old, PresenceRegister)
        and isinstance(new, PresenceRegister)
        and old.node_id != new.node_id
        and None not in (old.capabilities, new.capabilities)
    )


def is_over(replica: Replica, register: Register) -> bool:
    """Whether a register says no more than that something is gone."""
    if isinstance(register, NodeRegister):
        return not is_live(register)
    if isinstance(register, GroupRegister):
        return register.epoch % 2 == 0
    group = replica.groups.get(register.group)
    return (
        register.capabilities is None
        or not is_live(replica.nodes.get(register.node_id))
        or group is None
        or group.epoch % 2 == 0
        or group.epoch != register.epoch
    )


def view_of(replica: Replica, group: str) -> dict[str, PresenceRegister]:
    """The view of a group, computed anew from the three maps."""
    register = replica.groups.get(group)
    if register is None or register.epoch % 2 == 0:
        return {}
    epoch, nodes = register.epoch, replica.nodes
    return {
        member: presence
        for member, presence in replica.presences.get(group, {}).items()
        if presence.epoch == epoch
        and presence.capabilities is not None
        and is_live(nodes.get(presence.node_id))
    }


def alive_of(replica: Replica) -> list[NodeId]:
    """The nodes held alive, which have to hold what is called settled."""
    return [node_id for node_id, register in replica.nodes.items() if register.status is Status.ALIVE]


def registers_of(replica: Replica) -> list[Register]:
    """All registers in the three maps."""
    presences = (each for members in replica.presences.values() for each in members.values())
    return [*replica.nodes.values(), *replica.groups.values(), *presences]


class Holding:
    """What one node held when it was last looked at, and the marks of all that it ever held."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.views: dict[str, Mark] = {}
        """The marks of the views now."""
        self.had: dict[Scope, set[Mark]] = defaultdict(lambda: {NOTHING})
        """All marks held so far. Before it is heard of, a group has nobody, and there is no group."""
        self.been: set[tuple[Scope, Position]] = set()
        """All positions so far."""
        self.live = NOTHING
        self.groups = NOTHING
        self.forgotten = 0
        """Registers that were dropped, and might be."""
        self.dropped: list[Register] = []
        """Those of the last look."""
        self._digest: int | None = None
        self._registers: dict[int, Register] = {}
        self._by_key: dict[Key, Register] = {}

    def look(self, longest: float) -> list[Pair]:
        """What has changed since the last look, oldest first. No clock has counted `longest` seconds."""
        replica = self.process.node.state.replica
        self.dropped.clear()
        if replica.digest == self._digest:
            return []
        self._digest = replica.digest
        known = self._registers
        pairs = []
        for key_hash, register in replica.by_hash.items():
            if key_hash not in known:
                key = register.key
                pairs.append((self._by_key.get(key), register))
                self._by_key[key] = register
                if replica.find(register) is not register:
                    raise Broken("maps", f"{self.process.name}: its maps do not hold {register}")
        for old, new in pairs:
            if old is not None:
                known.pop(old.hash, None)
            known[new.hash] = new
        if len(self._by_key) != len(replica.by_hash):
            self._forget(replica, longest)
        return pairs

    def _forget(self, replica: Replica, longest: float) -> None:
        """Registers were dropped: only what says no more than that something is gone, and nothing young."""
        for register in [each for each in self._by_key.values() if each.hash not in replica.by_hash]:
            if longest < self.process.node.config.forget_after or not is_over(replica, register):
                raise Broken("maps", f"{self.process.name} lost a register before its time: {register}")
            del self._by_key[register.key]
            del self._registers[register.hash]
            self.forgotten += 1
            self.dropped.append(register)

    def follow(self, pairs: list[Pair]) -> list[str]:
        """Compute marks anew where registers changed; the groups looked at."""
        replica = self.process.node.state.replica
        touched: dict[str, None] = {}
        for old, new in pairs:
            if isinstance(new, NodeRegister):
                if is_live(old) != is_live(new):
                    self.live ^= mark(new.node_id)
                    held = (
                        group
                        for group, members in replica.presences.items()
                        if any(each.node_id == new.node_id for each in members.values())
                    )
                    touched.update(dict.fromkeys(held))
            else:
                touched[new.group] = None
                if isinstance(new, GroupRegister):
                    for each in (old, new):
                        if isinstance(each, GroupRegister) and each.epoch % 2:
                            self.groups ^= mark(each.packed)
        for group in touched:
            view = view_of(replica, group)
            self.views[group] = marks(each.packed for each in view.values())
            self.had[group].add(self.views[group])
        self.had[ROOT].add(self.of(ROOT))
        self.had[WHOLE].add(self.of(WHOLE))
        return list(touched)

    def of(self, scope: Scope) -> Mark:
        """The mark of what is held of a scope now."""
        if isinstance(scope, str):
            return self.views.get(scope, NOTHING)
        root = self.live ^ self.groups
        if scope == ROOT:
            return root
        for each in self.views.values():
            root ^= each
        return root


class Holdings:
    """The holdings of all nodes that ever ran, and of their twins."""

    def __init__(self) -> None:
        self._all: dict[NodeId, Holding] = {}
        self._twins: dict[Address, Holding] = {}
        self._heard: dict[NodeId, list[Holding]] = defaultdict(list)
        """Those twins of a node that somebody has listened to."""

    def __getitem__(self, node_id: NodeId) -> Holding:
        return self._all[node_id]

    def __contains__(self, node_id: NodeId) -> bool:
        return node_id in self._all

    def __len__(self) -> int:
        return len(self._all)

    def add(self, process: Process) -> Holding:
        """Begin to look at a process."""
        holding = self._all[process.node.node_id] = Holding(process)
        return holding

    def add_twin(self, process: Process) -> None:
        """Begin to look at a twin."""
        self._twins[process.address] = Holding(process)

    def of_twin(self, process: Process) -> Holding:
        """The holding of a twin."""
        return self._twins[process.address]

    def listened(self, address: Address) -> None:
        """Somebody has listened to the twin at this address."""
        twin = self._twins[address]
        heard = self._heard[twin.process.node.node_id]
        if twin not in heard:
            heard.append(twin)

    def in_name_of(self, node_id: NodeId) -> list[Holding]:
        """What speaks in a node's name: its own holding, and those of twins that were listened to."""
        own = [self._all[node_id]] if node_id in self._all else []
        return own + self._heard[node_id] if node_id in self._heard else own

    def who_never_held(self, process: Process, scope: Scope) -> str | None:
        """Of those that a process holds alive, the first that never held what it holds of a scope now."""
        held = self[process.node.node_id].of(scope)
        for other in alive_of(process.node.state.replica):
            if not any(held in each.had[scope] for each in self.in_name_of(other)):
                return self._all[other].process.name if other in self._all else other.hex()
        return None
