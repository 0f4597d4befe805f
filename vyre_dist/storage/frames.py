"""Frames: bytes with their length and checksum, so that what is torn or damaged is told.

A frame also has a number. A file of frames that are numbered in a row can end in a torn one: that
was being written when its writer, or the machine, ended. The checksum is CRC-32 as zlib has it: a
library for CRC-32C would be one more dependency, and detects no more of such faults.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from vyre_dist.errors import VyreError

_MAGIC = b"vyF1"
_HEADER = struct.Struct("<4sIII")
HEADER_BYTES = _HEADER.size


class DamagedError(VyreError):
    """A file is not what was written: at byte `offset` of `name`."""

    def __init__(self, name: str, offset: int, found: str) -> None:
        super().__init__(f"{name} is damaged at byte {offset:,}: {found}")
        self.name = name
        self.offset = offset


class Frame(NamedTuple):
    """A frame's number, where its bytes begin in the file, and these."""

    number: int
    start: int
    data: memoryview


def framed(number: int, data: bytes) -> bytes:
    """`data` as a frame."""
    return _HEADER.pack(_MAGIC, number, len(data), _checksum(number, data)) + data


def read_frames(name: str, data: bytes | memoryview) -> Iterator[Frame]:
    """The frames of the file `name`, numbered from 0 on, without a torn one at its end.

    Raises DamagedError where one that has others behind it is not as it was written.
    """
    view = memoryview(data)
    at = number = 0
    while at < len(view):
        frame = _frame(view, at)
        if frame is None or frame.number != number:
            _check_torn(name, data, at, number)
            return
        yield frame
        at = frame.start + len(frame.data)
        number += 1


def read_frame(name: str, data: bytes, offset: int) -> bytes:
    """What is in the frame that `data` is all of, from byte `offset` of `name`."""
    frame = _frame(memoryview(data), 0)
    if frame is None or len(frame.data) != len(data) - HEADER_BYTES:
        raise DamagedError(name, offset, "its checksum is another one")
    return data[HEADER_BYTES:]


def _frame(view: memoryview, at: int) -> Frame | None:
    """The frame that begins at `at`, if it is whole."""
    if len(view) - at < HEADER_BYTES:
        return None
    magic, number, length, checksum = _HEADER.unpack_from(view, at)
    start = at + HEADER_BYTES
    data = view[start : start + length]
    if magic != _MAGIC or len(data) < length or _checksum(number, data) != checksum:
        return None
    return Frame(number, start, data)


def _check_torn(name: str, data: bytes | memoryview, at: int, number: int) -> None:
    """Raise DamagedError if there is a frame behind `at` that was written after number `number`:
    that one had been written whole by then.
    """
    whole = bytes(memoryview(data)[at:])
    found = whole.find(_MAGIC, 1)
    while found >= 0:
        later = _frame(memoryview(whole), found)
        if later is not None and later.number > number:
            raise DamagedError(name, at, f"record {number:,} is not as it was written")
        found = whole.find(_MAGIC, found + 1)


def _checksum(number: int, data: bytes | memoryview) -> int:
    return zlib.crc32(data, zlib.crc32(number.to_bytes(4, "little")))
