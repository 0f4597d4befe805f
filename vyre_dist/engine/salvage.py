"""Salvage: the findings of a split document that can't be joined, from the pieces that were read.

A piece builds its findings where its bytes are in memory: when it turns out that the file was
replaced or cut, there may be nothing left to build them from. They are the piece's own: where a
match would have crossed into the next piece, the next one's first matches may be others than those
of the whole document.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from vyre_dist.engine.task_codec import columns_of, rows_of
from vyre_dist.engine.tasks import FindingRow, PartResult


def keep(rows: Sequence[FindingRow], base: int, before: int, ending: int) -> bytes:
    """A piece's findings for PartResult.kept: `rows` count from the window's first byte.

    `base`: the window's offset in the document. `before`: newlines in the window before the piece's
    start. `ending`: bytes after the piece's last newline, -1 if it has none.
    """
    moved, make_row = [], FindingRow._make  # _replace takes four times as long
    # fmt: off
    for (number, rule, start, end, line, column, match, secret, groups, entropy, end_line,
         first, after) in rows:
        if line == 1 and base > 0:
            # the line began before the window: nobody has read its text as a whole
            first = after = 0
        moved.append(make_row((
            number, rule, start + base, end + base, line - before, column, match, secret, groups,
            entropy, end_line - before, first, after,
        )))
    # fmt: on
    return bytes(msgpack.packb([ending, columns_of(moved)]))


def salvaged(parts: Sequence[PartResult]) -> list[FindingRow]:
    """The findings of `parts`, which may leave gaps, as rows of the document.

    Offsets are exact. Lines and columns are, too, up to the first gap: what nobody read has no
    lines. Columns in the text are 0 on a line that began before the window of its piece.
    """
    rows: list[FindingRow] = []
    newlines = at = line_began = 0
    ends: dict[int, int] = {}
    for part in sorted(parts, key=lambda p: p.start):
        if part.start != at:
            line_began = part.start
        at = part.end
        if not part.kept:
            continue
        ending, columns = msgpack.unpackb(part.kept, use_list=False)
        for row in rows_of(columns):
            # a match that reached in from the piece before takes the place of what begins inside it
            if row.start < ends.get(row.rule, 0):
                continue
            ends[row.rule] = row.end
            # the piece's first line may have begun before it
            column = row.start - line_began + 1 if row.line == 1 else row.column
            line, end_line = row.line + newlines, row.end_line + newlines
            rows.append(row._replace(line=line, column=column, end_line=end_line))
        newlines += sum(part.newlines)
        if ending >= 0:
            line_began = part.end - ending
    return rows
