"""The URL of a tooz coordinator, and the errors that come out of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tooz
from tooz import coordination

import gossipgroups as gg
from gossipgroups.tooz import GossipDriver
from gossipgroups.tooz.options import JOIN_SECONDS
from gossipgroups.tooz.results import ERRORS, translated
from gossipgroups.transport.link import Settings
from tests.tooz.site import GROUP, Site, ignore
from tests.waiting import LIMIT, address_of, free_port, wait_until


def test_nothing_is_opened_before_the_start() -> None:
    threads = threading.active_count()
    made = coordination.get_coordinator(f"gossip://127.0.0.1:{free_port()}/prod", b"a")
    assert threading.active_count() <= threads  # those of earlier tests may be ending
    assert not made.is_started
    assert made.run_watchers() == []
    for call in (made.get_groups, made.stop, made.heartbeat, lambda: made.watch_join_group(GROUP, ignore)):
        with pytest.raises(tooz.ToozError, match="start"):
            call()


def test_a_seed_that_does_not_answer_is_a_connection_error() -> None:
    url = f"gossip://127.0.0.1:{free_port()}?join_timeout=0.3"
    made = coordination.get_coordinator(url, b"a")
    with pytest.raises(coordination.ToozConnectionError, match=r"no answer .* \(gossipgroups node\)"):
        made.start()
    assert not made.is_started
    assert JOIN_SECONDS < 2, "what the documents promise"


def test_an_address_that_cannot_be_bound_is_a_connection_error(site: Site) -> None:
    made = site.made(b"a", bind=str(address_of(site.seed)))
    with pytest.raises(coordination.ToozConnectionError):
        made.start()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timeout": "soon"}, "timeout 'soon'"),
        ({"timeout": 0}, "timeout '0'"),
        ({"timeout": "nan"}, "timeout 'nan'"),
        ({"leader": "strict"}, "leader 'strict'"),
        ({"preset": "moon"}, "preset 'moon'"),
        ({"join_timeout": "-1"}, "join_timeout '-1'"),
        ({"keys": ""}, "keys is empty"),
        ({"keys": "/no/such/file"}, "key file '/no/such/file' cannot be read"),
        ({"keys": "env:NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE"),
        ({"keys": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="}, "key itself"),
    ],
)
def test_an_option_that_cannot_be_right_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(tooz.ToozError, match=says):
        coordination.get_coordinator("gossip://", b"a", **options)


def settings(**options: Any) -> tuple[Settings, bool]:
    """What a coordinator of these options is, and whether it has leaders."""
    made = coordination.get_coordinator("gossip://", b"a", **options)
    assert isinstance(made, GossipDriver)
    return made._coordinator._settings, made._election is not None


@pytest.mark.parametrize("nothing", [None, "", " "])
@pytest.mark.parametrize("option", ["bind", "advertise", "preset", "join_timeout", "timeout", "leader"])
def test_an_option_without_a_value_is_as_if_it_was_not_given(option: str, nothing: str | None) -> None:
    assert settings(**{option: nothing}) == settings()
    assert settings()[0].join_timeout == JOIN_SECONDS


@pytest.mark.parametrize("url", ["gossip://host:port", "gossip://h:1/a/b", "gossip://user@h:1"])
def test_a_url_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(tooz.ToozError):
        coordination.get_coordinator(url, b"a")


def test_options_of_other_drivers_are_ignored_and_arguments_beat_the_url(site: Site) -> None:
    made = coordination.get_coordinator(
        f"{site.url}&lock_timeout=30&preset=moon", b"a", preset="local", executor="sync"
    )
    assert isinstance(made, GossipDriver)
    made.start()
    made.stop()


def test_options_of_other_drivers_are_ignored_however_odd_and_many() -> None:
    odd: dict[str, Any] = {"\ud800": 1, "text": "\ud800", "object": object(), "list": [], "dict": {}}
    assert settings(**odd, **{f"option-{number}": number for number in range(100)}) == settings()


@pytest.mark.parametrize("option", ["bind", "advertise", "preset", "join_timeout", "timeout", "leader"])
def test_text_that_is_no_text_is_refused_in_an_option_of_ours(option: str) -> None:
    with pytest.raises(tooz.ToozError, match=option):
        settings(**{option: "\ud800"})


@pytest.mark.parametrize("member", [None, 3, b"", "", "\ud800", b"x" * 256, ["a"]])
def test_a_member_id_that_cannot_be_one_is_refused(member: Any) -> None:
    with pytest.raises(tooz.ToozError, match="member id"):
        coordination.get_coordinator("gossip://", member)


def test_characteristics_are_those_that_hold() -> None:
    wanted = [coordination.Characteristics.DISTRIBUTED_ACROSS_HOSTS]
    coordination.get_coordinator("gossip://", b"a", characteristics=wanted)
    with pytest.raises(coordination.ToozDriverChosenPoorly):
        coordination.get_coordinator(
            "gossip://", b"a", characteristics=[coordination.Characteristics.LINEARIZABLE]
        )


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (gg.GroupAlreadyExists("g"), coordination.GroupAlreadyExist),
        (gg.GroupNotCreated("g"), coordination.GroupNotCreated),
        (gg.GroupNotEmpty("g", 1), coordination.GroupNotEmpty),
        (gg.MemberAlreadyJoined("g", "m"), coordination.MemberAlreadyExist),
        (gg.MemberNotJoined("g", "m"), coordination.MemberNotJoined),
        (gg.SeedsUnreachable(("h:1",), 1.0), coordination.ToozConnectionError),
        (TimeoutError(), coordination.OperationTimedOut),
        (OSError("no such device"), coordination.ToozConnectionError),
        (gg.LimitExceeded("x", 2, 1), tooz.ToozError),
        (gg.CoordinatorClosed("ended"), tooz.ToozError),
    ],
)
def test_every_error_has_its_tooz_error_with_ours_as_the_cause(
    raised: Exception, expected: type[Exception]
) -> None:
    with pytest.raises(tooz.ToozError) as caught, translated():
        raise raised
    assert type(caught.value) is expected
    assert caught.value.__cause__ is raised
    assert getattr(caught.value, "group_id", "g") == "g"


def test_no_error_of_ours_is_left_out() -> None:
    assert ERRORS.keys() >= {gg.GossipError, TimeoutError, OSError}


def test_arguments_that_cannot_be_are_tooz_errors_too(site: Site) -> None:
    coordinator = site.started(b"a")
    calls: list[Callable[[], object]] = [
        lambda: coordinator.create_group(b""),
        lambda: coordinator.join_group(GROUP, {"large": "x" * 600}),
        lambda: coordinator.join_group(GROUP, {"odd": object()}),
        lambda: coordinator.get_members(b"x" * 256),
    ]
    for call in calls:
        with pytest.raises(tooz.ToozError):
            call()


def test_running_out_of_time_is_said_and_undoes_nothing(site: Site) -> None:
    coordinator = site.started(b"a")
    gate = threading.Event()
    site.seed._link.query(lambda snapshot: gate.wait(LIMIT))  # the gossip loop stands still
    created = coordinator.create_group(GROUP)
    with pytest.raises(coordination.OperationTimedOut):
        created.get(timeout=0)
    gate.set()
    wait_until(lambda: coordinator.get_groups().get(LIMIT) == [GROUP], "the group")


def test_keys_of_the_url_seal(tmp_path: Path) -> None:
    path = tmp_path / "cluster.keys"
    gg.KeyFile(path).write(gg.KeyRing([gg.Key(bytes(32))]))
    with gg.get_coordinator(f"gossip:///sealed?preset=local&bind=127.0.0.1:0&keys={path}", "seed") as seed:
        url = f"gossip://{address_of(seed)}/sealed?preset=local"
        made = coordination.get_coordinator(f"{url}&keys={path}", b"a")
        made.start()
        made.join_group_create(GROUP)
        assert seed.get_members(GROUP).get(LIMIT) == {"a"}
        made.stop()
        stranger = coordination.get_coordinator(f"{url}&join_timeout=0.3", b"b")
        with pytest.raises(coordination.ToozConnectionError, match="keys"):
            stranger.start()
