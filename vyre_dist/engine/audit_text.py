"""AuditText: a document as an audit sees it: whole, or, where it is large, by windows."""

from __future__ import annotations

from typing import NamedTuple

from vyre_dist.engine.content import Evidence, first_difference
from vyre_dist.engine.document import DocumentError
from vyre_dist.engine.open_document import OpenDocument

WHOLE_BYTES = 64 << 20
"""A larger document is read by windows: all workers of a machine may be at an audit, and hold so
much.
"""
_STEP = 16 << 20
_CHUNK = 4 << 20


class Stretch(NamedTuple):
    """Bytes of the document from offset `base` on. What starts before offset `upto` is in here to
    its end; `size`: as many of the bytes may be of a match, what comes behind them is context.
    """

    data: bytes
    base: int
    upto: int
    size: int


class AuditText:
    """`reach`: the bytes of the widest match of the pack. Raises DocumentError."""

    def __init__(self, document: OpenDocument, reach: int) -> None:
        self.document = document
        self._reach = reach
        self.size = document.size
        self._held = Stretch(b"", 0, 0, 0)
        self._lowered: tuple[tuple[int, int], bytes] = ((-1, -1), b"")
        if self.size <= WHOLE_BYTES:
            self._held = Stretch(document.read(0, self.size), 0, self.size + 1, self.size)

    def at(self, pos: int) -> Stretch:
        """Bytes in which to look for matches that start at `pos` or later."""
        held = self._held
        before = held.base < pos or held.base == 0  # `^` and `\b` see what is there
        if not (before and pos < held.upto):
            base = max(0, pos - 1)
            end = min(self.size, pos + _STEP + self._reach + 1)
            data = self.document.read(base, end)
            if end == self.size:
                held = Stretch(data, base, self.size + 1, len(data))
            else:
                held = Stretch(data, base, pos + _STEP, len(data) - 1)
            self._held = held
        return held

    def read(self, low: int, high: int) -> bytes:
        """The bytes [low, high)."""
        held = self._held
        if held.base <= low and high <= held.base + len(held.data):
            return held.data[low - held.base : high - held.base]
        return self.document.read(low, high)

    def lines_around(self, start: int, end: int) -> bytes:
        """The lines that [start, end) is on, without the last newline."""
        first, last = start, end
        while first > 0:
            low = max(0, first - _CHUNK)
            if (found := self.read(low, first).rfind(b"\n")) >= 0:
                first = low + found + 1
                break
            first = low
        while last < self.size:
            high = min(self.size, last + _CHUNK)
            if (found := self.read(last, high).find(b"\n")) >= 0:
                last += found
                break
            last = high
        return self.read(first, last)

    def has_any(self, words: list[bytes]) -> bool:
        """Whether one of the lower-case `words` is there, in any letter case of ASCII."""
        overlap = max(map(len, words))
        step = _CHUNK if self.size > WHOLE_BYTES else max(self.size, 1)
        for low in range(0, max(self.size, 1), step):
            high = min(self.size, low + step + overlap)
            if self._lowered[0] != (low, high):
                self._lowered = (low, high), self.read(low, high).lower()
            if any(word in self._lowered[1] for word in words):
                return True
        return False

    def check(self, evidence: tuple[Evidence, ...], stamped: bool) -> None:
        """Raise DocumentError unless these are the bytes of `evidence`.

        `stamped`: the document was opened with it, and knows whether it has been written to.
        """
        if stamped:
            self.document.verify()
        elif first_difference(evidence, self.read) is not None:
            raise DocumentError(
                self.document.path, "changed", "it was written to after it was scanned"
            )
