"""The per-user directory: how coordinators of one user on one machine find each other without seeds.

Law: each running coordinator keeps one small file there. A directory that others can write to is not used.
Whatever goes wrong here is one warning on the log, never an exception.

All file work runs in a worker thread (`trio.to_thread`): the directory is small and mostly in memory, but a
slow disk under it must not stall the gossip loop, whose late answers would look like a failed node.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import trio

from gossipgroups.directory_entry import MAX_ENTRY_BYTES, Entry, cluster_prefix, decode_untrusted
from gossipgroups.errors import InvalidValue
from gossipgroups.ids import NODE_ID_BYTES, Address, check_name, pack_address

logger = logging.getLogger("gossipgroups.discovery")
T = TypeVar("T")

MAX_ENTRIES = 64
"""Files read, and files cleaned up, at one look. Live coordinators touch theirs at each look, so the newest
are the live ones, and any one live coordinator leads to all the others."""

MAX_LISTED = 4096
"""Names listed at one look: bounds the time spent in a directory that something else has filled."""

STALE_SECONDS = 120.0
"""A file untouched for so long whose process is gone is removed. To be several times the interval at which a
coordinator asks for addresses, since a process of another PID namespace looks gone while it lives."""

EXPIRED_SECONDS = 3600.0
"""A file untouched for so long is removed whatever it says: its process id may be another process by now. A
coordinator that was only stopped writes its file again."""

WITHDRAW_SECONDS = 1.0
"""How long a stopping coordinator waits for the disk before it leaves its file for others to clean up."""

_ENTRY_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.json")
_UNFINISHED = ".new-"
_READ_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


def per_user_directory() -> Path:
    """`$XDG_RUNTIME_DIR/gossipgroups` if that is this user's own, else `<temp>/gossipgroups-<uid>`.

    Processes with different environments (a login session, a cron job) may so have different directories:
    such processes need seeds. Raises `OSError` when there is no temp directory either.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        with contextlib.suppress(OSError):
            if _fault(os.stat(runtime)) is None:
                return Path(runtime, "gossipgroups")
    # Windows has no user ids, but a temp directory for each user.
    own = f"gossipgroups-{os.geteuid()}" if hasattr(os, "geteuid") else "gossipgroups"
    return Path(tempfile.gettempdir(), own)


class LocalDirectory:
    """The other coordinators of this user, on this machine, in one cluster, as far as their files say."""

    def __init__(self, cluster: str) -> None:
        """Raises `InvalidValue` or `LimitExceeded` for a cluster that cannot be a name."""
        self._cluster = check_name("cluster", cluster)
        self._own: Entry | None = None
        self._written: Path | None = None
        # Cancelled work goes on in its thread: the lock and `_own` keep a late write from undoing a removal.
        self._lock = threading.Lock()
        self._warned: set[str] = set()

    async def announce(self, address: Address, node_id: bytes) -> None:
        """Let others find this coordinator, until `withdraw`; called again, it replaces what was announced.

        Raises `InvalidValue` when the address is not numeric or the node id not one.
        """
        pack_address(address)
        if len(node_id) != NODE_ID_BYTES:
            raise InvalidValue(f"node id {node_id!r} must have {NODE_ID_BYTES} bytes")
        self._own = Entry(os.getpid(), address, self._cluster, node_id)
        await self._apart(self._write)

    async def withdraw(self) -> None:
        """Remove what was announced. Runs also when cancelled, for at most `WITHDRAW_SECONDS`."""
        self._own = None
        with trio.move_on_after(WITHDRAW_SECONDS, shield=True):
            await self._apart(self._remove)

    async def addresses(self) -> tuple[Address, ...]:
        """Where the other coordinators of the cluster are, the newest files first, at most `MAX_ENTRIES`.

        Also shows that this coordinator still runs, and removes the files of those that do not.
        """
        return await self._apart(self._look) or ()

    def describe(self) -> tuple[str, ...]:
        """The directory, for messages."""
        try:
            return (f"the per-user directory {per_user_directory()}",)
        except OSError as error:
            return (f"the per-user directory, which cannot be had ({error})",)

    async def _apart(self, work: Callable[[], T]) -> T | None:
        """Do file work in a worker thread; `None` when the system has no thread left."""
        try:
            return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
        except RuntimeError as error:
            self._warn(f"the per-user directory is not used for now ({error})")
            return None

    def _write(self) -> None:
        with self._lock:
            directory, own = self._open(), self._own
            if directory is not None and own is not None:
                self._write_locked(directory, own)

    def _write_locked(self, directory: Path, own: Entry) -> None:
        path = directory / own.file_name()
        try:
            _replace(path, own.encode())
        except OSError as error:
            self._warn(
                f"cannot write to {directory} ({error.strerror}): processes on this machine find this "
                "coordinator only when it is their seed; make the directory writable, or name seeds"
            )
        else:
            self._discard(keep=path)
            self._written = path

    def _remove(self) -> None:
        with self._lock:
            self._discard(keep=None)

    def _discard(self, keep: Path | None) -> None:
        if self._written is not None and self._written != keep:
            with contextlib.suppress(OSError):
                self._written.unlink()
            self._written = None

    def _look(self) -> tuple[Address, ...]:
        with self._lock:
            directory, own = self._open(), self._own
            if directory is not None and own is not None:
                try:
                    os.utime(directory / own.file_name())
                except OSError:  # cleaned away, or never written
                    self._write_locked(directory, own)
        if directory is None:
            return ()
        try:
            listed = _list(directory)
        except OSError as error:
            self._warn(
                f"cannot read {directory} ({error.strerror}): this coordinator does not find others on this "
                "machine by itself; make the directory readable, or name seeds"
            )
            return ()
        _clean(directory, listed[-MAX_ENTRIES:])
        prefix, own_name = cluster_prefix(self._cluster), own.file_name() if own else None
        names = [name for _, name in listed if name.startswith(prefix) and name != own_name]
        entries = (_read_untrusted(directory / name) for name in names[:MAX_ENTRIES])
        found = (entry.address for entry in entries if entry is not None and entry.cluster == self._cluster)
        return tuple(dict.fromkeys(found))

    def _open(self) -> Path | None:
        """The directory, made if need be; None when there is none that can be trusted."""
        directory: object = "the per-user directory"
        try:
            directory = path = per_user_directory()
            if not os.path.lexists(path):
                with contextlib.suppress(FileExistsError):
                    path.mkdir(mode=0o700)
            fault = _fault(os.lstat(path))
        except OSError as error:
            fault = error.strerror or str(error)
        if fault is None:
            return path
        self._warn(
            f"{directory} is not used ({fault}): processes on this machine do not find each other by "
            "themselves; name seeds, or put the directory right"
        )
        return None

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning("%s", message)


