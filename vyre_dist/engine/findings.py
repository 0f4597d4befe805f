"""From raw spans to findings: the pack's filters, secrets, entropies, lines and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vyre_dist.engine.columns import TextColumns
from vyre_dist.engine.document import BytesDocument, Document
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.lines import LineBounds, LineCounter, NewlineSums
from vyre_dist.engine.tasks import Reach
from vyre_dist.errors import UsageError
from vyre_dist.extract import DROPPED, REJECTED, RuleMatcher, Span
from vyre_dist.extract.too_long import UncappedChain
from vyre_dist.metrics import Metrics
from vyre_dist.rules.content_filters import JudgedLine
from vyre_dist.rules.filters import CompiledFilters, Matched
from vyre_dist.rules.finder import Groups
from vyre_dist.rules.model import PackData

_CHUNK = 8 << 20
# read at once to find the groups of matches that lie close together
_BLOCK = 64 << 10
# so many matches, or bytes of them, are judged together
_MATCHES = 1024
_MATCHED_BYTES = 1 << 20
# of more than this a lower-case copy takes longer than loading what searches without one
_LOWERED_BYTES = 1 << 20

_NONE: Mapping[int, Groups] = {}
NO_REACH = Reach(-1)


@dataclass(slots=True)
class Seams:
    """Where a stretch of a document meets the rest. `end`: its own.

    `reaches`: by rule, of the matches before it. `keywords`: by rule, as far as it is known,
    whether one is in the document. `uncapped`: by rule, UncappedChain.end where it is beyond the
    stretch's end; the builder tells that.
    """

    end: int
    reaches: Mapping[int, Reach]
    keywords: Mapping[int, bool]
    uncapped: dict[int, tuple[int, int]] = field(default_factory=dict)


class FindingBuilder:
    """Turns the raw spans of one document after the other into finding rows."""

    def __init__(
        self, pack: PackData, filters: CompiledFilters, matchers: dict[int, RuleMatcher]
    ) -> None:
        self._rules = pack.rules
        self._filters = filters
        self._matchers = matchers
        self._longest_keyword = max(
            (len(k.encode()) for r in pack.rules for k in r.keywords), default=1
        )
        self._search: Callable[[int, bytes], bool] | None = None

    def build(
        self,
        number: int,
        document: Document,
        spans: Sequence[Span],
        sums: NewlineSums | None = None,
        seen: Mapping[int, Mapping[int, Groups]] | None = None,
        seams: Seams | None = None,
        *,
        counted: Metrics,
    ) -> Iterator[FindingRow]:
        """The findings among `spans`, which are in order of start, as rows of document `number`.

        Some are made at a time, so that nobody need hold those of a dense document.

        `sums`: what is known of the document's newlines. `seen`: matches' groups by rule and start,
        as far as they are at hand. `seams`: of a stretch of the document, if the spans are its own.
        `counted`: what is counted here is added to it. Matches that are too long count where the
        rule applies to the document, whatever its other filters say. Raises DocumentError when the
        document is no longer what the spans were found in.
        """
        marked = set() if seams is None else {r.rule for r in seams.reaches.values() if r.uncapped}
        applies: dict[int, bool] = {}
        on_path: dict[int, bool] = {}

        def has_keyword(rule: int, match: bytes) -> bool:
            # asked of what is reported only: a keyword may be anywhere in the document
            if rule not in applies:
                applies[rule] = self._has_keyword_here(rule, match, document, seams)
            return applies[rule]

        around, matches = _Around(document), list[Matched]()
        in_memory = isinstance(document, BytesDocument)
        rows = _Rows(number, document, sums, self._filters, has_keyword)
        made, held = Matched._make, 0
        for start, rule, end, flags in spans:
            if applies.get(rule) is False:
                continue
            if flags & DROPPED:
                marked.add(rule)
                continue
            if flags & REJECTED:
                continue
            groups = None if seen is None else seen.get(rule, _NONE).get(start)
            if groups is None:
                data, base = around.context(start, end)
                match = data[start - base : end - base]
            else:
                match = document.read(start, end)
            if rule not in on_path:
                on_path[rule] = self._filters.rule_applies_to_path(rule, document.path)
                if not on_path[rule]:
                    applies[rule] = False
                    continue
            if groups is None:
                matcher = self._matchers[rule]
                if matcher.group_count or not in_memory:
                    groups = matcher.groups_at(data, start - base, end - base)
                else:
                    groups = ()  # and what is in memory is what it was
            if groups is None:
                document.verify()
                raise AssertionError(
                    f"{document.path}: rule {rule} does not match at [{start}, {end})"
                )
            matches.append(made((start, rule, end, match, groups)))
            held += end - start
            if len(matches) >= _MATCHES or held >= _MATCHED_BYTES:
                yield from rows.of(matches)
                matches.clear()
                held = 0
        yield from rows.of(matches)
        if marked:
            counted.capped += sum(
                self._too_long(rule, document, spans, applies.get(rule), seams) for rule in marked
            )

    def _too_long(
        self,
        rule: int,
        document: Document,
        spans: Sequence[Span],
        applies: bool | None,
        seams: Seams | None,
    ) -> int:
        """How many matches of a rule are longer than its cap.

        `applies`: whether the rule applies to the document; None if nobody has asked yet.
        """
        if applies is None:
            applies = self._applies(rule, b"", document, seams)
        if not applies:
            return 0
        own = [(start, end, flags) for start, number, end, flags in spans if number == rule]
        chain = UncappedChain(self._matchers[rule], document.read, document.size)
        reach = NO_REACH if seams is None else seams.reaches.get(rule, NO_REACH)
        count = chain.too_long(
            [(start, end) for start, end, flags in own if not flags & DROPPED],
            [(start, end) for start, end, flags in own if flags & DROPPED],
            reach.end or -1,
            (reach.uncapped, reach.last_end) if reach.uncapped else None,
        )
        if seams is not None and chain.end[0] > seams.end:
            seams.uncapped[rule] = chain.end
        return count

    def _applies(self, rule: int, match: bytes, document: Document, seams: Seams | None) -> bool:
        """Whether the rule applies to the document: to its path, and one of its keywords is there.

        `match`: of the rule, where keywords are looked for first.
        """
        return self._filters.rule_applies_to_path(rule, document.path) and self._has_keyword_here(
            rule, match, document, seams
        )

    def _has_keyword_here(
        self, rule: int, match: bytes, document: Document, seams: Seams | None
    ) -> bool:
        """Whether one of the rule's keywords is in the document; see _applies."""
        known = None if seams is None else seams.keywords.get(rule)
        return self.has_keyword(rule, match, document) if known is None else known

    def has_keyword(self, rule: int, match: bytes, document: Document) -> bool:
        """Whether one of the rule's keywords is in the document, or in a match; or it has none."""
        if not self._rules[rule].keywords or self._filters.has_keyword(rule, match.lower()):
            return True
        if document.size <= _LOWERED_BYTES:
            return self._filters.has_keyword(rule, document.read(0, document.size).lower())
        if self._search is None:
            self._search = self._keyword_search()
        search, overlap = self._search, self._longest_keyword - 1
        return any(
            search(rule, document.read(at, min(document.size, at + _CHUNK + overlap)))
            for at in range(0, document.size, _CHUNK)
        )

    def _keyword_search(self) -> Callable[[int, bytes], bool]:
        try:
            from vyre_dist.kernels.keyword_search import KeywordSearch

            return KeywordSearch(self._filters.keywords).found
        except (ImportError, UsageError):
            # no Hyperscan, or one that is not to be trusted
            return lambda rule, text: self._filters.has_keyword(rule, text.lower())


