"""SettledRows: findings of pieces that are findings of the document, too, but for their lines.

A piece makes its findings where its bytes are in memory. To judge each match again when the
document is joined would take as long once more, and the file would have to be read. What a piece
says holds for the document if the match's lines lie in the piece, and if the match is one of the
document's, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from typing import NamedTuple

import msgpack

from vyre_dist.engine.finding_blocks import Columns, decode_rows
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.lines import NewlineSums
from vyre_dist.engine.spool import bytes_of
from vyre_dist.engine.tasks import PartResult
from vyre_dist.extract import Span


class _Block(NamedTuple):
    """Some rows of a piece. `base`: its window's offset; `before`: newlines in the window before
    the piece begins; `lines_end`: where the last line ends that is all in the piece.
    """

    base: int
    before: int
    lines_end: int
    start: int
    rows: int
    data: bytes

    def columns(self) -> Columns:
        return decode_rows(self.data, self.rows)


class SettledRows:
    """Of the parts of a document of `size` bytes, in order."""

    def __init__(self, parts: Sequence[PartResult], size: int) -> None:
        self._parts = parts
        self._size = size
        self._taken: list[bytearray] = []

    def take(self, spans: Sequence[Span], unsettled: Set[int]) -> list[Span]:
        """Those of `spans` that are to be judged; the findings among the others are `rows`.

        They are sorted, the matches of the document. `unsettled`: rules of which all are wanted.
        """
        self._taken.clear()
        left: list[Span] = []
        at, count = 0, len(spans)
        for block in self._blocks():
            columns = block.columns()
            base, lines_end = block.base, block.lines_end
            taken = bytearray(block.rows)
            for i, (start, rule, end, line) in enumerate(
                zip(columns.start, columns.rule, columns.end, columns.line, strict=True)
            ):
                if end + base > lines_end or (base and line == 1) or rule in unsettled:
                    continue
                key = (start + base, rule)
                begun = at
                while at < count and spans[at] < key:
                    at += 1
                left += spans[begun:at]
                if at < count and spans[at][:3] == (*key, end + base):
                    taken[i] = 1
                    at += 1
            self._taken.append(taken)
        left += spans[at:]
        return left

    def rows(self, sums: NewlineSums) -> Iterator[FindingRow]:
        """The findings, in order. `sums`: of the document's newlines."""
        make_row: Callable[..., FindingRow] = FindingRow._make  # _replace takes four times as long
        for block, taken in zip(self._blocks(), self._taken, strict=True):
            if not any(taken):
                continue
            base = block.base
            # a piece begins where a block of newlines does
            known = sums.before(block.start)
            lines = (known[1] if known is not None else 0) - block.before
            # fmt: off
            for (
                number, rule, start, end, line, column, match, secret, groups, entropy, end_line,
                first, after,
            ), is_taken in zip(block.columns().rows(), taken, strict=True):
                if is_taken:
                    yield make_row((
                        number, rule, start + base, end + base, line + lines, column, match, secret,
                        groups, entropy, end_line + lines, first, after,
                    ))
            # fmt: on

    def _blocks(self) -> Iterator[_Block]:
        for part in self._parts:
            if not part.kept:
                continue
            base, before, ending, blocks = msgpack.unpackb(bytes_of(part.kept), use_list=False)
            lines_end = part.end - ending - 1 if ending >= 0 else -1
            if part.end == self._size:
                lines_end = self._size
            for rows, data in blocks:
                yield _Block(base, before, lines_end, part.start, rows, data)
