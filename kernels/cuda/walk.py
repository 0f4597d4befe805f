"""Launches walk.cuh: the automata, from pivots to rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.instances import OUTPUT, PIVOTS, STRETCH, TABLES, Instance
from vyre_dist.program.tunables import Tunables

_THREADS = 256
_BLOCKS_PER_SM = 4
_SHARED_NFA_WORDS = 4096  # walk.cuh


def instance(
    tunables: Tunables,  # noqa: ARG001 (one signature for all)
    nfa_words: int = _SHARED_NFA_WORDS,
    blocks_per_sm: int = _BLOCKS_PER_SM,
) -> Instance:
    """(Tables, Stretch, Lists of Pivot, Output). `nfa_words`: the pack's, of all NFAs."""
    parameters = (TABLES, STRETCH, PIVOTS, OUTPUT)
    return Instance.of(
        "walk",
        (_THREADS,),
        parameters,
        blocks_per_sm=blocks_per_sm,
        shared_bytes=_shared_bytes(nfa_words),
    )


def _shared_bytes(nfa_words: int) -> int:
    return 8 * nfa_words if nfa_words <= _SHARED_NFA_WORDS else 0


class Walk:
    """The kernel for one pack."""

    def __init__(self, device: Device, tunables: Tunables, tables: npt.NDArray[np.void]) -> None:
        words = int(tables["nfa_word_count"])
        blocks = min(_BLOCKS_PER_SM, device.blocks_that_fit(_shared_bytes(words)))
        self._kernel = device.kernel(instance(tunables, words, blocks))
        self._tables = tables

    def parts(self, lists: int) -> int:
        """How many blocks share each of so many lists."""
        return max(1, self._kernel.grid // lists)

    def launch(
        self,
        stream: Any,
        stretch: npt.NDArray[np.void],
        pivots: npt.NDArray[np.void],
        output: npt.NDArray[np.void],
        lists: int,
    ) -> None:
        """Queue the kernel on `lists` lists of pivots."""
        self._kernel(
            stream, self._tables, stretch, pivots, output, grid=lists * int(pivots["parts"])
        )
