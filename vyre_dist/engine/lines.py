"""LineCounter: line and column of ascending offsets, without holding the document."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from vyre_dist.engine.document import BytesDocument, Document

NEWLINE_BLOCK = 1 << 16
"""Bytes whose newlines are counted together: what is read once more at most to tell the line of one finding."""

_CHUNK = 1 << 20
_FIRST_STEP = 4096
_NEWLINE = 10


def newline_counts(data: bytes | memoryview, low: int, high: int) -> list[int]:
    """The newlines in data[low:high], for each NEWLINE_BLOCK of it; the last one may be shorter."""
    blocks = range(low, high, NEWLINE_BLOCK)
    if isinstance(data, bytes):
        return [data.count(b"\n", at, min(at + NEWLINE_BLOCK, high)) for at in blocks]
    # views have no count; NumPy is there where views are
    import numpy as np

    array = np.frombuffer(data, np.uint8)[:high]
    return [int(np.count_nonzero(array[at : at + NEWLINE_BLOCK] == _NEWLINE)) for at in blocks]


class LineCounter:
    """Lines of one document, counted from 1; columns in bytes, from 1. No byte is looked at more than twice.

    `checkpoints`: ascending (offset, newlines before it), so that a long way between two offsets need not be read.
    """

    def __init__(self, document: Document, checkpoints: Sequence[tuple[int, int]] = ()) -> None:
        self._document = document
        self._checkpoints = list(checkpoints)
        self._offset = 0
        self._newlines = 0
        self._line_start = 0

    def at(self, offset: int) -> tuple[int, int, int]:
        """(line, column, offset of the line's first byte) of `offset`. Offsets must not descend from call to call."""
        known, newlines = self._offset, self._newlines
        points = self._checkpoints
        if (
            points
            and (i := bisect_right(points, offset, key=lambda point: point[0]))
            and points[i - 1][0] > known
        ):
            known, newlines = points[i - 1]
        newlines += self._count(known, offset)
        if newlines != self._newlines:
            # there is one, so the search ends before it comes to where the last one ended
            self._line_start = line_start(self._document, offset)
        self._offset, self._newlines = offset, newlines
        return newlines + 1, offset - self._line_start + 1, self._line_start

    def _count(self, start: int, end: int) -> int:
        document = self._document
        if isinstance(document, BytesDocument):
            return document.data.count(b"\n", start, end)
        return sum(document.read(at, min(at + _CHUNK, end)).count(b"\n") for at in range(start, end, _CHUNK))


def line_start(document: Document, offset: int) -> int:
    """The offset just after the last newline before `offset`, 0 if there is none."""
    if isinstance(document, BytesDocument):
        return document.data.rfind(b"\n", 0, offset) + 1
    end, step = offset, _FIRST_STEP
    while end > 0:
        start = max(0, end - step)
        found = document.read(start, end).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end, step = start, _CHUNK
    return 0


def line_end(document: Document, offset: int) -> int:
    """The offset of the first newline at or after `offset`, the document's size if there is none."""
    if isinstance(document, BytesDocument):
        found = document.data.find(b"\n", offset)
        return document.size if found < 0 else found
    start, step = offset, _FIRST_STEP
    while start < document.size:
        end = min(start + step, document.size)
        found = document.read(start, end).find(b"\n")
        if found >= 0:
            return start + found
        start, step = end, _CHUNK
    return document.size
