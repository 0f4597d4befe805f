"""Intake: what comes of tasks: counted, kept, and said in the order of the documents.

Part of the state machine. How tasks fail, and are done again, is in machine.py.
"""

from __future__ import annotations

from itertools import chain
from operator import attrgetter

from vyre_dist.driver.audits import Audits
from vyre_dist.driver.events import Action, Emit, Forget, ReportNote, ReportProblem
from vyre_dist.driver.planned_shards import PlannedShards
from vyre_dist.driver.records import Records, entry_of
from vyre_dist.driver.split_documents import SplitDocuments
from vyre_dist.driver.task_queue import Assignment, TaskQueue
from vyre_dist.driver.totals import Totals
from vyre_dist.engine.finding_blocks import FindingBlock
from vyre_dist.engine.salvage import Salvage
from vyre_dist.engine.tasks import TaskResult
from vyre_dist.ledger.entries import Done, Entry, covered_by


class Intake:
    """Takes in results. `given_up`: documents of which nothing more is to be scanned."""

    def __init__(
        self,
        totals: Totals,
        shards: PlannedShards,
        queue: TaskQueue,
        split: SplitDocuments,
        audits: Audits,
        records: Records,
        given_up: set[int],
    ) -> None:
        self._totals, self._shards, self._queue = totals, shards, queue
        self._split, self._audits, self._records = split, audits, records
        self._given_up = given_up

    def over_with(self, assignment: Assignment, result: TaskResult, actions: list[Action]) -> None:
        """Take in and keep what came of a task."""
        if result.problems:
            self._split.keep_parts(assignment)
        entry = entry_of(assignment, result)
        self.take_in(entry, actions)
        self._records.add(entry, actions)

    def record_dropped(self, actions: list[Action]) -> None:
        """Pieces that nobody scans, as their document was given up, are no work for others."""
        dropped, self._queue.dropped = self._queue.dropped, []
        for shard, pieces in dropped:
            self._records.add(Entry(shard, TaskResult(), covered_by(pieces)), actions)

    def take_in(self, entry: Entry, actions: list[Action], done: Done | None = None) -> None:
        """Count an entry. `done`: all of its shard that is known, if an earlier driver made it."""
        result = entry.result
        self._totals.add(result, self._split.number_outside(result.skipped))
        self._split.keep_blocks(result.findings.blocks, entry.shard)
        for problem in result.problems:
            self.fail_document(problem.document, problem.reason, problem.detail, actions)
        actions += [ReportNote(n.document, n.reason, n.detail) for n in result.notes]
        self._audits.add(result.audits)
        for document in self._split.among(result.skipped):
            # each piece of a split document says so
            self._totals.skipped += self._split.give_up(document)
        for part in result.parts:
            self._split.add_part(part, done)
        for large in result.large:
            self._split.cut(large, entry.shard, done)

    def fail_document(self, document: int, reason: str, detail: str, actions: list[Action]) -> None:
        """List a document once, however many of its pieces failed."""
        if self._split.give_up(document):
            actions.append(ReportProblem(document, reason, detail))

    def emit(self, actions: list[Action]) -> None:
        """Say what is final, oldest shard first, as far as there is no gap."""
        for shard in self._shards.without_tasks():
            split = self._split.among(chain.from_iterable(shard.documents))
            if not self._given_up.issuperset(split):
                return
            found: list[FindingBlock | Salvage] = []
            for block in shard.blocks:
                if block.document not in self._given_up:
                    self._totals.findings += block.rows
                    found.append(block)
            salvages = [self._split.salvage(document) for document in split]
            found += [s for s in salvages if any(part.kept for part in s.parts)]
            if found:
                found.sort(key=attrgetter("place"))
                actions.append(Emit(found))
            if shard.documents:
                if self._given_up:
                    self._given_up.difference_update(*shard.documents)
                actions.append(Forget(tuple(shard.documents)))
