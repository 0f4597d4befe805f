"""Records: what was done and is not yet where it outlives this process.

Part of the state machine. A shard is not over before all of its entries are.
"""

from __future__ import annotations

from collections import deque

from vyre_dist.driver.events import Action, Record
from vyre_dist.driver.planned_shards import PlannedShards
from vyre_dist.driver.task_queue import Assignment
from vyre_dist.engine.tasks import ScanTask, TaskResult, count, split_at
from vyre_dist.ledger.entries import Covered, Entry, covered_by


class Records:
    """`wanted`: whether anything is kept at all."""

    def __init__(self, shards: PlannedShards, wanted: bool) -> None:
        self._shards = shards
        self._wanted = wanted
        self._next = 0
        self._waiting: deque[tuple[int, int]] = deque()

    def add(self, entry: Entry, actions: list[Action]) -> None:
        """Have an entry kept; its shard waits for that."""
        if not self._wanted:
            return
        self._shards[entry.shard].outstanding += 1
        self._waiting.append((self._next, entry.shard))
        actions.append(Record(self._next, entry))
        self._next += 1

    def kept(self, number: int) -> None:
        """The entries up to `number` are."""
        while self._waiting and self._waiting[0][0] <= number:
            self._shards[self._waiting.popleft()[1]].outstanding -= 1


def entry_of(assignment: Assignment, result: TaskResult) -> Entry:
    """What a task that is over has come to."""
    task = assignment.task
    if not isinstance(task, ScanTask):
        return Entry(assignment.shard, result, Covered(), task.piece.document)
    pieces = task.pieces
    if result.undone:
        pieces = split_at(pieces, count(pieces) - result.undone)[0]
    return Entry(assignment.shard, result, covered_by(pieces))