class _Rows:
    """The rows of a document's matches, which are given in order, some at a time."""

    def __init__(
        self,
        number: int,
        document: Document,
        sums: NewlineSums | None,
        filters: CompiledFilters,
        has_keyword: Callable[[int, bytes], bool],
    ) -> None:
        """`has_keyword`: whether the rule of a match has one of its keywords in the document."""
        self._number = number
        self._has_keyword = has_keyword
        self._path = document.path
        self._filters = filters
        self._lines, self._columns = LineCounter(document, sums), TextColumns(document)
        self._judged_lines = _JudgedLines(document)

    def of(self, matches: Sequence[Matched]) -> list[FindingRow]:
        """Judge matches, and make rows of those that are reported."""
        number, make_row = self._number, FindingRow._make
        found: list[FindingRow] = []
        line_at, columns_of, has_keyword = self._lines.at, self._columns.of, self._has_keyword
        verdicts = self._filters.judge_all(self._path, matches, self._judged_lines.of)
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


class _Around:
    """Enough of the document around ascending matches to find their groups again.

    A file is read in blocks.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._data, self._base = b"", 0

    def context(self, start: int, end: int) -> tuple[bytes, int]:
        """(data, its offset), with a byte before `start` and after `end` where there are any."""
        document = self._document
        if isinstance(document, BytesDocument):
            return document.data, 0
        low, high = max(0, start - 1), min(document.size, end + 1)
        if not self._base <= low <= high <= self._base + len(self._data):
            self._base = low
            self._data = document.read(low, min(document.size, max(high, low + _BLOCK)))
        return self._data, self._base


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
            line = self._lines[last] = JudgedLine(lambda: self._text(first, last))
        return line

    def _text(self, first: int, last: int) -> bytes | memoryview:
        document = self._document
        if isinstance(document, BytesDocument):
            return memoryview(document.data)[
                first:last
            ]  # a copy of a long line would be one of the document
        return document.read(first, last)
