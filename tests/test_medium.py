"""The medium: each condition does what it says, and every loss is counted by its reason."""

from __future__ import annotations

import random
from collections.abc import Iterator
from statistics import mean, median

import pytest

from gossipgroups.errors import InvalidValue
from gossipgroups.ids import Address
from gossipgroups.testing import Constant, Exponential, Latency, Line, LogNormal, Recorded, Uniform
from gossipgroups.testing.medium import CLEAR, HEADER_BYTES, Medium

A, B, C = (Address(f"10.0.0.{number}", 1000) for number in (1, 2, 3))
CALM = Line(latency=Constant(0.001))
MANY = 20_000


def medium(line: Line = CALM, seed: int = 0) -> Medium:
    return Medium(random.Random(seed), line)


def carried(line: Line, size: int = 100, count: int = MANY, gap: float = 0.0) -> list[tuple[float, ...]]:
    """When so many datagrams from A to B arrive, each after its sending."""
    network = medium(line)
    times = ((at, network.carry(A, B, size, at)) for at in (each * gap for each in range(count)))
    return [tuple(arrival - at for arrival in arrivals) for at, arrivals in times]


def drawn(latency: Latency) -> list[float]:
    chance = random.Random(1)
    return [latency.draw(chance) for _ in range(MANY)]


def test_constant_latency_is_always_the_same() -> None:
    assert set(drawn(Constant(0.25))) == {0.25}


def test_uniform_latency_fills_its_bounds_evenly() -> None:
    values = drawn(Uniform(0.1, 0.3))
    assert min(values) >= 0.1
    assert max(values) <= 0.3
    assert mean(values) == pytest.approx(0.2, rel=0.02)
    assert sum(value < 0.15 for value in values) / MANY == pytest.approx(0.25, abs=0.02)


def test_exponential_latency_has_its_mean_over_the_shortest() -> None:
    values = drawn(Exponential(0.05, shortest=0.1))
    assert min(values) >= 0.1
    assert mean(values) == pytest.approx(0.15, rel=0.02)
    assert sum(value > 0.1 + 0.05 for value in values) / MANY == pytest.approx(0.368, abs=0.02)
    assert set(drawn(Exponential(0.0, shortest=0.1))) == {0.1}


def test_log_normal_latency_has_its_median_and_its_tail() -> None:
    values = drawn(LogNormal(0.02, 1.0))
    assert median(values) == pytest.approx(0.02, rel=0.05)
    assert sum(value > 0.2 for value in values) / MANY == pytest.approx(0.0107, abs=0.004)


def test_recorded_latency_draws_its_samples_alike() -> None:
    values = drawn(Recorded((0.1, 0.2, 0.2, 0.9)))
    assert set(values) == {0.1, 0.2, 0.9}
    assert values.count(0.2) / MANY == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-1),
        lambda: Uniform(0.2, 0.1),
        lambda: Exponential(-0.1),
        lambda: LogNormal(0.1, -1),
        lambda: Recorded(()),
        lambda: Recorded((0.1, float("nan"))),
        lambda: Line(loss=1.5),
        lambda: Line(bandwidth=0),
        lambda: Line(mtu=True),
        lambda: Line(latency=0.05),  # type: ignore[arg-type]
        lambda: Line().but(lost=0.1),
    ],
)
def test_conditions_that_make_no_sense_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(InvalidValue):
        make()


def test_a_share_is_lost() -> None:
    network = medium(CALM.but(loss=0.3))
    lost = sum(not network.carry(A, B, 100, 0.0) for _ in range(MANY))
    assert lost / MANY == pytest.approx(0.3, abs=0.02)
    assert network.tally["lost"] == lost


def test_a_share_arrives_twice_the_second_time_no_earlier() -> None:
    arrivals = carried(CALM.but(duplication=0.2))
    twice = [each for each in arrivals if len(each) == 2]
    assert len(twice) / MANY == pytest.approx(0.2, abs=0.02)
    assert all(first <= second <= first + 0.1 for first, second in twice)


def test_a_share_is_held_back_and_overtaken() -> None:
    arrivals = carried(CALM.but(reordering=0.25, held_back=0.5), gap=0.001)
    late = [each for (each,) in arrivals if each > 0.0011]
    assert len(late) / MANY == pytest.approx(0.25, abs=0.02)
    assert max(late) <= 0.501
    assert mean(late) == pytest.approx(0.251, rel=0.05)


