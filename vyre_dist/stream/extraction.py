"""From rows that a GPU confirmed to findings: where most of a GPU scan's host time goes.

Of an arena only the few documents that have rows are read, and of these only what is near. Where
this runs is extraction_pool.py's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vyre_dist.engine.document import MemoryDocument
from vyre_dist.engine.findings import FindingBuilder
from vyre_dist.engine.tasks import FindingRow
from vyre_dist.extract import RuleMatcher, Span
from vyre_dist.extract.window import whole
from vyre_dist.kernels.scan_backend import rule_matchers
from vyre_dist.program import CompiledPack
from vyre_dist.rows.reading import DocumentRule, RowReading
from vyre_dist.rows.settling import groups_in
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.finder import Groups, Offsets, groups_of
from vyre_dist.rules.model import PackData

Found = tuple[list[FindingRow], int]
"""(finding rows, how many matches were capped)."""


_Settled = tuple[int, int, int, Sequence[int]]
"""(rule, start in the document, length, slots)"""


@dataclass(frozen=True, slots=True)
class RowJob:
    """What there is to do in some documents of an arena. `rows`: ROW_DTYPE, where to search;
    `settled`: SETTLED_DTYPE, what the device has found. Both count documents from 0 in here.

    `starts`, `ends` int64 [documents]: where they lie; places are of the same arena, shifted by
    `moved` int64 [documents] where the documents' bytes were copied elsewhere. `paths`, `numbers`:
    what they are called in finding rows.
    """

    rows: npt.NDArray[np.void]
    settled: npt.NDArray[np.void]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    moved: npt.NDArray[np.int64]
    paths: Sequence[str]
    numbers: Sequence[int]


@dataclass(slots=True)
class Extractor:
    """Turns jobs into finding rows. Also what a worker process holds."""

    builder: FindingBuilder
    filters: CompiledFilters
    matchers: dict[int, RuleMatcher]
    reading: RowReading
    indices: Sequence[int]
    """By the tables' rule number: the pack's."""

    @classmethod
    def of(cls, pack: PackData, compiled: CompiledPack, reading: RowReading) -> Extractor:
        """An extractor for a pack."""
        matchers = rule_matchers(compiled)
        filters = CompiledFilters(pack)
        builder = FindingBuilder(pack, filters, matchers)
        return cls(builder, filters, matchers, reading, [rule.index for rule in compiled.rules])

    def run(self, data: memoryview, job: RowJob) -> Found:
        """The findings of the job's documents, in order; `data` is what their starts and ends count
        in.
        """
        starts = job.starts + job.moved
        pairs: dict[int, list[DocumentRule]] = {}
        for pair in self.reading.pairs(job.rows, starts):
            pairs.setdefault(pair[0], []).append(pair)
        settled: dict[int, list[_Settled]] = {}
        places = job.settled["start"] - starts[job.settled["document"]]
        for (number, rule, _, length, slots), start in zip(
            job.settled.tolist(), places.tolist(), strict=True
        ):
            settled.setdefault(number, []).append((self.indices[rule], start, length, slots))
        found: list[FindingRow] = []
        capped = 0
        for number in sorted(pairs.keys() | settled.keys()):
            document = _Searched(data[job.starts[number] : job.ends[number]], job.paths[number])
            for match in settled.get(number, ()):
                document.add(*match)
            self._search(document, pairs.get(number, ()))
            if document.spans:
                document.spans.sort()
                called = MemoryDocument(document.text, document.path)
                rows_of, cut = self.builder.build(
                    job.numbers[number], called, document.spans, seen=document.groups
                )
                found += rows_of
                capped += cut
        return found, capped

    def _search(self, document: _Searched, pairs: Iterable[DocumentRule]) -> None:
        """Look in a document for rules, from what `pairs` says. Nothing is copied but what they say
        of it.
        """
        filters, text = self.filters, document.text
        window, lowered = whole(text), b""
        for _, ruled, places in pairs:
            rule = self.indices[ruled]
            # most rules apply everywhere: the builder asks for the others, once there is a match
            if filters.has_path(rule) and not filters.rule_applies_to_path(rule, document.path):
                continue
            unbounded = self.reading.backs[ruled] is None and self.matchers[rule].max_width is None
            if places is None or unbounded:
                # where all of a document would have to be searched, its keywords are looked for
                # first
                lowered = lowered or bytes(text).lower()
                if not filters.has_keyword(rule, lowered):
                    continue
            groups = document.groups.setdefault(rule, {})

            def wanted(
                match: Offsets, rule: int = rule, groups: dict[int, Groups] = groups
            ) -> bool:
                start, end = match[0]
                own = groups_of(text, match)
                if filters.has_too_few_bytes(rule, bytes(text[start:end]), own):
                    return False
                groups[start] = own
                return True

            for first, last, flags in self.reading.matches(
                self.matchers[rule], window, ruled, places, wanted
            ):
                document.spans.append(Span(first, rule, last, flags))


@dataclass(slots=True)
class _Searched:
    """A document with what has been found in it so far. `groups`: by rule and start."""

    text: memoryview
    path: str
    spans: list[Span] = field(default_factory=list)
    groups: dict[int, dict[int, Groups]] = field(default_factory=dict)

    def add(self, rule: int, start: int, length: int, slots: Sequence[int]) -> None:
        """A match that the device found."""
        self.spans.append(Span(start, rule, start + length))
        self.groups.setdefault(rule, {})[start] = groups_in(self.text, start, slots)
