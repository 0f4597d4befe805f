"""PieceResults: what a dispatch says of the pieces of split documents in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vyre_dist.engine.batch import part_of
from vyre_dist.engine.findings import FindingBuilder
from vyre_dist.engine.piece_findings import findings_of_piece
from vyre_dist.engine.tasks import PartResult, Piece
from vyre_dist.extract import Window
from vyre_dist.extract.overrun import Overrun
from vyre_dist.kernels.dispatch_outcome import DispatchOutcome
from vyre_dist.rules.filters import CompiledFilters


class PieceResults:
    """`overlap`: bytes that pieces have in common. `overruns`: gives, by number, those of the rules
    without a widest match.
    """

    def __init__(
        self,
        builder: FindingBuilder,
        filters: CompiledFilters,
        overlap: int,
        overruns: Callable[[], Mapping[int, Overrun]],
    ) -> None:
        self._builder, self._filters = builder, filters
        self._overlap, self._overruns = overlap, overruns

    def of(self, piece: Piece, window: Window, w: int, outcome: DispatchOutcome) -> PartResult:
        """That of a piece, whose window is number `w` of the dispatch."""
        content, flags = outcome.contents.get(w), outcome.keywords.get(w, b"")
        found = findings_of_piece(
            self._builder,
            self._filters,
            piece,
            window,
            outcome.spans.get(w, []),
            outcome.groups.get(w),
            content,
            flags,
        )
        unsearched = outcome.unsearched.get(w, frozenset())
        if flags and self._builder.keyword_table.longest > self._overlap + 1:
            # one across two pieces was seen in neither
            flags = b""
        return part_of(piece, window, found, self._overruns(), content, unsearched, flags)
