"""StagedRun: the run directory of a scan that names none. A scan of seconds has none at all.

What it does waits in memory for as long. Then all of that goes to a directory in the cache, and the
rest as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from vyre_dist.engine.part_files import large_in
from vyre_dist.errors import VyreError
from vyre_dist.input_problem import InputProblem
from vyre_dist.ledger.entries import Entry
from vyre_dist.ledger.owner import RunTakenError

if TYPE_CHECKING:
    from vyre_dist.engine.tasks import Item
    from vyre_dist.ledger.records import Worker
    from vyre_dist.ledger.run_directory import RunDirectory

STAGED_SECONDS = 2.0
STAGED_BYTES = 32 << 20
"""More findings than that do not wait."""


class StagedRun:
    """`begin`: makes the directory. Where that fails, the scan goes on without one, and `trouble`
    says why; but where another driver takes the directory over, this one stops.

    `directory`: None as long as there is none. `skipped`: see RunDirectory.
    """

    def __init__(
        self, begin: Callable[[], RunDirectory], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._due: float | None = clock() + STAGED_SECONDS
        self._problems: list[InputProblem] = []
        self._plan: list[tuple[int, tuple[Item, ...]]] = []
        self._plan_ended = False
        self._entries: list[tuple[int, Entry, int, int | None]] = []
        self._workers: list[Worker] = []
        self._bytes = 0
        self._news: int | None = None
        self.directory: RunDirectory | None = None
        self.skipped: Callable[[], Mapping[str, int]] = dict
        self.trouble = ""

    @property
    def own_files(self) -> frozenset[tuple[int, int]]:
        """See RunDirectory. A walk leaves the private one out by its name."""
        return frozenset()

    @property
    def kept_in(self) -> str | None:
        """See RunDirectory."""
        return None if self.directory is None else self.directory.kept_in

    def discard(self) -> None:
        """See RunDirectory."""
        if self.directory is not None:
            self.directory.discard()

    def finish(self, report: bytes) -> None:
        """See RunDirectory."""
        if self.directory is not None:
            self.directory.finish(report)

    def close(self) -> None:
        """See RunDirectory."""
        if self.directory is not None:
            self.directory.close()

    @property
    def proof(self) -> str:
        """See Recording."""
        return "" if self.directory is None else self.directory.proof

    def part(self, shard: int, task_id: int) -> str:
        """See Recording."""
        return "" if self.directory is None else self.directory.part(shard, task_id)

    def listed(self, problem: InputProblem) -> None:
        """See Recording."""
        if self.directory is not None:
            self.directory.listed(problem)
        elif self._due is not None:
            self._problems.append(problem)

    def planned(self, shard: int, items: tuple[Item, ...]) -> None:
        """See Recording."""
        if self.directory is not None:
            self.directory.planned(shard, items)
        elif self._due is not None:
            self._plan.append((shard, items))

    def plan_ended(self) -> None:
        """See Recording."""
        self._plan_ended = True
        if self.directory is not None:
            self.directory.plan_ended()

    def worker(self, worker: Worker) -> None:
        """See Recording."""
        if self.directory is not None:
            self.directory.worker(worker)
        elif self._due is not None:
            self._workers.append(worker)

    def record(self, number: int, entry: Entry, began_ns: int, worker: int | None = None) -> None:
        """See Recording."""
        if self.directory is not None:
            self.directory.record(number, entry, began_ns, worker)
            return
        self._news = number
        if self._due is not None:
            self._entries.append((number, entry, began_ns, worker))
            self._bytes += sum(map(len, large_in(entry.result)))

    def patience(self, most: float) -> float:
        """See Recording."""
        if self.directory is not None:
            return self.directory.patience(most)
        return most

    def commit(self, *, idle: bool) -> int | None:
        """See Recording."""
        if self._due is not None and (self._clock() >= self._due or self._bytes > STAGED_BYTES):
            self._due = None
            self._to_directory()
        kept = None if self.directory is None else self.directory.commit(idle=idle)
        # what came since the last time went to the directory just now, or waits in memory
        news, self._news = self._news, None
        return news if kept is None else kept

    def check_owner(self) -> None:
        """See Recording."""
        if self.directory is not None:
            self.directory.check_owner()

    def _to_directory(self) -> None:
        directory: RunDirectory | None = None
        try:
            directory = self._begin()
            directory.skipped = lambda: self.skipped()
            for problem in self._problems:
                directory.listed(problem)
            for shard, items in self._plan:
                directory.planned(shard, items)
            if self._plan_ended:
                directory.plan_ended()
            for worker in self._workers:
                directory.worker(worker)
            for entry in self._entries:
                directory.record(*entry)
            directory.commit(idle=True)
            self.directory = directory
        except RunTakenError:
            if directory is not None:
                directory.close()
            raise
        except (OSError, VyreError) as error:
            self.trouble = str(error)
            if directory is not None:
                directory.remove()
        self._problems, self._plan, self._entries, self._workers = [], [], [], []
