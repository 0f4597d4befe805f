"""A device as the tests of the GPU programs see it, real or emulated."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emulated_cupy import EmulatedCupy
from gpu_support import found

from vyre_dist.compiler import PackTables
from vyre_dist.compiler.arena import Arena
from vyre_dist.program.tunables import Tunables

if TYPE_CHECKING:
    from vyre_dist.kernels.cuda.device import Device
    from vyre_dist.kernels.cuda.programs import CudaPrograms


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device and a stream. `emulated`: None on a real one."""

    device: Device
    stream: Any
    emulated: EmulatedCupy | None

    def amount(self, real: int, emulated: int) -> int:
        """How much a test takes: an emulated device is slow."""
        return real if self.emulated is None else emulated

    def programs(
        self, tables: PackTables, tunables: Tunables, max_steps: int = 256, **options: Any
    ) -> CudaPrograms:
        """The programs for some tables."""
        from vyre_dist.kernels.cuda.programs import CudaPrograms

        return CudaPrograms(self.device, tables, tunables, max_steps, **options)

    def every_way(self, own: CudaPrograms, arena: Arena) -> dict[str, Any]:
        """What comes out of an arena every way the programs can run."""
        from vyre_dist.kernels.cuda.arenas import DeviceArena
        from vyre_dist.kernels.cuda.workspace import Workspace

        there, space = DeviceArena(), Workspace()
        there.upload(arena, self.stream)
        return {
            "fused": found(own.run_fused(there, space, self.stream)),
            "serial": found(own.run_serial(there, space, self.stream)),
            "fused again": found(own.run_fused(there, space, self.stream)),
        }


def fill_device(device: Device, left_bytes: int) -> list[Any]:
    """What takes all of the device's memory but `left_bytes`; to be emptied by who asked.

    What earlier tests have left, in cycles and in CuPy's pool, is given back before: given back
    afterwards it would be room that there should not be.
    """
    import cupy
    import numpy as np

    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    hog = [cupy.empty(device.free_bytes() - left_bytes, np.uint8)]
    assert abs(device.free_bytes() - left_bytes) < 8 << 20
    return hog
