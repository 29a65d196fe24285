"""Laws of the simulator: one seed one trace, clocks, stalls, slow processes, ends of processes."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gossipgroups.config import Config
from gossipgroups.events import Event, MemberJoinedGroup
from gossipgroups.groups.rules import Create, Join
from gossipgroups.operations import Outcome
from gossipgroups.testing.latency import Constant
from gossipgroups.testing.medium import BOOKKEEPING_BYTES, Line
from sims.engine import Clock, Cost, Process, Simulation, Trace, Watcher, address_of, host_of
from sims.schedules import draw, replay

ROOT = Path(__file__).parent.parent
CALM = Line(latency=Constant(0.001))


def cluster(
    count: int, seed: int = 0, *, watchers: Sequence[Watcher] = ()
) -> tuple[Simulation, list[Process]]:
    """So many processes that know each other, with a few seconds behind them."""
    simulation = Simulation(seed, Config.lan(), line=CALM, watchers=watchers)
    seeds = [address_of(0)]
    processes = [simulation.start(address_of(place), seeds=seeds) for place in range(count)]
    simulation.advance(3)
    assert [len(each.node.state.live) for each in processes] == [count] * count
    return simulation, processes


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_one_seed_has_one_trace_in_any_process(hash_seed: str) -> None:
    code = (
        "from sims.schedules import draw, replay\n"
        "print(*(replay(draw(seed)).simulation.trace_hash for seed in range(4)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    hashes = [replay(draw(seed)).simulation.trace_hash for seed in range(4)]
    assert found.stdout.split() == hashes
    assert len(set(hashes)) == 4


def test_watchers_change_nothing() -> None:
    plain, _ = cluster(4)
    watched, _ = cluster(4, watchers=[Trace(io.StringIO())])
    assert plain.trace_hash == watched.trace_hash


def test_a_clock_is_read_and_inverted() -> None:
    clock = Clock(offset=100.0, rate=2.0, since=10.0)
    assert clock.read(13.0) == 106.0
    assert clock.when(106.0) == 13.0
    clock.run(0.5, 13.0)
    assert clock.read(15.0) == 107.0
    assert clock.when(107.0) == 15.0
    clock.jump(-20.0)
    assert clock.read(15.0) == 87.0
    assert clock.when(87.0) == 15.0


@pytest.mark.parametrize("rate", [0.95, 0.99, 1.0, 1.01, 2.0])
def test_a_clock_shows_what_was_asked_for_when_it_says(rate: float) -> None:
    chance = random.Random(1)
    for _ in range(1000):
        # Read so far from its time, it cannot show every reading.
        clock = Clock(-chance.random() * 1e6, rate)
        reading = chance.random()
        assert clock.read(clock.when(reading)) >= reading
        assert clock.read(clock.when(reading) - 1e-6) < reading


def test_a_turn_that_costs_nothing_does_not_spin() -> None:
    simulation = Simulation(2, Config.lan(), cost=Cost(turn=0.0))
    simulation.advance(1e6)
    processes = [
        simulation.start(address_of(place), seeds=[address_of(0)], clock=Clock(since=simulation.now))
        for place in range(4)
    ]
    for process, rate in zip(processes, (0.95, 0.99, 1.01, 1.05), strict=True):
        simulation.skew(process, rate)
    simulation.advance(30)
    assert [len(each.node.state.live) for each in processes] == [4] * 4


@pytest.mark.parametrize("rate", [0.5, 0.95, 1.05, 2.0])
def test_all_keep_the_pace_of_the_fastest_clock(rate: float) -> None:
    simulation, processes = cluster(3)
    simulation.skew(processes[0], rate)
    before = [each.node.stats.sent for each in processes]
    simulation.advance(60)
    sent = [each.node.stats.sent - was for each, was in zip(processes, before, strict=True)]
    assert [len(each.node.state.live) for each in processes] == [3, 3, 3]
    # A ping and an ack in each period.
    assert sent == [pytest.approx(120 * max(1.0, rate), rel=0.1)] * 3


def test_a_clock_that_jumped_forward_accuses_nobody() -> None:
    simulation, processes = cluster(3)
    simulation.jump(processes[0], 3600.0)
    simulation.advance(10)
    assert [each.node.stats.refutations for each in processes] == [0, 0, 0]
    assert processes[0].node.stats.stalls == 1


@pytest.mark.parametrize("jump", [False, True])
def test_a_stall_right_after_a_call_takes_no_own_time(jump: bool) -> None:
    simulation, processes = cluster(3)
    first = processes[0]
    simulation.submit(first, Create("red"))
    if jump:
        simulation.jump(first, 60.0)
    else:
        simulation.pause(first)
        simulation.advance(60)
        simulation.resume(first)
    before = first.node.stats.sent
    simulation.advance(1)
    assert first.node.stats.stalls == 1
    assert first.node.stats.sent - before < 20


def test_a_paused_process_finds_in_its_buffer_what_it_holds_and_the_rest_is_lost() -> None:
    simulation, (first, second, third) = cluster(3)
    first.buffer_bytes = 4 * BOOKKEEPING_BYTES
    simulation.pause(first)
    simulation.advance(2.5)
    assert 0 < first.inbox_bytes <= first.buffer_bytes
    assert first.inbox_bytes == sum(len(each) + BOOKKEEPING_BYTES for each, _ in first.inbox)
    assert first.overflows == simulation.tally["overflow"] > 0
    handled, waiting = first.node.stats.received, len(first.inbox)
    simulation.advance(0.5)
    assert first.node.stats.received == handled
    waiting = len(first.inbox)
    simulation.resume(first)
    simulation.advance(0.0)
    assert first.node.stats.received == handled + waiting
    assert not first.inbox
    assert first.inbox_bytes == 0
    simulation.advance(20)
    assert [len(each.node.state.live.ids) for each in (first, second, third)] == [3, 3, 3]


def test_a_slow_process_answers_late() -> None:
    simulation = Simulation(0, line=CALM, cost=Cost(turn=0.001, received=0.001, sent=0.001))
    first = simulation.start(address_of(0))
    second = simulation.start(address_of(1), seeds=[first.address])
    simulation.advance(2)
    before = second.node.stats.sent
    simulation.advance(10)
    assert second.node.stats.sent - before == pytest.approx(20, abs=2)
    simulation.slow(second, 0.001)
    before = second.node.stats.sent
    simulation.advance(10)
    # A turn that reads one datagram and sends one takes 3 s now.
    assert 1 <= second.node.stats.sent - before <= 8
    simulation.slow(second, 1.0)
    simulation.advance(20)
    assert [len(each.node.state.live) - len(each.node.state.live.suspects) for each in (first, second)] == [
        2,
        2,
    ]


def test_a_turn_takes_what_it_costs_and_datagrams_leave_at_its_end() -> None:
    sent_at: list[tuple[float, float]] = []

    class Sent(Watcher):
        def began(self, simulation: Simulation) -> None:
            self.simulation = simulation

        def sent(self, process: Process, datagram: bytes, target: object, arrivals: Sequence[float]) -> None:
            sent_at.extend((self.simulation.now, each) for each in arrivals)

    simulation = Simulation(0, line=CALM, cost=Cost(turn=0.5, sent=0.25), watchers=[Sent()])
    simulation.start(address_of(0), seeds=[address_of(1)])
    simulation.advance(0.1)
    assert [now for now, _ in sent_at] == [0.0]
    assert [arrival for _, arrival in sent_at] == pytest.approx([0.751])


def test_a_stop_is_told_and_a_crash_is_not() -> None:
    simulation, (first, second, third) = cluster(3)
    simulation.stop(second)
    simulation.advance(1)
    assert not second.running
    assert simulation.tally["stopped, told"] == 1
    assert len(first.node.state.live) == 2
    simulation.crash(third)
    simulation.advance(0.0)
    assert not third.running
    assert len(first.node.state.live) == 2
    simulation.advance(15)
    assert len(first.node.state.live) == 1
    assert simulation.tally["port refused"] > 0


def test_a_stop_that_nobody_hears_ends_anyway() -> None:
    simulation, (first, second) = cluster(2)
    simulation.medium.cut(first.host, second.host)
    simulation.stop(second)
    simulation.advance(Config.lan().leave_timeout - 0.1)
    assert second.running
    simulation.advance(0.2)
    assert not second.running
    assert simulation.tally["stopped, not told"] == 1


def test_a_silent_crash_refuses_no_port_until_something_starts_there() -> None:
    simulation, (first, second) = cluster(2)
    simulation.crash(second, silent=True)
    simulation.advance(5)
    assert simulation.tally["port refused"] == 0
    again = simulation.start(address_of(1, 1001), seeds=[first.address])
    simulation.advance(5)
    assert simulation.tally["port refused"] > 0
    assert len(again.node.state.live) == 2


def test_an_address_has_one_process() -> None:
    simulation, _ = cluster(1)
    with pytest.raises(ValueError, match="in use"):
        simulation.start(address_of(0))


def test_datagrams_under_way_are_lost_or_repeated() -> None:
    simulation, (first, second) = cluster(2)
    told: list[Event] = []

    class Told(Watcher):
        def called(self, process: Process, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
            told.extend(event for event in events if isinstance(event, MemberJoinedGroup))

    simulation.submit(first, Join("red", "a", b"\x01", create=True))
    simulation.advance(0.0006)
    simulation.repeat_in_flight(1)
    simulation.lose_in_flight(100)
    assert simulation.tally["repeated in flight"] == 1
    assert simulation.tally["lost in flight"] >= 2
    simulation.advance(1)
    assert set(second.node.state.views["red"]) == {"a"}


def test_hosts_are_distinct() -> None:
    assert len({host_of(place) for place in range(2000)}) == 2000
    assert host_of(0) == "10.0.0.1"


def test_a_trace_tells_people_what_happened() -> None:
    out = io.StringIO()
    simulation, processes = cluster(2, watchers=[Trace(out)])
    simulation.submit(processes[0], Join("red", "a", b"\x01", create=True))
    simulation.advance(0.1)
    simulation.crash(processes[1])
    text = out.getvalue()
    assert "10.0.0.2:1000      MemberJoinedGroup red True a" in text
    assert "Ping" in text
    assert "arrives" in text
    assert text.splitlines()[-1].endswith("10.0.0.2:1000      crash")
