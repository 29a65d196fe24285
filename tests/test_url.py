"""Endpoints and gossip:// URLs: what is read, what is refused, and that writing undoes reading."""

from __future__ import annotations

import ipaddress
import math
import random
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups.errors import GossipError, InvalidValue, LimitExceeded
from gossipgroups.keys import Key
from gossipgroups.url import (
    DEFAULT_PORT,
    MAX_OPTIONS,
    PRESETS,
    GossipUrl,
    check_seed,
    default_bind,
    format_endpoint,
    parse_endpoint,
    parse_url,
)

# Spelled out rather than st.characters() or a regular expression: those first build tables of Unicode, which
# on a machine without Hypothesis's cache takes longer than its check of slow generation allows.
any_character = st.integers(0, 0x10FFFF).map(chr)
unicode_character = any_character.filter(lambda character: not "\ud800" <= character <= "\udfff")
labels = st.text("az09-_", max_size=20).map(lambda label: f"{label}x")
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
numeric = st.ip_addresses().map(lambda ip: str(getattr(ip, "ipv4_mapped", None) or ip))
hosts = st.one_of(names, numeric)
endpoints = st.builds(format_endpoint, hosts, st.integers(0, 65535))
seeds = st.builds(format_endpoint, hosts, st.integers(1, 65535))
cluster_names = st.one_of(
    st.text(unicode_character, min_size=1, max_size=60),
    st.binary(min_size=1, max_size=60).map(lambda name: name.decode("utf-8", "surrogateescape")),
)
option_texts = st.text(unicode_character, max_size=10)
known_options = {"bind", "advertise", "preset", "join_timeout"}
urls = st.builds(
    GossipUrl,
    seeds=st.none() | st.lists(seeds, min_size=1, max_size=4, unique=True).map(tuple),
    cluster=cluster_names,
    bind=endpoints,
    advertise=st.none() | endpoints,
    preset=st.sampled_from(PRESETS),
    join_timeout=st.floats(min_value=1e-9, max_value=1e18, exclude_min=True),
    options=st.dictionaries(
        option_texts.filter(lambda key: key not in known_options), option_texts, max_size=3
    ),
)


@pytest.mark.parametrize(
    ("text", "default_port", "expected"),
    [
        ("127.0.0.1:7946", None, ("127.0.0.1", 7946)),
        ("[::1]:7946", None, ("::1", 7946)),
        ("[::1]", 5, ("::1", 5)),
        ("::1", 5, ("::1", 5)),
        ("::1:7946", 5, ("::1:7946", 5)),
        ("[2001:DB8:0::1]:1", None, ("2001:db8::1", 1)),
        ("[::ffff:10.0.0.1]:1", None, ("10.0.0.1", 1)),
        ("localhost", 5, ("localhost", 5)),
        ("localhost:0", 5, ("localhost", 0)),
        ("node_1.workers.svc.:1", None, ("node_1.workers.svc.", 1)),
        ("bücher.example:1", None, ("bücher.example", 1)),
        (" 10.0.0.1:65535\n", None, ("10.0.0.1", 65535)),
        ("10.0.0.1", 0, ("10.0.0.1", 0)),
    ],
)
def test_endpoint_is_read(text: str, default_port: int | None, expected: tuple[str, int]) -> None:
    assert parse_endpoint(text, default_port=default_port) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no host"),
        (":7946", "no host"),
        ("[]:7946", "no host"),
        ("localhost", "no port"),
        ("::1", "no port"),
        ("[::1]", "no port"),
        ("localhost:", "port ''"),
        ("[::1]:", "port ''"),
        ("localhost:http", "port 'http'"),
        ("localhost:65536", "port '65536'"),
        ("localhost:-1", "port '-1'"),
        ("localhost:+1", r"port '\+1'"),
        ("localhost:0000001", "port '0000001'"),
        ("localhost:٣", "port '٣'"),
        ("[::1", "']'"),
        ("[::1]7946", "']'"),
        ("[127.0.0.1]:1", "not an IPv6 address"),
        ("[localhost]:1", "not an IPv6 address"),
        ("1:2:3", "not an IPv6 address"),
        ("256.0.0.1:1", "not an IPv4 address"),
        ("127.1:1", "not an IPv4 address"),
        ("010.0.0.1:1", "not an IPv4 address"),
        ("[fe80::1%eth0]:1", "scope"),
        ("user@node:1", "neither an IP address nor a host name"),
        ("a b:1", "neither an IP address nor a host name"),
        ("a..b:1", "neither an IP address nor a host name"),
        ("a/b:1", "neither an IP address nor a host name"),
        (f"{'a' * 64}:1", "neither an IP address nor a host name"),
        (f"{'a.' * 127}:1", "neither an IP address nor a host name"),
        ("a\0b:1", "neither an IP address nor a host name"),
    ],
)
def test_bad_endpoint_is_refused_with_its_text_and_the_form(text: str, says: str) -> None:
    with pytest.raises(InvalidValue, match=says) as caught:
        parse_endpoint(text)
    assert repr(text) in str(caught.value)
    assert "'host:port'" in str(caught.value)


