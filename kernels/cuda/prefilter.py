"""Launches prefilter.cuh: the bitmap's answers as bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.instances import STRETCH, TABLES, Instance, bitmap_template
from vyre_dist.kernels.cuda.workspace import Workspace, pointer
from vyre_dist.program.tunables import Tunables


def instance(tunables: Tunables) -> Instance:
    """(Tables, Stretch, masks, blocks)."""
    return Instance.of(
        "prefilter",
        bitmap_template(tunables),
        (TABLES, STRETCH, "vyre::u8* masks", "vyre::u32* blocks"),
        blocks_per_sm=tunables.blocks_per_sm,
        shared_bytes=(1 << tunables.bitmap_bits) // 8,
    )


class Prefilter:
    """The kernel for one pack."""

    def __init__(self, device: Device, tunables: Tunables, tables: npt.NDArray[np.void]) -> None:
        self._kernel = device.kernel(instance(tunables))
        self._tables = tables

    def launch(self, stream: Any, stretch: npt.NDArray[np.void], space: Workspace) -> None:
        """Queue the kernel: `masks` and `blocks` of the workspace are this stretch's bits."""
        vectors = -(-int(stretch["bytes"]) // 512) * 32 + 128
        masks = space.reserve("masks", np.uint8, vectors)
        blocks = space.reserve("blocks", np.uint32, vectors // 32)
        self._kernel(stream, self._tables, stretch, pointer(masks), pointer(blocks))
