"""Where a coordinator's keys come from: a ring made by the program, a key file, an environment variable.

Law: keys never come from a command line or a URL, which name their source only; what cannot be read is an
error that names the place, and never what stood there.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from pathlib import Path

from gossipgroups.errors import InvalidValue, LimitExceeded
from gossipgroups.keys import KeyRing, looks_like_key

logger = logging.getLogger("gossipgroups")

ENVIRONMENT = "env:"
"""Begins a source that is an environment variable: `env:GOSSIPGROUPS_KEY`. Any other text is a path."""
KEY_ITSELF = (
    "keys seems to be a key itself, which others can see in the list of processes, in logs and in URLs: put "
    "it in a file and give its path, or in an environment variable and give 'env:NAME'"
)
_OTHERS = {0o000: "", 0o004: "read", 0o002: "changed", 0o006: "read and changed"}
"""What the mode of a file lets every user do."""
FILE_BYTES = 65_536
"""A key file is far smaller."""


class KeyFile:
    """A file of keys, one a line, the first of which seals. A coordinator follows its changes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        text = os.fspath(path)
        if looks_like_key(text) and not Path(path).exists():
            raise InvalidValue(KEY_ITSELF)
        self.path = Path(path).absolute()
        self._seen: tuple[int, int, int] | None = None
        self._warned = False

    def read(self) -> KeyRing:
        """The keys in it. Raises `InvalidValue`, which names the file."""
        status, content = self._read()
        self._check_mode(status)
        ring = _parse(f"key file {str(self.path)!r}", content)
        self._seen = _stamp(status)
        return ring

    def changed(self) -> KeyRing | None:
        """The keys in it if it changed since it was read last. Raises `InvalidValue`."""
        try:
            status = self.path.stat()
            if _stamp(status) == self._seen:
                self._check_mode(status)
                return None
        except (OSError, ValueError):
            pass  # `read` says what is wrong
        return self.read()

    def _check_mode(self, status: os.stat_result) -> None:
        others = _OTHERS[stat.S_IMODE(status.st_mode) & 0o006]
        if others and not self._warned:
            self._warned = True
            logger.warning(
                "key file %r can be %s by every user of this machine: chmod 600", str(self.path), others
            )

    def _read(self) -> tuple[os.stat_result, bytes]:
        try:
            # Not blocking: whatever else lies there, a pipe say, must hold up nobody.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise InvalidValue(f"key file {str(self.path)!r} is no regular file")
                with open(descriptor, "rb", closefd=False) as file:
                    return status, file.read(FILE_BYTES + 1)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            if isinstance(error, InvalidValue):
                raise
            why = getattr(error, "strerror", None) or "it is no file name"
            raise InvalidValue(f"key file {str(self.path)!r} cannot be read: {why}") from None

    def write(self, ring: KeyRing, *, new: bool = False) -> None:
        """Put a ring in its place, comments not kept. Raises `InvalidValue`; `new`: also if it exists.

        A new file is readable by its owner only; an old one keeps its owner and mode.
        """
        try:
            place = self.path.resolve()
            descriptor, draft = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
            try:
                with open(descriptor, "w", encoding="ascii") as file:
                    if not new and place.exists():
                        # Whoever could read it must be able to go on.
                        held = place.stat()
                        os.fchmod(descriptor, stat.S_IMODE(held.st_mode))
                        os.fchown(descriptor, held.st_uid, held.st_gid)
                    file.write(ring.text)
                    file.flush()
                    os.fsync(descriptor)
                if new:
                    os.link(draft, place)
                else:
                    os.replace(draft, place)
                    draft = ""
            finally:
                if draft:
                    Path(draft).unlink(missing_ok=True)
        except FileExistsError:
            raise InvalidValue(
                f"key file {str(self.path)!r} exists: remove it first, or name another"
            ) from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no file name"
            raise InvalidValue(f"key file {str(self.path)!r} cannot be written: {why}") from None


KeySource = KeyRing | KeyFile


def find_keys(source: KeySource | str | os.PathLike[str]) -> KeySource:
    """A ring, or a file that holds one, from what a program, a URL or an option names. Raises `InvalidValue`.

    `"env:NAME"` is the environment variable of that name, with keys as in a key file; other text is a path.
    """
    if isinstance(source, KeyRing):
        return source
    if isinstance(source, KeyFile):
        return KeyFile(source.path)  # each coordinator notices a change for itself
    if not isinstance(source, str | os.PathLike):
        raise InvalidValue(f"keys must be a KeyRing, a path or 'env:NAME', not {type(source).__name__}")
    if source == "":
        raise InvalidValue("keys is empty: give a key file or 'env:NAME', or leave it out to have no keys")
    if isinstance(source, str) and source.startswith(ENVIRONMENT):
        name = source.removeprefix(ENVIRONMENT)
        if looks_like_key(name):
            raise InvalidValue(KEY_ITSELF)
        if name not in os.environ:
            raise InvalidValue(f"keys {source!r}: the environment has no variable {name!r}")
        return _parse(f"environment variable {name!r}", os.environ[name].encode("utf-8", "surrogateescape"))
    return KeyFile(source)


def ring_of(source: KeySource) -> KeyRing:
    """The keys of a source as they are now. Raises `InvalidValue`."""
    return source.read() if isinstance(source, KeyFile) else source


def _parse(place: str, content: bytes) -> KeyRing:
    if len(content) > FILE_BYTES:
        raise InvalidValue(f"{place} has more than {FILE_BYTES} bytes: it holds no keys")
    try:
        return KeyRing.parse(content.decode("ascii"))
    except UnicodeDecodeError:
        raise InvalidValue(f"{place} has bytes that are not ASCII: a key is a line of base64") from None
    except (InvalidValue, LimitExceeded) as error:
        raise InvalidValue(f"{place}: {error}") from None


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return (status.st_ino, status.st_mtime_ns, status.st_size)