def _fault(found: os.stat_result) -> str | None:
    """Why a directory cannot be trusted, None when it can."""
    if not stat.S_ISDIR(found.st_mode):
        return "it is not a directory; symbolic links are not followed"
    if hasattr(os, "geteuid"):
        if found.st_uid != os.geteuid():
            return f"it belongs to user id {found.st_uid}, not to {os.geteuid()}"
        if found.st_mode & 0o022:
            return f"others can write to it, its mode is {stat.S_IMODE(found.st_mode):04o}"
    return None


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds either the old content or the new."""
    descriptor, unfinished = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def _list(directory: Path) -> list[tuple[float, str]]:
    """Seconds since the last touch, and name, of each file that can be ours; the newest first."""
    now = time.time()
    listed = []
    with os.scandir(directory) as files:
        for file in itertools.islice(files, MAX_LISTED):
            if _ENTRY_NAME.fullmatch(file.name) or file.name.startswith(_UNFINISHED):
                with contextlib.suppress(OSError):  # removed meanwhile
                    # A touch in the future is from before the clock was set back: as old as it is ahead.
                    listed.append((abs(now - file.stat(follow_symlinks=False).st_mtime), file.name))
    return sorted(listed)


def _clean(directory: Path, listed: list[tuple[float, str]]) -> None:
    """Remove what dead coordinators left, of any cluster; a file of another version only when expired."""
    for age, name in listed:
        if age > EXPIRED_SECONDS or (age > STALE_SECONDS and _is_left(directory / name)):
            with contextlib.suppress(OSError):
                os.unlink(directory / name)


def _is_left(path: Path) -> bool:
    if path.name.startswith(_UNFINISHED):
        return True
    entry = _read_untrusted(path)
    return entry is not None and _is_gone(entry.pid)


def _is_gone(pid: int) -> bool:
    if sys.platform == "win32":  # signal 0 is no question there: it would be sent
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and another user's
        return False
    return False


def _read_untrusted(path: Path) -> Entry | None:
    """What a file says, None when it is odd in any way or says something else than its name."""
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except OSError:
        return None
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        content = os.read(descriptor, MAX_ENTRY_BYTES + 1) if regular else b""
    except OSError:
        return None
    finally:
        os.close(descriptor)
    entry = decode_untrusted(content)
    return entry if entry is not None and entry.file_name() == path.name else None
