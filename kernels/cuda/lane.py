"""Lane: what one arena on its way through the GPU takes: its copy, its output and a stream. Several lanes overlap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vyre_dist.compiler.arena import Arena
from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.errors import DeviceMemoryError
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
        self._begun: Arena | None = None

    def start(self, arena: Arena) -> None:
        """Queue the copy of `arena` and the fused programs on it. Its data must stay as it is until `finish`.

        Nothing is waited for if the data is registered with CUDA (host_memory.py).
        """
        import cupy

        self._begun = arena
        try:
            self._arena.upload(arena, self._stream)
            self._pending = self._programs.launch_fused(self._arena, self._space, self._stream)
            self._search()
        except cupy.cuda.memory.OutOfMemoryError:
            self._pending = None  # finish takes smaller pieces

    def finish(self) -> DeviceRows:
        """Wait for what was started. Where there was too little room the programs run again, with enough.

        Where the device has too little memory for that, the arena goes in halves, and these in halves, and so on. Raises
        DeviceMemoryError when a single document is too much.
        """
        import cupy

        arena, self._begun = self._begun, None
        if arena is None:
            raise RuntimeError("a lane was asked for what it was not given: call start first")
        pending, self._pending = self._pending, None
        try:
            if pending is None:
                return self._run(arena)
            rows = pending.collect()
            if rows is None:
                rows = self._programs.run_fused(self._arena, self._space, self._stream)
                self._search()
            return self._with_matches(rows)
        except cupy.cuda.memory.OutOfMemoryError:
            return self._run_halves(arena)

    def _run(self, arena: Arena) -> DeviceRows:
        """Everything on `arena`, waited for."""
        self._arena.upload(arena, self._stream)
        rows = self._programs.run_fused(self._arena, self._space, self._stream)
        self._search()
        return self._with_matches(rows)

    def _run_halves(self, arena: Arena) -> DeviceRows:
        import cupy

        parts: list[DeviceRows] = []
        waiting = [(0, arena.documents)]
        self._forget()
        while waiting:
            low, high = waiting.pop()
            own = arena.part(low, high)
            try:
                found = self._run(own)
            except cupy.cuda.memory.OutOfMemoryError as error:
                self._forget()
                if high - low < 2:
                    raise DeviceMemoryError(own.data.size, self._programs.device.free_bytes()) from error
                middle = (low + high) // 2
                waiting += [(middle, high), (low, middle)]
                continue
            found.rows["document"] += low
            found.rows["place"] += np.uint64(arena.starts[low])
            parts.append(found)
        return DeviceRows(
            np.concatenate([part.rows for part in parts]),
            sum(part.attempted_tiles for part in parts),
            sum(part.committed_tiles for part in parts),
            None if self._spans is None else np.concatenate([part.matches for part in parts]),
        )

    def _forget(self) -> None:
        """Give back what the device holds for this lane: what comes is smaller."""
        import cupy

        self._stream.synchronize()
        self._arena, self._space = DeviceArena(), Workspace()
        cupy.get_default_memory_pool().free_all_blocks()

    def _search(self) -> None:
        if self._spans is not None:
            self._spans.launch(self._arena, self._space, self._stream)

    def _with_matches(self, rows: DeviceRows) -> DeviceRows:
        if self._spans is None:
            return rows
        return replace(rows, matches=self._spans.collect(self._space, rows.rows.size, self._stream))

    def wait(self) -> None:
        """Return when nothing is queued any more."""
        self._stream.synchronize()
