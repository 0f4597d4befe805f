"""WarmingBackend: the cpu backend until another process's GPU is ready, then the cuda backend.

CUDA takes a while to start: many a scan is over before. Both find the same. Until then nothing is
loaded for the GPU either, not even NumPy.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vyre_dist.autotune.choice import Choice
from vyre_dist.errors import WorkerUnusableError
from vyre_dist.extract import Window
from vyre_dist.extract.file_windows import bounds_of
from vyre_dist.kernels.backends import cpu_backend_class
from vyre_dist.kernels.cuda.faster import FasterOfTwo
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome, StartedDispatch
from vyre_dist.kernels.scan_backend import (
    PrefilterOutput,
    ScanBackend,
    ScanPrograms,
    checked_output,
)
from vyre_dist.kernels.tuned import ELSEWHERE, READY
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.program.program_facts import ProgramFacts

if TYPE_CHECKING:
    from vyre_dist.kernels.cuda.backend import CudaBackend
    from vyre_dist.kernels.cuda.remote_lane import RemoteLane

_DISPATCH_BYTES = 64 << 20
"""Of one dispatch, as the cuda backend's; that would have to be imported to be asked."""

_TRIAL_BYTES = 8 << 20
"""Of one to a GPU that may turn out to be the slower one: all workers try it at the same time."""


@dataclass(frozen=True, slots=True)
class ListedBy(PrefilterOutput):
    """What one of the two backends listed."""

    backend: ScanBackend
    output: PrefilterOutput


@dataclass(frozen=True, slots=True)
class _Gpu:
    lane: RemoteLane
    backend: CudaBackend


