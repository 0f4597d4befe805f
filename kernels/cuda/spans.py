"""Launches spans.cuh: from rows to the matches around them, for rules with a span program."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.kernels.cuda.arenas import DeviceArena
from vyre_dist.kernels.cuda.device import Device
from vyre_dist.kernels.cuda.host_memory import landing_buffer
from vyre_dist.kernels.cuda.instances import OUTPUT, STRETCH, Instance
from vyre_dist.kernels.cuda.structs import SPAN_DEPTH, SPAN_TABLES_DTYPE
from vyre_dist.kernels.cuda.uploads import upload
from vyre_dist.kernels.cuda.workspace import Workspace, pointer
from vyre_dist.program.span_tables import SpanTables
from vyre_dist.program.tunables import Tunables
from vyre_dist.rows.layout import MATCH_DTYPE

_THREADS = 256
_BLOCKS_PER_SM = 2


def instance(tunables: Tunables) -> Instance:  # noqa: ARG001 (one signature for all)
    """(SpanTables, Stretch of the whole arena, Output, what documents own, matches)."""
    parameters = (
        "const __grid_constant__ vyre::SpanTables tables",
        STRETCH,
        OUTPUT,
        "const vyre::Bounds* owned",
        "vyre::Match* matches",
    )
    return Instance.of("spans", (_THREADS,), parameters, blocks_per_sm=_BLOCKS_PER_SM)


class SpanSearch:
    """The kernel for one pack."""

    def __init__(self, device: Device, tunables: Tunables, spans: SpanTables) -> None:
        self._kernel = device.kernel(instance(tunables))
        self._words = -(-spans.visited_bits // 64) * 2 + 2  # even: pairs of words follow
        self._arrays = upload(
            {"rules": spans.rules, "instructions": spans.instructions, "classes": spans.classes}
        )
        self._struct = np.zeros((), SPAN_TABLES_DTYPE)
        for name, array in self._arrays.items():
            self._struct[name] = array.data.ptr
        self._struct["words"] = self._words

    @property
    def scratch_bytes(self) -> int:
        """The device memory that searches of one lane take beside their results."""
        return 4 * self._scratch_words

    @property
    def _scratch_words(self) -> int:
        return self._kernel.grid * (_THREADS // 32) * (self._words + 2 * SPAN_DEPTH)

    def reserve(self, space: Workspace) -> tuple[Any, Any]:
        """(scratch, matches): a search's device buffers, for as many rows as there is room for."""
        scratch = space.reserve("span scratch", np.uint32, self._scratch_words)
        matches = space.reserve("matches", np.uint8, space.row_capacity * MATCH_DTYPE.itemsize)
        return scratch, matches

    def launch(self, arena: DeviceArena, space: Workspace, stream: Any) -> None:
        """Queue the search for the rows that the run before this one in `space` puts out."""
        struct = self._struct.copy()
        scratch, matches = self.reserve(space)
        struct["scratch"] = pointer(scratch)
        owned = np.uint64(arena.index_address("owned"))
        self._kernel(stream, struct, arena.whole(), space.latest, owned, pointer(matches))

    @staticmethod
    def collect(space: Workspace, count: int, stream: Any) -> npt.NDArray[np.void]:
        """MATCH_DTYPE [count]: the matches of the first `count` rows, in order; waits for them."""
        size = count * MATCH_DTYPE.itemsize
        found = landing_buffer(size)
        if size:
            space.reserve("matches", np.uint8, 0)[:size].get(stream=stream, out=found)
        else:
            # the search reads how many there are, in a buffer that the next run may replace
            stream.synchronize()
        return found.view(MATCH_DTYPE)
