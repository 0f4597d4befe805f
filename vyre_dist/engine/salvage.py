"""Salvage: the findings of a split document that can't be joined, from the pieces that were read.

A piece builds its findings where its bytes are in memory: when it turns out that the file was
replaced or cut, there may be nothing left to build them from. They are the piece's own: where a
match would have crossed into the next piece, the next one's first matches may be others than those
of the whole document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgpack

from vyre_dist.engine.finding_blocks import (
    BLOCK_ROWS,
    FindingBlock,
    Findings,
    RowBlock,
    decode_rows,
)
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.lines import unpack_counts
from vyre_dist.engine.spool import bytes_of
from vyre_dist.engine.tasks import PartResult


class Salvage(NamedTuple):
    """A document that is not joined, and what there is of it."""

    document: int
    parts: tuple[PartResult, ...]

    @property
    def place(self) -> tuple[int, int, int]:
        """Where it comes in the report, as a FindingBlock's."""
        return self.document, 0, 0


def keep(blocks: Sequence[RowBlock], base: int, before: int, ending: int) -> bytes:
    """A piece's findings for PartResult.kept: `blocks` count from the window's first byte.

    `base`: the window's offset in the document. `before`: newlines in the window before the piece's
    start. `ending`: bytes after the piece's last newline, -1 if it has none.
    """
    return bytes(msgpack.packb([base, before, ending, blocks]))


def salvaged(parts: Iterable[PartResult]) -> Iterator[FindingRow]:
    """The findings of `parts`, which may leave gaps, as rows of the document.

    Offsets are exact. Lines and columns are, too, up to the first gap: what nobody read has no
    lines. Columns in the text are 0 on a line that began before the window of its piece.
    """
    newlines = at = line_began = 0
    ends: dict[int, int] = {}
    for part in sorted(parts, key=lambda p: p.start):
        if part.start != at:
            line_began = part.start
        at = part.end
        if not part.kept:
            continue
        base, before, ending, blocks = msgpack.unpackb(bytes_of(part.kept), use_list=False)
        for count, data in blocks:
            for row in decode_rows(data, count).rows():
                start, end = row.start + base, row.end + base
                # a match that reached in from the piece before takes the place of what begins
                # inside it
                if start < ends.get(row.rule, 0):
                    continue
                ends[row.rule] = end
                line, end_line = row.line - before, row.end_line - before
                # the piece's first line may have begun before it
                column = start - line_began + 1 if line == 1 else row.column
                moved = row._replace(
                    start=start,
                    end=end,
                    line=line + newlines,
                    end_line=end_line + newlines,
                    column=column,
                )
                if row.line == 1 and base > 0:
                    # the line began before the window: nobody has read its text as a whole
                    moved = moved._replace(start_column_utf16=0, end_column_utf16=0)
                yield moved
        newlines += sum(unpack_counts(bytes_of(part.newlines)))
        if ending >= 0:
            line_began = part.end - ending


def salvaged_blocks(salvage: Salvage, rule_ids: Sequence[str], path: str) -> Iterator[FindingBlock]:
    """The same as blocks, a few at a time."""
    rows = salvaged(salvage.parts)
    while some := list(islice(rows, BLOCK_ROWS)):
        findings = Findings(rule_ids)
        findings.add(path, some, numbered=False)
        yield from findings.blocks
