"""JudgedRows: a document's matches, judged, as rows: with secrets, lines and columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vyre_dist.engine.columns import TextColumns
from vyre_dist.engine.document import BytesDocument, Document
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.lines import LineBounds, LineCounter, NewlineSums
from vyre_dist.rules.content_filters import JudgedLine
from vyre_dist.rules.filters import CompiledFilters, Matched, Verdict

# of a document with so many matches it is worth to look at all bytes
_MANY = 64


class JudgedRows:
    """The rows of a document's matches, which are given in order, some at a time."""

    def __init__(
        self,
        number: int,
        document: Document,
        sums: NewlineSums | None,
        filters: CompiledFilters,
        has_keyword: Callable[[int, bytes], bool],
    ) -> None:
        """`number`: the document's. `sums`: what is known of its newlines. `has_keyword`: whether
        the rule of a match has one of its keywords in the document.
        """
        self._has_keyword = has_keyword
        self._number = number
        self._path = document.path
        self._filters = filters
        self._lines, self._columns = LineCounter(document, sums), TextColumns(document)
        self._judged_lines = _JudgedLines(document)
        self._text = document.data if isinstance(document, BytesDocument) and not sums else None
        self._plain: bool | None = None
        # of plain text: lines are counted up to an offset, on the line that begins at another
        self._counted = self._newlines = self._line_start = 0

    def of(self, matches: Sequence[Matched]) -> list[FindingRow]:
        """Judge matches, and make rows of those that are reported."""
        verdicts = self._filters.judge_all(self._path, matches, self._judged_lines.of)
        if self._plain is None:  # once for all, as lines are counted in one way or in the other
            text = self._text
            self._plain = text is not None and len(matches) >= _MANY and text.isascii()
        if self._plain and self._text is not None:
            return self._plain_rows(self._text, matches, verdicts)
        number, make_row = self._number, FindingRow._make
        found: list[FindingRow] = []
        line_at, columns_of, has_keyword = self._lines.at, self._columns.of, self._has_keyword
        for (start, rule, end, match, groups), verdict in zip(matches, verdicts, strict=True):
            if verdict is None or not has_keyword(rule, match):
                continue
            secret, entropy = verdict
            line, column, line_start = line_at(start)
            newlines, first, after = columns_of(line_start, start, match)
            last_line = line + newlines
            # a call of FindingRow takes twice as long, which dense documents show
            # fmt: off
            found.append(make_row((
                number, rule, start, end, line, column, match, secret, groups, entropy, last_line,
                first, after,
            )))
            # fmt: on
        return found

    def _plain_rows(
        self, text: bytes, matches: Sequence[Matched], verdicts: Sequence[Verdict]
    ) -> list[FindingRow]:
        """The same in ASCII, where all columns are bytes."""
        number, make_row, count = self._number, FindingRow._make, text.count
        has_keyword = self._has_keyword
        counted, newlines, line_start = self._counted, self._newlines, self._line_start
        found: list[FindingRow] = []
        for (start, rule, end, match, groups), verdict in zip(matches, verdicts, strict=True):
            if verdict is None or not has_keyword(rule, match):
                continue
            secret, entropy = verdict
            if here := count(b"\n", counted, start):
                newlines += here
                line_start = text.rfind(b"\n", counted, start) + 1
            counted = start
            line = last_line = newlines + 1
            column, after = start - line_start + 1, end - line_start + 1
            if b"\n" in match:
                last_line += match.count(b"\n")
                after = len(match) - match.rfind(b"\n")
            # fmt: off
            found.append(make_row((
                number, rule, start, end, line, column, match, secret, groups, entropy, last_line,
                column, after,
            )))
            # fmt: on
        self._counted, self._newlines, self._line_start = counted, newlines, line_start
        return found


class _JudgedLines:
    """The lines of a document's ascending matches, one JudgedLine for all matches of a line."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._bounds = LineBounds(document)
        self._lines: dict[int, JudgedLine] = {}
        self._first = 0

    def of(self, start: int, end: int) -> JudgedLine:
        """The line, or lines, that document[start:end] lies on."""
        first, last = self._bounds.around(start, end)
        if first != self._first:
            # no later match begins on an earlier line
            self._lines.clear()
            self._first = first
        line = self._lines.get(last)
        if line is None:
            line = self._lines[last] = JudgedLine(lambda: self._text(first, last), last - first)
        return line

    def _text(self, first: int, last: int) -> bytes | memoryview:
        document = self._document
        if isinstance(document, BytesDocument):
            return memoryview(document.data)[
                first:last
            ]  # a copy of a long line would be one of the document
        return document.read(first, last)
