"""CudaBackend: the tables' programs on the GPU, google-re2 on what they confirm. One GPU, one pack.

Fused: scan and walk behind each other. Prefilter: the bitmap's hits are read back; confirm_serial gives them to the GPU
again, to be probed and walked. What comes out is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.rule_program import Route
from vyre_dist.compiler.tables import NOT_STORED
from vyre_dist.dispatch.backend import DispatchConfig
from vyre_dist.dispatch.report import encode_counter_tail
from vyre_dist.errors import UsageError
from vyre_dist.extract import Spans, Window
from vyre_dist.extract.places import matches_at_places
from vyre_dist.extract.spans import spans_from_rows
from vyre_dist.kernels.backends import rule_matchers
from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.device import open_device
from vyre_dist.kernels.cuda.programs import CudaPrograms, DeviceRows, Workspace
from vyre_dist.kernels.cuda.structs import HOST
from vyre_dist.kernels.programs import ScanProgram
from vyre_dist.kernels.reference import arena_of
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.program.tunables import Tunables

MAX_STEPS = 1024
"""How far an automaton walks on the GPU before the host takes over: one thread that walks far keeps a launch waiting."""

DEFAULT_TUNABLES = Tunables(threads=768, unroll=4, tile_bytes=64 << 10, bitmap_bits=20, blocks_per_sm=1)
"""What was fastest on an H100 (benchmarks/gpu_scan.py)."""

ANYWHERE = -1


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
        self.everywhere = unplaced_rules(self.tables.routes, self.tables.anchored())
        self.backs = [None if back == NOT_STORED else back for back in self.tables.backs.tolist()]
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
        for w, number, places in placed_pairs(
            found.rows, self._packed, self.everywhere, self.tables.runs["rule"]
        ):
            index = rules[number].index
            matcher, window = self.matchers[index], windows[w]
            if places and places[0] == ANYWHERE:
                matches = list(matcher.iter_matches(window))
            else:
                matches = matches_at_places(matcher, window, places, self.backs[number])
            rows += [(w, index, start, end - start, flags) for start, end, flags in matches]
        return spans_from_rows(rows)


def unplaced_rules(routes: npt.NDArray[np.uint8], anchored: npt.NDArray[np.bool_]) -> list[int]:
    """The rules for which the programs say nothing: the host looks for them in every document."""
    return np.flatnonzero((routes == Route.ALWAYS_ON) | ((routes == Route.HOST) & ~anchored)).tolist()


def placed_pairs(
    rows: npt.NDArray[np.void], arena: Arena, everywhere: Sequence[int], by_run: npt.NDArray[np.uint32]
) -> list[tuple[int, int, list[int]]]:
    """(document, rule, places in the document, ascending) for all that was confirmed or left open, in order.

    Places are [ANYWHERE] for the rules of `everywhere`, in every document, and for those that were found by a run: its
    start is not in every match.
    """
    keys = np.empty((rows.size, 3), np.int64)
    keys[:, 0], keys[:, 1] = rows["document"], rows["rule"] & np.uint32(~HOST & 0xFFFF_FFFF)
    keys[:, 2] = rows["place"].astype(np.int64) - arena.starts[rows["document"]]
    keys[np.isin(keys[:, 1], by_run), 2] = ANYWHERE
    if everywhere:
        pairs = np.array([(d, r, ANYWHERE) for d in range(arena.documents) for r in everywhere], np.int64)
        keys = np.concatenate((keys, pairs.reshape(-1, 3)))
    keys = np.unique(keys, axis=0)
    if not keys.size:
        return []
    cuts = np.flatnonzero((keys[1:, :2] != keys[:-1, :2]).any(axis=1)) + 1
    places = np.split(keys[:, 2], cuts)
    firsts = keys[np.append(0, cuts), :2].tolist()
    return [(d, r, own.tolist()) for (d, r), own in zip(firsts, places, strict=True)]
