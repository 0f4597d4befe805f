"""Launches everywhere.cuh: from all positions to pivots, for the rules without a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.instances import OUTPUT, PIVOTS, STRETCH, TABLES, Instance
from vyre_dist.program.tunables import Tunables

_THREADS = 1024  # scan has one list a multiprocessor, and there is a block for each list


def instance(tunables: Tunables) -> Instance:  # noqa: ARG001 (one signature for all)
    """(Tables, Stretch, Lists of Pivot, Output)."""
    parameters = (TABLES, STRETCH, PIVOTS, OUTPUT)
    return Instance.of("everywhere", (_THREADS,), parameters, blocks_per_sm=1)


class Everywhere:
    """The kernel for one pack."""

    def __init__(self, device: Device, tunables: Tunables, tables: npt.NDArray[np.void]) -> None:
        self._kernel = device.kernel(instance(tunables))
        self._tables = tables

    def launch(
        self,
        stream: Any,
        stretch: npt.NDArray[np.void],
        pivots: npt.NDArray[np.void],
        output: npt.NDArray[np.void],
        lists: int,
    ) -> None:
        """Queue the kernel: adds pivots to the `lists` lists that scan or probe began."""
        self._kernel(stream, self._tables, stretch, pivots, output, grid=lists)
