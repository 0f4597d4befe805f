"""Launches content.cuh: what pieces of documents hold, without the host reading them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.host_memory import landing_buffer
from vyre_dist.kernels.cuda.instances import STRETCH, Instance
from vyre_dist.kernels.cuda.workspace import Workspace, pointer
from vyre_dist.program.tunables import Tunables
from vyre_dist.rows.layout import CONTENT_DTYPE

_THREADS = 256
_BLOCKS_PER_SM = 4


def instance(tunables: Tunables) -> Instance:  # noqa: ARG001 (one signature for all)
    """(Stretch of the whole arena, pieces, their count, the blocks that they have, contents)."""
    parameters = (
        STRETCH,
        "const vyre::Piece* pieces",
        "vyre::u32 count",
        "vyre::u32 blocks",
        "vyre::Content* contents",
    )
    return Instance.of("content", (_THREADS,), parameters, blocks_per_sm=_BLOCKS_PER_SM)


class ContentSearch:
    """The kernel; it is the same for all packs."""

    def __init__(self, device: Device, tunables: Tunables) -> None:
        self._kernel = device.kernel(instance(tunables))

    def launch(self, arena: DeviceArena, space: Workspace, stream: Any) -> None:
        """Queue it for the arena's pieces, of which there is one at least."""
        size = arena.content_blocks * CONTENT_DTYPE.itemsize
        contents = space.reserve("contents", np.uint8, size)
        with stream:
            contents[:size] = 0
        self._kernel(
            stream,
            arena.whole(),
            np.uint64(arena.index_address("pieces")),
            np.uint32(arena.pieces),
            np.uint32(arena.content_blocks),
            pointer(contents),
            grid=min(self._kernel.grid, arena.content_blocks),
        )

    @staticmethod
    def collect(arena: DeviceArena, space: Workspace, stream: Any) -> npt.NDArray[np.void]:
        """CONTENT_DTYPE [blocks of all pieces]; waits for them."""
        size = arena.content_blocks * CONTENT_DTYPE.itemsize
        found = landing_buffer(size)
        space.reserve("contents", np.uint8, 0)[:size].get(stream=stream, out=found)
        return found.view(CONTENT_DTYPE)
