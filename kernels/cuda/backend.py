"""CudaBackend: the tables' programs on the GPU, google-re2 on what they confirm. One GPU, one pack.

Fused: scan and walk behind each other. Prefilter: the bitmap's hits are read back; confirm_serial gives them to the GPU
again, to be probed and walked. What comes out is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vyre_dist.dispatch.backend import DispatchConfig
from vyre_dist.dispatch.report import encode_counter_tail
from vyre_dist.errors import UsageError
from vyre_dist.extract import Spans, Window
from vyre_dist.extract.spans import spans_from_rows
from vyre_dist.kernels.backends import rule_matchers
from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.device import open_device
from vyre_dist.kernels.cuda.programs import CudaPrograms, DeviceRows, Workspace
from vyre_dist.kernels.cuda.reading import RowReading
from vyre_dist.kernels.programs import ScanProgram
from vyre_dist.kernels.reference import arena_of
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.program.tunables import Tunables

MAX_STEPS = 1024
"""How far an automaton walks on the GPU before the host takes over: one thread that walks far keeps a launch waiting."""

DEFAULT_TUNABLES = Tunables(threads=768, unroll=4, tile_bytes=64 << 10, bitmap_bits=20, blocks_per_sm=1)
"""What was fastest on an H100 (benchmarks/gpu_scan.py)."""


class CudaBackend:
    """One pack on the current device. Not thread-safe: one arena and one workspace."""

    name = "cuda"
    supports_speculation = True

    def __init__(
        self, compiled: CompiledPack, cache: ArtifactCache, tunables: Tunables = DEFAULT_TUNABLES
    ) -> None:
        """Compile for the device and upload. Raises DeviceUnusableError, NvrtcMissingError or UsageError."""
        import cupy

        self.compiled = compiled
        self.matchers = rule_matchers(compiled)
        self.tables = load_tables(compiled, cache)
        self.device = open_device(cache)
        self.programs = CudaPrograms(self.device, self.tables, tunables, MAX_STEPS)
        self.reading = RowReading.of(self.tables)
        self._arena = DeviceArena()
        self._space = Workspace()
        self._stream = cupy.cuda.Stream(non_blocking=True)

    def dispatch(self, program: ScanProgram, inputs: Sequence[Window], config: DispatchConfig) -> list[bytes]:
        """Run `program` on `inputs`. Raises UsageError for `confirm`: that is confirm_serial's."""
        del config
        if program.kind == "confirm":
            raise UsageError("the cuda backend confirms in confirm_serial; dispatch prefilter or fused")
        self._upload(inputs)
        if program.kind == "prefilter":
            return [self.programs.read_hits(self._arena, self._space, self._stream).tobytes()]
        found = self.programs.run_fused(self._arena, self._space, self._stream)
        return [self._extract(inputs, found).tobytes() + encode_counter_tail(found.report)]

    def confirm_serial(self, windows: Sequence[Window], outputs: Sequence[Any]) -> list[bytes]:
        """See ScanBackend."""
        self._upload(windows)
        hits = np.frombuffer(outputs[0], np.uint64)
        found = self.programs.run_hits(self._arena, hits, self._space, self._stream)
        return [self._extract(windows, found).tobytes()]

    def _upload(self, windows: Sequence[Window]) -> None:
        self._packed = arena_of(windows)
        self._arena.upload(self._packed, self._stream)

    def _extract(self, windows: Sequence[Window], found: DeviceRows) -> Spans:
        """Where the rules match in the windows for which that is confirmed or left open."""
        rules = self.compiled.rules
        rows: list[tuple[int, int, int, int, int]] = []
        for w, number, places in self.reading.pairs(found.rows, self._packed.starts):
            index = rules[number].index
            matches = self.reading.matches(self.matchers[index], windows[w], number, places)
            rows += [(w, index, start, end - start, flags) for start, end, flags in matches]
        return spans_from_rows(rows)
