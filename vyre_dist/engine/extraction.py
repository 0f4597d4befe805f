"""From rows that a GPU confirmed to findings, in processes of their own: where most of a GPU scan's host time goes.

A worker attaches to the arena's shared memory and reads the few documents that have rows; no document is sent anywhere.
"""

from __future__ import annotations

import mmap
import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier

import numpy as np
import numpy.typing as npt

from vyre_dist.engine.document import MemoryDocument
from vyre_dist.engine.findings import FindingBuilder, RawSpan
from vyre_dist.engine.tasks import FindingRow
from vyre_dist.extract import RuleMatcher
from vyre_dist.extract.window import whole
from vyre_dist.kernels.cuda.matches import groups_in
from vyre_dist.kernels.cuda.reading import DocumentRule, RowReading
from vyre_dist.program import CompiledPack
from vyre_dist.rules.codec import pack_from_bytes, pack_to_bytes
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.finder import Groups, Offsets, groups_of
from vyre_dist.rules.model import PackData

Found = tuple[list[FindingRow], int]
"""(finding rows, how many matches were capped)."""


_Settled = tuple[int, int, int, Sequence[int]]
"""(rule, start in the document, length, slots)"""


@dataclass(frozen=True, slots=True)
class RowJob:
    """What there is to do in some documents of an arena. `rows`: ROW_DTYPE, where to search; `settled`: SETTLED_DTYPE, what
    the device has found. Both count documents from 0 in here.

    `starts`, `ends` int64 [documents]: where they lie; places are of the same arena, shifted by `moved` int64 [documents]
    where the documents' bytes were copied elsewhere. `paths`, `numbers`: what they are called in finding rows.
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
        matchers = {r.index: RuleMatcher(r.pattern, r.max_width, r.max_match_bytes) for r in compiled.rules}
        filters = CompiledFilters(pack)
        builder = FindingBuilder(pack, filters, matchers)
        return cls(builder, filters, matchers, reading, [rule.index for rule in compiled.rules])

    def run(self, data: memoryview, job: RowJob) -> Found:
        """The findings of the job's documents, in order; `data` is what their starts and ends count in."""
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
        """Look in a document for rules, from what `pairs` says. Nothing is copied but what they say of it."""
        filters, text = self.filters, document.text
        window, lowered = whole(text), b""
        for _, ruled, places in pairs:
            rule = self.indices[ruled]
            # most rules apply everywhere: the builder asks for the others, once there is a match
            if filters.has_path(rule) and not filters.rule_applies_to_path(rule, document.path):
                continue
            if places is None or self.reading.backs[ruled] is None:
                # where all of a document would have to be searched, its keywords are looked for first
                lowered = lowered or bytes(text).lower()
                if not filters.gate_open(rule, lowered):
                    continue
            groups = document.groups.setdefault(rule, {})

            def wanted(match: Offsets, rule: int = rule, groups: dict[int, Groups] = groups) -> bool:
                if filters.hopeless(rule, text, match):
                    return False
                groups[match[0][0]] = groups_of(text, match)
                return True

            for first, last, flags in self.reading.matches(
                self.matchers[rule], window, ruled, places, wanted
            ):
                document.spans.append((first, rule, last, flags))


@dataclass(slots=True)
class _Searched:
    """A document with what has been found in it so far. `groups`: by rule and start."""

    text: memoryview
    path: str
    spans: list[RawSpan] = field(default_factory=list)
    groups: dict[int, dict[int, Groups]] = field(default_factory=dict)

    def add(self, rule: int, start: int, length: int, slots: Sequence[int]) -> None:
        """A match that the device found."""
        self.spans.append((start, rule, start + length, 0))
        self.groups.setdefault(rule, {})[start] = groups_in(self.text, start, slots)


class ExtractionPool:
    """Worker processes that extract. `close` it, or use `with`."""

    def __init__(self, pack: PackData, compiled: CompiledPack, reading: RowReading, workers: int) -> None:
        self.workers = workers
        # spawned: a forked child would inherit a CUDA context that it can't use
        context = multiprocessing.get_context("spawn")
        everybody = context.Barrier(workers)
        self._pool = ProcessPoolExecutor(
            workers, context, initializer=_start, initargs=(everybody, pack_to_bytes(pack), compiled, reading)
        )

    def __enter__(self) -> ExtractionPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Return when all workers have started; without this they start as jobs come, which takes seconds."""
        for future in [self._pool.submit(_meet) for _ in range(self.workers)]:
            future.result()

    def submit(self, shared: str, jobs: Sequence[RowJob]) -> list[Future[Found]]:
        """Extract `jobs` from the shared memory called `shared`; one future each."""
        return [self._pool.submit(_extract, shared, job) for job in jobs]

    def close(self) -> None:
        """Wait for the workers to end."""
        self._pool.shutdown()


# what a worker process holds: its extractor, a barrier for all workers, and the arenas it has seen
_extractors: list[Extractor] = []
_barriers: list[Barrier] = []
_attached: dict[str, memoryview] = {}


def _start(everybody: Barrier, pack: bytes, compiled: CompiledPack, reading: RowReading) -> None:
    _barriers.append(everybody)
    _extractors.append(Extractor.of(pack_from_bytes(pack), compiled, reading))


def _meet() -> None:
    """Wait for all workers: so many of these take as many workers."""
    _barriers[0].wait()


def _extract(shared: str, job: RowJob) -> Found:
    data = _attached.get(shared)
    if data is None:
        data = _attached[shared] = _attach(shared)
    return _extractors[0].run(data, job)


def _attach(name: str) -> memoryview:
    """The shared memory's bytes, for reading. The parent owns it: a worker's end must not take it away from the others.

    (Before Python 3.13, SharedMemory registers whatever is attached for removal at this process's end.)
    """
    with open(f"/dev/shm/{name}", "rb") as file:  # noqa: S108  # where shm_open keeps it, on Linux
        # pages are mapped as they are read: a worker reads few of them, and to map them all takes longer than a batch
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
