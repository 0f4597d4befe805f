"""LineCounter: line and column of ascending offsets, without holding the document."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise

from vyre_dist.engine.document import BytesDocument, Document
from vyre_dist.engine.wire import WireError
from vyre_dist.extract import Window

NEWLINE_BLOCK = 1 << 16
"""Bytes whose newlines are counted together: what is read once more at most to tell the line of one
finding.
"""

_COUNT_BYTES = 4
_CHUNK = 1 << 20
_FIRST_STEP = 4096
_NEWLINE = 10


def newlines_in(data: bytes | memoryview, low: int, high: int) -> int:
    """The newlines in data[low:high]; of a view that is copied, so it should be no longer than a
    NEWLINE_BLOCK.
    """
    if isinstance(data, bytes):
        return data.count(b"\n", low, high)
    return bytes(data[low:high]).count(b"\n")


def newline_counts(data: bytes | memoryview, low: int, high: int) -> tuple[int, ...]:
    """The newlines in data[low:high], for each NEWLINE_BLOCK of it; the last one may be shorter.

    With NumPy, which counts five times as fast as bytes do: this is for all of a large piece.
    """
    import numpy as np

    array = np.frombuffer(data, np.uint8)[:high]
    return tuple(
        [
            int(np.count_nonzero(array[at : at + NEWLINE_BLOCK] == _NEWLINE))
            for at in range(low, high, NEWLINE_BLOCK)
        ]
    )


def pack_counts(counts: Sequence[int]) -> bytes:
    """The newlines of blocks as bytes: four for each, little-endian."""
    return _swapped(array("I", counts)).tobytes()


def unpack_counts(data: bytes) -> Sequence[int]:
    """The inverse. Raises WireError."""
    if len(data) % _COUNT_BYTES:
        raise WireError("result", f"{len(data)} bytes where newlines belong, {_COUNT_BYTES} each")
    return _swapped(array("I", data))


def _swapped(counts: array[int]) -> array[int]:
    if sys.byteorder == "big":
        counts.byteswap()
    return counts


class NewlineSums:
    """How many newlines come before the blocks of a document; they are counted when asked for.

    `starts`: the blocks' offsets, ascending. `count`: gives the newlines of a block, by its number.
    `before`: newlines before the first one.
    """

    def __init__(self, starts: Sequence[int], count: Callable[[int], int], before: int = 0) -> None:
        self._starts = starts
        self._count = count
        self._sums = [before]

    @classmethod
    def of_window(cls, window: Window, known: Sequence[int] | None = None) -> NewlineSums:
        """Of what a window owns, in its coordinates. `known`: its blocks' newlines."""
        data, low, high = window.data, window.lo, window.hi
        starts = range(low, high, NEWLINE_BLOCK)

        def count(number: int) -> int:
            at = starts[number]
            return newlines_in(data, at, min(at + NEWLINE_BLOCK, high))

        counted = count if known is None else known.__getitem__
        return cls(starts, counted, newlines_in(data, 0, low))

    @property
    def asked(self) -> bool:
        """Whether anything has been counted."""
        return len(self._sums) > 1

    def before(self, offset: int) -> tuple[int, int] | None:
        """(offset of a block, newlines before it) of the last one that begins at `offset` or
        before; None if none does.
        """
        number = bisect_right(self._starts, offset) - 1
        if number < 0:
            return None
        sums = self._sums
        while len(sums) <= number:
            sums.append(sums[-1] + self._count(len(sums) - 1))
        return self._starts[number], sums[number]

    def counts(self) -> tuple[int, ...]:
        """The newlines of all blocks."""
        sums = self._sums
        while len(sums) <= len(self._starts):
            sums.append(sums[-1] + self._count(len(sums) - 1))
        return tuple([after - before for before, after in pairwise(sums)])


