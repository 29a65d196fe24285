"""Cluster keys: who holds one may take part, and reads and writes every datagram of the cluster.

Law: a key's bytes leave this file only as `Key.secret`, for the seal, and as `Key.text`, to be kept: never in
a `repr`, a message or a comparison's traceback. A ring is never empty, its first key seals, all of them open,
and no two of them share an id.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NoReturn
from urllib.parse import unquote

from gossipgroups.errors import InvalidValue, KeyInUse, LimitExceeded, UnknownKey

KEY_BYTES = 32
KEY_ID_BYTES = 2
"""A key's id tells the keys of one ring apart; it travels in the clear, and says nothing about the key."""
MAX_KEYS = 8
"""Keys in a ring: a rotation needs two."""

_TEXT = re.compile(r"[A-Za-z0-9+/]{40,44}={0,2}")
_BETWEEN = [re.compile(marks) for marks in (r"[\s#]+", r"[\s#:,;@?&'\"()=]+", r"[\s#:,;@?&'\"()=/]+")]
"""What may stand around a key; a key may itself have some of it."""
_ID = re.compile(f"[0-9a-f]{{{2 * KEY_ID_BYTES}}}")

Entropy = Callable[[int], bytes]
"""Gives so many bytes that nobody can foresee: `os.urandom`, or a seeded generator in a simulation."""


class Key:
    """One secret of 256 bits. Its `id` is public."""

    __slots__ = ("_secret", "id", "packed_id")

    def __init__(self, secret: bytes) -> None:
        if type(secret) is not bytes or len(secret) != KEY_BYTES:
            size = f"{len(secret)} bytes" if isinstance(secret, bytes) else type(secret).__name__
            raise InvalidValue(f"a key is {KEY_BYTES} random bytes, this is {size}: gossipgroups keygen")
        self._secret = secret
        self.packed_id = blake2b(secret, digest_size=KEY_ID_BYTES, person=b"gossipgroups id").digest()
        self.id = self.packed_id.hex()

    @classmethod
    def generate(cls, entropy: Entropy) -> Key:
        """A new key: `Key.generate(os.urandom)`."""
        return cls(entropy(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> Key:
        """The key of its base64 text. Raises `InvalidValue`, which does not repeat the text."""
        try:
            secret = base64.b64decode(text.strip().encode("ascii"), validate=True)
        except (ValueError, binascii.Error, AttributeError):
            # Not chained: the cause would show the text in a traceback.
            raise InvalidValue(
                "a key is the base64 text of 32 bytes: gossipgroups keygen makes one"
            ) from None
        return cls(secret)

    @property
    def secret(self) -> bytes:
        """The bytes."""
        return self._secret

    @property
    def text(self) -> str:
        """The key as a line of a key file."""
        return base64.b64encode(self._secret).decode("ascii")

    def __repr__(self) -> str:
        return f"<key {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._secret == other._secret

    def __hash__(self) -> int:
        return hash(self.packed_id)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: it would end up in files and queues that others read")


class KeyRing:
    """The keys of one node: the first seals what it sends, all open what it receives. Immutable."""

    __slots__ = ("keys",)

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)
        if not self.keys or not all(isinstance(key, Key) for key in self.keys):
            raise InvalidValue("a key ring has at least one Key: Key.parse(text), or KeyRing.parse(lines)")
        if len(self.keys) > MAX_KEYS:
            raise LimitExceeded("a key ring", len(self.keys), MAX_KEYS, "keys")
        if len(set(self.ids)) != len(self.keys):
            twice = next(each for each in self.ids if self.ids.count(each) > 1)
            raise InvalidValue(f"two keys of the ring have the id {twice}: leave one out, or make a new one")

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """The ring of a key file: one key a line, the first of which seals; `#` begins a comment.

        Raises `InvalidValue` with the number of the line, `LimitExceeded` over `MAX_KEYS`.
        """
        keys = []
        for number, line in enumerate(text.splitlines(), 1):
            if bare := line.partition("#")[0].strip():
                try:
                    keys.append(Key.parse(bare))
                except InvalidValue as error:
                    raise InvalidValue(f"line {number}: {error}") from None
        return cls(keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, that of the one that seals first."""
        return tuple(key.id for key in self.keys)

    @property
    def packed_ids(self) -> bytes:
        """The same as bytes, as a node's register tells them."""
        return b"".join(key.packed_id for key in self.keys)

    @property
    def text(self) -> str:
        """The lines of a key file."""
        return "".join(f"{key.text}  # {key.id}\n" for key in self.keys)

    def add(self, key: Key) -> KeyRing:
        """With one more key that opens; the same ring if it has it."""
        return self if key in self.keys else KeyRing((*self.keys, key))

    def use(self, key_id: str) -> KeyRing:
        """With another key that seals. Raises `UnknownKey`."""
        key = self._find(key_id)
        return KeyRing((key, *(each for each in self.keys if each is not key)))

    def remove(self, key_id: str) -> KeyRing:
        """Without a key. Raises `UnknownKey`, or `KeyInUse` for the one that seals."""
        key = self._find(key_id)
        if key is self.keys[0]:
            raise KeyInUse(key_id, ())
        return KeyRing(each for each in self.keys if each is not key)

    def _find(self, key_id: str) -> Key:
        check_key_id(key_id)
        for key in self.keys:
            if key.id == key_id:
                return key
        raise UnknownKey(key_id, self.ids)

    def __repr__(self) -> str:
        return f"<key ring {' '.join(self.ids)}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyRing) and self.keys == other.keys

    def __hash__(self) -> int:
        return hash(self.keys)


def check_key_id(key_id: str) -> str:
    """A key's id. Raises `InvalidValue`, which does not repeat what was given: it may be the key."""
    if not isinstance(key_id, str) or not _ID.fullmatch(key_id):
        raise InvalidValue(
            f"a key's id is {2 * KEY_ID_BYTES} hexadecimal digits, as `gossipgroups keys list` shows it"
        )
    return key_id


def looks_like_key(text: str) -> bool:
    """Whether a key, or a line of a key file, may stand in a text where only its place belongs."""
    # In a URL a "+" is read as a blank, and others may be escaped; padding gets lost in copying.
    plain = unquote(text)
    words = {plain.replace(" ", "+").strip()}
    for between in _BETWEEN:
        words.update(between.split(plain))
    # Digests have small letters only; that a key has no other is less likely than that it is guessed.
    return any(_TEXT.fullmatch(word.strip("/")) and word.lower() != word for word in words)


def unpack_key_ids(packed: bytes) -> tuple[str, ...]:
    """The ids in a node's register: of the key that it seals with first."""
    return tuple(packed[at : at + KEY_ID_BYTES].hex() for at in range(0, len(packed), KEY_ID_BYTES))
