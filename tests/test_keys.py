"""Keys and rings: what is in them stays in them, and a ring always has one key that seals."""

from __future__ import annotations

import copy
import pickle
import random
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipgroups import Key, KeyInUse, KeyRing, UnknownKey
from gossipgroups.errors import InvalidValue, LimitExceeded
from gossipgroups.keys import KEY_BYTES, MAX_KEYS, unpack_key_ids

secrets = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
keys = secrets.map(Key)
rings = st.lists(keys, min_size=1, max_size=MAX_KEYS, unique_by=lambda key: key.id).map(KeyRing)


@given(keys)
def test_a_key_is_its_text(key: Key) -> None:
    assert Key.parse(key.text) == Key.parse(f" {key.text}\n") == key
    assert Key.parse(key.text).id == key.id


@given(keys)
def test_a_key_does_not_show_itself(key: Key) -> None:
    shown = [repr(key), str(key), f"{key}", repr(KeyRing([key])), repr([key]), repr({"keys": KeyRing([key])})]
    for text in shown:
        assert key.text not in text
        assert key.secret.hex() not in text
        assert repr(key.secret) not in text
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.deepcopy(KeyRing([key]))


@given(keys, st.text(alphabet="!é=A", min_size=1, max_size=3))
def test_a_text_that_is_no_key_is_refused_and_not_shown(key: Key, wrong: str) -> None:
    text = wrong + key.text
    with pytest.raises(InvalidValue) as caught:
        KeyRing.parse(f"# a comment\n\n{text}\n")
    trace = "".join(traceback.format_exception(caught.value))
    assert "line 3" in trace
    assert key.text not in trace


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), "x" * 32, bytearray(32), None, 7])
def test_a_key_has_32_bytes(secret: object) -> None:
    with pytest.raises(InvalidValue, match="32 random bytes"):
        Key(secret)  # type: ignore[arg-type]


@given(rings)
def test_a_ring_is_its_text(ring: KeyRing) -> None:
    assert KeyRing.parse(ring.text) == ring
    assert KeyRing.parse("# the cluster's\n" + ring.text.replace("\n", "\n\n")) == ring
    assert unpack_key_ids(ring.packed_ids) == ring.ids


@given(rings, keys)
def test_a_rotation_ends_with_the_new_key_alone(ring: KeyRing, key: Key) -> None:
    if len(ring.keys) == MAX_KEYS or key.id in ring.ids:
        return
    changed = ring.add(key)
    assert changed.ids == (*ring.ids, key.id)
    assert changed.add(key) is changed
    changed = changed.use(key.id)
    assert changed.ids == (key.id, *ring.ids)
    for key_id in ring.ids:
        changed = changed.remove(key_id)
    assert changed == KeyRing([key])


@given(rings)
def test_the_key_that_seals_is_not_removed(ring: KeyRing) -> None:
    with pytest.raises(KeyInUse, match="this node"):
        ring.remove(ring.ids[0])


def test_a_key_that_is_not_there_is_said_with_those_that_are() -> None:
    ring = KeyRing([Key(bytes(32))])
    for change in (ring.use, ring.remove):
        with pytest.raises(UnknownKey, match=ring.ids[0]):
            change("ffff")


def test_a_ring_is_not_empty_not_endless_and_has_each_id_once() -> None:
    key = Key(bytes(32))
    with pytest.raises(InvalidValue, match="at least one"):
        KeyRing([])
    with pytest.raises(InvalidValue, match="at least one"):
        KeyRing.parse("# nothing\n")
    with pytest.raises(InvalidValue, match="have the id"):
        KeyRing([key, key])
    chance = random.Random(1)
    many = {each.id: each for each in (Key.generate(chance.randbytes) for _ in range(MAX_KEYS + 5))}
    with pytest.raises(LimitExceeded, match="keys"):
        KeyRing(list(many.values())[: MAX_KEYS + 1])
