"""Whether a group exists: its epoch is a causal length (Yu & Rostad, PaPoC 2020).

Law: an epoch only grows; odd means that the group exists. Two concurrent creations are one creation, and a
deletion voids every presence of its epoch, also concurrent ones.
"""

from __future__ import annotations

from gossipgroups.groups.replica import Replica
from gossipgroups.registers import GroupRegister, successor


def epoch_of(replica: Replica, group: str) -> int:
    """The group's epoch; 0 when it was never heard of."""
    register = replica.groups.get(group)
    return register.epoch if register else 0


def exists(epoch: int) -> bool:
    """Whether a group of this epoch exists."""
    return epoch % 2 == 1


def flipped(replica: Replica, group: str) -> GroupRegister:
    """The group's next register: created when it does not exist, deleted when it does.

    Raises `LimitExceeded` when its epochs are used up.
    """
    return GroupRegister(group, successor(epoch_of(replica, group), f"the epoch of group {group!r}"))
