"""ReferenceBackend: the compiled tables executed in NumPy, exactly as a kernel does it; google-re2
extracts.

Slow and obvious: the oracle, bit for bit, for the kernels. What the stages do is in
vyre_dist.compiler.arena_executor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import ArenaResult, Candidates, candidates, confirm
from vyre_dist.dispatch.backend import DispatchConfig
from vyre_dist.dispatch.report import SpeculationReport, encode_counter_tail
from vyre_dist.errors import UsageError
from vyre_dist.extract import Spans, Window
from vyre_dist.extract.spans import spans_from_rows
from vyre_dist.kernels.backends import rule_matchers
from vyre_dist.kernels.programs import ARENA_CANDIDATE_DTYPE, ScanProgram
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.program.tunables import Tunables
from vyre_dist.rules.finder import Groups


class ReferenceBackend:
    """One pack's tables. The windows of a dispatch are the documents of one arena.

    `prefilter` puts out the candidates that passed their probes (ARENA_CANDIDATE_DTYPE); `fused`
    spans and the tail. A tile is Tunables.tile_bytes of the arena.
    """

    name = used = "reference"
    supports_speculation = True
    warm = True
    read_memory = None
    dispatch_bytes = most_bytes = 2 << 20
    dispatch_windows = 256

    def __init__(self, compiled: CompiledPack, cache: ArtifactCache) -> None:
        self.compiled = compiled
        self.matchers = rule_matchers(compiled)
        self.groups: Mapping[int, Mapping[int, Mapping[int, Groups]]] = {}
        self.tables = load_tables(compiled, cache)

    def dispatch(
        self, program: ScanProgram, inputs: Sequence[Window], config: DispatchConfig
    ) -> list[bytes]:
        """Run `program` on `inputs`. Raises UsageError for `confirm`, which needs a prefilter's
        output: confirm_serial.
        """
        del config
        if program.kind == "confirm":
            raise UsageError(
                "the reference backend confirms in confirm_serial, with the prefilter's outputs; "
                "dispatch prefilter or fused"
            )
        arena = arena_of(inputs)
        found = candidates(self.tables, arena)
        if program.kind == "prefilter":
            return [_to_bytes(found)]
        result = confirm(self.tables, arena, found, tile_bytes=program.tunables.tile_bytes)
        report = SpeculationReport.from_counts(result.committed_tiles, result.rolled_back_tiles)
        return [self._extract(inputs, result).tobytes() + encode_counter_tail(report)]

    def confirm_serial(self, windows: Sequence[Window], outputs: Sequence[Any]) -> list[bytes]:
        """See ScanBackend."""
        found, tile_bytes = _from_bytes(outputs[0]), Tunables().tile_bytes
        result = confirm(self.tables, arena_of(windows), found, tile_bytes=tile_bytes)
        return [self._extract(windows, result).tobytes()]

    def _extract(self, windows: Sequence[Window], result: ArenaResult) -> Spans:
        """Where the rules match in the windows for which that is confirmed or left open."""
        rules = self.compiled.rules
        return spans_from_rows(
            [
                (w, rules[number].index, start, end - start, flags)
                for w, number in result.pairs()
                for start, end, flags in self.matchers[rules[number].index].iter_matches(windows[w])
            ]
        )


def arena_of(windows: Sequence[Window], memory: npt.NDArray[np.uint8] | None = None) -> Arena:
    """The windows, packed (see Arena.lay_out); each knows whether its document begins and ends
    where it does.
    """
    return Arena.lay_out(
        [window.data for window in windows],
        [window.base == 0 for window in windows],
        [window.at_end for window in windows],
        memory=memory,
    )


def _to_bytes(found: Candidates) -> bytes:
    rows = np.empty(found.positions.size, ARENA_CANDIDATE_DTYPE)
    rows["place"], rows["entry"], rows["document"] = found
    return rows.tobytes()


def _from_bytes(buffer: Any) -> Candidates:
    rows = np.frombuffer(buffer, ARENA_CANDIDATE_DTYPE)
    return Candidates(
        rows["place"].astype(np.int64), rows["entry"], rows["document"].astype(np.int64)
    )
