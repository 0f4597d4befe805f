"""WarmingBackend: the cpu backend until another process's GPU is ready, then the cuda backend.

CUDA takes a while to start: many a scan is over before. Both find the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vyre_dist.extract import Window
from vyre_dist.kernels.backends import cpu_backend_class
from vyre_dist.kernels.cuda.backend import CudaBackend
from vyre_dist.kernels.cuda.remote_lane import RemoteLane
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome, StartedDispatch
from vyre_dist.kernels.scan_backend import (
    PrefilterOutput,
    ScanBackend,
    ScanPrograms,
    checked_output,
)
from vyre_dist.program import ArtifactCache, CompiledPack

_DISPATCH_BYTES = 32 << 20
"""Of one dispatch to a GPU that several share: they overlap each other, and less memory of each has
to be registered.
"""


@dataclass(frozen=True, slots=True)
class ListedBy(PrefilterOutput):
    """What one of the two backends listed."""

    backend: ScanBackend
    output: PrefilterOutput


class WarmingBackend:
    """`gpu`: see BackendOptions. Methods raise WorkerUnusableError when that process is gone."""

    name = "cuda"
    supports_speculation = True

    def __init__(self, compiled: CompiledPack, cache: ArtifactCache, gpu: str) -> None:
        self.compiled = compiled
        self._lane = RemoteLane(gpu)
        self._cuda = CudaBackend(compiled, cache, self._lane, _DISPATCH_BYTES)
        self._cpu = cpu_backend_class()(compiled, cache)
        self.matchers = self._cuda.matchers
        self.most_bytes = max(self._cuda.most_bytes, self._cpu.most_bytes)
        self._ready = False  # when it was last asked: asking takes as long as to read a file

    @property
    def warm(self) -> bool:
        """See ScanBackend."""
        self._ready = self._lane.ready()
        return self._ready

    @property
    def programs(self) -> ScanPrograms:
        """See ScanBackend: the cpu backend's until the GPU is ready."""
        return self._next().programs

    def read_memory(self, size: int) -> memoryview:
        """See ScanBackend."""
        return self._cuda.read_memory(size)

    @property
    def dispatch_bytes(self) -> int:
        """See ScanBackend."""
        return self._next().dispatch_bytes

    @property
    def dispatch_windows(self) -> int:
        """See ScanBackend."""
        return self._next().dispatch_windows

    def _next(self) -> ScanBackend:
        return self._cuda if self._ready else self._cpu

    def run_fused(self, windows: Sequence[Window]) -> DispatchOutcome:
        """See ScanBackend; on the GPU if that is ready."""
        return self._chosen().run_fused(windows)

    def start_fused(self, windows: Sequence[Window]) -> StartedDispatch:
        """See ScanBackend; on the GPU if that is ready."""
        return self._chosen().start_fused(windows)

    def run_prefilter(self, windows: Sequence[Window]) -> ListedBy:
        """See ScanBackend; on the GPU if that is ready."""
        backend = self._chosen()
        return ListedBy(backend, backend.run_prefilter(windows))

    def confirm(self, windows: Sequence[Window], output: PrefilterOutput) -> DispatchOutcome:
        """See ScanBackend; by whoever listed the candidates."""
        listed = checked_output(ListedBy, output)
        return listed.backend.confirm(windows, listed.output)

    def _chosen(self) -> ScanBackend:
        """The one for a dispatch: the GPU is asked first."""
        return self._cuda if self.warm else self._cpu