def first_newline(data: bytes | memoryview) -> int:
    """Where the first newline is; the length of `data` if there is none."""
    at, step = 0, _FIRST_STEP
    while at < len(data):
        found = bytes(data[at : at + step]).find(b"\n")
        if found >= 0:
            return at + found
        at, step = at + step, _CHUNK
    return len(data)


def last_newline(data: bytes | memoryview, low: int = 0) -> int:
    """Where the last newline of data[low:] is; -1 if there is none."""
    end, step = len(data), _FIRST_STEP
    while end > low:
        start = max(low, end - step)
        found = bytes(data[start:end]).rfind(b"\n")
        if found >= 0:
            return start + found
        end, step = start, _CHUNK
    return -1


class LineCounter:
    """Lines of one document and columns in bytes, both from 1.

    No byte is looked at more than twice.

    `sums`: so that a long way between two offsets need not be read, or read again.
    """

    def __init__(self, document: Document, sums: NewlineSums | None = None) -> None:
        self._document = document
        self._sums = sums
        self._offset = 0
        self._newlines = 0
        self._line_start = 0

    def at(self, offset: int) -> tuple[int, int, int]:
        """(line, column, offset of the line's first byte) of `offset`.

        Offsets must not descend from call to call.
        """
        document = self._document
        start, newlines, line_start = self._offset, self._newlines, self._line_start
        if (
            self._sums is not None
            and offset - start > _FIRST_STEP
            and (point := self._sums.before(offset)) is not None
            and point[0] > start
        ):
            start, newlines = point
            line_start = line_start if newlines == self._newlines else -1
        if isinstance(document, BytesDocument):
            if here := document.data.count(b"\n", start, offset):
                newlines += here
                line_start = document.data.rfind(b"\n", start, offset) + 1
        else:
            for at in range(start, offset, _CHUNK):
                upto = at + _CHUNK
                text = document.read(at, upto if upto < offset else offset)
                if here := text.count(b"\n"):
                    newlines += here
                    line_start = at + text.rfind(b"\n") + 1
        if line_start < 0:  # there is one before the checkpoint, and none behind it
            line_start = _newline_before(document, start, self._line_start) + 1
        self._offset, self._newlines, self._line_start = offset, newlines, line_start
        return newlines + 1, offset - line_start + 1, line_start


class LineBounds:
    """Where the lines around ascending matches begin and end.

    Of a line, however long, no byte is looked at twice but where matches of several rules lie in
    one another.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._at = self._first = 0
        # what ends in [_tail, _end] ends on the line that ends at _end
        self._tail, self._end = 1, 0

    def around(self, start: int, end: int) -> tuple[int, int]:
        """[first, last) of the lines that document[start:end] lies on, without the last newline.

        `start` must not descend from call to call.
        """
        document = self._document
        if (found := _newline_before(document, start, self._at)) >= 0:
            self._first = found + 1
        self._at = start
        if not self._tail <= end <= self._end:
            known = end < self._tail <= self._end
            found = _newline_from(document, end, self._tail if known else document.size)
            if not known or found >= 0:
                self._end = document.size if found < 0 else found
            self._tail = end
        return self._first, self._end


def _newline_before(document: Document, offset: int, low: int) -> int:
    """The last newline in [low, offset), -1 if there is none."""
    if isinstance(document, BytesDocument):
        return document.data.rfind(b"\n", low, offset)
    end, step = offset, _FIRST_STEP
    while end > low:
        start = max(low, end - step)
        found = document.read(start, end).rfind(b"\n")
        if found >= 0:
            return start + found
        end, step = start, _CHUNK
    return -1


def _newline_from(document: Document, offset: int, high: int) -> int:
    """The first newline in [offset, high), -1 if there is none."""
    if isinstance(document, BytesDocument):
        return document.data.find(b"\n", offset, high)
    start, step = offset, _FIRST_STEP
    while start < high:
        end = min(start + step, high)
        found = document.read(start, end).find(b"\n")
        if found >= 0:
            return start + found
        start, step = end, _CHUNK
    return -1
