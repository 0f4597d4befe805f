"""The driver's vocabulary: what can happen to a scan (events), what is to be done (actions).

Plain frozen data. Pools make events and carry out actions; the state machine in machine.py turns
one into the other. Without slots: with them these classes would take a third longer to make, some
2 ms of each start of the command, and a scan makes few objects of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.engine.finding_blocks import FindingBlock
from vyre_dist.engine.salvage import Salvage
from vyre_dist.engine.tasks import (
    Item,
    Piece,
    Task,
    TaskResult,
)
from vyre_dist.input_problem import InputNote, InputProblem
from vyre_dist.ledger.entries import Entry

# --- events


@dataclass(frozen=True)
class WorkerReady:
    """A worker has loaded the pack and waits for tasks.

    `concurrency`: how many tasks it does at the same time. `facts`: who it is; None: that is said
    later, with another one of these.
    """

    worker: int
    concurrency: int = 1
    facts: WorkerFacts | None = field(default=None, compare=False)


@dataclass(frozen=True)
class WorkerLost:
    """A worker is gone; what it was given may or may not have been done.

    `unrelated_to_tasks`: none of its tasks can be the reason.
    """

    worker: int
    detail: str
    unrelated_to_tasks: bool = False


@dataclass(frozen=True)
class WorkerRefused:
    """A worker can't work, for a reason that others in its place would meet again.

    Such as another version, or a missing backend. `node`: where that is; it is told once, however
    many workers are refused there. `capacity`: how many workers the pool can have from now on,
    those that work included.
    """

    worker: int
    detail: str
    node: str = ""
    capacity: int = 0


@dataclass(frozen=True)
class GpuLeftOut:
    """The pool goes on without one of its GPUs, for the reason in `detail`."""

    detail: str


@dataclass(frozen=True)
class WorkersAdded:
    """There can be these workers, too, from now on."""

    workers: tuple[int, ...]


@dataclass(frozen=True)
class PoolWaits:
    """Workers have not started, for the reason in `detail`, which others can do away with."""

    detail: str


@dataclass(frozen=True)
class PoolRefused:
    """No worker can do what was asked for, not even those that had begun (there is no GPU)."""

    detail: str


@dataclass(frozen=True)
class TaskDone:
    """A worker finished a task."""

    worker: int
    task_id: int
    result: TaskResult


@dataclass(frozen=True)
class TaskFailed:
    """A task raised in a worker that lives on."""

    worker: int
    task_id: int
    detail: str


@dataclass(frozen=True)
class ShardPlanned:
    """The plan's next shard, in the order of the documents.

    `documents`: those whose first piece is in it, whole. `entries`: what an earlier driver of the
    same run has done of it.
    """

    pieces: tuple[Item, ...]
    documents: tuple[Piece, ...]
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class PlanEnded:
    """There are no more shards."""


@dataclass(frozen=True)
class Recorded:
    """The entries up to that of `number` are where they outlive this process."""

    number: int


@dataclass(frozen=True)
class Tick:
    """Time passes; seconds on the driver's monotonic clock."""

    now: float


Event: TypeAlias = (
    WorkerReady
    | WorkerLost
    | WorkerRefused
    | GpuLeftOut
    | WorkersAdded
    | PoolWaits
    | PoolRefused
    | TaskDone
    | TaskFailed
    | ShardPlanned
    | PlanEnded
    | Recorded
    | Tick
)

# --- actions


@dataclass(frozen=True)
class StartWorker:
    """Start the worker with this number."""

    worker: int


@dataclass(frozen=True)
class Submit:
    """Give the task to the worker, which may have others already. `shard`: whose it is."""

    worker: int
    task_id: int
    task: Task
    shard: int = field(default=-1, compare=False)


@dataclass(frozen=True)
class ReplaceWorker:
    """Start a new worker under the same number."""

    worker: int


@dataclass(frozen=True)
class PlanMore:
    """Answer with one ShardPlanned or PlanEnded."""


@dataclass(frozen=True)
class Emit:
    """These findings are final.

    They come in the order of the documents, whatever order the work was done in.
    """

    found: list[FindingBlock | Salvage]


@dataclass(frozen=True)
class ReportProblem:
    """A document that was not scanned to its end, with the reason."""

    document: int
    reason: str
    detail: str


@dataclass(frozen=True)
class ReportNote:
    """What is worth a word about a document that was scanned as planned."""

    document: int
    reason: str
    detail: str


@dataclass(frozen=True)
class ReportAudit:
    """A document of which an audit has found something else, or that could not be audited.

    With its path: it may have been forgotten since it was scanned.
    """

    found: InputProblem | InputNote


@dataclass(frozen=True)
class Record:
    """Keep what was done, and answer with Recorded. Numbers count from 0."""

    number: int
    entry: Entry


@dataclass(frozen=True)
class Forget:
    """Nothing more will be said of the documents in these ranges: their paths may be dropped."""

    documents: tuple[range, ...]


@dataclass(frozen=True)
class Warn:
    """Tell the user."""

    message: str


@dataclass(frozen=True)
class Finish:
    """All is done."""


@dataclass(frozen=True)
class Abort:
    """The scan can't go on; what was emitted so far stands.

    `refused`: a worker could not start, and never will.
    """

    detail: str
    refused: bool = False


Action: TypeAlias = (
    StartWorker
    | Submit
    | ReplaceWorker
    | PlanMore
    | Emit
    | ReportProblem
    | ReportNote
    | ReportAudit
    | Record
    | Forget
    | Warn
    | Finish
    | Abort
)
