"""Arenas on the device: bytes, documents' bounds, and the stretches that launches look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import Arena
from vyre_dist.kernels.cuda.host_memory import pinned
from vyre_dist.kernels.cuda.structs import PAGE_BITS, PIECE_DTYPE, STRETCH_DTYPE
from vyre_dist.rows.layout import CONTENT_BLOCK

PADDING = 32
"""Zero bytes that follow an arena's own on the device: a window at its last position reads them."""

STRETCH_BYTES = 1 << 30
"""What one launch looks at, at most: offsets in a launch are 32-bit, and one bit of them is
taken.
"""

_INDEX_ALIGNMENT = 16


def page_documents(ends: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.uint32]:
    """By page of 2^PAGE_BITS bytes: the first document that ends after the page's start; one page
    more than there are.
    """
    pages = (size >> PAGE_BITS) + 2
    # a document has ended by the start of the first page that does not begin before its end
    ended = np.bincount(-(-ends >> PAGE_BITS), minlength=pages + 1)
    return np.cumsum(ended[:pages]).astype(np.uint32)


def document_bounds(arena: Arena) -> npt.NDArray[np.uint64]:
    """By document: (start, end); the highest bit is set where that is the document's own edge."""
    bounds = np.empty((arena.documents, 2), np.uint64)
    bounds[:, 0], bounds[:, 1] = arena.starts, arena.ends
    bounds[:, 0] |= arena.at_start.astype(np.uint64) << np.uint64(63)
    bounds[:, 1] |= arena.at_end.astype(np.uint64) << np.uint64(63)
    return bounds.ravel()


def pieces_of(arena: Arena) -> npt.NDArray[np.void]:
    """PIECE_DTYPE: the arena's pieces of documents, in order, each with its blocks of content."""
    if arena.owned is None:
        return np.empty(0, PIECE_DTYPE)
    own = np.flatnonzero(arena.pieces)
    pieces = np.zeros(own.size, PIECE_DTYPE)
    pieces["begin"], pieces["end"] = arena.starts[own], arena.ends[own]
    pieces["first"], pieces["last"] = arena.owned[own].T
    return _with_blocks(pieces)


def watched_of(arena: Arena) -> npt.NDArray[np.void]:
    """PIECE_DTYPE: the arena's documents in which keywords are looked for, in order, each with its
    blocks.
    """
    own = np.flatnonzero(arena.watched)
    watched = np.zeros(own.size, PIECE_DTYPE)
    watched["begin"], watched["end"] = arena.starts[own], arena.ends[own]
    return _with_blocks(watched)


