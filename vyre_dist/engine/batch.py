"""Batch: the windows of one dispatch, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping

from vyre_dist.engine.content import digest_of, digest_of_blocks
from vyre_dist.engine.lines import last_newline, newline_counts
from vyre_dist.engine.piece_findings import PieceFindings
from vyre_dist.engine.salvage import keep
from vyre_dist.engine.tasks import PartResult, Piece
from vyre_dist.extract import DROPPED, Span, Window
from vyre_dist.extract.overrun import Overrun
from vyre_dist.extract.spans import encode_spans
from vyre_dist.kernels.dispatch_outcome import PieceContent


class Batch:
    """Windows on their way to one dispatch, and whose they are.

    `partial`: by window, those that are pieces.
    """

    def __init__(self) -> None:
        self.documents: list[int] = []
        self.paths: list[str] = []
        self.windows: list[Window] = []
        self.partial: dict[int, Piece] = {}
        self.bytes = 0

    def add(self, document: int, path: str, window: Window) -> None:
        self.documents.append(document)
        self.paths.append(path)
        self.windows.append(window)
        self.bytes += len(window.data)

    def take(self) -> Batch:
        """All of it, as a batch of its own; this one, with the same lists, is empty then."""
        taken = Batch()
        taken.documents += self.documents
        taken.paths += self.paths
        taken.windows += self.windows
        taken.partial.update(self.partial)
        taken.bytes = self.bytes
        for own in (self.documents, self.paths, self.windows, self.partial):
            own.clear()
        self.bytes = 0
        return taken


def part_of(
    piece: Piece,
    window: Window,
    found: PieceFindings,
    overruns: Mapping[int, Overrun],
    content: PieceContent | None = None,
) -> PartResult:
    """A piece's result: spans in document coordinates, findings kept, matches that may go on.

    `overruns`: by number, of the rules without a widest match. `content`: see findings_of_piece.
    """
    data, base = window.data, window.base
    spans = list(found.spans)
    chains: dict[int, list[tuple[int, int, int]]] = {}
    for start, rule, end, flags in sorted([s for s in found.spans if s.rule in overruns]):
        if not flags & DROPPED:
            chains.setdefault(rule, []).append((start, end, flags))
    for rule, overrun in overruns.items():
        opened = overrun.open_from(window, chains.get(rule, ()))
        if opened is not None:
            spans.append(Span(opened, rule, window.hi, DROPPED))
    owned = memoryview(data)[: window.hi]
    last = last_newline(owned, window.lo)
    before = sum(newline_counts(data, 0, window.lo))
    kept = keep(found.blocks, base, before, len(owned) - last - 1 if last >= 0 else -1)
    return PartResult(
        piece.document,
        piece.start,
        piece.end,
        tuple(found.newlines),
        encode_spans({0: spans}, base),
        digest_of(data) if content is None else digest_of_blocks(len(data), content.block_digests),
        kept,
    )
