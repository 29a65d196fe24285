"""The digest of a replica: a fixed hash tree over the 64-bit hashes of its registers.

Law: two replicas with the same registers have the same root, whatever the order they learnt them in;
a bucket is the exclusive or of the hashes that start with its six bits, the root that of all buckets.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

BUCKETS = 64
BUCKET_SHIFT = 58
"""A bucket is one of 64 equal intervals of the hash space."""


class DigestTree:
    """Root and buckets, kept up to date in two exclusive ors per change."""

    __slots__ = ("buckets", "root")

    def __init__(self) -> None:
        self.root = 0
        self.buckets = [0] * BUCKETS

    def toggle(self, register_hash: int) -> None:
        """Put a register's hash in, or take it out again."""
        self.root ^= register_hash
        self.buckets[bucket_of(register_hash)] ^= register_hash

    def summary(self) -> tuple[int, bytes]:
        """The non-empty buckets: a mask of 64 bits, and their 8-byte digests in order."""
        mask = sum(1 << index for index, digest in enumerate(self.buckets) if digest)
        return mask, pack_hashes([digest for digest in self.buckets if digest])


def read_summary(mask: int, digests: bytes) -> list[int]:
    """The 64 buckets of a `summary`. The caller has checked that the mask fits the digests' length."""
    held = iter(unpack_hashes(digests))
    return [next(held) if mask >> index & 1 else 0 for index in range(BUCKETS)]


def pack_hashes(hashes: Sequence[int]) -> bytes:
    """Their 8 bytes each, in order."""
    return struct.pack(f">{len(hashes)}Q", *hashes)


def unpack_hashes(packed: bytes) -> Sequence[int]:
    """The hashes of their 8 bytes each."""
    return struct.unpack(f">{len(packed) // 8}Q", packed)


def bucket_of(register_hash: int) -> int:
    """The bucket that a hash lies in."""
    return register_hash >> BUCKET_SHIFT


def buckets_of(first: int, last: int) -> range:
    """The buckets that the hashes from `first` to `last` lie in."""
    return range(bucket_of(first), bucket_of(last) + 1)


def interval(bucket: int) -> tuple[int, int]:
    """The first and last hash of a bucket."""
    return bucket << BUCKET_SHIFT, (bucket + 1 << BUCKET_SHIFT) - 1
