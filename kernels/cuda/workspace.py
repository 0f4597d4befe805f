"""Workspace: the device buffers of one pending run, and the structs that tell kernels of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.kernels.cuda.structs import LISTS_DTYPE, OUTPUT_DTYPE
from vyre_dist.rows.layout import ROW_DTYPE

_FIRST_ROWS = 1 << 16
_FIRST_HITS = 1 << 16
_FIRST_PIVOTS = 1 << 9


class Workspace:
    """Buffers grow to what runs have needed. Capacities: in items; that of pivots is per list."""

    def __init__(self) -> None:
        self._buffers: dict[str, Any] = {}
        self.hit_capacity = _FIRST_HITS
        self.pivot_capacity = _FIRST_PIVOTS
        self.row_capacity = _FIRST_ROWS
        self.state: Any = None  # count of rows (64 bits), attempted and committed tiles as bits
        self.latest: Any = None  # the Output struct of the latest run

    def reserve(self, name: str, dtype: type[np.generic], size: int) -> Any:
        """The buffer called `name`, of `size` elements or more. Growing loses what it held."""
        import cupy

        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = cupy.empty(max(16, size), dtype)
        return buffer

    def lists(
        self, name: str, item_bytes: int, count: int, capacity: int, lengths: Any, parts: int = 1
    ) -> npt.NDArray[np.void]:
        """The Lists struct of `count` lists of `capacity` items, in the buffer called `name`."""
        lists = np.zeros((), LISTS_DTYPE)
        lists["items"] = self.reserve(name, np.uint8, count * capacity * item_bytes).data.ptr
        lists["lengths"] = lengths.data.ptr
        lists["capacity"] = capacity
        lists["parts"] = parts
        return lists

    def output(self, arena_bytes: int, tile_bytes: int, stream: Any) -> npt.NDArray[np.void]:
        """The Output struct, its counts and tiles zeroed on the stream."""
        tiles = -(-arena_bytes // tile_bytes)
        words = (tiles + 31) // 32 + 1
        state = self.reserve("state", np.uint32, 2 + 2 * words)[: 2 + 2 * words]
        with stream:
            state.fill(0)
        output = np.zeros((), OUTPUT_DTYPE)
        output["counts"] = state.data.ptr
        output["attempted"] = state.data.ptr + 8
        output["committed"] = state.data.ptr + 8 + 4 * words
        output["rows"] = self.reserve(
            "rows", np.uint8, self.row_capacity * ROW_DTYPE.itemsize
        ).data.ptr
        output["capacity"] = self.row_capacity
        output["tile_bits"] = tile_bytes.bit_length() - 1
        self.state, self.latest = state, output
        return output


def pointer(array: Any) -> np.uint64:
    """A device array's address, as a kernel's argument."""
    return np.uint64(array.data.ptr)
