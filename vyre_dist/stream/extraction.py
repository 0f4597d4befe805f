"""From rows that a GPU confirmed to findings: where most of a GPU scan's host time goes.

Only the few documents of an arena that have rows are read, and of these only the bytes near the
rows. The processes in which this runs are extraction_pool.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vyre_dist.engine.document import MemoryDocument
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.findings import FindingBuilder
from vyre_dist.extract import RuleMatcher, Span
from vyre_dist.extract.window import whole
from vyre_dist.kernels.scan_backend import rule_matchers
from vyre_dist.metrics import Metrics
from vyre_dist.program import CompiledPack
from vyre_dist.rows.reading import RowReading, RuleSearch
from vyre_dist.rows.settling import groups_in
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.finder import Groups, Offsets, groups_of
from vyre_dist.rules.model import PackData


class Extracted(NamedTuple):
    """What came of a job: finding rows, and how many matches are longer than their rule's cap."""

    rows: list[FindingRow]
    capped: int


@dataclass(frozen=True, slots=True)
class RowJob:
    """What there is to do in some documents of an arena. `rows`: ROW_DTYPE, where to search;
    `settled`: SETTLED_DTYPE, what the device has found. Both count documents from 0 in here.

    `starts`, `ends` int64 [documents]: where the documents lie in the shared memory. `moved` int64
    [documents]: their positions in the arena, which rows and settled matches count in, less those.
    `paths`, `numbers`: what the documents are called in finding rows.
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

    def run(self, data: memoryview, job: RowJob) -> Extracted:
        """The findings of the job's documents, in order. `data`: the shared memory."""
        starts = job.starts + job.moved
        searches: dict[int, list[RuleSearch]] = {}
        for search in self.reading.searches(job.rows, starts):
            searches.setdefault(search.document, []).append(search)
        documents = {
            number: _Searched(data[job.starts[number] : job.ends[number]], job.paths[number])
            for number in sorted({*searches, *job.settled["document"].tolist()})
        }
        offsets = job.settled["start"] - starts[job.settled["document"]]
        for (number, index, _, length, _, group_offsets), start in zip(
            job.settled.tolist(), offsets.tolist(), strict=True
        ):
            documents[number].add(self.indices[index], start, length, group_offsets)
        found: list[FindingRow] = []
        counted = Metrics()
        for number, document in documents.items():
            self._search(document, searches.get(number, ()))
            if document.spans:
                document.spans.sort()
                called = MemoryDocument(document.text, document.path)
                found += self.builder.build(
                    job.numbers[number],
                    called,
                    document.spans,
                    seen=document.groups,
                    counted=counted,
                )
        return Extracted(found, counted.capped)

    def _search(self, document: _Searched, searches: Iterable[RuleSearch]) -> None:
        """Search a document for rules. Nothing is copied but what is near the searches' offsets."""
        filters, text = self.filters, document.text
        window, lowered = whole(text), b""
        for _, ruled, offsets in searches:
            rule = self.indices[ruled]
            # most rules apply everywhere: the builder asks for the others, once there is a match
            if filters.has_path(rule) and not filters.rule_applies_to_path(rule, document.path):
                continue
            unbounded = self.reading.backs[ruled] is None and self.matchers[rule].max_width is None
            if offsets is None or unbounded:
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
                self.matchers[rule], window, ruled, offsets, wanted
            ):
                document.spans.append(Span._make((first, rule, last, flags)))


@dataclass(slots=True)
class _Searched:
    """A document with what has been found in it so far. `groups`: by rule and start."""

    text: memoryview
    path: str
    spans: list[Span] = field(default_factory=list)
    groups: dict[int, dict[int, Groups]] = field(default_factory=dict)

    def add(self, rule: int, start: int, length: int, group_offsets: Sequence[int]) -> None:
        """Take a match that the device found. `rule`: the pack's number. `start`: in the text."""
        # a call of Span takes twice as long
        self.spans.append(Span._make((start, rule, start + length, 0)))
        self.groups.setdefault(rule, {})[start] = groups_in(self.text, start, group_offsets)
