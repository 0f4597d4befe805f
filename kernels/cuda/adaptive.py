"""AdaptivePrograms: each arena fused or serial, by speculators with measured thresholds.

How much fused gains or loses depends on how dense the rows are. A commit rate by tiles tells that
only while few tiles have any. So each class of density has a speculator, and the class of an arena
decides about the next one.

A new class is in trial: its arenas take both paths in turn, and each one's time counts for the
class that it turns out to be of. If fused is not slower, it is worth it at any commit rate. If it
is, the rate at which it would break even follows from the times (calibrate.py); where there is no
such rate, only probes are fused. From then on the speculator learns from every counter tail. While
it says no, one arena in `probe_every` is fused all the same.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from vyre_dist.autotune.calibrate import break_even_pct
from vyre_dist.dispatch.backend import DispatchConfig, SpeculationMode
from vyre_dist.dispatch.prefilter_confirm import SpeculationPlan, dispatch_prefilter_confirm
from vyre_dist.dispatch.report import (
    COUNTER_TAIL_BYTES,
    ByteBuffer,
    MergedReport,
    SpeculationReport,
    as_bytes_view,
)
from vyre_dist.dispatch.speculator import AdaptiveSpeculator, ProbingSpeculator
from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.pending import DeviceRows
from vyre_dist.kernels.cuda.programs import CudaPrograms
from vyre_dist.kernels.cuda.workspace import Workspace
from vyre_dist.program.scan_program import ScanProgram
from vyre_dist.rows.layout import ROW_DTYPE

TRIALS = 3
"""Arenas that are timed on each path, after one that warms each up; the median of their times
counts.
"""

PROBE_PRICE = 200
"""Probes cost a 200th of the time at most."""

_MOST_TURNS = 8 * (TRIALS + 1)

_NEVER_PCT = 1000
_PPM_PER_PCT = 10_000
_LANES = (SpeculationMode.FORCE, SpeculationMode.DISABLE)


class _Class:
    """What is known of one class of density. `in_trial`: whether the two paths still take turns."""

    def __init__(self, probe_every: int) -> None:
        self._probe_every = probe_every
        self.speculator = ProbingSpeculator(AdaptiveSpeculator(), probe_every)
        self._turn = 0
        self._times: dict[SpeculationMode, list[int]] = {
            mode: [] for mode in _LANES
        }  # picoseconds a byte
        self.tails = MergedReport()
        self.in_trial = True

    def next_lane(self) -> SpeculationMode:
        """The next arena's path while the class is in trial. A trial in which too few arenas turn
        out to be of this class is given up: then the commit rate decides.
        """
        self._turn += 1
        self.in_trial = self._turn < _MOST_TURNS
        return _LANES[(self._turn - 1) % 2]

    def count(self, fused_path: bool, nanoseconds: int, size: int) -> None:
        """An arena of this class took so long on that path."""
        mode = SpeculationMode.FORCE if fused_path else SpeculationMode.DISABLE
        if len(self._times[mode]) < _MOST_TURNS:
            self._times[mode].append(nanoseconds * 1000 // max(1, size))
        if min(map(len, self._times.values())) <= TRIALS:
            return
        self.in_trial = False
        # the first of each path warms up
        fused, serial = (statistics.median_low(self._times[each][1:]) for each in _LANES)
        pct, every = 0, self._probe_every
        if fused > serial:
            even = break_even_pct(self.tails, fused, serial)
            # a rate within the speculator's margin of what is seen, or beyond what can be: serial,
            # but for probes
            near = even is None or self.tails.commit_rate_ppm * 5 >= even * _PPM_PER_PCT * 4
            pct = _NEVER_PCT if near or even is None else even
            # the dearer a probe, the rarer
            every = max(every, (fused - serial) * PROBE_PRICE // max(1, serial))
        self.speculator = ProbingSpeculator(AdaptiveSpeculator(pct), every)
        while pct == _NEVER_PCT and self.speculator.speculator.should_speculate:
            # it begins with yes: let it see what it will see
            self.speculator.record(SpeculationReport.from_counts(0, 1))


class AdaptivePrograms:
    """A Backend of the dispatch core whose inputs are arenas on the device. Not thread-safe."""

    name = "cuda arenas"
    supports_speculation = True

    def __init__(
        self,
        programs: CudaPrograms,
        stream: object,
        pack_key: str,
        probe_every: int = 64,
        space: Workspace | None = None,
    ) -> None:
        """`space`: buffers to use, if others use them, too, one after the other."""
        self._programs, self._stream, self._space = programs, stream, space or Workspace()
        fused, prefilter = (
            ScanProgram(kind, pack_key, programs.tunables) for kind in ("fused", "prefilter")
        )
        self._plan = SpeculationPlan(fused, prefilter, 0, True)
        # made when first asked for: each run would pay for one that is made in vain
        self._classes: defaultdict[int, _Class] = defaultdict(lambda: _Class(probe_every))
        self._density = 0
        self.paths: list[bool] = []

    def run(self, arena: DeviceArena, mode: SpeculationMode = SpeculationMode.AUTO) -> DeviceRows:
        """The arena's rows, and tiles on the fused path. `mode`: AUTO, or a fixed path."""
        own = self._classes[self._density]
        lane = own.next_lane() if own.in_trial and mode is SpeculationMode.AUTO else mode
        began = time.perf_counter_ns()
        outcome = dispatch_prefilter_confirm(
            self, own.speculator, self._plan, [arena], DispatchConfig(lane), self._confirm
        )
        spent = time.perf_counter_ns() - began
        rows = np.frombuffer(as_bytes_view(outcome.outputs[0]), ROW_DTYPE)
        report = outcome.report or SpeculationReport.from_counts(0, 0)
        if mode is SpeculationMode.AUTO:
            self.paths.append(outcome.used_speculative_path)
            self._density = density_class(rows.size, arena.size)
            was = self._classes[self._density]
            if was.in_trial:
                was.tails += MergedReport.of(report)
                was.count(outcome.used_speculative_path, spent, arena.size)
        return DeviceRows(rows, report.attempted_tiles, report.committed_tiles)

    def dispatch(
        self, program: ScanProgram, inputs: Sequence[DeviceArena], config: DispatchConfig
    ) -> list[ByteBuffer]:
        """Fused: rows and the counter tail. Prefilter: the capacity of the list of hits, which
        stays on the device.
        """
        del config
        (arena,) = inputs
        if program.kind == "fused":
            found = self._programs.run_fused(arena, self._space, self._stream)
            return [_bytes_of(found)]
        self._waiting = arena
        self._hits = self._programs.list_hits(arena, 0, self._space, self._stream)
        return [b"" if self._hits is None else self._hits["capacity"].tobytes()]

    def _confirm(self, outputs: Sequence[ByteBuffer]) -> list[ByteBuffer]:
        del outputs
        found = self._programs.confirm_hits(self._waiting, self._space, self._stream, self._hits)
        return [_bytes_of(found)[:-COUNTER_TAIL_BYTES]]


def _bytes_of(found: DeviceRows) -> ByteBuffer:
    """Rows and counter tail, not copied."""
    if found.output is None:
        raise AssertionError("rows that came from nowhere")
    return found.output


def density_class(rows: int, size: int) -> int:
    """The power of two of an arena's rows per MiB; 0 for less than one."""
    return (rows * (1 << 20) // max(1, size)).bit_length()
