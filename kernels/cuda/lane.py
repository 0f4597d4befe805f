"""Lane: what one arena on its way through the GPU takes: its copy, its output and a stream. Several lanes overlap."""

from __future__ import annotations

from dataclasses import replace

from vyre_dist.compiler.arena import Arena
from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.pending import DeviceRows, PendingRun
from vyre_dist.kernels.cuda.programs import CudaPrograms
from vyre_dist.kernels.cuda.spans import Spans
from vyre_dist.kernels.cuda.workspace import Workspace


class Lane:
    """Not thread-safe; one arena at a time."""

    def __init__(self, programs: CudaPrograms, reserve_bytes: int, spans: Spans | None = None) -> None:
        """`reserve_bytes`: room for arenas of this size is made at once. `spans`: to search for the rows' matches, too."""
        import cupy

        self._programs, self._spans = programs, spans
        self._arena = DeviceArena()
        self._arena.reserve(reserve_bytes)
        self._space = Workspace()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._pending: PendingRun | None = None

    def start(self, arena: Arena) -> None:
        """Queue the copy of `arena` and the fused programs on it. Its data must stay as it is until `finish`.

        Nothing is waited for if the data is registered with CUDA (host_memory.py).
        """
        self._arena.upload(arena, self._stream)
        self._pending = self._programs.launch_fused(self._arena, self._space, self._stream)
        self._search()

    def finish(self) -> DeviceRows:
        """Wait for what was started. Where there was too little room the programs run again, with enough."""
        if self._pending is None:
            raise RuntimeError("a lane was asked for what it was not given: call start first")
        rows = self._pending.collect()
        self._pending = None
        if rows is None:
            rows = self._programs.run_fused(self._arena, self._space, self._stream)
            self._search()
        if self._spans is None:
            return rows
        return replace(rows, matches=self._spans.collect(self._space, rows.rows.size, self._stream))

    def _search(self) -> None:
        if self._spans is not None:
            self._spans.launch(self._arena, self._space, self._stream)

    def wait(self) -> None:
        """Return when nothing is queued any more."""
        self._stream.synchronize()
