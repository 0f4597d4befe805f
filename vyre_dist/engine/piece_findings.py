"""What one piece of a split document says by itself: its findings, and which matches are rejected.

Both are made where the piece's bytes are in memory. The findings are kept for the case that the
document can't be joined (salvage.py). A match that was ruled out need not be judged again when it
is, if all that the filters looked at, its line and a keyword of its rule, lies in the piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from vyre_dist.engine.document import BytesDocument, MemoryDocument
from vyre_dist.engine.finding_blocks import BLOCK_ROWS, RowBlock, encode_rows
from vyre_dist.engine.findings import FindingBuilder
from vyre_dist.engine.lines import NewlineSums, first_newline, last_newline, newline_counts
from vyre_dist.engine.tasks import Piece
from vyre_dist.extract import DROPPED, REJECTED, Span, Window
from vyre_dist.kernels.dispatch_outcome import PieceContent
from vyre_dist.metrics import Metrics
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.finder import Groups


class PieceFindings(NamedTuple):
    """`blocks`: rows that count from the window's first byte. `spans` are those of the piece in the
    order in which they came, with the flag REJECTED where it holds for the whole document.
    `newlines`, `keywords`, `keyless`: see PartResult.
    """

    blocks: list[RowBlock]
    spans: list[Span]
    newlines: tuple[int, ...]
    keywords: frozenset[int] = frozenset()
    keyless: frozenset[int] = frozenset()


def findings_of_piece(
    builder: FindingBuilder,
    filters: CompiledFilters,
    piece: Piece,
    window: Window,
    spans: list[Span],
    seen: Mapping[int, Mapping[int, Groups]] | None,
    content: PieceContent | None = None,
    flags: bytes = b"",
) -> PieceFindings:
    """The piece's own findings among `spans`, which count from the window's first byte.

    `content`: what the backend has seen of the piece; None: it has not looked. `flags`: of the
    keywords in the window.
    """
    data = window.data
    # those of pieces without findings, too: what can be saved of a document that changes has lines
    if content is None:
        newlines = newline_counts(data, window.lo, window.hi)
    else:
        newlines = content.newlines
    if not spans:
        return PieceFindings([], spans, newlines)
    # a view is of much memory, of which little is asked for
    document = (
        BytesDocument(data, piece.path)
        if isinstance(data, bytes)
        else MemoryDocument(data, piece.path)
    )
    sums = NewlineSums.of_window(window, newlines)
    matches = sorted([span for span in spans if not span.flags & DROPPED])
    # the whole document's metrics are counted when its pieces are joined
    rows = builder.build(
        piece.document, document, matches, sums, seen, flags=flags, counted=Metrics()
    )
    blocks: list[RowBlock] = []
    found: dict[int, set[int]] = {}  # starts by rule: of one rule no two matches have the same
    while some := list(islice(rows, BLOCK_ROWS)):
        blocks.append(RowBlock(len(some), encode_rows(some)))
        for row in some:
            found.setdefault(row.rule, set()).add(row.start)
    begins = 0 if window.base == 0 else first_newline(data) + 1
    ends = len(data) if window.at_end else last_newline(data)
    has_keyword = set(found)
    rules = {span.rule for span in matches}
    told = {rule: builder.keyword_table.has(rule, flags) for rule in rules - has_keyword}
    for start, rule, end, _ in matches:
        if rule in has_keyword or told[rule] is False:
            continue
        if told[rule] or filters.has_keyword(rule, bytes(data[start:end]).lower()):
            has_keyword.add(rule)
    return PieceFindings(
        blocks,
        [
            span._replace(flags=REJECTED)
            if span.rule in has_keyword
            and begins <= span.start
            and span.end <= ends
            and not span.flags
            and span.start not in found.get(span.rule, ())
            else span
            for span in spans
        ],
        newlines,
        frozenset(has_keyword),
        frozenset([span.rule for span in spans if span.rule not in has_keyword]),
    )
