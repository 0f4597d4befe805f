"""The programs on the device: `fused` is scan and walk, launched right behind each other; the conservative path is
prefilter and compact, a look at how much they found, probe and walk.

Outputs have room for so many hits, pivots and rows; whoever wants more is counted and not written, and the run is
repeated with room for all of them. Nothing is lost, whatever the density.
"""

from __future__ import annotations

from collections.abc import Callable
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
from vyre_dist.kernels.cuda.structs import LISTS_DTYPE, OUTPUT_DTYPE, PIVOT_BYTES, ROW_DTYPE
from vyre_dist.program.tunables import Tunables

_FIRST_ROWS = 1 << 16
_FIRST_HITS = 1 << 16
_FIRST_PIVOTS = 1 << 9
_BYTES_PER_HIT = 64
_BYTES_PER_PIVOT = 512
_BLOCK_HIT = 1 << 31


@dataclass(frozen=True, slots=True)
class DeviceRows:
    """`rows`: ROW_DTYPE, in no order, with repeats; the rule's highest bit is set where the host has to decide."""

    rows: npt.NDArray[np.void]
    attempted_tiles: int
    committed_tiles: int

    @property
    def report(self) -> SpeculationReport:
        """The counter tail's numbers."""
        return SpeculationReport.from_counts(
            self.committed_tiles, self.attempted_tiles - self.committed_tiles
        )


class Workspace:
    """The device buffers of one pending run. They grow to what runs have needed so far."""

    def __init__(self) -> None:
        self._buffers: dict[str, Any] = {}
        self.hit_capacity = _FIRST_HITS
        self.pivot_capacity = _FIRST_PIVOTS  # of each list
        self.row_capacity = _FIRST_ROWS
        self.state: Any = None  # count of rows (64 bits), attempted and committed tiles as bits

    def reserve(self, name: str, dtype: type[np.generic], size: int) -> Any:
        """The buffer called `name`, with `size` elements or more. What it held is lost when it grows."""
        import cupy

        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = cupy.empty(max(16, size), dtype)
        return buffer


