"""CudaBackend: the tables' programs on the GPU, and the search for spans; google-re2 where that is not settled there.

Fused: scan and walk behind each other. Prefilter: the bitmap's hits are read back; confirm_serial gives them to the GPU
again, to be probed and walked. What comes out is the same. One GPU, one pack.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import packed_size
from vyre_dist.dispatch.backend import DispatchConfig
from vyre_dist.dispatch.report import SpeculationReport, encode_counter_tail
from vyre_dist.errors import UsageError
from vyre_dist.extract import Spans, Window, empty_spans
from vyre_dist.extract.spans import spans_from_rows
from vyre_dist.kernels.backends import rule_matchers
from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.device import open_device
from vyre_dist.kernels.cuda.errors import DeviceMemoryError
from vyre_dist.kernels.cuda.host_memory import landing_place
from vyre_dist.kernels.cuda.matches import groups_in, settle
from vyre_dist.kernels.cuda.pending import DeviceRows
from vyre_dist.kernels.cuda.programs import CudaPrograms
from vyre_dist.kernels.cuda.reading import RowReading
from vyre_dist.kernels.cuda.spans import Spans as SpanSearch
from vyre_dist.kernels.cuda.structs import OPEN
from vyre_dist.kernels.cuda.workspace import Workspace
from vyre_dist.kernels.programs import ScanProgram
from vyre_dist.kernels.reference import arena_of
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.program.pack_spans import make_spans
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.program.tunables import Tunables
from vyre_dist.rules.finder import Groups
from vyre_dist.rules.screens import Screen

_LOG = logging.getLogger(__name__)

MAX_STEPS = 1024
"""How far an automaton walks on the GPU before the host takes over: one thread that walks far keeps a launch waiting."""

DEFAULT_TUNABLES = Tunables(threads=768, unroll=4, tile_bytes=64 << 10, bitmap_bits=20, blocks_per_sm=1)
"""Chosen by trying some on an H100; benchmarks/gpu_scan.py measures them."""


T = TypeVar("T")


class CudaBackend:
    """One pack on the current device. Not thread-safe: one arena and one workspace."""

    name = "cuda"
    supports_speculation = True
    # launches and read-backs take half a millisecond together, in which the GPU scans a gigabyte
    dispatch_bytes = 64 << 20
    dispatch_windows = 1 << 16

    def __init__(
        self,
        compiled: CompiledPack,
        cache: ArtifactCache,
        tunables: Tunables = DEFAULT_TUNABLES,
        screens: Sequence[Screen] | None = None,
    ) -> None:
        """Compile for the device and upload. `screens`: see open_backend.

        Raises DeviceUnusableError, NvrtcMissingError or UsageError.
        """
        import cupy

        self.compiled = compiled
        self.matchers = rule_matchers(compiled)
        self.groups: dict[int, dict[int, dict[int, Groups]]] = {}
        self.tables = load_tables(compiled, cache)
        self.device = open_device(cache)
        self.programs = CudaPrograms(self.device, self.tables, tunables, MAX_STEPS)
        self.reading = RowReading.of(self.tables)
        programs = make_spans(compiled, self.tables, screens)
        self._finder = SpanSearch(self.device, programs) if programs.any else None
        self._room = np.empty(0, np.uint8)
        self._arena = DeviceArena()
        self._space = Workspace()
        self._stream = cupy.cuda.Stream(non_blocking=True)

    def dispatch(self, program: ScanProgram, inputs: Sequence[Window], config: DispatchConfig) -> list[bytes]:
        """Run `program` on `inputs`. Prefilter puts out a buffer of hits for each group of windows that fitted the device.

        Raises UsageError for `confirm`, which is confirm_serial's, and DeviceMemoryError when a single window is too much.
        """
        del config
        self.groups.clear()
        if program.kind == "confirm":
            raise UsageError("the cuda backend confirms in confirm_serial; dispatch prefilter or fused")
        if program.kind == "prefilter":
            return [hits.tobytes() for hits in self._in_groups(inputs, self._read_hits)]
        spans, report = [], SpeculationReport()
        for own, tail in self._in_groups(inputs, self._fused):
            spans.append(own)
            report = SpeculationReport.from_counts(
                report.committed_tiles + tail.committed_tiles,
                report.rolled_back_tiles + tail.rolled_back_tiles,
            )
        return [np.concatenate([empty_spans(), *spans]).tobytes() + encode_counter_tail(report)]

    def confirm_serial(self, windows: Sequence[Window], outputs: Sequence[Any]) -> list[bytes]:
        """See ScanBackend. Raises DeviceMemoryError when a single window is too much."""
        import cupy

        spans, first = [empty_spans()], 0
        for buffer in outputs:
            count, *_ = hits = np.frombuffer(buffer, np.uint64)
            group = windows[first : first + int(count)]
            try:
                self._upload(group)
                found = self._with_matches(
                    self.programs.run_hits(self._arena, hits[1:], self._space, self._stream)
                )
            except cupy.cuda.memory.OutOfMemoryError:
                # hits are of the whole group: parts of it, which need less memory, are scanned anew
                self._forget()
                spans += self._in_groups(group, partial(self._confirm_anew, first))
            else:
                spans.append(self._extract(group, found, first))
            first += int(count)
        return [np.concatenate(spans).tobytes()]

    def _in_groups(
        self, windows: Sequence[Window], work: Callable[[Sequence[Window], int], T]
    ) -> Iterator[T]:
        """`work` on all windows, or, where the device's memory does not allow that, on halves of them, and so on."""
        import cupy

        waiting = [(0, windows)]
        while waiting:
            first, group = waiting.pop()
            try:
                done = work(group, first)
            except cupy.cuda.memory.OutOfMemoryError as error:
                self._forget()
                if len(group) < 2:
                    size = sum(len(window.data) for window in group)
                    raise DeviceMemoryError(size, self.device.free_bytes()) from error
                middle = len(group) // 2
                waiting += [(first + middle, group[middle:]), (first, group[:middle])]
            else:
                yield done

    def _forget(self) -> None:
        """Give back what the device holds for arenas: what comes is smaller."""
        import cupy

        self._stream.synchronize()
        self._arena, self._space = DeviceArena(), Workspace()
        cupy.get_default_memory_pool().free_all_blocks()

    def _fused(self, windows: Sequence[Window], first: int) -> tuple[Spans, SpeculationReport]:
        self._upload(windows)
        found = self._with_matches(self.programs.run_fused(self._arena, self._space, self._stream))
        return self._extract(windows, found, first), found.report

    def _with_matches(self, found: DeviceRows) -> DeviceRows:
        """With the matches through the rows of the run just done."""
        import cupy

        if self._finder is None or not found.rows.size:
            return found
        try:
            self._finder.launch(self._arena, self._space, self._stream)
        except cupy.cuda.memory.OutOfMemoryError:
            _LOG.warning(
                "%d MiB of device memory are free, and the search for spans needs more: google-re2 searches",
                self.device.free_bytes() >> 20,
            )
            return found
        return replace(found, matches=self._finder.collect(self._space, found.rows.size, self._stream))

    def _confirm_anew(self, before: int, windows: Sequence[Window], first: int) -> Spans:
        return self._fused(windows, before + first)[0]

    def _read_hits(self, windows: Sequence[Window], first: int) -> npt.NDArray[np.uint64]:
        """How many windows, and their hits."""
        del first
        self._upload(windows)
        hits = self.programs.read_hits(self._arena, self._space, self._stream)
        return np.append(np.array([len(windows)], np.uint64), hits)

    def _upload(self, windows: Sequence[Window]) -> None:
        # pinned memory, the same for all batches: new memory costs a page fault for every 4 KiB, and a copy from it three
        # quarters of the bus's rate
        room = packed_size([len(window.data) for window in windows])
        if self._room.size < room:
            self._room = landing_place(max(room, self.dispatch_bytes))
        self._packed = arena_of(windows, self._room)
        self._arena.upload(self._packed, self._stream)

    def _extract(self, windows: Sequence[Window], found: DeviceRows, first: int) -> Spans:
        """Where the rules match in the windows for which that is confirmed or left open; `first`: the first one's number."""
        rules, starts = self.compiled.rules, self._packed.starts
        rows, spans = found.rows, []
        if found.matches is not None:
            # a part's matches go by where it begins to own them, which the device does not know
            partial = np.array([not window.is_whole for window in windows])
            found.matches["status"][partial[rows["document"]]] = OPEN
            rows, settled = settle(rows, found.matches)
            places = settled["start"] - starts[settled["document"]]
            for (w, number, _, length, slots), start in zip(settled.tolist(), places.tolist(), strict=True):
                index = rules[number].index
                spans.append((first + w, index, start, length, 0))
                seen = self.groups.setdefault(first + w, {}).setdefault(index, {})
                seen[start] = groups_in(windows[w].data, start, slots)
        for w, number, places in self.reading.pairs(rows, starts):
            index = rules[number].index
            matches = self.reading.matches(self.matchers[index], windows[w], number, places)
            spans += [(first + w, index, start, end - start, flags) for start, end, flags in matches]
        spans.sort()
        return spans_from_rows(spans)
