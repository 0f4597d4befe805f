"""The programs on the device: fused in one launch, or prefilter, compact and confirm one after the other.

Outputs have room for so many rows; whoever wants more is counted and not written, and the launch is repeated with room
for all of them. Nothing is lost, whatever the density.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler import PackTables
from vyre_dist.dispatch.report import SpeculationReport
from vyre_dist.kernels.cuda import instances
from vyre_dist.kernels.cuda.arenas import STRETCH_BYTES, DeviceArena
from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.device_tables import DeviceTables
from vyre_dist.kernels.cuda.structs import OUTPUT_DTYPE, ROW_DTYPE
from vyre_dist.program.tunables import Tunables

_FIRST_ROWS = 1 << 16
_FIRST_PLACES = 1 << 20


@dataclass(frozen=True, slots=True)
class DeviceRows:
    """`rows`: ROW_DTYPE, in no order, with repeats; the rule's highest bit is set where the host has to decide."""

    rows: npt.NDArray[np.void]
    attempted_tiles: int
    committed_tiles: int

    @property
    def report(self) -> SpeculationReport:
        """The counter tail's numbers."""
        return SpeculationReport.from_counts(self.committed_tiles, self.attempted_tiles - self.committed_tiles)


class Workspace:
    """The device buffers of one pending run. `grow` is what an overflow asks for."""

    def __init__(self) -> None:
        import cupy

        self.rows = cupy.empty(_FIRST_ROWS * ROW_DTYPE.itemsize, np.uint8)
        self.counts = cupy.zeros(4, np.uint64)  # rows; places (32 bits)
        self.tiles = cupy.zeros((2, 1), np.uint32)
        self.places = cupy.empty(0, np.uint32)
        self.masks = cupy.empty(0, np.uint8)
        self.blocks = cupy.empty(0, np.uint32)

    @property
    def capacity(self) -> int:
        """Rows that there is room for."""
        return int(self.rows.size // ROW_DTYPE.itemsize)

    def prepare(self, tiles: int, stream: Any) -> None:
        """Zero the counts and the tiles' bits."""
        import cupy

        words = max(1, (tiles + 31) // 32)
        if self.tiles.shape[1] < words:
            self.tiles = cupy.zeros((2, words), np.uint32)
        with stream:
            self.counts.fill(0)
            self.tiles.fill(0)

    def grow_rows(self, rows: int) -> None:
        """Make room for `rows` and a quarter more."""
        import cupy

        self.rows = cupy.empty((rows + rows // 4) * ROW_DTYPE.itemsize, np.uint8)

    def reserve_masks(self, stretch_bytes: int) -> None:
        """Room for a stretch's masks."""
        import cupy

        vectors = -(-stretch_bytes // 512) * 32 + 128
        if self.masks.size < vectors:
            self.masks = cupy.empty(vectors, np.uint8)
            self.blocks = cupy.empty(vectors // 32, np.uint32)

    def reserve_places(self, places: int) -> None:
        """Room for so many hits."""
        import cupy

        if self.places.size < places:
            self.places = cupy.empty(places + places // 4, np.uint32)


class CudaPrograms:
    """One pack's programs, instantiated from `tunables`, on one device."""

    def __init__(
        self, device: Device, tables: PackTables, tunables: Tunables, max_steps: int, stretch_bytes: int = STRETCH_BYTES
    ) -> None:
        self.device = device
        self.tunables = tunables
        self.tables = DeviceTables(tables, max_steps)
        self._has_runs = np.uint32(tables.runs.size > 0)
        self._stretch_bytes = stretch_bytes
        self._fused = device.kernel(instances.fused(tunables))
        self._prefilter = device.kernel(instances.prefilter(tunables))
        self._compact = device.kernel(instances.compact())
        self._confirm = device.kernel(instances.confirm())
        self._tables = self.tables.arguments(tunables.bitmap_bits)

    def launch_fused(self, arena: DeviceArena, space: Workspace, stream: Any) -> None:
        """Everything in one launch for each stretch; the output is in `space` when the stream is done."""
        space.prepare(self._tiles(arena), stream)
        output = self._output(space)
        for stretch in arena.stretches(self._stretch_bytes):
            self._fused(stream, self._tables, stretch, output)

    def launch_prefilter(self, stretch: npt.NDArray[np.void], space: Workspace, stream: Any) -> None:
        """The masks of one stretch."""
        space.reserve_masks(int(stretch["bytes"]))
        self._prefilter(stream, self._tables, stretch, _pointer(space.masks), _pointer(space.blocks))

    def launch_compact(self, stretch: npt.NDArray[np.void], space: Workspace, stream: Any) -> None:
        """From the masks to places; counts[1] counts them."""
        self._compact(
            stream,
            stretch,
            _pointer(space.masks),
            _pointer(space.blocks),
            self._has_runs,
            _pointer(space.places),
            np.uint64(space.counts.data.ptr + 8),
            np.uint32(space.places.size),
        )

    def launch_confirm(self, stretch: npt.NDArray[np.void], space: Workspace, stream: Any) -> None:
        """From the places to rows."""
        self._confirm(
            stream,
            self._tables,
            stretch,
            self._output(space),
            _pointer(space.places),
            np.uint64(space.counts.data.ptr + 8),
            np.uint32(space.places.size),
        )

    def run_fused(self, arena: DeviceArena, space: Workspace, stream: Any) -> DeviceRows:
        """launch_fused, and its rows on the host; repeated with more room when there was too little."""
        while True:
            self.launch_fused(arena, space, stream)
            wanted = int(space.counts.get(stream=stream)[0])
            if wanted <= space.capacity:
                return self.collect(space, wanted, stream)
            space.grow_rows(wanted)

    def run_serial(self, arena: DeviceArena, space: Workspace, stream: Any) -> DeviceRows:
        """Prefilter, compact, confirm, and the rows on the host."""
        while True:
            space.prepare(self._tiles(arena), stream)
            for stretch in arena.stretches(self._stretch_bytes):
                self.serial_stretch(stretch, space, stream)
            wanted = int(space.counts.get(stream=stream)[0])
            if wanted <= space.capacity:
                return self.collect(space, wanted, stream)
            space.grow_rows(wanted)

    def serial_stretch(self, stretch: npt.NDArray[np.void], space: Workspace, stream: Any) -> None:
        """The three launches for one stretch, compact again when there was too little room for its places."""
        space.reserve_places(_FIRST_PLACES)
        self.launch_prefilter(stretch, space, stream)
        while True:
            with stream:
                space.counts[1:].fill(0)
            self.launch_compact(stretch, space, stream)
            places = int(space.counts.get(stream=stream)[1])
            if places <= space.places.size:
                break
            space.reserve_places(places)
        self.launch_confirm(stretch, space, stream)

    def collect(self, space: Workspace, rows: int, stream: Any) -> DeviceRows:
        """The output of a finished run."""
        data = space.rows[: rows * ROW_DTYPE.itemsize].get(stream=stream)
        attempted, committed = np.bitwise_count(space.tiles.get(stream=stream)).sum(axis=1, dtype=np.int64).tolist()
        return DeviceRows(np.frombuffer(data.tobytes(), ROW_DTYPE), attempted, committed)

    def _tiles(self, arena: DeviceArena) -> int:
        return -(-arena.size // self.tunables.tile_bytes)

    def _output(self, space: Workspace) -> npt.NDArray[np.void]:
        output = np.zeros((), OUTPUT_DTYPE)
        output["rows"] = space.rows.data.ptr
        output["counts"] = space.counts.data.ptr
        output["attempted"] = space.tiles.data.ptr
        output["committed"] = space.tiles.data.ptr + 4 * space.tiles.shape[1]
        output["capacity"] = space.capacity
        output["tile_bits"] = self.tunables.tile_bytes.bit_length() - 1
        return output


def _pointer(array: Any) -> np.uint64:
    return np.uint64(array.data.ptr)
