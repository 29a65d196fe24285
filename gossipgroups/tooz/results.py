"""Results and errors in tooz's terms.

Law: an error of an operation comes out of `.get()`, as the tooz error of the same meaning, with ours as its
cause; nothing of ours escapes untranslated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import tooz
from tooz import coordination

from gossipgroups.blocking import Request
from gossipgroups.errors import (
    GossipError,
    GroupAlreadyExists,
    GroupNotCreated,
    GroupNotEmpty,
    MemberAlreadyJoined,
    MemberNotJoined,
    SeedsUnreachable,
)
from gossipgroups.ids import check_name, encode_name

logger = logging.getLogger("gossipgroups")

SETTLE_SECONDS = 1.0
"""How long watchers and elections wait for changes that are about to converge; later ones are for the next
call."""

T = TypeVar("T")
V = TypeVar("V")

ERRORS: dict[type[BaseException], Callable[[Any], tooz.ToozError]] = {
    GroupAlreadyExists: lambda error: coordination.GroupAlreadyExist(encode_name(error.group_id)),
    GroupNotCreated: lambda error: coordination.GroupNotCreated(encode_name(error.group_id)),
    GroupNotEmpty: lambda error: coordination.GroupNotEmpty(encode_name(error.group_id)),
    MemberAlreadyJoined: lambda error: coordination.MemberAlreadyExist(*_member(error)),
    MemberNotJoined: lambda error: coordination.MemberNotJoined(*_member(error)),
    SeedsUnreachable: lambda error: coordination.ToozConnectionError(
        f"no answer within {error.seconds:g} s from any of {', '.join(error.seeds)}: check that one of them "
        "runs (gossipgroups node), that cluster name and keys are the same there, and that UDP passes"
    ),
    TimeoutError: lambda error: coordination.OperationTimedOut("the operation goes on, but its time is over"),
    OSError: lambda error: coordination.ToozConnectionError(str(error)),
    GossipError: lambda error: tooz.ToozError(str(error)),
}
"""The tooz error for each of ours; the first that fits counts."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors as tooz's."""
    try:
        yield
    except tuple(ERRORS) as error:
        made = next(make for kind, make in ERRORS.items() if isinstance(error, kind))
        raise made(error) from error


def group_name(group_id: bytes | str) -> bytes:
    """A group id as tooz's hooks are keyed here, however it was given. Raises `tooz.ToozError`."""
    with translated():
        return encode_name(check_name("group id", group_id))


def settle_by(timeout: float | None = None) -> float:
    """When waiting ends, on the monotonic clock: in `timeout` seconds, or in `SETTLE_SECONDS` if sooner."""
    return time.monotonic() + (SETTLE_SECONDS if timeout is None else min(timeout, SETTLE_SECONDS))


def seconds_until(moment: float) -> float:
    """The time that is left, 0 when it is over."""
    return max(0.0, moment - time.monotonic())


class Result(coordination.CoordAsyncResult[T], Generic[T]):
    """Something that was asked for, with its answer in tooz's terms."""

    def __init__(self, request: Request[V], convert: Callable[[V], T]) -> None:
        self._request = request
        self._convert = convert

    def get(self, timeout: float | None = None) -> T:
        """Wait for the answer. Raises the tooz error of what failed, `OperationTimedOut` after `timeout`."""
        with translated():
            return self._convert(self._request.get(timeout))

    def done(self) -> bool:
        """Whether `get` would return at once."""
        return self._request.done()


def operation(request: Request[bool]) -> Result[None]:
    """The result of an operation: nothing. tooz has no word for one that is done but has not converged."""

    def convert(converged: bool) -> None:
        if not converged:
            logger.warning("an operation is done, but not all nodes are known to have it: it is on its way")

    return Result(request, convert)


def _member(error: MemberAlreadyJoined | MemberNotJoined) -> tuple[bytes, bytes]:
    return encode_name(error.group_id), encode_name(error.member_id)