def test_a_line_without_variation_keeps_the_order() -> None:
    assert {len(each) for each in carried(CALM)} == {1}
    assert {round(each, 9) for (each,) in carried(CALM, gap=0.0001)} == {0.001}


def test_a_cut_one_way_leaves_the_way_back() -> None:
    network = medium()
    network.cut(A.host, B.host, both=False)
    assert not network.carry(A, B, 100, 0.0)
    assert network.carry(B, A, 100, 0.0)
    assert network.tally["cut"] == 1
    network.cut(A.host, B.host)
    assert not network.carry(B, A, 100, 0.0)
    assert network.carry(A, C, 100, 0.0)
    network.mend()
    assert network.carry(A, B, 100, 0.0)


def test_a_partition_parts_all_pairs_of_its_sides() -> None:
    network = medium()
    network.partition([A.host], [B.host])
    pairs = [(one, other) for one in (A, B, C) for other in (A, B, C) if one != other]
    assert not any(network.carry(one, other, 100, 0.0) for one, other in pairs)
    network.partition([A.host, B.host])
    assert [pair for pair in pairs if network.carry(*pair, 100, 0.0)] == [(A, B), (B, A)]
    network.mend()
    assert all(network.carry(*pair, 100, 0.0) for pair in pairs)


def test_bandwidth_spaces_datagrams_and_its_queue_overflows() -> None:
    size = 100
    network = medium(Line(latency=Constant(0.0), bandwidth=1280.0, queue=640))
    each = (size + HEADER_BYTES) / 1280.0
    arrivals = [network.carry(A, B, size, 0.0) for _ in range(7)]
    assert [one for (one,) in arrivals[:5]] == pytest.approx([each * number for number in range(1, 6)])
    assert arrivals[5:] == [(), ()]
    assert network.tally["no room"] == 2
    # The way back has a queue of its own, and after a while there is room again.
    assert network.carry(B, A, size, 0.0) == pytest.approx((each,))
    assert network.carry(A, B, size, 3 * each) == pytest.approx((6 * each,))


@pytest.mark.parametrize("side", ["egress", "ingress"])
def test_time_under_way_takes_no_room_in_a_queue(side: str) -> None:
    network = medium(Line(latency=Uniform(0.0, 0.4)))
    host = A.host if side == "egress" else B.host
    getattr(network, side)[host] = CLEAR.but(bandwidth=20_000.0, queue=4_000)
    # Loaded to a third: what is late overtakes and is overtaken, and nothing is lost.
    for number in range(200):
        assert network.carry(A, B, 100, 0.02 * number)
    assert not network.tally["no room"]


def test_what_is_larger_than_the_mtu_is_lost() -> None:
    network = medium(CALM.but(mtu=500))
    assert network.carry(A, B, 500 - HEADER_BYTES, 0.0)
    assert not network.carry(A, B, 501 - HEADER_BYTES, 0.0)
    assert network.tally["too large"] == 1


def test_egress_ingress_and_lines_of_their_own_add_up() -> None:
    network = medium()
    network.egress[A.host] = Line(latency=Constant(0.01))
    network.ingress[B.host] = Line(latency=Constant(0.1))
    network.between[A.host, C.host] = Line(latency=Constant(0.5))
    assert network.carry(A, B, 100, 0.0) == pytest.approx((0.111,))
    assert network.carry(A, C, 100, 0.0) == pytest.approx((0.51,))
    assert network.carry(C, B, 100, 0.0) == pytest.approx((0.101,))
    assert network.carry(B, A, 100, 0.0) == pytest.approx((0.001,))
    network.clear()
    assert network.carry(A, B, 100, 0.0) == pytest.approx((0.001,))


def test_the_same_seed_decides_alike() -> None:
    line = Line(latency=LogNormal(0.01, 1.0), loss=0.2, duplication=0.2, reordering=0.2)

    def decisions(seed: int) -> Iterator[tuple[float, ...]]:
        network = medium(line, seed)
        return (network.carry(A, B, 100, float(at)) for at in range(100))

    assert list(decisions(7)) == list(decisions(7))
    assert list(decisions(7)) != list(decisions(8))


def test_a_tail_that_never_ends_is_refused() -> None:
    with pytest.raises(InvalidValue, match="sigma is 1000"):
        LogNormal(0.1, 1000)
