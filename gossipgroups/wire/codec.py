"""Payloads to bytes and back: one msgpack array of sections.

Law: decoding is strict. Exact types, bounded sizes, no extension types, one encoding for each value; anything
else raises `BadPacket` and only that. Unknown section kinds are skipped, so that versions can be mixed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from gossipgroups.config import DATAGRAM_BYTES
from gossipgroups.errors import BadPacket
from gossipgroups.ids import encode_name
from gossipgroups.wire.messages import (
    CHECKS,
    KINDS,
    MAX_SECTIONS,
    AskSettling,
    Entry,
    Section,
    Settling,
    entry_fields,
)

_packer = msgpack.Packer(autoreset=True)
_pack, _pack_array_header = _packer.pack, _packer.pack_array_header

MAX_PAYLOAD = DATAGRAM_BYTES
ARRAY_BYTES = 3
"""Of the array of sections, at its longest."""
ENTRY_BYTES = 24
"""A settling entry without its name and its bits: headers, stamp and digest at their longest."""
ENTRIES_ROOM = 1_320
"""Entries of one section: what fits one datagram besides the section's own fields."""


def _refuse(code: int, data: bytes) -> None:
    raise ValueError("extension type")


def pack_section(section: Section) -> bytes:
    """The bytes of one section, made once however many nodes it goes to."""
    if isinstance(section, (Settling, AskSettling)):
        fields = [entry_fields(entry) for entry in section.entries]
        return _pack((KINDS[type(section)], section.live, fields))  # type: ignore[no-any-return]
    return _pack((KINDS[type(section)], *section))  # type: ignore[no-any-return]


def split_entries(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Settling entries in lists that each fit one datagram, whatever the names and the cluster's size."""
    lists: list[list[Entry]] = []
    room = 0
    for entry in entries:
        size = (
            len(entry.bits)
            + ENTRY_BYTES
            + (len(encode_name(entry.scope)) if isinstance(entry.scope, str) else 0)
        )
        if size > room:
            lists.append([])
            room = ENTRIES_ROOM
        lists[-1].append(entry)
        room -= size
    return lists


def pack_payload(sections: Sequence[bytes]) -> bytes:
    """A payload of packed sections."""
    return b"".join((_pack_array_header(len(sections)), *sections))


def unpack_payload(payload_untrusted: bytes) -> list[Section]:
    """The sections of a payload. Raises `BadPacket`, whose reason is the counter to count it under."""
    try:
        values = msgpack.unpackb(
            payload_untrusted,
            raw=False,
            use_list=True,
            max_str_len=0,
            max_map_len=0,
            max_ext_len=0,
            max_array_len=128,
            max_bin_len=MAX_PAYLOAD,
            ext_hook=_refuse,
        )
        if _pack(values) != payload_untrusted:
            raise BadPacket("not canonical")
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        raise BadPacket("encoding") from None
    if type(values) is not list or len(values) > MAX_SECTIONS:
        raise BadPacket("shape")
    sections: list[Section] = []
    for section in values:
        if type(section) is not list or not section or type(section[0]) is not int:
            raise BadPacket("section")
        check = CHECKS.get(section[0])
        if check is not None:
            sections.append(check(section[1:]))
    return sections
