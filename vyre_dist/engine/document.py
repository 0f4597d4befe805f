"""Document: random access to one document's bytes, and how it is cut into windows.

Where the bytes come from is in open_document.py.
"""

from __future__ import annotations

from typing import Protocol, Self

from vyre_dist.errors import VyreError
from vyre_dist.extract import Window


class DocumentError(VyreError):
    """A document could not be read to its end.

    `reason`: one of the sources' reason codes; `detail`: for people.
    """

    def __init__(self, path: str, reason: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.reason = reason
        self.detail = detail


class Document(Protocol):
    """What the engine needs of a document."""

    path: str
    size: int

    def read(self, start: int, end: int) -> bytes:
        """Exactly the bytes [start, end). Raises DocumentError when they can't be had."""
        ...

    def verify(self) -> None:
        """Raise DocumentError if the document is not what it was when it was opened."""
        ...


class BytesDocument:
    """A document in memory."""

    def __init__(self, data: bytes, path: str) -> None:
        self.data = data
        self.path = path
        self.size = len(data)

    def read(self, start: int, end: int) -> bytes:
        """See Document."""
        return self.data if (start, end) == (0, self.size) else self.data[start:end]

    def verify(self) -> None:
        """See Document: bytes do not change."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to close."""

    def read_into(self, room: memoryview, start: int) -> None:
        """See OpenDocument."""
        room[:] = self.data[start : start + len(room)]

    def size_now(self) -> int:
        """See OpenDocument."""
        return self.size


class MemoryDocument:
    """A document in memory that belongs to somebody else: only what is asked for is copied."""

    def __init__(self, data: memoryview, path: str) -> None:
        self._data = data
        self.path = path
        self.size = len(data)

    def read(self, start: int, end: int) -> bytes:
        """See Document."""
        return bytes(self._data[start:end])

    def verify(self) -> None:
        """See Document: whoever lends the bytes keeps them as they are."""


def window_of(
    document: Document,
    start: int,
    end: int,
    overlap: int,
    data: memoryview | None = None,
    position: int = -1,
) -> Window:
    """The window that owns the match starts [start, end) of `document`.

    `overlap`: bytes needed after the last owned start (CompiledPack.overlap). `data`: what
    bounds_of says, where it has been read already; `position`: where in the backend's memory.
    """
    base, stop = bounds_of(document.size, start, end, overlap)
    held = document.read(base, stop) if data is None else data
    return Window(
        held, base, start - base, min(end, document.size) - base, end >= document.size, position
    )


def bounds_of(size: int, start: int, end: int, overlap: int) -> tuple[int, int]:
    """What the window that owns [start, end) holds of a document of `size` bytes."""
    return max(0, start - 1), min(size, end + overlap)
