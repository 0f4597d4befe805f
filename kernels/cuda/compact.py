"""Launches compact.cuh: from the prefilter's bits to one list of hits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.instances import HITS, STRETCH, Instance
from vyre_dist.kernels.cuda.workspace import Workspace, pointer
from vyre_dist.program.tunables import Tunables

_THREADS = 256
_BLOCKS_PER_SM = 8


def instance(tunables: Tunables) -> Instance:  # noqa: ARG001 (one signature for all)
    """(Stretch, masks, blocks, has_blocks, Lists of hits)."""
    masks = ("const vyre::u8* masks", "const vyre::u32* blocks", "vyre::u32 has_blocks")
    return Instance.of(
        "compact", (_THREADS,), (STRETCH, *masks, HITS), blocks_per_sm=_BLOCKS_PER_SM
    )


class Compact:
    """`has_runs`: whether the prefilter's blocks say anything."""

    def __init__(self, device: Device, tunables: Tunables, has_runs: bool) -> None:
        self._kernel = device.kernel(instance(tunables))
        self._has_blocks = np.uint32(has_runs)

    def launch(
        self,
        stream: Any,
        stretch: npt.NDArray[np.void],
        space: Workspace,
        hits: npt.NDArray[np.void],
        length: Any,
    ) -> None:
        """Queue the kernel on the prefilter's bits. `length`: the list's length, a device array."""
        masks, blocks = space.reserve("masks", np.uint8, 0), space.reserve("blocks", np.uint32, 0)
        with stream:
            length.fill(0)
        self._kernel(stream, stretch, pointer(masks), pointer(blocks), self._has_blocks, hits)
