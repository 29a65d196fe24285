"""The driver: one node on one socket, in whatever trio run it is started.

Law: no protocol decision lives here. A turn reads *every* datagram that waits, then lets time pass, then
sends, then publishes the snapshot, then tells outcomes and events; then the driver sleeps until a datagram, a
call or the node's deadline.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from ipaddress import ip_address

import trio

from gossipgroups.discovery import StaticSeeds, advertised_address, resolve
from gossipgroups.errors import CoordinatorClosed, InvalidValue, SeedsUnreachable
from gossipgroups.groups.rules import Command, Join, LeaveAll
from gossipgroups.ids import Address
from gossipgroups.key_source import KeyFile, ring_of
from gossipgroups.keys import KeyRing
from gossipgroups.node import Node
from gossipgroups.operations import Applied, Done, Refused
from gossipgroups.transport.datagrams import MAX_BATCH, Datagrams
from gossipgroups.transport.following import follow_keys
from gossipgroups.transport.joining import Joining, unreachable
from gossipgroups.transport.lease import Lease
from gossipgroups.transport.link import Call, Link, RingChange, Ticket, fail_all, settle
from gossipgroups.transport.loop import entry_here, turns_of
from gossipgroups.transport.network import Directory, Network
from gossipgroups.transport.refusals import LimitLog, RefusalLog
from gossipgroups.transport.turns import Turns
from gossipgroups.wire.seal import make_seal

logger = logging.getLogger("gossipgroups")

BATCHES = 16
"""Full batches of datagrams that one turn reads: a flood may not keep the timers waiting for ever."""


class Driver:
    """Runs the node of one link, on one network. Raises `InvalidValue` when its keys cannot be read."""

    def __init__(self, link: Link, network: Network) -> None:
        self._link = link
        self._network = network
        self._settings = link.settings
        # Here, in the caller's thread: a disk that hangs must not hold up the gossip loop.
        self._ring = None if link.settings.keys is None else ring_of(link.settings.keys)
        self._tickets: dict[int, Ticket] = {}
        self._queries: list[Call] = []
        self._sequence = 0
        self._join_by = float("inf")
        self._stopping = False
        self._give_up_at = float("inf")
        self._told = False
        self._lease = Lease(self._settings.lease, self._withdraw)
        self._limit_log = LimitLog(self._settings.name)
        self._refusal_log: RefusalLog
        self._node: Node
        self._datagrams: Datagrams
        self._turns: Turns
        self._joining: Joining
        self._directory: Directory | None = None

    async def run(self) -> None:
        """Run until the link is stopped. Errors end up in the link, never here."""
        error: BaseException | None = None
        self._join_by = trio.current_time() + self._settings.join_timeout
        try:
            async with trio.open_nursery() as nursery:
                await self._open(nursery)
                nursery.start_soon(self._joining.run)
                nursery.start_soon(self._joining.look_again)
                if self._settings.lease is not None:
                    nursery.start_soon(self._lease.keep)
                if isinstance(self._settings.keys, KeyFile):
                    nursery.start_soon(
                        follow_keys,
                        self._settings.keys,
                        self._ring,
                        self._settings.name,
                        self._use_keys,
                        lambda: self._link.snapshot,
                    )
                self._link.opened(entry_here())
                await self._turns.run()
                self._warn_if_untold()
                nursery.cancel_scope.cancel()
        except* (InvalidValue, SeedsUnreachable, OSError) as group:
            error = _first(group)
            if self._link.ready.done():
                logger.exception("coordinator %r has ended", self._settings.name)
        except* Exception as group:
            logger.exception("coordinator %r has ended on an error of its own", self._settings.name)
            error = CoordinatorClosed(f"the coordinator has ended on an error of its own: {_first(group)!r}")
        finally:
            await self._end(error)

    async def _open(self, nursery: trio.Nursery) -> None:
        settings, network = self._settings, self._network
        bind = (await resolve(settings.bind, self._look_up))[:1]
        if not bind:
            raise InvalidValue(f"bind {settings.bind!r} does not resolve: give an address of this machine")
        self._datagrams = await network.bind(bind[0], nursery)
        self._turns = turns_of(self._datagrams, self._turn, settings.config.stall_tolerance)
        bound = self._datagrams.address
        directory = self._directory = network.directory(settings.cluster) if settings.seeds is None else None
        seeds = directory or StaticSeeds(settings.seeds or (), network.look_up)
        known: tuple[Address, ...] = ()
        if directory is None:
            with trio.move_on_at(self._join_by) as scope:
                known = await seeds.addresses()
            if scope.cancelled_caught:
                raise unreachable(settings, bound, known)
        address = await advertised_address(bound, settings.advertise, known, self._look_up)
        now = trio.current_time()
        self._node = Node(
            name=settings.name,
            address=address,
            seal=make_seal(settings.cluster, self._ring, network.entropy(bound)),
            config=settings.config,
            random=network.chance(bound),
            now=now,
        )
        self._refusal_log = RefusalLog(settings.name, self._node.state, self._node.stats)
        if self._ring is None and network.open_to_strangers and not ip_address(bound.host).is_loopback:
            logger.warning(
                "coordinator %r is bound to %s without keys: whoever can send there can take part, and forge "
                "anything. Give it keys, or keep the port to a network that you trust",
                settings.name,
                bound,
            )
        self._link.stats = self._node.stats
        self._link.node_id = self._node.node_id
        if directory is not None:
            # Announced before the first look: of two that start at once, one sees the other.
            with trio.move_on_at(self._join_by) as scope:
                await directory.announce(address, self._node.node_id)
                known = await directory.addresses()
            if scope.cancelled_caught:
                logger.warning(
                    "coordinator %r starts alone: the disk under the per-user directory has not answered "
                    "within %g s; it looks there again, or name seeds",
                    settings.name,
                    settings.join_timeout,
                )
        self._node.seek(known, now)
        self._joining = Joining(self._link, self._node, seeds, bound, self._join_by, self._seek)
        self._link.on_command = self._on_command
        self._link.on_query = self._on_query
        self._link.on_stop = self._on_stop
        self._link.on_defect = self._turns.end
        self._link.on_renew = self._lease.renew
        self._link.on_keys = self._on_keys
        self._lease.renew()

    async def _look_up(self, name: str) -> Sequence[str]:
        """The addresses of a name of this node's own: none when the time for joining is over."""
        with trio.move_on_at(self._join_by):
            return await self._network.look_up(name)
        return ()

    def _finished(self) -> bool:
        if not self._stopping:
            return False
        self._told = self._node.departed
        return self._told or trio.current_time() >= self._give_up_at

    def _warn_if_untold(self) -> None:
        ready = self._link.ready
        crashed = self._datagrams.stalled  # and so told nobody, which is what a test has asked for
        if not self._told and not crashed and ready.done() and ready.exception() is None:
            logger.warning(
                "coordinator %r stopped, but no other node confirmed within %g s that it has left",
                self._settings.name,
                self._settings.config.leave_timeout,
            )

    @property
    def _held_up(self) -> bool:
        # Whoever stops a coordinator must not wait for ever: a stop is carried out all the same.
        return self._datagrams.stalled and not self._stopping

    def _turn(self) -> float:
        """Take a turn, unless held up; when the next is due."""
        if self._held_up:
            return self._give_up_at
        node, datagrams = self._node, self._datagrams
        now = trio.current_time()
        for _ in range(BATCHES):
            batch = datagrams.receive()
            for datagram, source in batch:
                self._receive(datagram, source, now)
            if len(batch) < MAX_BATCH:
                break
        for address, quoted in datagrams.refused():
            node.refused(address, quoted, now)
        node.tick(now)
        for datagram, address in node.datagrams(now):
            if not datagrams.send(datagram, address):
                node.stats.unsent += 1
        if node.stats.over_limit:
            self._limit_log.say(node.state.replica)
        self._publish()
        if self._finished():
            self._turns.end()
        return min(node.next_deadline(), self._give_up_at)

    def _receive(self, datagram_untrusted: bytes, source: Address, now: float) -> None:
        try:
            refused = self._node.receive(datagram_untrusted, source, now)
            if refused is not None:
                self._refusal_log.say(refused, datagram_untrusted, source, now)
        except Exception:
            # A defect of ours must cost one datagram, not the loop.
            self._node.stats.refused["internal error"] += 1
            if self._node.stats.refused["internal error"].bit_count() == 1:
                logger.exception(
                    "a datagram of %d bytes from %s was dropped", len(datagram_untrusted), source
                )

    def _publish(self) -> None:
        node, link = self._node, self._link
        events = node.events()
        outcomes = node.outcomes()
        if events or node.state.changed_groups or node.state.nodes_changed:
            first = self._sequence
            self._sequence += len(events)
            link.snapshot = link.snapshot.next(node.state, self._sequence)
            if events:
                link.deliver(events, first)
        for each in outcomes:
            match each:
                case Applied(number):
                    settle(self._tickets[number].applied, None)
                case Done(number, converged):
                    settle(self._tickets.pop(number).done, converged)
                case Refused(number, error):
                    fail_all([self._tickets.pop(number)], error)
        if self._queries and node.idle:
            queries, self._queries = self._queries, []
            for query in queries:
                query.run()
        self._joining.turn_ended()

    def _seek(self, addresses: tuple[Address, ...]) -> None:
        if not self._held_up:
            self._node.seek(addresses, trio.current_time())
            self._turns.act()

    # Calls from the link.

    def _on_command(self, command: Command, ticket: Ticket) -> None:
        if self._stopping:
            fail_all([ticket], CoordinatorClosed("the coordinator is stopping: start a new one"))
            return
        if isinstance(command, Join):
            self._lease.renew()
        self._tickets[self._node.submit(command, trio.current_time())] = ticket
        self._turns.act()

    def _on_query(self, query: Call) -> None:
        self._queries.append(query)
        self._publish()

    def _withdraw(self) -> None:
        name, lease = self._settings.name, self._settings.lease
        logger.warning("coordinator %r leaves all groups: its lease of %g s was not renewed", name, lease)
        self._on_command(LeaveAll(name), Ticket())

    def _on_keys(self, change: RingChange) -> None:
        if self._node.keys is None:
            raise InvalidValue("this coordinator was started without keys: start it with keys=…")
        self._use_keys(change(self._node.keys, self._link.snapshot))

    def _use_keys(self, ring: KeyRing) -> None:
        self._node.use_keys(ring, trio.current_time())
        self._turns.act()

    def _on_stop(self) -> None:
        if not self._stopping:
            now = trio.current_time()
            self._stopping = True
            self._give_up_at = now + self._settings.config.leave_timeout
            self._node.leave(now)
            self._turns.act()

    async def _end(self, error: BaseException | None) -> None:
        if hasattr(self, "_datagrams"):
            self._datagrams.close()
        try:
            if self._directory is not None:
                await self._directory.withdraw()
        finally:
            unfinished = CoordinatorClosed("the coordinator stopped before this had converged")
            fail_all(list(self._tickets.values()), unfinished)
            self._link.closed(error, self._told)
            for query in self._queries:
                query.fail(unfinished)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
