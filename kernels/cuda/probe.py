"""Launches probe.cuh: from one list of hits to pivots, in lists, one a block."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.instances import HITS, OUTPUT, PIVOTS, STRETCH, TABLES, Instance
from vyre_dist.program.tunables import Tunables

_THREADS = 256
_BLOCKS_PER_SM = 4


def instance(tunables: Tunables) -> Instance:  # noqa: ARG001 (one signature for all)
    """(Tables, Stretch, Lists of hits, Lists of Pivot, Output)."""
    parameters = (TABLES, STRETCH, HITS, PIVOTS, OUTPUT)
    return Instance.of("probe", (_THREADS,), parameters, blocks_per_sm=_BLOCKS_PER_SM)


class Probe:
    """`lists`: how many lists of pivots a launch fills."""

    def __init__(self, device: Device, tunables: Tunables, tables: npt.NDArray[np.void]) -> None:
        self._kernel = device.kernel(instance(tunables))
        self._tables = tables
        self.lists = self._kernel.grid

    def launch(
        self,
        stream: Any,
        stretch: npt.NDArray[np.void],
        hits: npt.NDArray[np.void],
        pivots: npt.NDArray[np.void],
        output: npt.NDArray[np.void],
    ) -> None:
        """Queue the kernel: it sets the lists' lengths and marks attempted tiles."""
        self._kernel(stream, self._tables, stretch, hits, pivots, output)