def _with_blocks(pieces: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    blocks = content_blocks(pieces)
    pieces["block"] = np.cumsum(blocks) - blocks
    return pieces


def content_blocks(pieces: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """How many blocks of content each of `pieces` has."""
    sizes = (pieces["end"] - pieces["begin"]).astype(np.int64)
    blocks: npt.NDArray[np.int64] = -(-sizes // CONTENT_BLOCK)
    return blocks


class DeviceArena:
    """One arena in device memory; another may be uploaded over it. Buffers grow, never shrink."""

    def __init__(self) -> None:
        self.size = 0
        self.documents = self.pieces = self.content_blocks = 0
        self.watched = self.watched_blocks = 0
        self._data: Any = None
        self._index: Any = None
        self._offsets: dict[str, int] = {}
        self._staging: npt.NDArray[np.uint8] | None = None
        self._staged: Any = None
        self._held: Any = None

    def upload(self, arena: Arena, stream: Any) -> None:
        """Queue the copy of `arena` on `stream`. Its data must stay until the stream is done.

        Returns at once if the arena's data is registered with CUDA (host_memory.py).
        """
        import cupy

        self.reserve(arena.data.size)
        self.describe(arena, stream)
        if arena.data.size:
            data = self._held = np.ascontiguousarray(arena.data)
            # not ndarray.set: it waits
            cupy.cuda.runtime.memcpyAsync(
                self._data.data.ptr,
                data.ctypes.data,
                data.size,
                cupy.cuda.runtime.memcpyHostToDevice,
                stream.ptr,
            )

    def reserve(self, size: int) -> Any:
        """The device buffer, with room for `size` bytes and the padding."""
        import cupy

        if self._data is None or self._data.size < size + PADDING:
            self._data = cupy.empty(size + PADDING, np.uint8)
        return self._data

    def describe(self, arena: Arena, stream: Any) -> None:
        """Queue the documents' bounds, and the padding behind the bytes that `upload` copies."""
        import cupy

        self.size, self.documents = arena.data.size, arena.documents
        host: dict[str, npt.NDArray[Any]] = {
            "bounds": document_bounds(arena),
            "page_documents": page_documents(arena.ends, arena.data.size),
        }
        watched = host["watched"] = watched_of(arena)
        self.watched, self.watched_blocks = watched.size, int(content_blocks(watched).sum())
        self.pieces = self.content_blocks = 0
        if arena.owned is not None:
            pieces = host["pieces"] = pieces_of(arena)
            host["owned"] = arena.owned.astype(np.uint64).ravel()
            self.pieces, self.content_blocks = pieces.size, int(content_blocks(pieces).sum())
        # one copy of all of it, from pinned memory: from other memory the call waits for whatever
        # is on the stream
        at = 0
        self._offsets.clear()
        for name, array in host.items():
            self._offsets[name] = at
            at += -(-array.nbytes // _INDEX_ALIGNMENT) * _INDEX_ALIGNMENT
        staging = self._stage(at)
        for name, array in host.items():
            low = self._offsets[name]
            staging[low : low + array.nbytes] = array.view(np.uint8)
        with stream:
            self._data[self.size : self.size + PADDING] = 0
        if at:
            cupy.cuda.runtime.memcpyAsync(
                self._index.data.ptr,
                staging.ctypes.data,
                at,
                cupy.cuda.runtime.memcpyHostToDevice,
                stream.ptr,
            )
            self._staged = cupy.cuda.Event(disable_timing=True)
            self._staged.record(stream)

    def _stage(self, size: int) -> npt.NDArray[np.uint8]:
        """Pinned memory of `size` bytes or more that no copy reads, and as much on the device."""
        import cupy

        if self._staged is not None:
            self._staged.synchronize()
        if self._staging is None or self._staging.size < size:
            room = size + size // 4
            # the device's first: if that fails, what is on the host must not promise it
            self._index = cupy.empty(room, np.uint8)
            self._staging = pinned(room)
        return self._staging

    def index_address(self, name: str) -> int:
        """Where the array `name` that describes the latest arena lies: `watched`, `pieces`, or
        `owned`; the latter two are 0 where all documents are whole.
        """
        if name not in self._offsets or (name != "watched" and not self.pieces):
            return 0
        return int(self._index.data.ptr + self._offsets[name])

    def stretches(self, stretch_bytes: int = STRETCH_BYTES) -> list[npt.NDArray[np.void]]:
        """The Stretch struct of each launch, by value. `stretch_bytes`: a multiple of 4096."""
        return [
            self._stretch(first, min(stretch_bytes, self.size - first))
            for first in range(0, self.size, stretch_bytes)
        ]

    def whole(self) -> npt.NDArray[np.void]:
        """The Stretch struct for kernels that take 64-bit positions; its `bytes` say nothing."""
        return self._stretch(0, 0)

    def _stretch(self, first: int, size: int) -> npt.NDArray[np.void]:
        struct = np.zeros((), STRETCH_DTYPE)
        struct["data"] = self._data.data.ptr + first
        struct["first"] = first
        struct["arena_bytes"] = self.size
        struct["bytes"] = size
        struct["documents"] = self.documents
        for name in ("bounds", "page_documents"):
            struct[name] = self._index.data.ptr + self._offsets[name]
        return struct
