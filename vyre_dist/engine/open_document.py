"""open_document: where every byte of an input comes from.

A piece's bytes come through `open_document` or `DocumentReader.window`, those of a folder's many
files through `DocumentReader.read_file`, those of a GPU's stream through `read_into`. How a regular
file is read is in files.py, what the engine does with a Document in document.py.

To add a kind of input (members of archives, another encoding): have the sources list its documents,
with an `open_path` that begins with the path on disk and tells what they are. Open that in
`open_document`, and in `DocumentReader.window`, which reads whole files by itself. All else sees a
Document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self

from vyre_dist.engine.content import Evidence
from vyre_dist.engine.document import (
    BytesDocument,
    Document,
    bounds_of,
    window_of,
)
from vyre_dist.engine.files import FileDocument, read_into, read_whole
from vyre_dist.engine.read_buffer import ReadBuffer, ReusedMemory
from vyre_dist.engine.tasks import Piece
from vyre_dist.extract import Window
from vyre_dist.extract.window import whole

__all__ = ["DocumentReader", "OpenDocument", "open_document", "read_into"]


class OpenDocument(Document, Protocol):
    """A document that was opened; use `with`."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def read_into(self, room: memoryview, start: int) -> None:
        """The bytes from `start` on, as many as there is room for. Raises DocumentError."""
        ...

    def size_now(self) -> int:
        """The size of what it was opened from, which may have grown."""
        ...


def open_document(piece: Piece, evidence: Sequence[Evidence] = ()) -> OpenDocument:
    """The document that `piece` is a part of.

    `evidence`: what its bytes were found to be; `verify` compares. Raises DocumentError: it can't
    be opened, or is not what was planned.
    """
    if piece.inline is not None:
        return BytesDocument(piece.inline, piece.path)
    open_path = piece.open_path or piece.path
    return FileDocument(open_path, piece.path, piece.size, piece.stamp, evidence)


class DocumentReader:
    """Reads a worker's documents for dispatches. Not thread-safe.

    `overlap`: bytes that a window needs after the last match start that it owns. `shard_bytes`: the
    largest document to read at once. `batch_bytes`: what a dispatch has at most. `allocate`: gives
    the memory that the backend wants documents in, None if any will do.
    """

    def __init__(
        self,
        overlap: int,
        shard_bytes: int,
        batch_bytes: int,
        allocate: Callable[[int], memoryview] | None,
    ) -> None:
        self._overlap = overlap
        self._shard_bytes = shard_bytes
        self._wants_memory = allocate is not None
        self.memory = ReadBuffer(batch_bytes, shard_bytes, allocate)
        # a piece is a dispatch, but for small ones
        self._pieces = ReusedMemory(batch_bytes + shard_bytes + overlap + 1)
        self.read_file = self.memory.read
        """ReadBuffer.read, without a call of its own for each of a tree's files."""

    def window(self, piece: Piece) -> Window:
        """The window that owns the match starts of `piece`.

        Raises DocumentError, and LargeFile for a document that is larger than was planned, and than
        a shard.
        """
        if piece.whole and piece.inline is None:
            limit = max(piece.size, self._shard_bytes)
            return whole(read_whole(piece.open_path or piece.path, piece.path, piece.size, limit))
        with open_document(piece) as document:
            wanted = document, piece.start, piece.end, self._overlap
            if piece.inline is None:
                base, stop = bounds_of(document.size, piece.start, piece.end, self._overlap)
                memory = self.memory if self._wants_memory else self._pieces
                if (room := memory.take(stop - base)) is not None:
                    document.read_into(room, base)
                    position = memory.position if self._wants_memory else -1
                    return window_of(*wanted, room, position)
            return window_of(*wanted)

    def clear(self) -> None:
        """Have what is read from now on go to other memory, or to what is not wanted any more (see
        ReusedMemory).
        """
        self.memory.clear()
        self._pieces.clear()

    def restart(self) -> None:
        """What was read since the latest `clear` is not wanted."""
        self.memory.restart()
        self._pieces.restart()
