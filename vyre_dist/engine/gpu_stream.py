"""GpuStream: arenas of whole documents through one GPU, so that reading, copying, kernels and extraction overlap.

Each slot has an arena in shared memory (registered with CUDA, read by the extraction workers) and a lane on the device.
While one slot is being copied, the kernels of the one before run, and the rows of the one before that become findings.
Nothing waits for the whole device, nothing grows with the run.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import numpy.typing as npt

from vyre_dist.compiler.arena import ALIGNMENT, Arena
from vyre_dist.dispatch.report import MergedReport
from vyre_dist.engine.extraction import RowJob
from vyre_dist.engine.extraction_pool import Extraction, ExtractionPool
from vyre_dist.engine.tasks import FindingRow
from vyre_dist.errors import UsageError
from vyre_dist.kernels.cuda.backend import CudaBackend
from vyre_dist.kernels.cuda.host_memory import HostRegistry
from vyre_dist.kernels.cuda.lane import Lane
from vyre_dist.kernels.cuda.matches import SETTLED_DTYPE, settle
from vyre_dist.kernels.cuda.reading import RowReading
from vyre_dist.kernels.cuda.spans import Spans
from vyre_dist.program.pack_spans import make_spans
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.model import PackData


@dataclass(slots=True)
class ArenaBatch:
    """Documents packed for one pass. `paths`: one for each document; `numbers`: what they are called in finding rows.

    `by_path`: finding rows of rules that look at paths only.
    """

    arena: Arena
    paths: Sequence[str]
    numbers: Sequence[int]
    slot: Slot
    by_path: list[FindingRow] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Slot:
    """A place for one batch: shared memory on the host, and a lane on the device."""

    memory: SharedMemory
    data: npt.NDArray[np.uint8]
    lane: Lane
    batch: ArenaBatch | None = None
    extractions: list[Extraction] = field(default_factory=list)

    def taken(self) -> ArenaBatch:
        """The batch that has this slot."""
        if self.batch is None:
            raise RuntimeError("a slot without a batch is on its way")
        return self.batch

    def pack(self, documents: Iterable[tuple[int, str, bytes | memoryview]]) -> tuple[ArenaBatch, Any]:
        """(the batch of as many `documents` (number, path, bytes) as fit, the first one that did not or None).

        Raises UsageError for a document that would not fit into an empty slot.
        """
        at = 0
        starts: list[int] = []
        ends: list[int] = []
        paths: list[str] = []
        numbers: list[int] = []
        for number, path, data in documents:
            if at + len(data) > self.data.size:
                if not starts:
                    raise UsageError(
                        f"{path} has {len(data)} bytes, and a batch has room for {self.data.size}; scan it with a Scanner"
                    )
                return self._batch(at, starts, ends, paths, numbers), (number, path, data)
            self.data[at : at + len(data)] = np.frombuffer(data, np.uint8)
            starts.append(at)
            ends.append(at + len(data))
            paths.append(path)
            numbers.append(number)
            at = -(-ends[-1] // ALIGNMENT) * ALIGNMENT
        return self._batch(at, starts, ends, paths, numbers), None

    def _batch(
        self, size: int, starts: list[int], ends: list[int], paths: list[str], numbers: list[int]
    ) -> ArenaBatch:
        whole = np.ones(len(starts), bool)
        used = self.data[: min(size, self.data.size)]
        return ArenaBatch(
            Arena(used, np.array(starts, np.int64), np.array(ends, np.int64), whole, whole),
            paths,
            numbers,
            self,
        )


@dataclass(slots=True)
class StreamTotals:
    """What has gone through so far."""

    documents: int = 0
    skipped: int = 0
    bytes: int = 0
    capped: int = 0
    report: MergedReport = field(default_factory=MergedReport)


class GpuStream:
    """One backend's stream of batches. `close` it, or use `with`."""

    def __init__(
        self,
        backend: CudaBackend,
        pack: PackData,
        pool: ExtractionPool,
        *,
        slots: int = 6,
        slot_bytes: int = 256 << 20,
    ) -> None:
        """`slots` of `slot_bytes` each, halved until the device has room for all of them.

        Raises UsageError when the device has no room for the smallest slots (1 MiB).
        """
        self.backend, self._pool = backend, pool
        self.totals = StreamTotals()
        self._filters = CompiledFilters(pack)
        self._path_rules = [i for i, rule in enumerate(pack.rules) if rule.regex is None]
        spans = make_spans(pack, backend.compiled, backend.tables)
        finder = Spans(backend.device, spans) if spans.any else None
        # beside its text a slot takes lists and rows: an eighth more is plenty for all but text that hits everywhere
        free = backend.device.free_bytes() - slots * (finder.scratch_bytes if finder else 0)
        while slots * slot_bytes * 9 // 8 > free and slot_bytes > 1 << 20:
            slot_bytes //= 2
        if slots * slot_bytes * 9 // 8 > free:
            raise UsageError(
                f"{free >> 20} MiB of device memory are free: not enough for {slots} slots of 1 MiB"
            )
        self._registry = HostRegistry()
        self._slots: list[Slot] = []
        for _ in range(slots):
            memory = SharedMemory(create=True, size=slot_bytes)
            data = np.ndarray((slot_bytes,), np.uint8, memory.buf)
            data.fill(0)  # touched, so that it is there to be registered
            self._registry.register(data)
            self._slots.append(Slot(memory, data, Lane(backend.programs, slot_bytes, finder)))
        self._free = deque(self._slots)
        self._copied: deque[Slot] = deque()
        self._extracting: deque[Slot] = deque()
        pool.warm_up()

    def __enter__(self) -> GpuStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scan(
        self, documents: Iterable[tuple[int, str, bytes | memoryview]]
    ) -> Iterator[tuple[ArenaBatch, list[FindingRow]]]:
        """Batches with their finding rows, in order, from documents (number, path, bytes)."""
        by_path: list[FindingRow] = []
        waiting = self._wanted(documents, by_path)
        left: Any = None
        while True:
            while not self._free:
                yield self._finish_oldest()
            slot = self._free.popleft()
            batch, left = slot.pack(waiting if left is None else itertools.chain((left,), waiting))
            batch.by_path = by_path[:]
            by_path.clear()
            if not batch.paths and not batch.by_path:
                self._free.append(slot)
                break
            yield from self.put(batch)
            if left is None:
                break
        yield from self.drain()

    def _wanted(
        self, documents: Iterable[tuple[int, str, bytes | memoryview]], by_path: list[FindingRow]
    ) -> Iterator[tuple[int, str, bytes | memoryview]]:
        """The documents that no allowlist rules out by their path; what their paths alone say is added to `by_path`."""
        for document in documents:
            verdict = self._filters.path_verdict(document[1])
            if verdict.skipped:
                self.totals.skipped += 1
                continue
            by_path += [
                [document[0], rule, 0, 0, 0, 0, b"", b"", (), 0.0]
                for rule in self._path_rules
                if verdict.applies[rule]
            ]
            yield document

    def put(self, batch: ArenaBatch) -> Iterator[tuple[ArenaBatch, list[FindingRow]]]:
        """Start a batch; yields what has come out meanwhile. The batch's slot is taken until its findings are out.

        The batch's arena need not lie in its slot: it may be an object in Ray's store, say. Then the documents that have
        rows are copied into the slot, for the extraction workers to see.
        """
        self._registry.register(batch.arena.data)
        slot = batch.slot
        slot.batch = batch
        slot.lane.start(batch.arena)
        self._copied.append(slot)
        while len(self._copied) > 2:
            self._collect_oldest()
        while self._extracting and all(each.done() for each in self._extracting[0].extractions):
            yield self._finish_oldest()

    def next_finished(self) -> tuple[ArenaBatch, list[FindingRow]]:
        """The oldest batch on its way, when it is done."""
        return self._finish_oldest()

    def drain(self) -> Iterator[tuple[ArenaBatch, list[FindingRow]]]:
        """What is still on its way."""
        while self._copied or self._extracting:
            yield self._finish_oldest()

    def free_slot(self) -> Slot | None:
        """A slot to pack a batch into; None while all are taken: take what `drain` or `put` yield first."""
        return self._free.popleft() if self._free else None

    def _collect_oldest(self) -> None:
        """Wait for the oldest batch's kernels and hand its rows to the extraction workers."""
        slot = self._copied.popleft()
        rows = slot.lane.finish()
        self.totals.report += MergedReport.of(rows.report)
        # few: each costs this thread a little, and batches overlap anyway
        pieces = max(1, self._pool.workers // 4)
        jobs = jobs_of(self.backend.reading, rows.rows, slot.taken(), slot.data, pieces, rows.matches)
        slot.extractions = self._pool.submit(slot.memory.name, jobs)
        self._extracting.append(slot)

    def _finish_oldest(self) -> tuple[ArenaBatch, list[FindingRow]]:
        if not self._extracting:
            self._collect_oldest()
        slot = self._extracting.popleft()
        batch = slot.taken()
        findings = list(batch.by_path)
        for extraction in slot.extractions:
            rows, capped = extraction.result()
            findings += rows
            self.totals.capped += capped
        self.totals.documents += len(batch.paths)
        self.totals.bytes += int((batch.arena.ends - batch.arena.starts).sum())
        slot.extractions, slot.batch = [], None
        self._free.append(slot)
        return batch, findings

    def close(self) -> None:
        """Give the memory back. What is still on its way is waited for and dropped.

        A batch that somebody still holds keeps its slot's memory until it is let go.
        """
        for slot in self._slots:
            slot.lane.wait()
        self._pool.forget([slot.memory.name for slot in self._slots])
        self._registry.close()
        for slot in self._slots:
            slot.memory.unlink()
        self._slots.clear()
        self._free.clear()
        self._copied.clear()
        self._extracting.clear()


def jobs_of(
    reading: RowReading,
    rows: npt.NDArray[np.void],
    batch: ArenaBatch,
    memory: npt.NDArray[np.uint8],
    pieces: int,
    matches: npt.NDArray[np.void] | None = None,
) -> list[RowJob]:
    """What the extraction workers have to do for a batch's rows, in at most so many pieces of about equal size.

    `matches`: one for each row, if the device has searched. `memory`: the slot's, which the workers see. Documents of an
    arena that lies elsewhere are copied there, one behind the other.
    """
    arena = batch.arena
    settled = np.empty(0, SETTLED_DTYPE)
    if matches is not None:
        # most documents have nothing else to say
        rows, settled = settle(rows, matches)
    rows = rows[np.argsort(rows["document"], kind="stable")]
    settled = settled[np.argsort(settled["document"], kind="stable")]
    if reading.everywhere:
        documents = np.arange(arena.documents)
    else:
        documents = np.union1d(rows["document"], settled["document"]).astype(np.int64)
    if not documents.size:
        return []
    starts, ends = arena.starts[documents], arena.ends[documents]
    moved = np.zeros(documents.size, np.int64)
    if not np.may_share_memory(memory, arena.data):
        sizes = ends - starts
        places = np.cumsum(sizes) - sizes
        for at, start, size in zip(places.tolist(), starts.tolist(), sizes.tolist(), strict=True):
            memory[at : at + size] = arena.data[start : start + size]
        moved = starts - places
        starts, ends = places, places + sizes
    jobs = []
    cuts = np.unique(np.linspace(0, documents.size, pieces + 1).astype(np.int64)).tolist()
    for low, high in itertools.pairwise(cuts):
        called = documents[low:high].tolist()
        jobs.append(
            RowJob(
                _of_documents(rows, documents[low:high]),
                _of_documents(settled, documents[low:high]),
                starts[low:high],
                ends[low:high],
                moved[low:high],
                [batch.paths[document] for document in called],
                [batch.numbers[document] for document in called],
            )
        )
    return jobs


def _of_documents(items: npt.NDArray[np.void], documents: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    """Those of `items` (in order of document) that are about `documents` (ascending), counted from 0 in these."""
    low, high = np.searchsorted(items["document"], (documents[0], documents[-1] + 1))
    own = items[low:high].copy()
    own["document"] = np.searchsorted(documents, own["document"])
    return own
