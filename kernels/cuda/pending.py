"""PendingRun: launches in flight, and the rows that come of them, or the room that they lacked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.dispatch.report import COUNTER_TAIL_BYTES, SpeculationReport, encode_counter_tail
from vyre_dist.kernels.cuda.host_memory import landing_buffer
from vyre_dist.kernels.cuda.workspace import Workspace
from vyre_dist.rows.layout import ROW_DTYPE


@dataclass(frozen=True, slots=True)
class DeviceRows:
    """`rows`: ROW_DTYPE, in no order, with repeats; the rule's highest bit is set where the host
    has to decide.

    `matches`: MATCH_DTYPE, one for each row, where they were searched for. `output`: what `rows` is
    a view of, the counter tail behind them, as a fused program puts it out. `contents`:
    CONTENT_DTYPE, of the blocks of the arena's pieces of documents; None where nobody has looked.
    `keywords`: the flags of the arena's watched documents, KeywordTable.flag_words of each.
    """

    rows: npt.NDArray[np.void]
    attempted_tiles: int
    committed_tiles: int
    matches: npt.NDArray[np.void] | None = None
    output: npt.NDArray[np.uint8] | None = None
    contents: npt.NDArray[np.void] | None = None
    keywords: npt.NDArray[np.uint32] | None = None

    @property
    def report(self) -> SpeculationReport:
        """The counter tail's numbers."""
        return SpeculationReport.from_counts(
            self.committed_tiles, self.attempted_tiles - self.committed_tiles
        )


MOST_ROWS = 0xFFFF_FFFF
"""Of one run: their numbers have 32 bits."""


@dataclass(frozen=True, slots=True)
class PendingRun:
    """`lengths`: of all lists of pivots, on the device."""

    space: Workspace
    lengths: Any
    stream: Any

    def collect(self) -> DeviceRows | None:
        """Wait for the rows. None: there was too little room, and is more now; launch again.

        Raises CuPy's OutOfMemoryError when there are more than MOST_ROWS.
        """
        space = self.space
        state = space.state.get(stream=self.stream)
        longest = int(self.lengths.get(stream=self.stream).max(initial=0))
        wanted = int(state[:2].view(np.uint64)[0])
        if wanted > MOST_ROWS:
            import cupy

            # what is dealt with in halves, whatever room the device has
            raise cupy.cuda.memory.OutOfMemoryError(
                wanted * ROW_DTYPE.itemsize, MOST_ROWS * ROW_DTYPE.itemsize
            )
        if longest > space.pivot_capacity or wanted > space.row_capacity:
            # how many rows there will be is known when no pivot is left out
            if longest > space.pivot_capacity:
                space.pivot_capacity = longest + longest // 4
            if wanted > space.row_capacity:
                space.row_capacity = min(wanted + wanted // 4, MOST_ROWS)
            return None
        attempted, committed = (
            np.bitwise_count(state[2:]).reshape(2, -1).sum(axis=1, dtype=np.int64).tolist()
        )
        size = wanted * ROW_DTYPE.itemsize
        # room for the tail is made at once: rows may be many megabytes, to be copied once and not
        # again
        output = landing_buffer(size + COUNTER_TAIL_BYTES)
        if size:
            space.reserve("rows", np.uint8, 0)[:size].get(stream=self.stream, out=output[:size])
        tail = encode_counter_tail(SpeculationReport.from_counts(committed, attempted - committed))
        output[size:] = np.frombuffer(tail, np.uint8)
        return DeviceRows(output[:size].view(ROW_DTYPE), attempted, committed, output=output)
