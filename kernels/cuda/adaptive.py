"""AdaptivePrograms: fused or serial for each arena, as the speculator says; a race on real arenas sets its threshold.

The first arenas are run both ways, in turn, and timed. If fused is not the slower one, it is worth it at any commit
rate; else the rate at which it would break even follows from the times (calibrate.py). From then on the speculator learns
from every counter tail, and while it says no, one arena in `probe_every` is fused all the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from vyre_dist.autotune.calibrate import break_even_pct
from vyre_dist.dispatch.backend import DispatchConfig, SpeculationMode
from vyre_dist.dispatch.prefilter_confirm import SpeculationPlan, dispatch_prefilter_confirm
from vyre_dist.dispatch.report import ByteBuffer, MergedReport, as_bytes_view, encode_counter_tail
from vyre_dist.dispatch.speculator import AdaptiveSpeculator, ProbingSpeculator
from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.programs import CudaPrograms, DeviceRows, Workspace
from vyre_dist.kernels.cuda.structs import ROW_DTYPE
from vyre_dist.kernels.programs import ScanProgram

RACES = 2
"""Arenas that are timed on each path, after one that warms each up."""

_LANES = (SpeculationMode.FORCE, SpeculationMode.DISABLE)


class AdaptivePrograms:
    """A Backend of the dispatch core whose inputs are arenas on the device. Not thread-safe."""

    name = "cuda arenas"
    supports_speculation = True

    def __init__(self, programs: CudaPrograms, stream: object, pack_key: str, probe_every: int = 64) -> None:
        self._programs, self._stream, self._space = programs, stream, Workspace()
        self._plan = SpeculationPlan(
            ScanProgram("fused", pack_key), ScanProgram("prefilter", pack_key), 0, True
        )
        self._probe_every = probe_every
        self.speculator = ProbingSpeculator(AdaptiveSpeculator(), probe_every)
        self._turn = 0
        self._best = {mode: [0, 0] for mode in _LANES}  # nanoseconds, bytes
        self._tails = MergedReport()
        self.paths: list[bool] = []

    def run(self, arena: DeviceArena, mode: SpeculationMode = SpeculationMode.AUTO) -> DeviceRows:
        """The arena's rows. `mode` other than AUTO fixes the path; such runs take no part in the race."""
        lane = mode
        if mode is SpeculationMode.AUTO and self._turn < 2 * (RACES + 1):
            lane = _LANES[self._turn % 2]
        began = time.perf_counter_ns()
        outcome = dispatch_prefilter_confirm(
            self, self.speculator, self._plan, [arena], DispatchConfig(lane), self._confirm
        )
        if mode is SpeculationMode.AUTO:
            self._after(lane, time.perf_counter_ns() - began, arena.size)
            self.paths.append(outcome.used_speculative_path)
        rows = np.frombuffer(as_bytes_view(outcome.outputs[0]), ROW_DTYPE)
        report = outcome.report
        return DeviceRows(
            rows,
            0 if report is None else report.attempted_tiles,
            0 if report is None else report.committed_tiles,
        )

    def _after(self, lane: SpeculationMode, nanoseconds: int, size: int) -> None:
        if self._turn >= 2 * (RACES + 1):
            return
        if self._turn >= 2:
            self._best[lane][0] += nanoseconds
            self._best[lane][1] += size
        self._turn += 1
        if self._turn == 2 * (RACES + 1):
            (fused, fused_bytes), (serial, serial_bytes) = (self._best[each] for each in _LANES)
            fused_ns, serial_ns = fused * 1000 // max(1, fused_bytes), serial * 1000 // max(1, serial_bytes)
            pct: int | None = 0
            if fused_ns > serial_ns:
                pct = break_even_pct(self._tails, fused_ns, serial_ns)
            self.speculator = ProbingSpeculator(AdaptiveSpeculator.calibrated(pct), self._probe_every)

    def dispatch(
        self, program: ScanProgram, inputs: Sequence[DeviceArena], config: DispatchConfig
    ) -> list[ByteBuffer]:
        """Fused: rows and the counter tail. Prefilter: how many hits were listed; the list stays on the device."""
        del config
        (arena,) = inputs
        if program.kind == "fused":
            found = self._programs.run_fused(arena, self._space, self._stream)
            if self._turn < 2 * (RACES + 1):
                self._tails += MergedReport.of(found.report)
            return [found.rows.tobytes() + encode_counter_tail(found.report)]
        self._waiting = arena
        self._hits = self._programs.list_hits(arena, 0, self._space, self._stream)
        return [b"" if self._hits is None else self._hits["capacity"].tobytes()]

    def _confirm(self, outputs: Sequence[ByteBuffer]) -> list[ByteBuffer]:
        del outputs
        found = self._programs.confirm_hits(self._waiting, self._space, self._stream, self._hits)
        return [found.rows.tobytes()]
