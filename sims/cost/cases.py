"""What is sent to the node: one function for each kind of datagram, whose turns are timed.

Law: each datagram is answered or told on as in a cluster that works, and a case checks that it was.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from gossipgroups.digest import DigestTree
from gossipgroups.registers import PresenceRegister
from gossipgroups.spanning import tree_of
from gossipgroups.wire.messages import Ack, Buckets, Entry, Hashes, Ping, Repair, Rumours, Settling, Want
from sims.cost.scene import GROUP, Scene

KNOWN = 12
"""Registers in a datagram of rumours that are known."""
NEWS_STEP = 0.02
"""Seconds between two changes: more often the budget for news would hold them back."""
HIGH = 1 << 40
"""A stamp above all that the node has used."""

Case = Callable[[Scene], None]


def idle(scene: Scene) -> None:
    """Nothing arrives, nothing is due."""
    assert not scene.turn()


def ping(scene: Scene) -> None:
    """A ping is answered."""
    assert len(scene.turn(scene.datagram(Ping(7, scene.digest, 0)))) == 1


def probe(scene: Scene) -> None:
    """A ping is sent; its ack is not timed."""
    _probe(scene, ping_timed=True)


def ack(scene: Scene) -> None:
    """The ack of a ping is read; the ping was not timed."""
    _probe(scene, ping_timed=False)


def _probe(scene: Scene, *, ping_timed: bool) -> None:
    due = scene.node.next_deadline()
    [(datagram, target)] = scene.turn_at(due, [], timed=ping_timed)
    message = scene.member.read(datagram)
    [number] = [each.number for each in message.sections if isinstance(each, Ping)]
    answer = scene.datagram_from(message.receiver, Ack(number, scene.digest))
    assert not scene.turn_at(due, [(answer, target)], timed=not ping_timed)


def known(scene: Scene) -> None:
    """Rumours of which each is known."""
    held = islice(scene.node.state.replica.by_hash.values(), KNOWN)
    assert not scene.turn(scene.datagram(Rumours([each.packed for each in held])))


def news(scene: Scene) -> None:
    """A change of the group is told on; its settling is not timed."""
    change = _change(scene)
    sent = scene.turn(scene.datagram(Rumours([change.packed])), step=NEWS_STEP)
    live = scene.node.state.live
    places = tree_of(live, change.hash).neighbours(live.ids.index(scene.node.node_id))
    told = {target for _, target in sent} | {scene.source}
    assert told >= {scene.node.state.replica.nodes[live.ids[each]].address for each in places}
    _settle(scene, timed=False)


def settling(scene: Scene) -> None:
    """A change settles: an entry for each hop, each told on; the change itself is not timed."""
    scene.turn(scene.datagram(Rumours([_change(scene).packed])), step=NEWS_STEP, timed=False)
    _settle(scene, timed=True)


def repair(scene: Scene) -> None:
    """A member holds another register instead of one: the node says what it holds, and then sends it."""
    replica = scene.node.state.replica
    lacked = next(iter(replica.groups.values())).hash
    theirs = DigestTree()
    for each in replica.by_hash:
        theirs.toggle(each ^ (each == lacked))
    for asked, answer in ((Buckets(*theirs.summary()), Hashes), (Want(lacked.to_bytes(8, "big")), Repair)):
        [(datagram, _)] = scene.turn(scene.datagram(asked))
        assert any(isinstance(each, answer) for each in scene.member.read(datagram).sections)


def _change(scene: Scene) -> PresenceRegister:
    """The member's presence in the group, once more changed."""
    held = scene.node.state.views[GROUP][scene.source.host]
    assert held.capabilities is not None
    return PresenceRegister(GROUP, held.member, held.clock + 1, held.node_id, held.epoch, held.capabilities)


def _settle(scene: Scene, *, timed: bool) -> None:
    """Send the node the bits of the nodes before it, twice as many each time."""
    live = scene.node.state.live
    place, size = live.ids.index(scene.node.node_id), len(live)
    scene.stamps += 1
    hop = 1
    while hop < size:
        places = {(place - hop - back) % size for back in range(hop)}
        bits = sum(1 << each for each in places).to_bytes((size + 7) // 8, "big")
        entry = Entry(GROUP, HIGH + scene.stamps, scene.node.state.views.digests[GROUP], bits)
        scene.turn(scene.datagram(Settling(live.digest, [entry])), timed=timed)
        hop *= 2
    assert scene.node._convergence.is_settled(GROUP)


CASES: dict[str, Case] = {
    "a turn with nothing to do": idle,
    "ping in, ack out": ping,
    "ping out": probe,
    "ack in": ack,
    f"{KNOWN} registers, all known": known,
    "a register that is new, told on": news,
    "a settling entry, told on": settling,
    "a request of a repair, answered": repair,
}
"""The cases by what is shown of them."""


def cost(scene: Scene, case: Case, count: int) -> float:
    """Microseconds for each timed turn of so many rounds of a case."""
    scene.begin()
    for _ in range(count):
        case(scene)
    return scene.spent / scene.timed * 1e6
