"""From rows that a GPU confirmed to findings, in processes of their own: where most of a GPU scan's host time goes.

A worker attaches to the arena's shared memory and reads the few documents that have rows; no document is sent anywhere.
"""

from __future__ import annotations

import mmap
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

from vyre_dist.engine.document import BytesDocument
from vyre_dist.engine.findings import FindingBuilder, RawSpan
from vyre_dist.engine.tasks import FindingRow
from vyre_dist.extract import RuleMatcher
from vyre_dist.extract.places import matches_at_places
from vyre_dist.extract.window import whole
from vyre_dist.program import CompiledPack
from vyre_dist.rules.codec import pack_from_bytes, pack_to_bytes
from vyre_dist.rules.filters import CompiledFilters
from vyre_dist.rules.model import PackData

Job = tuple[int, str, int, int, list[tuple[int, list[int] | None]]]
"""(document number, path, start and end in the arena, [(rule number, places in the document or None: anywhere)])."""


@dataclass(slots=True)
class Extractor:
    """Turns jobs into finding rows. Also what a worker process holds."""

    builder: FindingBuilder
    matchers: dict[int, RuleMatcher]

    @classmethod
    def of(cls, pack: PackData, compiled: CompiledPack) -> Extractor:
        """An extractor for a pack."""
        matchers = {r.index: RuleMatcher(r.pattern, r.max_width, r.max_match_bytes) for r in compiled.rules}
        return cls(FindingBuilder(pack, CompiledFilters(pack), matchers), matchers)

    def run(self, data: memoryview, jobs: Sequence[Job]) -> tuple[list[FindingRow], int]:
        """(finding rows in the order of the jobs, how many matches were capped)."""
        found: list[FindingRow] = []
        capped = 0
        for number, path, start, end, rules in jobs:
            window = whole(bytes(data[start:end]))
            spans: list[RawSpan] = []
            for rule, places in rules:
                matcher = self.matchers[rule]
                if places is None:
                    matches = list(matcher.iter_matches(window))
                else:
                    matches = matches_at_places(matcher, window, places)
                spans += [(first, rule, last, flags) for first, last, flags in matches]
            spans.sort()
            rows, cut = self.builder.build(number, BytesDocument(window.data, path), spans)
            found += rows
            capped += cut
        return found, capped


class ExtractionPool:
    """Worker processes that extract. `close` it, or use `with`."""

    def __init__(self, pack: PackData, compiled: CompiledPack, workers: int) -> None:
        self.workers = workers
        # spawned: a forked child would inherit a CUDA context that it can't use
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(
            workers, context, initializer=_start, initargs=(pack_to_bytes(pack), compiled)
        )

    def __enter__(self) -> ExtractionPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Return when all workers have started."""
        for future in [self._pool.submit(_nothing) for _ in range(4 * self.workers)]:
            future.result()

    def submit(self, shared: str, jobs: Sequence[Job]) -> list[Future[tuple[list[FindingRow], int]]]:
        """Extract `jobs` from the shared memory called `shared`, in as many pieces as keep all workers busy."""
        size = max(1, -(-len(jobs) // (2 * self.workers)))
        return [self._pool.submit(_extract, shared, jobs[at : at + size]) for at in range(0, len(jobs), size)]

    def close(self) -> None:
        """Wait for the workers to end."""
        self._pool.shutdown()


# what a worker process holds: its extractor, and the arenas it has seen
_extractors: list[Extractor] = []
_attached: dict[str, memoryview] = {}


def _start(pack: bytes, compiled: CompiledPack) -> None:
    _extractors.append(Extractor.of(pack_from_bytes(pack), compiled))


def _nothing() -> None:
    """A task that only shows that there is a worker."""


def _extract(shared: str, jobs: Sequence[Job]) -> tuple[list[FindingRow], int]:
    data = _attached.get(shared)
    if data is None:
        data = _attached[shared] = _attach(shared)
    return _extractors[0].run(data, jobs)


def _attach(name: str) -> memoryview:
    """The shared memory's bytes, for reading. The parent owns it: a worker's end must not take it away from the others.

    (Before Python 3.13, SharedMemory registers whatever is attached for removal at this process's end.)
    """
    with open(f"/dev/shm/{name}", "rb") as file:  # noqa: S108  # where shm_open keeps it, on Linux
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
