"""Arenas on the device: the bytes, where their documents lie, and the stretches that launches look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import Arena
from vyre_dist.kernels.cuda.structs import PAGE_BITS, STRETCH_DTYPE

PADDING = 32
"""Zero bytes that must follow an arena's own on the device: a window at its last place reads beyond it."""

STRETCH_BYTES = 1 << 30
"""What one launch looks at, at most: offsets in a launch are 32-bit, and one bit of them is taken."""


def page_documents(ends: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.uint32]:
    """By page of 2^PAGE_BITS bytes: the first document that ends after the page's start; one page more than there are."""
    pages = (size >> PAGE_BITS) + 2
    # a document has ended by the start of the first page that does not begin before its end
    ended = np.bincount(-(-ends >> PAGE_BITS), minlength=pages + 1)
    return np.cumsum(ended[:pages]).astype(np.uint32)


class DeviceArena:
    """One arena in device memory. `upload` may be called again and again; buffers grow to what was needed so far."""

    def __init__(self) -> None:
        self.size = 0
        self.documents = 0
        self._data: Any = None
        self._index: dict[str, Any] = {}
        self._held: list[Any] = []

    def upload(self, arena: Arena, stream: Any) -> None:
        """Copy `arena` to the device on `stream`. What it was copied from must stay until the stream is done."""
        self.reserve(arena.data.size)
        if arena.data.size:
            self._data[: arena.data.size].set(np.ascontiguousarray(arena.data), stream=stream)
        self.describe(arena, stream)

    def reserve(self, size: int) -> Any:
        """The device buffer, with room for `size` bytes and the padding."""
        import cupy

        if self._data is None or self._data.size < size + PADDING:
            self._data = cupy.empty(size + PADDING, np.uint8)
        return self._data

    def describe(self, arena: Arena, stream: Any) -> None:
        """Tell where the documents lie in the bytes that are there already, and put the padding behind them."""
        import cupy

        self.size, self.documents = arena.data.size, arena.documents
        edges = arena.at_start.astype(np.uint8) | arena.at_end.astype(np.uint8) << 1
        host = {
            "starts": arena.starts.astype(np.uint64),
            "ends": arena.ends.astype(np.uint64),
            "edges": edges,
            "page_documents": page_documents(arena.ends, arena.data.size),
        }
        self._held = [host]
        with stream:
            self._data[self.size : self.size + PADDING] = 0
            for name, array in host.items():
                buffer = self._index.get(name)
                if buffer is None or buffer.size < array.size:
                    buffer = self._index[name] = cupy.empty(max(1, array.size + array.size // 4), array.dtype)
                if array.size:
                    buffer[: array.size].set(array, stream=stream)

    def stretches(self, stretch_bytes: int = STRETCH_BYTES) -> list[npt.NDArray[np.void]]:
        """The Stretch struct of each launch, by value. `stretch_bytes`: a multiple of 4096."""
        return [
            self._stretch(first, min(stretch_bytes, self.size - first))
            for first in range(0, self.size, stretch_bytes)
        ]

    def whole(self) -> npt.NDArray[np.void]:
        """The Stretch struct for kernels that take 64-bit places of the arena; its `bytes` say nothing."""
        return self._stretch(0, 0)

    def _stretch(self, first: int, size: int) -> npt.NDArray[np.void]:
        struct = np.zeros((), STRETCH_DTYPE)
        struct["data"] = self._data.data.ptr + first
        struct["first"] = first
        struct["arena_bytes"] = self.size
        struct["bytes"] = size
        struct["documents"] = self.documents
        for name, buffer in self._index.items():
            struct[name] = buffer.data.ptr
        return struct