class CudaPrograms:
    """One pack's programs, instantiated from `tunables`, on one device."""

    def __init__(
        self,
        device: Device,
        tables: PackTables,
        tunables: Tunables,
        max_steps: int,
        stretch_bytes: int = STRETCH_BYTES,
    ) -> None:
        self.device = device
        self.tunables = tunables
        self.tables = DeviceTables(tables, max_steps)
        self._stretch_bytes = stretch_bytes
        self._has_runs = np.uint32(tables.runs.size > 0)
        self._scan = device.kernel(instances.scan(tunables))
        self._prefilter = device.kernel(instances.prefilter(tunables))
        self._compact = device.kernel(instances.compact())
        self._probe = device.kernel(instances.probe())
        self._walk = device.kernel(instances.walk())
        self._tables = self.tables.arguments(tunables.bitmap_bits)

    def run_fused(self, arena: DeviceArena, space: Workspace, stream: Any) -> DeviceRows:
        """Both launches for each stretch, then the rows on the host; all again where there was too little room."""
        while True:
            pending = self.launch_fused(arena, space, stream)
            if (rows := pending.collect()) is not None:
                return rows

    def launch_fused(self, arena: DeviceArena, space: Workspace, stream: Any) -> PendingRun:
        """Queue all launches; nothing is waited for."""
        stretches, grid = arena.stretches(self._stretch_bytes), self._scan.grid
        lengths = space.reserve("lengths", np.uint32, len(stretches) * grid)[: len(stretches) * grid]
        output = self._prepare(arena, space, stream)
        for i, stretch in enumerate(stretches):
            pivots = self._pivot_lists(stretch, space, grid, lengths[i * grid :])
            self._scan(stream, self._tables, stretch, pivots, output)
            self._walk(stream, self._tables, stretch, pivots, output, grid=grid * int(pivots["parts"]))
        return PendingRun(space, lengths, stream)

    def run_serial(self, arena: DeviceArena, space: Workspace, stream: Any) -> DeviceRows:
        """Prefilter, compact and, when it is known how much they found, probe and walk; then the rows on the host."""
        return self.confirm_hits(arena, space, stream, self.list_hits(arena, 0, space, stream))

    def list_hits(
        self, arena: DeviceArena, number: int, space: Workspace, stream: Any
    ) -> npt.NDArray[np.void] | None:
        """The hits of stretch `number`, listed on the device and counted on the host; None without such a stretch."""
        stretches = arena.stretches(self._stretch_bytes)
        if number >= len(stretches):
            return None
        found = space.reserve("found", np.uint32, 1)[:1]
        return self.launch_prefilter(stretches[number], space, found, stream)

    def confirm_hits(
        self, arena: DeviceArena, space: Workspace, stream: Any, hits: npt.NDArray[np.void] | None
    ) -> DeviceRows:
        """Probe and walk: the first stretch's `hits`, then those of the others, listed one after the other."""
        while True:
            pending = self._begin_serial(arena, space, stream)
            for i, stretch in enumerate(arena.stretches(self._stretch_bytes)):
                own = hits if i == 0 and hits is not None else self.list_hits(arena, i, space, stream)
                if own is not None:
                    pending.probe(i, stretch, own)
            if (rows := pending.collect()) is not None:
                return rows
            hits = None  # another stretch's have taken their place

    def read_hits(self, arena: DeviceArena, space: Workspace, stream: Any) -> npt.NDArray[np.uint64]:
        """The prefilter's hits as places of the arena, ascending; the highest bit is set for blocks."""
        found = space.reserve("found", np.uint32, 1)
        parts = []
        for stretch in arena.stretches(self._stretch_bytes):
            self.launch_prefilter(stretch, space, found[:1], stream)
            count = int(found.get(stream=stream)[0])
            own = (
                space.reserve("hits", np.uint8, 0)[: 4 * count]
                .get(stream=stream)
                .view(np.uint32)
                .astype(np.uint64)
            )
            block = own >> np.uint64(31)
            parts.append((own & np.uint64(_BLOCK_HIT - 1)) + stretch["first"] | block << np.uint64(63))
        return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.uint64)

    def run_hits(
        self, arena: DeviceArena, hits: npt.NDArray[np.uint64], space: Workspace, stream: Any
    ) -> DeviceRows:
        """Probe and walk from what read_hits gave."""
        block = hits >> np.uint64(63)
        places = hits & np.uint64((1 << 63) - 1)
        while True:
            pending = self._begin_serial(arena, space, stream)
            for i, stretch in enumerate(arena.stretches(self._stretch_bytes)):
                first, size = int(stretch["first"]), int(stretch["bytes"])
                own = (places >= first) & (places < first + size)
                local = (places[own] - np.uint64(first) | block[own] << np.uint64(31)).astype(np.uint32)
                space.hit_capacity = max(space.hit_capacity, local.size)
                lengths = space.reserve("found", np.uint32, 1)[:1]
                lists = self._lists(space, "hits", 4, 1, space.hit_capacity, lengths, 1)
                lengths.set(np.array([local.size], np.uint32), stream=stream)
                if local.size:
                    space.reserve("hits", np.uint8, 0)[: local.nbytes].set(
                        local.view(np.uint8), stream=stream
                    )
                pending.probe(i, stretch, lists)
                stream.synchronize()  # the next stretch's hits take the place of these
            if (rows := pending.collect()) is not None:
                return rows

    def _begin_serial(self, arena: DeviceArena, space: Workspace, stream: Any) -> PendingRun:
        grid = self._probe.grid
        count = len(arena.stretches(self._stretch_bytes)) * grid
        lengths = space.reserve("lengths", np.uint32, count)[:count]
        with stream:
            lengths.fill(0)
        output = self._prepare(arena, space, stream)

        def probe(i: int, stretch: npt.NDArray[np.void], hits: npt.NDArray[np.void]) -> None:
            pivots = self._pivot_lists(stretch, space, grid, lengths[i * grid :])
            self._probe(stream, self._tables, stretch, hits, pivots, output)
            self._walk(stream, self._tables, stretch, pivots, output, grid=grid * int(pivots["parts"]))

        return PendingRun(space, lengths, stream, probe)

    def launch_prefilter(
        self, stretch: npt.NDArray[np.void], space: Workspace, found: Any, stream: Any
    ) -> npt.NDArray[np.void]:
        """The hits of one stretch as a list with room for all of them; waits until they are counted, into `found`."""
        self.launch_masks(stretch, space, stream)
        space.hit_capacity = max(space.hit_capacity, int(stretch["bytes"]) // _BYTES_PER_HIT)
        while True:
            lists = self._lists(space, "hits", 4, 1, space.hit_capacity, found, 1)
            self.launch_compact(stretch, space, lists, found, stream)
            if (count := int(found.get(stream=stream)[0])) <= space.hit_capacity:
                return lists
            space.hit_capacity = count + count // 4

    def launch_masks(self, stretch: npt.NDArray[np.void], space: Workspace, stream: Any) -> None:
        """The bitmap's answers for one stretch, as bits."""
        vectors = -(-int(stretch["bytes"]) // 512) * 32 + 128
        masks, blocks = (
            space.reserve("masks", np.uint8, vectors),
            space.reserve("blocks", np.uint32, vectors // 32),
        )
        self._prefilter(stream, self._tables, stretch, _pointer(masks), _pointer(blocks))

    def launch_compact(
        self,
        stretch: npt.NDArray[np.void],
        space: Workspace,
        lists: npt.NDArray[np.void],
        length: Any,
        stream: Any,
    ) -> None:
        """From the masks to one list."""
        masks, blocks = space.reserve("masks", np.uint8, 0), space.reserve("blocks", np.uint32, 0)
        with stream:
            length.fill(0)
        self._compact(stream, stretch, _pointer(masks), _pointer(blocks), self._has_runs, lists)

    def _prepare(self, arena: DeviceArena, space: Workspace, stream: Any) -> npt.NDArray[np.void]:
        """The Output struct, its counts and tiles zeroed on the stream."""
        tiles = -(-arena.size // self.tunables.tile_bytes)
        words = (tiles + 31) // 32 + 1
        state = space.reserve("state", np.uint32, 2 + 2 * words)[: 2 + 2 * words]
        with stream:
            state.fill(0)
        output = np.zeros((), OUTPUT_DTYPE)
        output["counts"] = state.data.ptr
        output["attempted"] = state.data.ptr + 8
        output["committed"] = state.data.ptr + 8 + 4 * words
        output["rows"] = space.reserve("rows", np.uint8, space.row_capacity * ROW_DTYPE.itemsize).data.ptr
        output["capacity"] = space.row_capacity
        output["tile_bits"] = self.tunables.tile_bytes.bit_length() - 1
        space.state = state
        return output

    def _pivot_lists(
        self,
        stretch: npt.NDArray[np.void],
        space: Workspace,
        count: int,
        lengths: Any,
    ) -> npt.NDArray[np.void]:
        space.pivot_capacity = max(space.pivot_capacity, int(stretch["bytes"]) // _BYTES_PER_PIVOT // count)
        parts = max(1, self._walk.grid // count)
        return self._lists(space, "pivots", PIVOT_BYTES, count, space.pivot_capacity, lengths, parts)

    @staticmethod
    def _lists(
        space: Workspace, name: str, size: int, count: int, capacity: int, lengths: Any, parts: int
    ) -> npt.NDArray[np.void]:
        """`count` lists of `capacity` items of `size` bytes."""
        lists = np.zeros((), LISTS_DTYPE)
        lists["items"] = space.reserve(name, np.uint8, count * capacity * size).data.ptr
        lists["lengths"] = lengths.data.ptr
        lists["capacity"] = capacity
        lists["parts"] = parts
        return lists


class PendingRun:
    """Launches on their way. `collect` waits for them."""

    def __init__(
        self,
        space: Workspace,
        lengths: Any,
        stream: Any,
        probe: Callable[[int, npt.NDArray[np.void], npt.NDArray[np.void]], None] | None = None,
    ) -> None:
        """`lengths`: of all lists of pivots. `probe` queues what is left to do of a stretch once its hits are listed."""
        self._space, self._lengths, self._stream = space, lengths, stream
        self.probe = probe or _nothing_left

    def collect(self) -> DeviceRows | None:
        """The rows; None if there was too little room for pivots or rows: there is more now, so launch again."""
        space = self._space
        state = space.state.get(stream=self._stream)
        longest = int(self._lengths.get(stream=self._stream).max(initial=0))
        wanted = int(state[:2].view(np.uint64)[0])
        if longest > space.pivot_capacity or wanted > space.row_capacity:
            # how many rows there will be is known when no pivot is left out
            if longest > space.pivot_capacity:
                space.pivot_capacity = longest + longest // 4
            if wanted > space.row_capacity:
                space.row_capacity = wanted + wanted // 4
            return None
        rows = space.reserve("rows", np.uint8, 0)[: wanted * ROW_DTYPE.itemsize].get(stream=self._stream)
        attempted, committed = np.bitwise_count(state[2:]).reshape(2, -1).sum(axis=1, dtype=np.int64).tolist()
        return DeviceRows(rows.view(ROW_DTYPE), attempted, committed)


def _nothing_left(number: int, stretch: npt.NDArray[np.void], hits: npt.NDArray[np.void]) -> None:
    raise AssertionError(
        f"stretch {number} of a fused run has no hits to probe ({stretch['bytes']}, {hits['capacity']})"
    )


def _pointer(array: Any) -> np.uint64:
    return np.uint64(array.data.ptr)
