"""Names that resolve slowly: finding the seeds' addresses and joining share one deadline.

Law: nothing here takes time or asks a resolver; the seconds are those of the mock clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import gossipgroups as gg
from gossipgroups import open_coordinator
from gossipgroups.ids import Address
from gossipgroups.testing import SimulatedNetwork
from gossipgroups.transport.network import current_network
from tests.waiting import LIMIT, eventually

NEVER = 1000.0


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """How long each name takes, on a network with a coordinator to find at `seed`."""
    delays: dict[str, float] = {}
    with SimulatedNetwork(seed=3, hosts=["seed", "other"]) as network:
        look_up = network.look_up

        async def look_up_slowly(name: str) -> Sequence[str]:
            await trio.sleep(delays.get(name, 0.0))
            return await look_up(name)

        monkeypatch.setattr(network, "look_up", look_up_slowly)
        yield delays


class StuckDirectory:
    """A directory on a disk that does not answer any more."""

    async def announce(self, address: Address, node_id: bytes) -> None:
        await trio.sleep(NEVER)

    async def addresses(self) -> tuple[Address, ...]:
        await trio.sleep(NEVER)
        return ()

    async def withdraw(self) -> None:
        await trio.lowlevel.checkpoint()

    def describe(self) -> tuple[str, ...]:
        return ()


async def test_a_disk_that_hangs_under_the_directory_keeps_nobody_from_opening(
    delays: dict[str, float],
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = current_network.get()
    monkeypatch.setattr(network, "directory", lambda cluster: StuckDirectory())
    began = trio.current_time()
    async with open_coordinator("a", join_timeout=1.75) as a:
        assert trio.current_time() - began == pytest.approx(1.75)
        assert await a.join_group("workers", create=True)
    assert "has not answered within 1.75 s" in caplog.text


async def test_opening_can_be_cancelled_while_a_disk_hangs(
    delays: dict[str, float], autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current_network.get(), "directory", lambda cluster: StuckDirectory())
    began = trio.current_time()
    with trio.move_on_after(0.5):
        async with open_coordinator("a", join_timeout=1.75):
            pytest.fail("it opened")
    assert trio.current_time() - began <= 1.75 + LIMIT


@pytest.mark.parametrize("seeds", [["seed"], ["seed", "other"]])
@pytest.mark.parametrize("settings", [{}, {"advertise": "other"}])
async def test_seeds_whose_names_do_not_resolve_in_time_are_unreachable(
    delays: dict[str, float], autojump_clock: MockClock, seeds: list[str], settings: dict[str, Any]
) -> None:
    delays |= {"seed": NEVER, "other": NEVER}
    began = trio.current_time()
    with pytest.raises(gg.SeedsUnreachable, match=r"1\.75 s"):
        async with open_coordinator("b", seeds=seeds, join_timeout=1.75, **settings):
            pytest.fail("it opened")
    assert trio.current_time() - began == pytest.approx(1.75)


@pytest.mark.parametrize("seeds", [["10.0.0.1:7946", "other"], ["seed:7946", "other"]])
async def test_a_name_that_is_slow_does_not_use_up_the_time_for_the_seed_that_answers(
    delays: dict[str, float], autojump_clock: MockClock, seeds: list[str]
) -> None:
    delays |= {"seed": 1.5, "other": NEVER}
    async with (
        open_coordinator("a", bind="10.0.0.1:7946", seeds=()),
        open_coordinator("b", seeds=seeds, join_timeout=1.75) as b,
    ):
        assert len(b.nodes()) == 2


async def test_a_name_that_took_too_long_at_first_is_found_later(
    delays: dict[str, float], autojump_clock: MockClock
) -> None:
    delays |= {"other": 1.5}
    async with (
        open_coordinator("a", bind="10.0.0.1:7946", seeds=()) as a,
        open_coordinator("b", bind="10.0.0.2:7946", seeds=()) as b,
        open_coordinator("c", seeds=["10.0.0.1:7946", "other:7946"], join_timeout=1.75),
    ):
        assert len(b.nodes()) == 1
        await eventually(lambda: len(a.nodes()) == len(b.nodes()) == 3, limit=120.0)


@pytest.mark.parametrize("what", ["bind", "advertise"])
@pytest.mark.parametrize("seeds", [None, (), ("10.0.0.1:7946",)])
async def test_a_name_of_its_own_that_does_not_resolve_in_time_is_told_as_such(
    delays: dict[str, float], autojump_clock: MockClock, what: str, seeds: tuple[str, ...] | None
) -> None:
    delays |= {"other": NEVER}
    settings: dict[str, Any] = {what: "other:7946"}
    began = trio.current_time()
    with pytest.raises(gg.InvalidValue, match=f"{what} 'other:7946' does not resolve"):
        async with open_coordinator("b", seeds=seeds, join_timeout=1.75, **settings):
            pytest.fail("it opened")
    assert trio.current_time() - began == pytest.approx(1.75)


async def test_who_needs_no_seed_looks_around_though_its_own_name_was_slow(
    delays: dict[str, float], autojump_clock: MockClock
) -> None:
    delays |= {"other": 1.7}
    async with (
        open_coordinator("a", bind="10.0.0.1:7946"),
        open_coordinator("b", bind="other:7946", join_timeout=1.75) as b,
    ):
        assert len(b.nodes()) == 2
