"""WarmingBackend: the cuda backend of a GPU that another process owns and, until that is ready, the
cpu backend.

CUDA takes a while to start: many a scan is over before. Both find the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vyre_dist.dispatch.backend import DispatchConfig
from vyre_dist.extract import Window
from vyre_dist.kernels.cpu import CpuBackend
from vyre_dist.kernels.cuda.backend import CudaBackend
from vyre_dist.kernels.cuda.remote_lane import RemoteLane
from vyre_dist.kernels.programs import ScanProgram
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.rules.finder import Groups

_DISPATCH_BYTES = 32 << 20
"""Of one dispatch to a GPU that several share: they overlap each other, and less memory of each has
to be registered.
"""


class WarmingBackend:
    """`gpu`: see BackendOptions. Raises WorkerUnusableError when that process is gone. Not
    thread-safe.
    """

    name = "cuda"
    supports_speculation = True

    def __init__(self, compiled: CompiledPack, cache: ArtifactCache, gpu: str) -> None:
        self.compiled = compiled
        self._lane = RemoteLane(gpu)
        self._cuda = CudaBackend(compiled, cache, self._lane, _DISPATCH_BYTES)
        self._cpu = CpuBackend(compiled, cache)
        self.matchers = self._cuda.matchers
        self.most_bytes = max(self._cuda.most_bytes, self._cpu.most_bytes)
        self._latest: CudaBackend | CpuBackend = self._cpu
        self._ready = False  # when it was last asked: asking takes as long as to read a file

    @property
    def warm(self) -> bool:
        """See ScanBackend."""
        self._ready = self._lane.ready()
        return self._ready

    @property
    def used(self) -> str:
        """See ScanBackend."""
        return self._latest.name

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

    @property
    def groups(self) -> Mapping[int, Mapping[int, Mapping[int, Groups]]]:
        """See ScanBackend."""
        return self._latest.groups

    def _next(self) -> CudaBackend | CpuBackend:
        return self._cuda if self._ready else self._cpu

    def dispatch(
        self, program: ScanProgram, inputs: Sequence[Window], config: DispatchConfig
    ) -> list[bytes]:
        """Run `program` on `inputs`, on the GPU if that is ready."""
        self._latest = self._cuda if self.warm else self._cpu
        return self._latest.dispatch(program, inputs, config)

    def confirm_serial(self, windows: Sequence[Window], outputs: Sequence[Any]) -> list[bytes]:
        """See ScanBackend; by whoever made the outputs."""
        return self._latest.confirm_serial(windows, outputs)
