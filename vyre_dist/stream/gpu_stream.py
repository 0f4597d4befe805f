"""GpuStream: batches of whole documents through one GPU, with everything overlapped.

Each slot has an arena in shared memory (registered with CUDA, read by the extraction workers) and a
lane on the device. While one slot is being copied, the kernels of the one before run, and the rows
of the one before that become findings. Nothing waits for the whole device, and nothing grows with
the run.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vyre_dist.compiler.arena import ALIGNMENT
from vyre_dist.dispatch.report import MergedReport
from vyre_dist.engine.finding_rows import FindingRow, path_row
from vyre_dist.engine.tasks import DocumentProblem
from vyre_dist.errors import UsageError
from vyre_dist.kernels.cuda import DeviceMemoryError, DevicePack, DeviceRows, HostRegistry
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.model import PackData
from vyre_dist.stream.extraction_pool import ExtractionPool, ExtractionWorkerError
from vyre_dist.stream.row_jobs import jobs_of
from vyre_dist.stream.slots import SHARED_MEMORY, ArenaBatch, Slot


@dataclass(slots=True)
class StreamTotals:
    """What has gone through so far."""

    documents: int = 0
    skipped: int = 0
    bytes: int = 0
    capped: int = 0
    report: MergedReport = field(default_factory=MergedReport)


def fitting_slots(slots: int, slot_bytes: int, device_free: int, shared_free: int) -> int:
    """`slot_bytes`, halved until all slots have room. Raises UsageError below 1 MiB."""
    while True:
        # beside its text a slot takes lists and rows: an eighth more is plenty for all but text
        # that hits everywhere
        on_device, shared = slots * slot_bytes * 9 // 8, slots * slot_bytes
        if on_device <= device_free and shared <= shared_free:
            return slot_bytes
        if slot_bytes >> 1 < 1 << 20:
            raise UsageError(
                f"{device_free >> 20} MiB of device memory and {shared_free >> 20} MiB of shared "
                f"memory ({SHARED_MEMORY}) "
                f"are free: not enough for {slots} slots of 1 MiB; free some, or give a container "
                "more (--shm-size)"
            )
        slot_bytes >>= 1


class GpuStream:
    """One device's stream of batches. `close` it, or use `with`."""

    def __init__(
        self,
        gpu: DevicePack,
        pack: PackData,
        pool: ExtractionPool,
        *,
        slots: int = 6,
        slot_bytes: int = 256 << 20,
    ) -> None:
        """`gpu`: best with the pack's byte_filters. `slots` of `slot_bytes` each, halved until the
        device and shared memory have room for all of them.

        Raises UsageError when there is no room for the smallest slots (1 MiB).
        """
        pool.warm_up()
        self._reading, self._pool = gpu.reading, pool
        self.totals = StreamTotals()
        self.problems: list[DocumentProblem] = []
        self._filters = CompiledFilters(pack)
        self._path_rules = [i for i, rule in enumerate(pack.rules) if rule.regex is None]
        free = gpu.device.free_bytes() - slots * gpu.scratch_bytes
        slot_bytes = fitting_slots(slots, slot_bytes, free, shutil.disk_usage(SHARED_MEMORY).free)
        # else an empty document behind a full slot's last one would begin beyond its end
        slot_bytes = -(-slot_bytes // ALIGNMENT) * ALIGNMENT
        # whose batches are in flight: the latest scan, until it comes to its end
        self._scan: object = None
        self._registry = HostRegistry()
        self._slots: list[Slot] = []
        self._free: deque[Slot] = deque()
        self._copied: deque[Slot] = deque()
        self._extracting: deque[Slot] = deque()
        try:
            for _ in range(slots):
                # first the lane: what follows is given back by `close`
                slot = Slot.of(slot_bytes, gpu.lane(slot_bytes))
                self._slots.append(slot)
                self._registry.register(slot.data)
        except BaseException:
            self.close()
            raise
        self._free += self._slots

    def __enter__(self) -> GpuStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scan(
        self, documents: Iterable[tuple[int, str, bytes | memoryview]]
    ) -> Iterator[tuple[ArenaBatch, list[FindingRow]]]:
        """Batches with their finding rows, in order, from documents (number, path, bytes).

        After an error, or when the iterator is not taken to its end, batches in flight are dropped,
        at the latest when the next scan begins; the older scan's iterator raises UsageError from
        then on.

        Raises UsageError for a document that is larger than a slot, and while batches that somebody
        `put` are in flight; DeviceMemoryError for a document that is too much for the device;
        ExtractionWorkerError.
        """
        yield from self._stream(Slot.fill, documents)

    def scan_files(
        self, files: Iterable[tuple[int, str, str]]
    ) -> Iterator[tuple[ArenaBatch, list[FindingRow]]]:
        """The same from regular files (number, path, path to open), read into the slots.

        A file that can't be read, or is larger than a slot, is in `problems` then.
        """

        def fill(slot: Slot, waiting: Iterator[tuple[int, str, str]]) -> tuple[ArenaBatch, Any]:
            return slot.fill_files(waiting, self.problems)

        yield from self._stream(fill, files)

    def _stream(
        self,
        fill: Callable[[Slot, Iterator[Any]], tuple[ArenaBatch, Any]],
        documents: Iterable[Any],
    ) -> Iterator[tuple[ArenaBatch, list[FindingRow]]]:
        if self._scan is None and (self._copied or self._extracting):
            raise UsageError(
                "batches that were put are on their way: take what `drain` yields before a scan "
                "begins"
            )
        self._drop_all()
        self._scan = own = object()
        try:
            for done in self._batches(fill, documents):
                yield done
                if self._scan is not own:
                    raise UsageError(
                        "another scan has begun on this stream: what this one had on its way is "
                        "gone"
                    )
        except BaseException:
            if self._scan is own:
                self._drop_all()
            raise
        finally:
            if self._scan is own:
                self._scan = None

    def _batches(
        self,
        fill: Callable[[Slot, Iterator[Any]], tuple[ArenaBatch, Any]],
        documents: Iterable[Any],
    ) -> Iterator[tuple[ArenaBatch, list[FindingRow]]]:
        waiting, left = self._wanted(documents), None
        while True:
            while not self._free:
                yield self._finish_oldest()
            # not kept: a chain of chains would grow with the run
            batch, left = fill(
                self._free[0], waiting if left is None else itertools.chain((left,), waiting)
            )
            batch.by_path = [
                path_row(number, rule)
                for number, path in zip(batch.numbers, batch.paths, strict=True)
                if self._path_rules
                for rule in self._path_rules
                if self._filters.rule_applies_to_path(rule, path)
            ]
            if batch.paths:
                self._free.popleft()
                yield from self._put(batch)
            if left is None:
                break
        yield from self.drain()

    def _wanted(self, documents: Iterable[Any]) -> Iterator[Any]:
        """The documents that no allowlist rules out by their path."""
        for document in documents:
            if self._filters.document_skipped(document[1]):
                self.totals.skipped += 1
            else:
                yield document

    def put(self, batch: ArenaBatch) -> Iterator[tuple[ArenaBatch, list[FindingRow]]]:
        """Start a batch; yields batches that are done. The slot is taken until its batch is.

        The batch's arena need not lie in its slot: it may be an object in Ray's store, say. Then
        the documents that have rows are copied into the slot, for the extraction workers to see.

        Raises UsageError when the documents of such an arena are more than the slot has room for.
        After an error the slot is free, as if it had not been taken. A scan that has not come to
        its end ends, as where another begins.
        """
        if self._scan is not None:
            self._drop_all()
            self._scan = None
        yield from self._put(batch)

    def _put(self, batch: ArenaBatch) -> Iterator[tuple[ArenaBatch, list[FindingRow]]]:
        slot, arena = batch.slot, batch.arena
        if slot in self._free:
            self._free.remove(slot)
        slot.batch = batch
        try:
            text = int((arena.ends - arena.starts).sum())
            if text > slot.data.size and not np.may_share_memory(slot.data, arena.data):
                raise UsageError(
                    f"an arena has {text} bytes of documents, and a slot has room for "
                    f"{slot.data.size}: put it in parts"
                )
            self._registry.register_store(arena.data)
            slot.lane.start(arena)
        except BaseException:
            self._release(slot)
            raise
        self._copied.append(slot)
        while len(self._copied) > 2:
            self._collect_oldest()
        while self._extracting and all(each.done() for each in self._extracting[0].extractions):
            yield self._finish_oldest()

    def next_finished(self) -> tuple[ArenaBatch, list[FindingRow]]:
        """The oldest batch in flight; waits until it is done."""
        return self._finish_oldest()

    def drain(self) -> Iterator[tuple[ArenaBatch, list[FindingRow]]]:
        """The batches in flight, each when it is done."""
        while self._copied or self._extracting:
            yield self._finish_oldest()

    def free_slot(self) -> Slot | None:
        """A slot to fill; None while all are taken: take what `put` or `drain` yield first."""
        return self._free.popleft() if self._free else None

    def _collect_oldest(self) -> None:
        """Wait for the oldest batch's kernels and hand its rows to the extraction workers."""
        slot = self._copied.popleft()
        try:
            rows = self._rows_of(slot)
            self.totals.report += MergedReport.of(rows.report)
            # few: each costs this thread a little, and batches overlap anyway
            most_jobs = max(1, self._pool.workers // 4)
            jobs = jobs_of(
                self._reading, rows.rows, slot.taken(), slot.data, most_jobs, rows.matches
            )
            slot.extractions = self._pool.submit(slot.memory.name, jobs)
        except BaseException:
            self._release(slot)
            raise
        self._extracting.append(slot)

    def _rows_of(self, slot: Slot) -> DeviceRows:
        try:
            return slot.lane.finish()
        except DeviceMemoryError:
            # lanes keep the buffers that their densest arenas took; what was started on one is done
            # anew
            for each in self._slots:
                each.lane.release()
            return slot.lane.fused(slot.taken().arena)

    def _finish_oldest(self) -> tuple[ArenaBatch, list[FindingRow]]:
        if not self._extracting:
            self._collect_oldest()
        slot = self._extracting.popleft()
        try:
            batch = slot.taken()
            findings = list(batch.by_path)
            for extraction in slot.extractions:
                rows, capped = extraction.result()
                findings += rows
                self.totals.capped += capped
        finally:
            self._release(slot)
        self.totals.documents += len(batch.paths)
        self.totals.bytes += int((batch.arena.ends - batch.arena.starts).sum())
        return batch, findings

    def _release(self, slot: Slot) -> None:
        """The slot is free again, when nobody reads what lies in it any more."""
        slot.lane.wait()
        for extraction in slot.extractions:
            with contextlib.suppress(
                ExtractionWorkerError
            ):  # it was raised where the result was asked for
                extraction.result()
        slot.extractions, slot.batch = [], None
        self._free.append(slot)

    def _drop_all(self) -> None:
        """Drop the batches in flight."""
        for waiting in (self._copied, self._extracting):
            while waiting:
                self._release(waiting.popleft())

    def close(self) -> None:
        """Give the memory back. Batches in flight are waited for and dropped.

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