@pytest.mark.parametrize("value", [b"127.0.0.1:1", None, 7946, ("127.0.0.1", 1)])
def test_endpoint_must_be_text(value: Any) -> None:
    with pytest.raises(InvalidValue, match="must be str"):
        parse_endpoint(value)


@given(hosts, st.integers(0, 65535))
def test_formatted_endpoint_parses_to_itself(host: str, port: int) -> None:
    assert parse_endpoint(format_endpoint(host, port)) == (host, port)


@given(st.text(any_character, max_size=30) | st.text("[]:.%0123456789afx-", max_size=30))
def test_any_text_is_an_endpoint_or_refused(text: str) -> None:
    try:
        host, port = parse_endpoint(text, default_port=1)
    except InvalidValue:
        return
    assert 0 <= port <= 65535
    assert parse_endpoint(format_endpoint(host, port)) == (host, port)


def test_seed_cannot_have_port_0() -> None:
    assert check_seed("::1") == f"[::1]:{DEFAULT_PORT}"
    with pytest.raises(InvalidValue, match=r"seed '127\.0\.0\.1:0': port 0"):
        check_seed("127.0.0.1:0")


def test_bare_url_has_the_defaults() -> None:
    assert parse_url("gossip://") == GossipUrl(
        seeds=None,
        cluster="default",
        bind="127.0.0.1:0",
        advertise=None,
        preset="lan",
        join_timeout=5.0,
        options={},
    )
    assert parse_url("GOSSIP:///") == GossipUrl()
    assert parse_url(" gossip://?\n") == GossipUrl()


def test_full_url() -> None:
    url = parse_url(
        "gossip://127.0.0.1:7946,node-2,[::1],[2001:db8::1]:9/team%2Fblue%20%C3%BC%FF"
        "?bind=0.0.0.0:0&advertise=198.51.100.7&preset=wan&join_timeout=0.5&colour=blue&empty=&flag"
    )
    assert url == GossipUrl(
        seeds=("127.0.0.1:7946", "node-2:7946", "[::1]:7946", "[2001:db8::1]:9"),
        cluster="team/blue ü\udcff",
        bind="0.0.0.0:0",
        advertise="198.51.100.7:0",
        preset="wan",
        join_timeout=0.5,
        options={"colour": "blue", "empty": "", "flag": ""},
    )


def test_of_an_option_given_twice_the_last_counts() -> None:
    url = parse_url("gossip://?preset=nonsense&x=1&preset=wan&x=2")
    assert url.preset == "wan"
    assert url.options == {"x": "2"}


def test_blank_known_option_is_kept_and_ignored() -> None:
    url = parse_url("gossip://10.0.0.1?bind=&preset=&join_timeout=&advertise=")
    assert (url.bind, url.preset, url.join_timeout, url.advertise) == ("0.0.0.0:0", "lan", 5.0, None)
    assert url.options == {"bind": "", "preset": "", "join_timeout": "", "advertise": ""}
    assert parse_url(str(url)) == url


def test_missing_port_of_bind_is_the_default_port() -> None:
    assert parse_url("gossip://?bind=[::]").bind == f"[::]:{DEFAULT_PORT}"


def test_url_is_frozen_and_hashable() -> None:
    url = parse_url("gossip://?x=1")
    assert hash(url) == hash(parse_url("gossip://?x=1"))
    assert isinstance(url.options, MappingProxyType)


