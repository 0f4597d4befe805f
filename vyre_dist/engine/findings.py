"""From raw spans to findings: the pack's filters, secrets, entropies, lines and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from vyre_dist.engine.document import BytesDocument, Document
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.judged_rows import JudgedRows
from vyre_dist.engine.lines import NewlineSums
from vyre_dist.engine.tasks import Reach
from vyre_dist.errors import UsageError
from vyre_dist.extract import DROPPED, REJECTED, RuleMatcher, Span
from vyre_dist.extract.too_long import UncappedChain
from vyre_dist.metrics import Metrics
from vyre_dist.rules.filters import CompiledFilters, Matched
from vyre_dist.rules.finder import Groups
from vyre_dist.rules.keyword_table import KeywordTable
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
        flags: bytes = b"",
        counted: Metrics,
    ) -> Iterator[FindingRow]:
        """The findings among `spans`, which are in order of start, as rows of document `number`.

        Some are made at a time, so that nobody need hold those of a dense document.

        `sums`: what is known of the document's newlines. `seen`: matches' groups by rule and start,
        as far as they are at hand. `seams`: of a stretch of the document, if the spans are its own.
        `flags`: of the keywords in the document (KeywordTable.has).
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
                applies[rule] = self._has_keyword_here(rule, match, document, seams, flags)
            return applies[rule]

        around, matches = _Around(document), list[Matched]()
        in_memory = isinstance(document, BytesDocument)
        text = document.data if isinstance(document, BytesDocument) else None
        rows = JudgedRows(number, document, sums, self._filters, has_keyword)
        made, held = Matched._make, 0
        for start, rule, end, marks in spans:
            if applies.get(rule) is False:
                continue
            if marks:
                if marks & DROPPED:
                    marked.add(rule)
                    continue
                if marks & REJECTED:
                    continue
            groups = None if seen is None else seen.get(rule, _NONE).get(start)
            if groups is None:
                data, base = around.context(start, end)
                match = data[start - base : end - base]
            elif text is not None:
                match = text[start:end]
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
                self._too_long(rule, document, spans, applies.get(rule), seams, flags)
                for rule in marked
            )

    def _too_long(
        self,
        rule: int,
        document: Document,
        spans: Sequence[Span],
        applies: bool | None,
        seams: Seams | None,
        flags: bytes,
    ) -> int:
        """How many matches of a rule are longer than its cap.

        `applies`: whether the rule applies to the document; None if nobody has asked yet.
        """
        if applies is None:
            applies = self._applies(rule, b"", document, seams, flags)
        if not applies:
            return 0
        own = [(start, end, marks) for start, number, end, marks in spans if number == rule]
        chain = UncappedChain(self._matchers[rule], document.read, document.size)
        reach = NO_REACH if seams is None else seams.reaches.get(rule, NO_REACH)
        count = chain.too_long(
            [(start, end) for start, end, marks in own if not marks & DROPPED],
            [(start, end) for start, end, marks in own if marks & DROPPED],
            reach.end or -1,
            (reach.uncapped, reach.last_end) if reach.uncapped else None,
        )
        if seams is not None and chain.end[0] > seams.end:
            seams.uncapped[rule] = chain.end
        return count

    def _applies(
        self, rule: int, match: bytes, document: Document, seams: Seams | None, flags: bytes
    ) -> bool:
        """Whether the rule applies to the document: to its path, and one of its keywords is there.

        `match`: of the rule, where keywords are looked for first.
        """
        return self._filters.rule_applies_to_path(rule, document.path) and self._has_keyword_here(
            rule, match, document, seams, flags
        )

    def _has_keyword_here(
        self, rule: int, match: bytes, document: Document, seams: Seams | None, flags: bytes
    ) -> bool:
        """Whether one of the rule's keywords is in the document; see _applies."""
        known = None if seams is None else seams.keywords.get(rule)
        return self.has_keyword(rule, match, document, flags) if known is None else known

    @cached_property
    def keyword_table(self) -> KeywordTable:
        """What flags are read with."""
        return KeywordTable.of(self._filters.keywords)

    def has_keyword(self, rule: int, match: bytes, document: Document, flags: bytes = b"") -> bool:
        """Whether one of the rule's keywords is in the document, or in a match; or it has none."""
        if flags and (seen := self.keyword_table.has(rule, flags)) is not None:
            return seen
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

            found = KeywordSearch(self._filters.keywords).found
        except (ImportError, UsageError):
            # no Hyperscan, or one that is not to be trusted
            found = self._found_here
        # to compile some ten thousand literals would take minutes
        many = self._filters.has_many_keywords
        return lambda rule, text: (self._found_here if many(rule) else found)(rule, text)

    def _found_here(self, rule: int, text: bytes) -> bool:
        return self._filters.has_keyword(rule, text.lower())


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
