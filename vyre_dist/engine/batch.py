"""Batch: the windows of one dispatch, and whose they are."""

from __future__ import annotations

from vyre_dist.engine.lines import newline_counts
from vyre_dist.engine.tasks import PartResult, Piece
from vyre_dist.extract import Window
from vyre_dist.extract.spans import pack_spans


class Batch:
    """Windows on their way to one dispatch, and whose they are. `partial`: by window, those that are pieces."""

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

    def clear(self) -> None:
        self.documents.clear()
        self.paths.clear()
        self.windows.clear()
        self.partial.clear()
        self.bytes = 0


def part_of(piece: Piece, window: Window, spans: list[tuple[int, int, int, int]]) -> PartResult:
    """A window's spans in document coordinates."""
    rows = [(0, rule, start + window.base, end - start, flags) for start, rule, end, flags in spans]
    newlines = newline_counts(window.data, window.lo, window.hi)
    return PartResult(piece.document, piece.start, piece.end, newlines, pack_spans(rows))
