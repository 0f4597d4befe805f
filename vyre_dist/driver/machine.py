"""ScanMachine: the scan's state machine. Events in, actions out; no I/O, no clock, no processes.

It decides on retries, bisection and quarantine, on the order of what is emitted, and counts. A task
counts once, whatever the attempts: an answer for a task that is not outstanding is ignored. Its
state has five rooms: the shards in their order (planned_shards.py), tasks (task_queue.py),
documents in several pieces (split_documents.py, joins.py), audits (audits.py) and workers
(workforce.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from vyre_dist.driver.audits import Audits
from vyre_dist.driver.events import (
    Abort,
    Action,
    Event,
    Finish,
    GpuLeftOut,
    PlanEnded,
    PlanMore,
    PoolRefused,
    PoolWaits,
    Recorded,
    ReplaceWorker,
    ShardPlanned,
    StartWorker,
    Submit,
    TaskDone,
    TaskFailed,
    Tick,
    Warn,
    WorkerLost,
    WorkerReady,
    WorkerRefused,
    WorkersAdded,
)
from vyre_dist.driver.intake import Intake
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.overtime import Overtime
from vyre_dist.driver.planned_shards import PlannedShards
from vyre_dist.driver.records import Records
from vyre_dist.driver.roster import Roster
from vyre_dist.driver.split_documents import SplitDocuments
from vyre_dist.driver.task_queue import Assignment, TaskQueue
from vyre_dist.driver.totals import Totals
from vyre_dist.driver.watchdog import Watchdog
from vyre_dist.driver.workforce import Workforce
from vyre_dist.engine.tasks import (
    AuditTask,
    DocumentProblem,
    FolderRun,
    Piece,
    ScanTask,
    TaskResult,
    count,
    split_at,
)
from vyre_dist.ledger.entries import Done


class ScanMachine:
    """One scan's state. `handle` takes one event and returns what to do, in order."""

    def __init__(
        self,
        workers: Iterable[int],
        config: MachineConfig | None = None,
        at_once: int | None = None,
    ) -> None:
        """`workers`: the numbers of all there may be.

        `at_once`: how many of them may be starting at the same time.
        """
        self.config = config or MachineConfig()
        self.totals = Totals()
        self.roster = Roster()
        self.left_out: list[str] = []
        """Why workers were left out that the pool could have had, once for each node."""
        self.unfinished = 0
        """Documents that were not scanned, of a machine that scans nothing."""
        self._workforce = Workforce(workers, self.config.depth, at_once)
        self._left_out_nodes: set[str] = set()
        self._given_up: set[int] = set()
        self._shards = PlannedShards()
        self._queue = TaskQueue(self._shards, self._given_up, closed=self.config.only_entries)
        self._split = SplitDocuments(self._shards, self._queue, self._given_up)
        waiting = self.config.audits_waiting
        self._audits = Audits(self._queue, self._workforce, self.totals, waiting)
        self._records = Records(self._shards, self.config.recorded)
        self._intake = Intake(
            self.totals,
            self._shards,
            self._queue,
            self._split,
            self._audits,
            self._records,
            self._given_up,
        )
        self._unstarted: set[int] = set()
        self._asked_for_plan = self._plan_ended = self._over = False
        self._lost_in_a_row = 0
        self._watchdog = Watchdog(self.config.stall_seconds)
        self._overtime = Overtime(self.config, self._workforce, self._queue, self._shards)

    @property
    def over(self) -> bool:
        """Whether Finish or Abort has been said."""
        return self._over

    @property
    def busy(self) -> bool:
        """Whether any worker has a task."""
        return any(self._workforce.assigned.values())

    @property
    def waiting(self) -> int:
        """How many tasks wait for a worker, without audits."""
        return len(self._queue)

    def handle(self, event: Event) -> list[Action]:
        """Take `event` into account."""
        if self._over:
            return []
        actions: list[Action] = []
        match event:
            case Tick():
                if (silent := self._watchdog.silence(event.now)) is not None:
                    actions.append(Warn(self._overtime.silent_for(silent)))
                scanned = self._plan_ended and not self._shards
                if (news := self._audits.news(event.now, scanned=scanned)) is not None:
                    actions.append(Warn(news))
                if not self._workforce.begun and not self.config.only_entries:
                    # it loads the pack while the first inputs are listed
                    actions.append(StartWorker(self._workforce.begin()))
                if self._overtime.is_time(event.now):
                    self._look_after_leases(event.now, actions)
            case ShardPlanned():
                self._asked_for_plan = False
                self._plan(event, actions)
            case PlanEnded():
                self._asked_for_plan = False
                self._plan_ended = True
            case WorkerReady():
                self._workforce.ready(event.worker, event.concurrency)
                if event.facts is not None:
                    self.roster.joined(event.worker, event.facts)
                self._unstarted.discard(event.worker)
                self._watchdog.progress()
            case WorkerRefused():
                self._refused(event, actions)
            case GpuLeftOut():
                self.left_out.append(event.detail)
                actions.append(Warn(f"{event.detail}; the scan goes on without it"))
            case WorkersAdded():
                self._workforce.add(event.workers)
            case PoolWaits():
                actions.append(Warn(event.detail))
            case PoolRefused():
                self._over = True
                return [Abort(event.detail, refused=True)]
            case Recorded():
                self._records.kept(event.number)
            case TaskDone():
                self._done(event, actions)
            case TaskFailed():
                self._failed_task(event, actions)
            case WorkerLost():
                self._lost(event, actions)
        if not self._over:
            self._intake.record_dropped(actions)
            self._intake.emit(actions)
            self._assign(actions)
            self._plan_or_finish(actions)
        return actions

    # --- planning

    def _plan(self, event: ShardPlanned, actions: list[Action]) -> None:
        number = self._shards.plan()
        shard = self._shards[number]
        pieces = [item for item in event.pieces if isinstance(item, Piece)]
        partial = {piece.document for piece in pieces if not piece.whole}
        for document in event.documents:
            if document.document in partial:
                self._split.plan(document, number)
            else:
                shard.add(document.document)
        for item in event.pieces:
            if isinstance(item, FolderRun):
                shard.add(item.first, len(item.names))
        for piece in pieces:
            if not piece.whole and piece.end == piece.size:
                self._split.ends_in(piece.document, number)
        rest = event.pieces
        if event.entries:
            done = Done(event.entries)
            rest = tuple(done.rest_of(rest))
            for entry in event.entries:
                self._split.restore_join(entry)
                self._intake.take_in(entry, actions, done)
        if self.config.only_entries:
            self.unfinished += count(rest)
            for each in self._split.among(chain.from_iterable(shard.documents)):
                self._intake.fail_document(each, "unfinished", "not all of it was scanned", actions)
        if event.entries:
            self._queue.add_rest(rest, number)
        elif rest:
            self._queue.add(ScanTask(rest), number)

    def _assign(self, actions: list[Action]) -> None:
        """Give tasks to the workers that have fewest, up to the depth; start more workers."""
        self._audits.give_out_the_oldest(self.config.depth, actions)
        self._give_out(range(1, 2), actions)
        while self._workforce.wanted(len(self._queue)):
            actions.append(StartWorker(self._workforce.begin()))
        self._give_out(range(2, self.config.depth + 1), actions)
        self._audits.give_out_to_idle(actions)
        while self._plan_ended and self._workforce.wanted(self._queue.waiting_audits):
            actions.append(StartWorker(self._workforce.begin()))

    def _give_out(self, depths: range, actions: list[Action]) -> None:
        for worker in self._workforce.takers(len(self._queue), depths):
            task_id, task = self._queue.give_out()
            self._workforce.give(worker, task_id)
            actions.append(Submit(worker, task_id, task, self._queue.shard_of(task_id)))

    def _plan_or_finish(self, actions: list[Action]) -> None:
        if self._plan_ended:
            if not self._shards and not self._queue.open_audits:
                self._over = True
                actions.append(Finish())
            return
        # a reserve, so that a worker that falls idle does not wait for the walk
        reserve = max(self._workforce.free_capacity(), self._workforce.begun)
        is_enough = self._overtime.far_ahead or self._audits.too_many
        if len(self._queue) <= reserve and not is_enough and not self._asked_for_plan:
            self._asked_for_plan = True
            actions.append(PlanMore())

    @property
    def lease_bytes(self) -> int:
        """What the next shard should have, if that is more than the least."""
        return self._overtime.lease_bytes(self.totals.bytes)

    # --- results

    def _done(self, event: TaskDone, actions: list[Action]) -> None:
        assignment = self._take(event.worker, event.task_id)
        if assignment is None:
            return
        self._watchdog.progress()
        self._lost_in_a_row = 0
        self.roster.did(event.worker, event.result)
        self._overtime.did(event.result.bytes, event.result.seconds)
        if isinstance(assignment.task, AuditTask):
            self._audits.done(assignment.task, event.result, actions)
            self._queue.close(assignment)
            return
        result = self._split.joined(assignment, event.result)
        if result is None:
            self._queue.close(assignment)
            return
        self._intake.over_with(assignment, result, actions)
        if result.undone:
            self._queue_rest(assignment, result.undone)
        self._queue.close(assignment)

    def _queue_rest(self, assignment: Assignment, undone: int) -> None:
        """Queue the rest of a task in two halves: there was more in it than was known."""
        if not isinstance(assignment.task, ScanTask):
            raise AssertionError("a join was left undone")
        pieces = assignment.task.pieces
        rest = split_at(pieces, count(pieces) - undone)[1]
        for half in reversed(split_at(rest, (undone + 1) // 2)):
            if half:
                self._queue.add(ScanTask(half), assignment.shard, assignment.failures, first=True)

    def _take(self, worker: int, task_id: int) -> Assignment | None:
        """The assignment that `worker` answers for; None for an answer that came too late."""
        return self._queue.take_back(task_id) if self._workforce.take(worker, task_id) else None

    # --- failures

    def _failed_task(self, event: TaskFailed, actions: list[Action]) -> None:
        if not self._workforce.take(event.worker, event.task_id):
            return
        assignment = self._given_back(event.task_id)
        if assignment is not None:
            self._watchdog.progress()
            self._again(assignment, event.detail, actions)

    def _given_back(self, task_id: int) -> Assignment | None:
        """The assignment of a task that one worker did not do; None if another one is at it, or has
        done it.
        """
        return None if self._workforce.has(task_id) else self._queue.take_back(task_id)

    def _lost(self, event: WorkerLost, actions: list[Action], blamed: int | None = None) -> None:
        # a worker that has not begun and was lost without its own doing: there was no process, and
        # may be none for a while
        unstarted = event.unrelated_to_tasks and not self._workforce.is_ready(event.worker)
        told = event.worker in self._unstarted
        if unstarted:
            self._unstarted.add(event.worker)
        self.totals.workers_lost += not unstarted
        detail = "" if event.unrelated_to_tasks else event.detail
        cut = self._take_back(self._workforce.lost(event.worker), detail, actions, blamed)
        self._lost_in_a_row += not cut and not (unstarted and self._workforce.any_ready)
        if self._lost_in_a_row >= max(self.config.lost_in_a_row, 4 * self._workforce.begun):
            self._over = True
            actions.append(
                Abort(
                    f"{self._lost_in_a_row} workers were lost in a row without finishing a task; "
                    f"the last: {event.detail}"
                )
            )
            return
        if not (unstarted and told):
            actions.append(
                Warn(f"worker {event.worker} was lost ({event.detail}); starting another")
            )
        actions.append(ReplaceWorker(event.worker))

    def _refused(self, event: WorkerRefused, actions: list[Action]) -> None:
        """Go on without a worker that does not fit, if there are or can be others."""
        self._take_back(self._workforce.leave_out(event.worker, event.capacity), "", actions)
        self._unstarted.discard(event.worker)
        if not self._workforce.begun and not self._workforce.most:
            self._over = True
            actions.append(
                Abort(f"worker {event.worker} could not start: {event.detail}", refused=True)
            )
        elif event.node not in self._left_out_nodes:
            self._left_out_nodes.add(event.node)
            self.left_out.append(event.detail)
            actions.append(Warn(f"{event.detail}; the scan goes on with the others"))

    def _take_back(
        self, tasks: list[int], detail: str, actions: list[Action], blamed: int | None = None
    ) -> bool:
        """Queue again what a worker had; whether a task was cut in two.

        `detail`: how it ended, if the task `blamed` (None: its current one) may be the reason, else
        "".
        """
        cut = False
        # Tasks are begun in the order they were given: the first one was being done. A team does
        # some of the others too, but it outlives a process that a document ends, and reports it.
        blamed = tasks[0] if blamed is None and tasks else blamed
        for task_id in reversed(tasks):
            if (assignment := self._given_back(task_id)) is None:
                continue
            if task_id == blamed and detail:
                cut = self._again(assignment, detail, actions)
            else:
                self._queue.requeue(assignment)
        return cut

    def _again(self, assignment: Assignment, detail: str, actions: list[Action]) -> bool:
        """Retry a task that failed; whether it was cut in two.

        That is done to one that keeps failing; if it has one document only, that is given up.
        """
        self.totals.retries += 1
        self._queue.close(assignment)
        failures = assignment.failures + 1
        task, shard = assignment.task, assignment.shard
        if isinstance(task, AuditTask):
            self._audits.failed(assignment, self.config.max_failures, detail, actions)
            return False
        if failures < self.config.max_failures:
            self._queue.add(task, shard, failures, first=True)
        elif isinstance(task, ScanTask) and (number := count(task.pieces)) > 1:
            for half in reversed(split_at(task.pieces, number // 2)):
                # the halves have already failed together: one failure more and they are cut again
                self._queue.add(ScanTask(half), shard, self.config.max_failures - 1, first=True)
            return True
        else:
            last = task.pieces[0] if isinstance(task, ScanTask) else task.piece
            document = last.first if isinstance(last, FolderRun) else last.document
            why = f"scanning it failed {failures} times: {detail}"
            given_up = TaskResult(problems=[DocumentProblem(document, "quarantined", why)])
            self._intake.over_with(assignment, given_up, actions)
        return False

    # --- time

    def _look_after_leases(self, now: float, actions: list[Action]) -> None:
        """Replace workers that have taken too long; have what all others wait for done twice."""
        for loss, blamed in self._overtime.losses(now):
            self._lost(loss, actions, blamed)
            if self._over:
                return
        if not self._queue and (self._plan_ended or self._overtime.far_ahead):
            actions += self._overtime.doubles(now)
