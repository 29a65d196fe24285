"""Schedules: one seed one schedule, their JSON form, shrinking, and the two commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings

from gossipgroups.errors import InvalidValue
from gossipgroups.groups.replica import Replica
from gossipgroups.testing import Recorded
from gossipgroups.testing.medium import Line
from sims import explore
from sims import replay as replaying
from sims.explore import Campaign, Finding, examine
from sims.schedules import BadDocument, Schedule, draw, dump, failure, load, replay, shrink
from sims.schedules.drawing import LARGE, is_large
from sims.schedules.faults import FAULTS
from sims.schedules.occurred import DISTINCT_CUTS, MUST_OCCUR, SEEDS_FOR_CUTS
from sims.schedules.operations import OPERATIONS
from sims.schedules.steps import (
    STEPS,
    Attack,
    Condition,
    Cut,
    Fault,
    Heal,
    InFlight,
    Operate,
    Partition,
    Wait,
    Weather,
)
from sims.schedules.stranger import ATTACKS
from sims.schedules.strategies import schedules

PLAIN = Schedule(
    seed=1,
    nodes=3,
    up=3,
    head_start=0.5,
    steps=(
        Operate("join or create", 0, "red"),
        Wait(0.5),
        Partition(((0,), (1,))),
        Weather(Line(latency=Recorded((0.01, 0.02)), loss=0.1)),
        Wait(1),
        Heal(),
        Condition("ingress", 2, Line(bandwidth=10_000.0, queue=4000)),
        Fault("slow", 1, 0.1),
        Wait(1.5),
    ),
)


def test_one_seed_draws_one_schedule() -> None:
    assert [draw(seed) for seed in range(50)] == [draw(seed) for seed in range(50)]
    assert len({draw(seed) for seed in range(50)}) == 50


def test_a_share_of_the_seeds_is_large() -> None:
    large = [seed for seed in range(4000) if is_large(seed)]
    assert 10 <= len(large) <= 30
    assert {draw(seed).nodes for seed in large} == {LARGE}
    assert not any(is_large(seed, 0.0) for seed in range(100))


def test_seeds_draw_all_kinds_of_step_and_fault_and_operation() -> None:
    steps = [step for seed in range(200) for step in draw(seed).steps]
    assert {type(step) for step in steps} == set(STEPS.values())
    assert {step.what for step in steps if isinstance(step, Fault)} == set(FAULTS)
    assert {step.what for step in steps if isinstance(step, Operate)} == set(OPERATIONS)
    assert {step.what for step in steps if isinstance(step, Attack)} == set(ATTACKS)


def test_shares_of_the_seeds_are_sealed_recorded_and_forget() -> None:
    drawn = [draw(seed) for seed in range(300)]
    assert 70 <= sum(each.sealed for each in drawn) <= 130
    assert 120 <= sum(each.recorded > 0 for each in drawn) <= 180
    assert 50 <= sum(each.forget_after < 100 for each in drawn) <= 100
    idle = [each for each in drawn if not each.recorded]
    assert not any(isinstance(step, Attack) for each in idle for step in each.steps)


def test_each_fault_and_operation_must_occur() -> None:
    named = {what for whats in MUST_OCCUR.values() for what in whats}
    assert set(OPERATIONS) <= named
    assert set(FAULTS) - {"jump"} <= named
    assert set(ATTACKS) <= named


def test_drawn_schedules_survive_the_document() -> None:
    for seed in range(300):
        assert load(dump(draw(seed))) == draw(seed)


@settings(max_examples=50)
@given(schedules())
def test_schedules_of_hypothesis_survive_the_document(schedule: Schedule) -> None:
    assert load(dump(schedule)) == schedule


def test_a_document_leaves_out_what_is_usual() -> None:
    written = json.loads(dump(PLAIN))
    assert written["steps"][0] == {"do": "operate", "what": "join or create", "place": 0, "group": "red"}
    assert written["steps"][3] == {
        "do": "weather",
        "line": {"latency": {"kind": "recorded", "samples": [0.01, 0.02]}, "loss": 0.1},
    }
    assert "together" not in written


BAD = [
    ("{", "no JSON"),
    ("[]", r"schedule is \[\]: it must be an object"),
    ('{"nodes": 3, "up": 3}', "schedule has no seed"),
    ('{"seed": 1, "nodes": "3", "up": 3}', r'schedule.nodes is "3": it must be a whole number'),
    ('{"seed": 1, "nodes": true, "up": 3}', "schedule.nodes is true"),
    ('{"seed": 1, "nodes": 3, "up": 4}', "up is 4: it must be 0 to 3"),
    (
        '{"seed": 1, "nodes": 3, "up": 3, "step": []}',
        "schedule.step is no name here: choose from seed, nodes",
    ),
    ('{"seed": 1, "nodes": 3, "up": 3, "steps": {}}', "schedule.steps is {}: it must be a list"),
    ('{"seed": 1, "nodes": 3, "up": 3, "groups": [1]}', r"schedule.groups\[0\] is 1: it must be a text"),
    ('{"seed": 1, "nodes": 3, "up": 3, "groups": [""]}', "group id is empty"),
    ('{"seed": 1, "nodes": 3, "up": 3, "groups": []}', "groups is empty"),
    ('{"seed": 1, "nodes": 3, "up": 3, "together": 0}', "together is 0: it must be 1 to"),
    ('{"seed": 1, "nodes": 3, "up": 3, "recorded": 2}', "recorded is 2: it must be a share"),
    ('{"seed": 1, "nodes": 3, "up": 3, "forget_after": 1}', "forget_after is 1: it must be 10 to 86400"),
]
BAD_STEPS = [
    ('{"seconds": 1}', r"steps\[0\].do is null: it must be one of wait, operate"),
    ('{"do": "sleep"}', r'steps\[0\].do is "sleep": it must be one of wait'),
    ('{"do": ["wait"]}', r'steps\[0\].do is \["wait"\]: it must be one of wait'),
    ('{"do": "wait", "seconds": "1"}', r'steps\[0\].seconds is "1": it must be a number'),
    ('{"do": "wait", "seconds": -1}', "it must be 0 to 3600"),
    ('{"do": "wait", "seconds": 1, "place": 1}', r"steps\[0\].place is no name here"),
    (
        '{"do": "operate", "what": "jump", "place": 0, "group": "red"}',
        "no operation 'jump': choose from join",
    ),
    ('{"do": "operate", "what": "join", "place": 3, "group": "red"}', "place 3: there are 3 nodes"),
    ('{"do": "operate", "what": "join", "place": 0, "group": "pink"}', "group 'pink': groups are red"),
    ('{"do": "fault", "what": "explode", "place": 0}', "no fault 'explode': choose from crash"),
    ('{"do": "fault", "what": "crash", "place": 0, "amount": 2}', "'crash' has no amount"),
    ('{"do": "fault", "what": "slow", "place": 0, "amount": 2}', "share of a processor"),
    ('{"do": "fault", "what": "slow", "place": 0}', r"0.001 to 1 \(share of a processor\)"),
    ('{"do": "cut", "source": 1, "target": 1}', "to itself"),
    ('{"do": "partition", "sides": [[0, 1], [1]]}', "each at most once"),
    ('{"do": "partition", "sides": [0]}', r"steps\[0\].sides\[0\] is 0: it must be a list"),
    ('{"do": "condition", "where": "up", "place": 1}', 'where is "up": it must be one of egress, ingress'),
    ('{"do": "weather", "line": {"loss": 2}}', r"steps\[0\].line: Line.loss is 2"),
    (
        '{"do": "weather", "line": {"latency": {"kind": "slow"}}}',
        r'latency.kind is "slow": it must be one of',
    ),
    ('{"do": "weather", "line": {"latency": {"kind": "constant", "seconds": -1}}}', "latency seconds is -1"),
    ('{"do": "inflight", "what": "lose", "count": 0}', "1 to 10,000"),
    ('{"do": "attack", "what": "bribe", "count": 1}', "no attack 'bribe': choose from send again"),
    ('{"do": "attack", "what": "knock", "count": 0}', "1 to 10,000"),
    ('{"do": "attack", "what": "knock", "count": 1, "seconds": -1}', "0 to 3600"),
    ('{"do": "fault", "what": "flood", "place": 0}', r"1 to 1000 \(changes a second\)"),
]


@pytest.mark.parametrize(("text", "pattern"), BAD)
def test_a_bad_document_is_refused_with_its_path(text: str, pattern: str) -> None:
    with pytest.raises(BadDocument, match=pattern):
        load(text)


@pytest.mark.parametrize(("step", "pattern"), BAD_STEPS)
def test_a_bad_step_is_refused_with_its_path(step: str, pattern: str) -> None:
    with pytest.raises(BadDocument, match=pattern):
        load(f'{{"seed": 1, "nodes": 3, "up": 3, "steps": [{step}]}}')


def test_steps_are_checked_in_code_too() -> None:
    for make in (lambda: Cut(0, 0), lambda: InFlight("lose", 0), lambda: replace(PLAIN, nodes=2, up=2)):
        with pytest.raises(InvalidValue):
            make()


def test_partitions_are_told_apart_by_their_sides() -> None:
    world = replay(PLAIN)
    assert world.cuts == {"0 | 1 | 2"}
    other = replay(replace(PLAIN, steps=(Partition(((1,),)), Partition(((0, 2),)), Partition(((0, 1, 2),)))))
    assert other.cuts == {"0 2 | 1"}


def test_any_part_of_a_schedule_is_a_schedule() -> None:
    for at in range(len(PLAIN.steps)):
        assert failure(replace(PLAIN, steps=PLAIN.steps[:at] + PLAIN.steps[at + 1 :])) is None


def test_what_does_not_fail_is_not_shrunk() -> None:
    assert shrink(PLAIN) == PLAIN


def test_a_defect_of_the_code_is_shrunk_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Replica.merge

    def broken(self: Replica, register: object) -> object:
        if getattr(register, "group", None) == "red":
            raise ZeroDivisionError
        return rule(self, register)  # type: ignore[arg-type]

    monkeypatch.setattr(Replica, "merge", broken)
    shortest = shrink(PLAIN)
    assert [type(step) for step in shortest.steps] == [Operate]
    assert isinstance(failure(shortest), ZeroDivisionError)


# The commands.


def test_a_campaign_complains_of_what_never_occurred() -> None:
    campaign = Campaign()
    campaign.add(examine(1))
    assert "never occurred" in campaign.complaints[0]
    found = {what: 1 for whats in MUST_OCCUR.values() for what in whats}
    campaign = Campaign()
    for seed in range(SEEDS_FOR_CUTS):
        campaign.add(Finding(seed, None, campaign.tally.__class__(found), frozenset({"0 | 1"}), 1.0))
    assert campaign.complaints == [f"1 distinct partitions: at least {DISTINCT_CUTS} are wanted"]
    campaign.cuts |= {str(each) for each in range(DISTINCT_CUTS)}
    assert campaign.complaints == []
    campaign.add(Finding(0, "Broken: truth", campaign.tally.__class__(), frozenset(), 1.0))
    assert campaign.complaints == ["1 of 1,001 seeds broke a promise"]


def test_explore_prints_a_table(tmp_path: Path) -> None:
    run = CliRunner().invoke(explore.main, ["--seeds", "2", "--jobs", "1", "--out", str(tmp_path)])
    assert run.exit_code == 1  # two seeds do not bring everything
    assert "settled reports checked" in run.output
    assert "never occurred" in run.output
    assert list(tmp_path.iterdir()) == []


def test_explore_keeps_the_shortest_schedule_and_replay_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossipgroups.convergence.Convergence._complete", lambda *_: True)
    arguments = ["--seeds", "1", "--first-seed", "1", "--jobs", "1", "--out", str(tmp_path)]
    run = CliRunner().invoke(explore.main, arguments)
    assert run.exit_code == 1
    assert "seed 1: Broken: " in run.output
    path = tmp_path / "broken-1.json"
    assert f"replay it with: python -m sims.replay {path}" in run.output
    again = CliRunner().invoke(replaying.main, [str(path)])
    assert again.exit_code == 1
    assert "broken: Broken: " in again.output
    assert " Ping" in again.output or "start" in again.output


def test_replay_shows_a_schedule_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "plain.json"
    path.write_text(dump(PLAIN))
    run = CliRunner().invoke(replaying.main, [str(path)])
    assert run.exit_code == 0, run.output
    assert "partition in 3" in run.output
    assert "Ping" in run.output
    assert "at rest after" in run.output
    brief = CliRunner().invoke(replaying.main, [str(path), "--no-datagrams"])
    assert "Ping" not in brief.output
    assert brief.output.splitlines()[-1] == run.output.splitlines()[-1]


def test_replay_takes_a_seed_and_refuses_nonsense(tmp_path: Path) -> None:
    run = CliRunner().invoke(replaying.main, ["--seed", "1", "--no-datagrams"])
    assert run.exit_code == 0, run.output
    assert CliRunner().invoke(replaying.main, []).exit_code == 2
    path = tmp_path / "bad.json"
    path.write_text('{"seed": 1}')
    refused = CliRunner().invoke(replaying.main, [str(path)])
    assert refused.exit_code == 1
    assert "schedule has no nodes" in refused.output