class WarmingBackend:
    """`address`: where the GPU's process will have its socket; see BackendOptions. May be changed
    until the first dispatch. `measured`: the GPU is used only as long as it is the faster one.

    Where the process is gone the processor goes on, until there is another one.
    """

    name = "cuda"
    supports_speculation = True

    def __init__(
        self, compiled: CompiledPack, cache: ArtifactCache, address: str, *, measured: bool = False
    ) -> None:
        self.compiled, self.address = compiled, address
        self._cache = cache
        self._cpu = cpu_backend_class()(compiled, cache)
        self.matchers = self._cpu.matchers
        self.most_bytes = max(_DISPATCH_BYTES, self._cpu.most_bytes)
        self._faster = FasterOfTwo() if measured else None
        self._memory: tuple[int, mmap.mmap] | None = None
        self._gpu: _Gpu | None = None
        self._facts: ProgramFacts | None = None
        self._ready = False  # when it was last asked: asking takes as long as to read a file

    @property
    def warm(self) -> bool:
        """See ScanBackend. With two that are measured, the processor's times are meant."""
        return self._faster is not None or self._look()

    def _look(self) -> bool:
        """Whether the GPU is ready. Waits for nothing."""
        self._ready = False
        try:
            gpu = self._opened()
            self._ready = gpu is not None and gpu.lane.ready()
        except WorkerUnusableError:
            self._hang_up()
        return self._ready

    def _opened(self) -> _Gpu | None:
        """What dispatches to the GPU; None as long as there is no process that was ready."""
        if self._gpu is None and os.path.exists(self.address):
            from vyre_dist.kernels.cuda.backend import CudaBackend
            from vyre_dist.kernels.cuda.remote_lane import RemoteLane

            lane = RemoteLane(self.address)
            backend = CudaBackend(self.compiled, self._cache, lane, _DISPATCH_BYTES)
            if self._memory is not None:
                file, memory = self._memory
                lane.adopt("read", memory, file)
                backend.read_memory(len(memory))
            self._gpu = _Gpu(lane, backend)
        return self._gpu

    def _hang_up(self) -> None:
        self._ready = False
        if self._gpu is not None:
            self._gpu.lane.hang_up()

    @property
    def programs(self) -> ScanPrograms:
        """See ScanBackend: the cpu backend's until the GPU is ready."""
        return self._next().programs

    @property
    def facts(self) -> ProgramFacts | None:
        """See ScanBackend: with two that are measured, the cpu backend's."""
        if self._faster is not None:
            return self._cpu.facts
        if self._ready and self._gpu is not None:
            self._facts = self._gpu.backend.facts
        return self._facts

    def prepare(self, choice: Choice) -> str:
        """See ScanBackend. Choices are for the backend that `facts` are of."""
        if choice.is_default:
            return READY
        own = self._next()
        if (own is self._cpu) is (self._faster is None):
            return ELSEWHERE
        try:
            return own.prepare(choice)
        except WorkerUnusableError:
            self._hang_up()
        return ELSEWHERE

    def choose(self, choice: Choice) -> None:
        """See ScanBackend."""
        try:
            self._next().choose(choice)
        except WorkerUnusableError:
            self._hang_up()

    @contextmanager
    def alone(self) -> Iterator[ScanBackend | None]:
        """See ScanBackend."""
        own = self._chosen()
        if (own is self._cpu) is (self._faster is None):
            yield None
            return
        try:
            yield own
        finally:
            if self._faster is not None:
                self._faster.skip()

    def read_memory(self, size: int) -> memoryview:
        """See ScanBackend. It is what the GPU's process maps when there is one."""
        if self._gpu is not None:
            return self._gpu.backend.read_memory(size)
        file = os.memfd_create("vyre-arena", os.MFD_CLOEXEC)
        try:
            os.ftruncate(file, size)
            self._memory = file, mmap.mmap(file, size)
        except OSError:
            os.close(file)
            raise
        return memoryview(self._memory[1])

    @property
    def dispatch_bytes(self) -> int:
        """See ScanBackend."""
        size = self._next().dispatch_bytes
        trying = self._ready and self._faster is not None and self._faster.trying
        return min(size, _TRIAL_BYTES) if trying else size

    @property
    def dispatch_windows(self) -> int:
        """See ScanBackend."""
        return self._next().dispatch_windows

    def _next(self) -> ScanBackend:
        """Who will have the next dispatch, as far as it is known."""
        gpu_next = self._ready and (self._faster is None or self._faster.gpu_next)
        return self._gpu.backend if gpu_next and self._gpu is not None else self._cpu

    def _chosen(self) -> ScanBackend:
        """The one for a dispatch: the GPU is asked first."""
        self._look()
        return self._next()

    def run_fused(self, windows: Sequence[Window]) -> DispatchOutcome:
        """See ScanBackend; on the GPU if that is ready."""
        started = self.start_fused(windows)
        return started if isinstance(started, DispatchOutcome) else started()

    def start_fused(self, windows: Sequence[Window]) -> StartedDispatch:
        """See ScanBackend; on the GPU if that is ready."""
        backend = self._chosen()
        try:
            started = backend.start_fused(windows) if backend is not self._cpu else None
        except WorkerUnusableError:
            self._hang_up()
            started = None
        if started is None:
            with self._timed(self._cpu, windows):
                return self._cpu.run_fused(windows)
        return lambda: self._waited_for(backend, started, windows)

    def _waited_for(
        self, backend: ScanBackend, started: StartedDispatch, windows: Sequence[Window]
    ) -> DispatchOutcome:
        """The outcome of a dispatch that was begun on the GPU; the processor's if that is gone."""
        with self._timed(backend, windows):
            try:
                return started if isinstance(started, DispatchOutcome) else started()
            except WorkerUnusableError:
                self._hang_up()
        return self._cpu.run_fused(windows)

    def run_prefilter(self, windows: Sequence[Window]) -> ListedBy:
        """See ScanBackend; on the GPU if that is ready."""
        backend = self._chosen()
        with self._faster.part() if self._faster is not None else nullcontext():
            try:
                return ListedBy(backend, backend.run_prefilter(windows))
            except WorkerUnusableError:
                self._hang_up()
        return ListedBy(self._cpu, self._cpu.run_prefilter(windows))

    def confirm(self, windows: Sequence[Window], output: PrefilterOutput) -> DispatchOutcome:
        """See ScanBackend; by whoever listed the candidates."""
        listed = checked_output(ListedBy, output)
        with self._timed(listed.backend, windows):
            try:
                return listed.backend.confirm(windows, listed.output)
            except WorkerUnusableError:
                self._hang_up()
        return self._cpu.confirm(windows, self._cpu.run_prefilter(windows))

    def _timed(
        self, backend: ScanBackend, windows: Sequence[Window]
    ) -> AbstractContextManager[None]:
        if self._faster is None:
            return nullcontext()
        starts, ends = bounds_of(windows)
        size = sum(ends) - sum(starts)
        return self._faster.dispatch(backend is not self._cpu, size)
