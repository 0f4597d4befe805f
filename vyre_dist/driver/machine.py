"""ScanMachine: the scan's state machine. Events in, actions out; no I/O, no clock, no processes.

It decides on retries, bisection and quarantine, on the order of what is emitted, and counts. A task
counts once, whatever the attempts: an answer for a task that is not outstanding is ignored. Its
state has four rooms: the shards in their order (planned_shards.py), tasks (task_queue.py),
documents in several pieces (split_documents.py, joins.py) and workers (workforce.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from vyre_dist.driver.events import (
    Abort,
    Action,
    Emit,
    Event,
    Finish,
    Forget,
    GpuLeftOut,
    PlanEnded,
    PlanMore,
    PoolRefused,
    Recorded,
    ReplaceWorker,
    ReportNote,
    ReportProblem,
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
)
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.planned_shards import PlannedShards
from vyre_dist.driver.records import Records, entry_of
from vyre_dist.driver.roster import Roster
from vyre_dist.driver.split_documents import SplitDocuments
from vyre_dist.driver.task_queue import Assignment, TaskQueue
from vyre_dist.driver.totals import Totals
from vyre_dist.driver.watchdog import Watchdog
from vyre_dist.driver.workforce import Workforce
from vyre_dist.engine.finding_blocks import FindingBlock
from vyre_dist.engine.salvage import Salvage
from vyre_dist.engine.tasks import (
    DocumentProblem,
    FolderRun,
    Piece,
    ScanTask,
    TaskResult,
    count,
    split_at,
)
from vyre_dist.ledger.entries import Done, Entry, covered_by


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
        self._records = Records(self._shards, self.config.recorded)
        self._unstarted: set[int] = set()
        self._asked_for_plan = self._plan_ended = self._over = False
        self._lost_in_a_row = 0
        self._watchdog = Watchdog(self.config.stall_seconds)

    @property
    def over(self) -> bool:
        """Whether Finish or Abort has been said."""
        return self._over

    @property
    def busy(self) -> bool:
        """Whether any worker has a task."""
        return any(self._workforce.assigned.values())

    def handle(self, event: Event) -> list[Action]:
        """Take `event` into account."""
        if self._over:
            return []
        actions: list[Action] = []
        match event:
            case Tick():
                if (silent := self._watchdog.silence(event.now)) is not None:
                    actions.append(Warn(f"no progress for {silent:.0f} s: {self._stuck_on()}"))
                if not self._workforce.begun and not self.config.only_entries:
                    # it loads the pack while the first inputs are listed
                    actions.append(StartWorker(self._workforce.begin()))
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
            self._record_dropped(actions)
            self._emit(actions)
            self._assign(actions)
            self._plan_or_finish(actions)
        return actions

    # --- planning

    def _plan(self, event: ShardPlanned, actions: list[Action]) -> None:
        number = self._shards.plan()
        documents = self._shards[number].documents
        pieces = [item for item in event.pieces if isinstance(item, Piece)]
        partial = {piece.document for piece in pieces if not piece.whole}
        for document in event.documents:
            if document.document in partial:
                self._split.plan(document, number)
            else:
                documents.append(document.document)
        for item in event.pieces:
            if isinstance(item, FolderRun):
                documents += range(item.first, item.first + len(item.names))
        for piece in pieces:
            if not piece.whole and piece.end == piece.size:
                self._split.ends_in(piece.document, number)
        rest = event.pieces
        if event.entries:
            done = Done(event.entries)
            rest = tuple(done.rest_of(rest))
            for entry in event.entries:
                self._split.restore_join(entry)
                self._take_in(entry, actions, done)
        if self.config.only_entries:
            self.unfinished += count(rest)
            for each in self._split.among(documents):
                self._fail_document(each, "unfinished", "not all of it was scanned", actions)
        if rest:
            self._queue.add(ScanTask(rest), number)

    def _assign(self, actions: list[Action]) -> None:
        """Give tasks to the workers that have fewest, up to the depth; start more workers."""
        self._give_out(range(1, 2), actions)
        while self._workforce.wanted(len(self._queue)):
            actions.append(StartWorker(self._workforce.begin()))
        self._give_out(range(2, self.config.depth + 1), actions)

    def _give_out(self, depths: range, actions: list[Action]) -> None:
        for worker in self._workforce.takers(len(self._queue), depths):
            task_id, task = self._queue.give_out()
            self._workforce.give(worker, task_id)
            actions.append(Submit(worker, task_id, task, self._queue.shard_of(task_id)))

    def _plan_or_finish(self, actions: list[Action]) -> None:
        if self._plan_ended:
            if not self._shards:
                self._over = True
                actions.append(Finish())
            return
        # a reserve, so that a worker that falls idle does not wait for the walk
        reserve = max(self._workforce.free_capacity(), self._workforce.begun)
        wanted = len(self._queue) <= reserve and self._shards.ahead < self.config.shards_ahead
        if wanted and not self._asked_for_plan:
            self._asked_for_plan = True
            actions.append(PlanMore())

    # --- results

    def _done(self, event: TaskDone, actions: list[Action]) -> None:
        assignment = self._take(event.worker, event.task_id)
        if assignment is None:
            return
        self._watchdog.progress()
        self._lost_in_a_row = 0
        self.roster.did(event.worker, event.result)
        result = self._split.joined(assignment, event.result)
        if result is None:
            self._queue.close(assignment)
            return
        self._over_with(assignment, result, actions)
        if result.undone:
            self._queue_rest(assignment, result.undone)
        self._queue.close(assignment)

    def _over_with(self, assignment: Assignment, result: TaskResult, actions: list[Action]) -> None:
        """Take in and keep what came of a task."""
        if result.problems:
            self._split.keep_parts(assignment)
        entry = entry_of(assignment, result)
        self._take_in(entry, actions)
        self._records.add(entry, actions)

    def _record_dropped(self, actions: list[Action]) -> None:
        """Pieces that nobody scans, as their document was given up, are no work for others."""
        dropped, self._queue.dropped = self._queue.dropped, []
        for shard, pieces in dropped:
            self._records.add(Entry(shard, TaskResult(), covered_by(pieces)), actions)

    def _take_in(self, entry: Entry, actions: list[Action], done: Done | None = None) -> None:
        """Count an entry. `done`: all of its shard that is known, if an earlier driver made it."""
        result = entry.result
        self.totals.add(result, self._split.number_outside(result.skipped))
        self._split.keep_blocks(result.findings.blocks, entry.shard)
        for problem in result.problems:
            self._fail_document(problem.document, problem.reason, problem.detail, actions)
        actions += [ReportNote(n.document, n.reason, n.detail) for n in result.notes]
        for document in self._split.among(result.skipped):
            # each piece of a split document says so
            self.totals.skipped += self._split.give_up(document)
        for part in result.parts:
            self._split.add_part(part, done)
        for large in result.large:
            self._split.cut(large, entry.shard, done)

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

    def _fail_document(
        self, document: int, reason: str, detail: str, actions: list[Action]
    ) -> None:
        """List a document once, however many of its pieces failed."""
        if self._split.give_up(document):
            actions.append(ReportProblem(document, reason, detail))

    def _emit(self, actions: list[Action]) -> None:
        """Say what is final, oldest shard first, as far as there is no gap."""
        for shard in self._shards.without_tasks():
            split = self._split.among(shard.documents)
            if not self._given_up.issuperset(split):
                return
            found: list[FindingBlock | Salvage] = []
            for block in shard.blocks:
                if block.document not in self._given_up:
                    self.totals.findings += block.rows
                    found.append(block)
            salvages = [self._split.salvage(document) for document in split]
            found += [s for s in salvages if any(part.kept for part in s.parts)]
            if found:
                found.sort(key=attrgetter("place"))
                actions.append(Emit(found))
            if shard.documents:
                self._given_up.difference_update(shard.documents)
                actions.append(Forget(tuple(shard.documents)))

    # --- failures

    def _failed_task(self, event: TaskFailed, actions: list[Action]) -> None:
        assignment = self._take(event.worker, event.task_id)
        if assignment is not None:
            self._watchdog.progress()
            self._again(assignment, event.detail, actions)

    def _lost(self, event: WorkerLost, actions: list[Action]) -> None:
        # a worker that has not begun and was lost without its own doing: there was no process, and
        # may be none for a while
        unstarted = event.unrelated_to_tasks and not self._workforce.is_ready(event.worker)
        told = event.worker in self._unstarted
        if unstarted:
            self._unstarted.add(event.worker)
        self.totals.workers_lost += not unstarted
        detail = "" if event.unrelated_to_tasks else event.detail
        cut = self._take_back(self._workforce.lost(event.worker), detail, actions)
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

    def _take_back(self, tasks: list[int], detail: str, actions: list[Action]) -> bool:
        """Queue again what a worker had; whether its current task was cut in two.

        `detail`: how it ended, if that task may be the reason, else "".
        """
        cut = False
        # Tasks are begun in the order they were given: the first one was being done. A team does
        # some of the others too, but it outlives a process that a document ends, and reports it.
        for position, task_id in enumerate(reversed(tasks), 1):
            assignment = self._queue.take_back(task_id)
            if position == len(tasks) and detail:
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
            self._over_with(assignment, given_up, actions)
        return False

    # --- time

    def _stuck_on(self) -> str:
        """What the scan has been waiting for."""
        busy = self._workforce.busy()
        if busy:
            first = list(busy.items())[:4]
            return ", ".join(f"worker {w} on {self._queue.describe(t)}" for w, t in first)
        return (
            "waiting for the list of inputs"
            if self._workforce.any_ready
            else "no worker has started yet"
        )
