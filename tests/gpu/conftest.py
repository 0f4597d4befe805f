"""What the tests on a GPU share. They are skipped where there is none, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gpu_support import found

from vyre_dist.compiler import PackTables
from vyre_dist.compiler.arena import Arena
from vyre_dist.program import ArtifactCache
from vyre_dist.program.tunables import Tunables


@pytest.fixture(scope="session")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The device, a stream, and a function that runs an arena every way the programs can."""
    from vyre_dist.kernels.cuda.device import DeviceUnusableError, open_device
    from vyre_dist.kernels.cuda.nvrtc import NvrtcMissingError

    try:
        device = open_device(ArtifactCache(str(tmp_path_factory.mktemp("cubins"))))
    except (DeviceUnusableError, NvrtcMissingError) as error:
        pytest.skip(str(error))
    import cupy

    from vyre_dist.kernels.cuda.arenas import DeviceArena
    from vyre_dist.kernels.cuda.programs import CudaPrograms
    from vyre_dist.kernels.cuda.workspace import Workspace

    stream = cupy.cuda.Stream(non_blocking=True)

    def programs(
        tables: PackTables, tunables: Tunables, max_steps: int = 256, **options: Any
    ) -> CudaPrograms:
        return CudaPrograms(device, tables, tunables, max_steps, **options)

    def every_way(own: CudaPrograms, arena: Arena) -> dict[str, Any]:
        there, space = DeviceArena(), Workspace()
        there.upload(arena, stream)
        hits = own.read_hits(there, space, stream)
        return {
            "fused": found(own.run_fused(there, space, stream)),
            "serial": found(own.run_serial(there, space, stream)),
            "from hits": found(own.run_hits(there, hits, space, stream)),
            "fused again": found(own.run_fused(there, space, stream)),
        }

    yield SimpleNamespace(device=device, stream=stream, programs=programs, every_way=every_way)
