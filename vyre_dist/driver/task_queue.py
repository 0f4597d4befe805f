"""TaskQueue: the tasks that wait for a worker or are at one, each with its shard and failures.

Audits wait by themselves, for workers that have nothing else to do, and are of no shard: nobody
waits for them but the end of the scan.

Part of the state machine. Which worker has which task is in workforce.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Set
from dataclasses import dataclass

from vyre_dist.driver.planned_shards import PlannedShards
from vyre_dist.engine.shards import size_of
from vyre_dist.engine.tasks import (
    AuditTask,
    FolderRun,
    Item,
    Piece,
    ScanTask,
    StitchTask,
    Task,
    count,
)

NO_SHARD = -1


@dataclass(slots=True)
class Assignment:
    """A task of a shard, and how often it has failed."""

    task: Task
    shard: int
    failures: int = 0


class TaskQueue:
    """Tasks by number. A shard's `outstanding` counts those of its tasks that are in here.

    `given_up`: documents of which nothing more is to be scanned; the caller adds to it. `closed`:
    no task is taken at all.
    """

    def __init__(self, shards: PlannedShards, given_up: Set[int], *, closed: bool = False) -> None:
        self._shards = shards
        self.closed = closed
        self._given_up = given_up
        self._assignments: dict[int, Assignment] = {}
        self._queue: deque[int] = deque()
        self._audits: deque[int] = deque()
        self.open_audits = 0
        """How many audits wait or are at a worker."""
        self._next = 0
        self.dropped: list[tuple[int, Sequence[Piece]]] = []
        """Pieces of shards that nobody is to scan any more; the caller takes them out."""

    def __len__(self) -> int:
        """How many tasks wait for a worker, without audits."""
        return len(self._queue)

    @property
    def waiting_audits(self) -> int:
        """How many audits wait for a worker."""
        return len(self._audits)

    def add(self, task: Task, shard: int, failures: int = 0, first: bool = False) -> None:
        """Queue a task of `shard`, without the pieces of documents that have been given up."""
        if self.closed:
            return
        if self._given_up and isinstance(task, ScanTask):
            # a file of a folder is given up only when the task that holds it is over
            gone = [p for p in task.pieces if isinstance(p, Piece) and p.document in self._given_up]
            if gone:
                self.dropped.append((shard, gone))
                self.add_rest([p for p in task.pieces if p not in gone], shard, failures, first)
                return
        self._assignments[self._next] = Assignment(task, shard, failures)
        queue = self._queue
        if isinstance(task, AuditTask):
            queue = self._audits
            self.open_audits += 1
        else:
            self._shards[shard].outstanding += 1
        if first:
            queue.appendleft(self._next)
        else:
            queue.append(self._next)
        self._next += 1

    def add_rest(
        self, items: Sequence[Item], shard: int, failures: int = 0, first: bool = False
    ) -> None:
        """Queue what is left of a task's items. What was between two of them is told of elsewhere,
        and has its place between their findings: a task of its own for each stretch without a gap.
        """
        tasks: list[list[Item]] = []
        end = -1
        for item in items:
            number, size = _extent(item)
            if tasks and number <= end:
                tasks[-1].append(item)
            else:
                tasks.append([item])
            end = number + size
        for own in reversed(tasks) if first else tasks:
            self.add(ScanTask(tuple(own)), shard, failures, first)

    def add_audit(self, task: AuditTask, failures: int = 0) -> None:
        """Queue an audit, or what is left of it."""
        self.add(task, NO_SHARD, failures)

    def give_out(self) -> tuple[int, Task]:
        """The next task and its number. It is outstanding until `close`."""
        task_id = self._queue.popleft()
        return task_id, self.task(task_id)

    def give_out_audit(self) -> tuple[int, Task]:
        """The same of audits."""
        task_id = self._audits.popleft()
        return task_id, self.task(task_id)

    def take_back(self, task_id: int) -> Assignment | None:
        """The assignment of a task that is over, or that no worker is at any more; to be closed.

        None: another worker was given the task, too, and had it done before.
        """
        return self._assignments.pop(task_id, None)

    def close(self, assignment: Assignment) -> None:
        """The task is over, or about to be queued anew."""
        if isinstance(assignment.task, AuditTask):
            self.open_audits -= 1
        else:
            self._shards[assignment.shard].outstanding -= 1

    def requeue(self, assignment: Assignment) -> None:
        """Queue a task that was taken back again, as the next one."""
        self.close(assignment)
        self.add(assignment.task, assignment.shard, assignment.failures, first=True)

    def drop_pieces(self, document: int) -> None:
        """Take the pieces of a document that has been given up out of the tasks that wait."""
        for task_id in reversed([t for t in self._queue if self._has_piece(t, document)]):
            self._queue.remove(task_id)
            self.requeue(self._assignments.pop(task_id))

    def _has_piece(self, task_id: int, document: int) -> bool:
        task = self.task(task_id)
        return isinstance(task, ScanTask) and any(
            isinstance(p, Piece) and p.document == document for p in task.pieces
        )

    def shard_of(self, task_id: int) -> int:
        """The shard of a task that waits or is at a worker."""
        return self._assignments[task_id].shard

    def task(self, task_id: int) -> Task:
        """One that waits or is at a worker."""
        return self._assignments[task_id].task

    def is_open(self, task_id: int) -> bool:
        """Whether the task is not over."""
        return task_id in self._assignments

    def size(self, task_id: int) -> int:
        """About how many bytes a task has to look at; 0 for one that is over."""
        assignment = self._assignments.get(task_id)
        return 0 if assignment is None else size_of(assignment.task)

    def describe(self, task_id: int) -> str:
        """What the task is about, for people."""
        if not self.is_open(task_id):
            return "what another worker has done meanwhile"
        task = self.task(task_id)
        if isinstance(task, StitchTask):
            return f"joining {task.piece.path}"
        if isinstance(task, AuditTask):
            return f"auditing {task.piece.path}"
        first = task.pieces[0]
        number = count(task.pieces)
        more = f" and {number - 1} more" if number > 1 else ""
        if isinstance(first, FolderRun):
            return f"{first.prefix}{first.names[0]}{more}"
        return f"{first.path} [{first.start}, {first.end}){more}"


def _extent(item: Item) -> tuple[int, int]:
    """(number of the first document, number of documents)."""
    return (item.first, len(item.names)) if isinstance(item, FolderRun) else (item.document, 1)