@pytest.mark.parametrize(
    ("seed_list", "bind"),
    [
        (None, "127.0.0.1:0"),
        ((), "127.0.0.1:0"),
        (("127.0.0.1:1", "localhost:2"), "127.0.0.1:0"),
        (("127.0.0.1:1", "[::1]:2"), "127.0.0.1:0"),
        (("[::1]:2",), "[::1]:0"),
        (("127.0.0.1:1", "10.0.0.1:2"), "0.0.0.0:0"),
        (("127.0.0.1:1", "node-2:2"), "0.0.0.0:0"),
        (("[2001:db8::1]:1", "[::1]:2"), "[::]:0"),
        (("[2001:db8::1]:1", "10.0.0.1:2"), "0.0.0.0:0"),
    ],
)
def test_bind_is_as_open_as_the_seeds_need(seed_list: tuple[str, ...] | None, bind: str) -> None:
    assert default_bind(seed_list) == bind
    assert parse_url(f"gossip://{','.join(seed_list or ())}").bind == bind


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("127.0.0.1:7946", "does not begin with 'gossip://'"),
        ("http://127.0.0.1", "does not begin with 'gossip://'"),
        ("gossip:127.0.0.1", "does not begin with 'gossip://'"),
        ("", "does not begin with 'gossip://'"),
        ("gossip://a,,b", "seed ''"),
        ("gossip://a,", "seed ''"),
        ("gossip://a:x", "seed 'a:x': port 'x'"),
        ("gossip://a:0", "seed 'a:0': port 0"),
        ("gossip://user:pass@a:1", "seed 'user:pass@a:1'"),
        ("gossip://a/b/c", "cluster 'b/c' contains '/'"),
        ("gossip://a/b/", "cluster 'b/' contains '/'"),
        ("gossip://a/b#c", "fragment"),
        ("gossip://a/b c", "blank"),
        ("gossip://a/b\tc", "blank"),
        ("gossip://?bind=0.0.0.0:99999", "bind '0.0.0.0:99999': port '99999'"),
        ("gossip://?bind=:1", "bind ':1': it has no host"),
        ("gossip://?advertise=a:b", "advertise 'a:b': port 'b'"),
        ("gossip://?preset=LAN", "preset 'LAN' is not one of local, lan, wan"),
        ("gossip://?join_timeout=soon", "join_timeout 'soon'"),
        ("gossip://?join_timeout=0", "join_timeout '0'"),
        ("gossip://?join_timeout=-1", "join_timeout '-1'"),
        ("gossip://?join_timeout=1_0", "join_timeout '1_0'"),
        ("gossip://?join_timeout=1.2.3", r"join_timeout '1\.2\.3'"),
        ("gossip://?join_timeout=1e999", "join_timeout '1e999'"),
        ("gossip://?join_timeout=nan", "join_timeout 'nan'"),
        (
            "gossip://?" + "&".join(f"o{i}=1" for i in range(MAX_OPTIONS + 1)),
            f"more than {MAX_OPTIONS} options",
        ),
    ],
)
def test_bad_url_is_refused_with_the_part_and_the_value(text: str, says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        parse_url(text)


def test_url_must_be_text() -> None:
    value: Any = b"gossip://"
    with pytest.raises(InvalidValue, match="must be str"):
        parse_url(value)


def test_long_cluster_is_refused_by_its_bytes() -> None:
    assert parse_url("gossip:///" + "%C3%BC" * 127).cluster == "ü" * 127
    with pytest.raises(LimitExceeded):
        parse_url("gossip:///" + "%C3%BC" * 128)


@given(urls)
def test_formatted_url_parses_to_itself(url: GossipUrl) -> None:
    assert parse_url(str(url)) == url


@given(st.text("gosip:/?#&=%[],.@0123456789abf +", max_size=60))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    for candidate in (text, "gossip://" + text):
        try:
            url = parse_url(candidate)
        except GossipError:
            continue
        assert parse_url(str(url)) == url
        assert 0 < url.join_timeout < math.inf
        assert all(parse_endpoint(seed)[1] > 0 for seed in url.seeds or ())
        assert url.preset in PRESETS


@given(numeric)
def test_numeric_hosts_are_canonical(host: str) -> None:
    assert parse_endpoint(host, default_port=1)[0] == ipaddress.ip_address(host).compressed


@pytest.mark.parametrize(
    "text",
    [
        "gossip://KEY@h:7946/blue",
        "gossip://user:KEY@h:7946/blue",
        "gossip://h:99999/blue?keys=KEY",
        "gossip://h:7946/blue?key=KEY",
        "gossip://h:7946/blue?Keys=base64:KEY",
        "gossip://h:7946/blue?keys=a&keys=KEY",
        "gossip://h:7946/blue?bind=KEY",
        "gossip://h:7946/blue?keys=k#KEY",
        "other://h/?keys=KEY",
    ],
)
def test_a_key_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    for number in range(100):
        key = Key(number.to_bytes(32, "big") if number < 3 else random.Random(number).randbytes(32)).text
        for written in {key, key.rstrip("="), quote(key, safe=""), quote(key)}:
            with pytest.raises(InvalidValue, match="key itself") as caught:
                parse_url(text.replace("KEY", written))
            assert written not in str(caught.value)
            assert key.rstrip("=") not in str(caught.value)
            assert caught.value.__cause__ is None


def test_what_is_no_key_is_repeated() -> None:
    for text, shown in (
        ("gossip://h:99999/blue", "99999"),
        ("gossip://h:1/c?preset=d670460b4b4aece5915caf5c68d12f560a9fe3e4", "d670460b"),
    ):
        with pytest.raises(InvalidValue, match=shown):
            parse_url(text)


def test_keys_are_named_by_their_place() -> None:
    url = parse_url("gossip://a:1/c?keys=/etc/cluster.keys")
    assert url.keys == "/etc/cluster.keys"
    assert parse_url(str(url)) == url
    assert parse_url("gossip://a:1/c?keys=env:OUR_KEYS").keys == "env:OUR_KEYS"
    for wrong in (
        "",
        "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=",
        "QUFBQUFBQUFB+UFBQUFBQUFBQUFBQUFBQUFBQUFBQUE",
    ):
        with pytest.raises(InvalidValue, match=r"keys is empty|key itself") as caught:
            parse_url(f"gossip://a:1/c?keys={wrong}")
        assert len(wrong) < 9 or wrong not in str(caught.value)
    assert parse_url("gossip://a:1/c").keys is None
