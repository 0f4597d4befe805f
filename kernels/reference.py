"""ReferenceBackend: executes the compiled tables in NumPy, exactly as a kernel does.

Slow and obvious: the oracle, bit for bit, for the kernels. google-re2 extracts. What the stages do
is in vyre_dist.compiler.arena_executor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import ArenaResult, Candidates, candidates, confirm
from vyre_dist.dispatch.report import SpeculationReport
from vyre_dist.extract import Span, Window
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome
from vyre_dist.kernels.scan_backend import (
    PrefilterOutput,
    ScanPrograms,
    checked_output,
    rule_matchers,
)
from vyre_dist.kernels.tuned import WithoutTunables
from vyre_dist.program import ArtifactCache, CompiledPack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.program.tunables import Tunables

_TUNABLES = Tunables()


@dataclass(frozen=True, slots=True)
class ArenaCandidates(PrefilterOutput):
    """Those of the windows' arena that passed their probes."""

    found: Candidates


class ReferenceBackend(WithoutTunables):
    """One pack's tables. The windows of a dispatch are the documents of one arena.

    Of `tunables` only `tile_bytes` means anything here: tiles are so many bytes of the arena.
    """

    name = "reference"
    supports_speculation = True
    warm = True
    read_memory = None
    facts = None
    dispatch_bytes = most_bytes = 2 << 20
    dispatch_windows = 256

    def __init__(
        self, compiled: CompiledPack, cache: ArtifactCache, tunables: Tunables = _TUNABLES
    ) -> None:
        self.compiled = compiled
        self.matchers = rule_matchers(compiled)
        self.programs = ScanPrograms.of(compiled, tunables)
        self.tables = load_tables(compiled, cache)
        self._tile_bytes = tunables.tile_bytes

    def run_fused(self, windows: Sequence[Window]) -> DispatchOutcome:
        """See ScanBackend."""
        arena = arena_of(windows)
        result = self._confirmed(arena, candidates(self.tables, arena))
        report = SpeculationReport.from_counts(result.committed_tiles, result.rolled_back_tiles)
        return DispatchOutcome(self.name, self._spans(windows, result), {}, report)

    def start_fused(self, windows: Sequence[Window]) -> DispatchOutcome:
        """See ScanBackend. It is over when this returns."""
        return self.run_fused(windows)

    def run_prefilter(self, windows: Sequence[Window]) -> ArenaCandidates:
        """See ScanBackend."""
        return ArenaCandidates(candidates(self.tables, arena_of(windows)))

    def confirm(self, windows: Sequence[Window], output: PrefilterOutput) -> DispatchOutcome:
        """See ScanBackend."""
        found = checked_output(ArenaCandidates, output).found
        return DispatchOutcome(
            self.name, self._spans(windows, self._confirmed(arena_of(windows), found))
        )

    def _confirmed(self, arena: Arena, found: Candidates) -> ArenaResult:
        return confirm(self.tables, arena, found, tile_bytes=self._tile_bytes)

    def _spans(self, windows: Sequence[Window], result: ArenaResult) -> dict[int, list[Span]]:
        """Where the rules match in the windows for which that is confirmed or left open."""
        rules = self.compiled.rules
        spans: dict[int, list[Span]] = {}
        for w, number in result.pairs():
            rule = rules[number].index
            for start, end, flags in self.matchers[rule].iter_matches(windows[w]):
                spans.setdefault(w, []).append(Span(start, rule, end, flags))
        return spans


def arena_of(windows: Sequence[Window], memory: npt.NDArray[np.uint8] | None = None) -> Arena:
    """The windows as the documents of one arena (see Arena.lay_out)."""
    return Arena.lay_out(
        [window.data for window in windows],
        [window.base == 0 for window in windows],
        [window.at_end for window in windows],
        memory=memory,
    )
