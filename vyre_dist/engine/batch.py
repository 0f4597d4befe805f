"""Batch: the windows of one dispatch, and whose they are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence, Set

from vyre_dist.engine.content import digest_of, digest_of_blocks
from vyre_dist.engine.lines import last_newline, newlines_in, pack_counts
from vyre_dist.engine.piece_findings import PieceFindings
from vyre_dist.engine.salvage import keep
from vyre_dist.engine.tasks import PartResult, Piece
from vyre_dist.extract import DROPPED, Span, Window
from vyre_dist.extract.file_windows import FileWindows
from vyre_dist.extract.overrun import Overrun
from vyre_dist.extract.spans import encode_spans
from vyre_dist.kernels.dispatch_outcome import PieceContent


class Batch:
    """Windows on their way to one dispatch, and whose they are.

    `partial`: by window, those that are pieces. `audited`: by window, whole documents that are to
    be audited; how large they are is for the window to tell. `bytes`: in all windows; `owned`: of
    these, where the windows own matches.
    """

    def __init__(self) -> None:
        self.windows = FileWindows()
        self.partial: dict[int, Piece] = {}
        self.audited: dict[int, Piece] = {}
        self.bytes = self.owned = 0
        self._firsts: list[int] = []
        self._runs: list[tuple[int, str, Sequence[str], int]] = []

    def add(self, document: int, path: str, window: Window) -> None:
        """Any window."""
        self._add_run(len(self.windows), document, path, ("",), 0)
        self.windows.add(window)
        self.bytes += len(window.data)
        self.owned += window.hi - window.lo

    def added_files(
        self, count: int, document: int, prefix: str, names: Sequence[str], number: int
    ) -> int:
        """The latest `count` windows are of files, `document` and those that follow; their bytes.

        Their paths are `prefix` + the names from that with the number `number` on.
        """
        windows = self.windows
        first = len(windows) - count
        self._add_run(first, document, prefix, names, number)
        size = sum(windows.ends[first:]) - sum(windows.starts[first:])
        self.bytes += size
        self.owned += size
        return size

    def _add_run(
        self, first: int, document: int, prefix: str, names: Sequence[str], number: int
    ) -> None:
        self._firsts.append(first)
        self._runs.append((document, prefix, names, number))

    def whose(self, window: int) -> tuple[int, str]:
        """The number of a window's document, and its path."""
        run = bisect_right(self._firsts, window) - 1
        document, prefix, names, number = self._runs[run]
        offset = window - self._firsts[run]
        return document + offset, prefix + names[number + offset]

    def take(self) -> Batch:
        """All of it, as a batch of its own; this one, with the same windows, is empty then."""
        taken = Batch()
        taken.windows = self.windows.take()
        taken._firsts += self._firsts
        taken._runs += self._runs
        taken.partial.update(self.partial)
        taken.audited.update(self.audited)
        taken.bytes, taken.owned = self.bytes, self.owned
        for own in (self._firsts, self._runs, self.partial, self.audited):
            own.clear()
        self.bytes = self.owned = 0
        return taken


def part_of(
    piece: Piece,
    window: Window,
    found: PieceFindings,
    overruns: Mapping[int, Overrun],
    content: PieceContent | None = None,
    unsearched: Set[int] = frozenset(),
    flags: bytes = b"",
) -> PartResult:
    """A piece's result: spans in document coordinates, findings kept, matches that may go on.

    `overruns`: by number, of the rules without a widest match. `content`: see findings_of_piece.
    `unsearched`: see DispatchOutcome. `flags`: of the keywords that are in the window, if none can
    lie across its end.
    """
    data, base = window.data, window.base
    searched = {rule: each for rule, each in overruns.items() if rule not in unsearched}
    lows = {} if content is None else content.open_lows
    spans = found.spans + open_at_end(window, found.spans, searched, lows)
    owned = memoryview(data)[: window.hi]
    last = last_newline(owned, window.lo)
    before = newlines_in(data, 0, window.lo)
    kept = keep(found.blocks, base, before, len(owned) - last - 1 if last >= 0 else -1)
    return PartResult(
        piece.document,
        piece.start,
        piece.end,
        pack_counts(found.newlines),
        encode_spans({0: spans}, base),
        digest_of(data) if content is None else digest_of_blocks(len(data), content.block_digests),
        kept,
        tuple(sorted(unsearched)),
        _reaches(window, found.spans),
        tuple(sorted(found.keywords)),
        tuple(sorted(found.keyless)),
        flags,
    )


def _reaches(window: Window, spans: Sequence[Span]) -> tuple[tuple[int, int], ...]:
    if window.at_end:
        return ()
    reaches = {
        rule: window.base + end
        for start, rule, end, flags in sorted([span for span in spans if span.end >= window.hi])
        if not flags & DROPPED
    }
    return tuple(sorted(reaches.items()))


def open_at_end(
    window: Window,
    spans: Sequence[Span],
    overruns: Mapping[int, Overrun],
    lows: Mapping[int, int],
) -> list[Span]:
    """A mark for each rule of `overruns` of which a match may go on after the window.

    `spans`: the window's, of all rules. `lows`: see PieceContent.
    """
    chains: dict[int, list[tuple[int, int, int]]] = {}
    for start, rule, end, flags in sorted([s for s in spans if s.rule in overruns]):
        if not flags & DROPPED:
            chains.setdefault(rule, []).append((start, end, flags))
    opened = {
        rule: overrun.open_from(window, chains.get(rule, ()), lows.get(rule, 0))
        for rule, overrun in overruns.items()
    }
    return [
        Span(start, rule, window.hi, DROPPED) for rule, start in opened.items() if start is not None
    ]
