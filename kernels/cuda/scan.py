"""Launches scan.cuh: from text to pivots, in lists, one a block."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.instances import (
    OUTPUT,
    PIVOTS,
    STRETCH,
    TABLES,
    Instance,
    bitmap_template,
)
from vyre_dist.program.tunables import Tunables


def instance(tunables: Tunables) -> Instance:
    """(Tables, Stretch, Lists of Pivot, Output)."""
    return Instance.of(
        "scan",
        bitmap_template(tunables),
        (TABLES, STRETCH, PIVOTS, OUTPUT),
        blocks_per_sm=tunables.blocks_per_sm,
        shared_bytes=(1 << tunables.bitmap_bits) // 8,
    )


class Scan:
    """`lists`: how many lists of pivots a launch fills."""

    def __init__(self, device: Device, tunables: Tunables, tables: npt.NDArray[np.void]) -> None:
        self._kernel = device.kernel(instance(tunables))
        self._tables = tables
        self.lists = self._kernel.grid

    def launch(
        self,
        stream: Any,
        stretch: npt.NDArray[np.void],
        pivots: npt.NDArray[np.void],
        output: npt.NDArray[np.void],
    ) -> None:
        """Queue the kernel: it sets the lists' lengths and marks attempted tiles."""
        self._kernel(stream, self._tables, stretch, pivots, output)
