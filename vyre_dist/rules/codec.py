"""PackData as bytes, and back: how a pack travels to a worker on another machine.

The bytes are msgpack of plain values. Every field is checked against the type that model.py
declares (records.py), so that a driver and a worker of different versions notice it. What people
write is read by the formats (formats.py).
"""

from __future__ import annotations

import msgpack

from vyre_dist.errors import VyreError
from vyre_dist.rules.model import PackData
from vyre_dist.rules.records import RecordError, plain, read_record

SCHEMA = 1


class PackCodecError(VyreError):
    """Bytes that are no pack of this version: `found` says what is wrong with field `where`."""

    def __init__(self, where: str, found: str) -> None:
        super().__init__(
            f"cannot read a pack: {where}: {found}; driver and workers must run the same version "
            "of vyre-dist"
        )
        self.where = where
        self.found = found


def encode_pack(pack: PackData) -> bytes:
    """`pack` with everything in it, origins and examples included."""
    # an origin's file name may hold bytes that are no UTF-8
    packed: bytes = msgpack.packb([SCHEMA, plain(pack)], unicode_errors="surrogateescape")
    return packed


def decode_pack(data: bytes) -> PackData:
    """The pack that encode_pack wrote. Raises PackCodecError."""
    try:
        body = msgpack.unpackb(data, unicode_errors="surrogateescape", strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise PackCodecError("the whole", str(error) or type(error).__name__) from error
    if not isinstance(body, list) or len(body) != 2 or body[0] != SCHEMA:
        found = body[0] if isinstance(body, list) and body else body
        raise PackCodecError("the whole", f"schema {found!r:.80}, not {SCHEMA}")
    try:
        return read_record(PackData, body[1], "pack")
    except RecordError as error:
        raise PackCodecError(error.where, error.found) from error
