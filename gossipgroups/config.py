"""Every number that trades one thing for another, with what larger and smaller do.

Law: a coordinator's config never changes after its start. Nodes of one cluster may run different ones, but
should share `probe_period`: with different ones all probe at the pace of the fastest, at most at twice their
own.
The reference is memberlist's `DefaultLANConfig`; where ours differs, the field says why.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

from gossipgroups.errors import InvalidValue

MAY_BE_ZERO = ("indirect_probes", "awareness_limit", "confirmations")
"""Fields at which 0 turns something off."""
SMALLEST = 1e-9
"""The smallest duration, rate or factor."""
DATAGRAM_BYTES = 1400
"""The largest datagram sent or accepted: fits an Ethernet frame with IPv6, UDP and a tunnel's header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The knobs of one coordinator. Durations in seconds. Use a preset, then `.but(field=value)`."""

    probe_period: float = 1.0
    """Time in which every node is probed once. Smaller: faster detection, more datagrams (2 per node and
    period)."""
    probe_timeout: float = 0.5
    """Longest wait for an ack before others are asked to probe, and the wait before any round trip was
    measured. Larger: slower networks need fewer indirect probes, and a slow one is detected later."""
    probe_timeout_min: float = 0.1
    """Shortest wait for an ack, however short the round trips are. Smaller: faster, more indirect probes
    when a node pauses. Equal to `probe_timeout`: nothing is measured."""
    indirect_probes: int = 3
    """Nodes asked to probe in our place. Larger: fewer false suspicions under loss, more datagrams per
    failure. 0: a missed ack is a suspicion."""
    awareness_limit: int = 8
    """Cap of the local health score (Lifeguard, section IV.A). Larger: a struggling node waits longer.
    0: none of it."""
    suspicion_multiplier: float = 4.0
    """Shortest suspicion = this · max(1, log10 n) · probe_period. Larger: fewer false deaths, slower
    detection."""
    suspicion_max_factor: float = 6.0
    """Longest suspicion (nobody confirms it) as a multiple of the shortest (Lifeguard, section IV.B)."""
    confirmations: int = 2
    """Independent confirmations that take a suspicion to its shortest time. 0: it is always the shortest."""
    refused_timeout: float = 0.1
    """Suspicion once two nodes saw the port refused by the kernel. Must cover a few round trips for
    refuting."""
    silent_timeout: float = 0.8
    """Time that a suspect has left once enough nodes have probed it themselves, in vain. Must cover refuting,
    and the longest pause of a process that is to be forgiven, less the time of two probes."""
    gossip_interval: float = 0.2
    """Time between repeats of a rumour. Smaller: gaps after loss close sooner, more datagrams while news is
    fresh."""
    fanout: int = 3
    """Nodes that one round of gossip goes to. Larger: fewer rounds, more duplicates."""
    retransmit_multiplier: int = 4
    """A rumour is sent this · ceil(log10(n + 1)) times by each node. Larger: fewer repairs, more bytes."""
    news_rate: float = 400.0
    """Datagrams a second that forwarding of news may use. Smaller: a storm is damped harder and lasts
    longer."""
    settle_pace: float = 0.005
    """Shortest time between two starts of settling, so that a burst of changes settles together."""
    settle_retry: float = 0.05
    """First wait before others are asked about an unsettled view; grows up to ten times this. Smaller:
    gaps after loss close sooner, more datagrams where the network or the processor is slow."""
    settle_together: int = 8
    """When more scopes than this are unsettled, they settle as one."""
    convergence_deadline: float = 10.0
    """After this long unsettled, changes are reported with `converged=False`."""
    repair_rate: float = 5.0
    """Repairs that this node starts a second on hearing of a difference. Smaller: less traffic, slower
    healing."""
    repair_datagrams: int = 32
    """Datagrams that answer the repairs of one peer in a turn; the rest is asked for again."""
    join_retry: float = 0.25
    """First wait before the seeds are asked again while joining; doubles up to four times this."""
    seed_interval: float = 5.0
    """Time between contacts of seeds that are not live nodes, for as long as the coordinator runs (± 25
    %)."""
    reach_interval: float = 1.0
    """Time in which every dead node is contacted about once by somebody, so that a partition heals."""
    leave_timeout: float = 2.0
    """How long a graceful stop waits for the others to have it."""
    stall_tolerance: float = 0.05
    """A wake-up later than this is a stall: the node's clock stands still over the excess."""
    forget_after: float = 86_400.0
    """Age at which dead nodes, their presences and deleted groups are dropped."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in MAY_BE_ZERO else SMALLEST
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < 1e9:
                bound = "of 0 or more" if least == 0 else "over 0"
                raise InvalidValue(
                    f"Config.{field.name} is {value!r}: it must be a number {bound} and below 1e9"
                )
            if field.type == "int" and not isinstance(value, int):
                raise InvalidValue(f"Config.{field.name} is {value!r}: it must be a whole number")
        if self.probe_timeout >= self.probe_period:
            raise InvalidValue(
                f"Config.probe_timeout is {self.probe_timeout} s: it must be below probe_period "
                f"({self.probe_period} s), or no time is left for indirect probes"
            )
        if self.probe_timeout_min > self.probe_timeout:
            raise InvalidValue(
                f"Config.probe_timeout_min is {self.probe_timeout_min} s: it must be at most probe_timeout "
                f"({self.probe_timeout} s)"
            )

    @classmethod
    def lan(cls) -> Self:
        """For one data centre: round trips of a few milliseconds."""
        return cls()

    @classmethod
    def local(cls) -> Self:
        """For processes on one machine: round trips far below a millisecond."""
        return cls(
            probe_period=0.1,
            probe_timeout=0.06,
            probe_timeout_min=0.02,
            suspicion_multiplier=6.0,
            refused_timeout=0.03,
            silent_timeout=0.2,
            gossip_interval=0.1,
            settle_pace=0.002,
            settle_retry=0.02,
            join_retry=0.1,
            seed_interval=2.0,
            leave_timeout=1.0,
        )

    @classmethod
    def wan(cls) -> Self:
        """For data centres apart: round trips of up to half a second, loss more common."""
        return cls(
            probe_period=5.0,
            probe_timeout=3.0,
            probe_timeout_min=0.5,
            suspicion_multiplier=6.0,
            confirmations=3,
            refused_timeout=1.0,
            silent_timeout=5.0,
            gossip_interval=0.5,
            fanout=4,
            settle_pace=0.02,
            settle_retry=0.4,
            convergence_deadline=30.0,
            join_retry=1.0,
            seed_interval=15.0,
            reach_interval=5.0,
            leave_timeout=6.0,
        )

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed. Raises `InvalidValue` on a value out of range."""
        unknown = set(changes) - {field.name for field in fields(self)}
        if unknown:
            raise InvalidValue(f"Config has no field {', '.join(sorted(unknown))}")
        return replace(self, **changes)


PRESETS = {"local": Config.local, "lan": Config.lan, "wan": Config.wan}
"""The presets by the name that a URL or a command line gives."""
