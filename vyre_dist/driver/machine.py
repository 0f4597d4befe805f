"""ScanMachine: the scan's state machine. Events in, actions out; no I/O, no clock, no Ray, no
processes.

It owns retries, bisection and quarantine, the order of what is emitted, and the counts. A task
counts once, whatever the attempts: an answer for a task that is not outstanding is ignored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from vyre_dist.driver.events import (
    Abort,
    Action,
    Emit,
    Event,
    Finish,
    Forget,
    PlanEnded,
    PlanMore,
    PoolRefused,
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
from vyre_dist.driver.roster import Roster
from vyre_dist.driver.totals import Totals
from vyre_dist.driver.watchdog import Watchdog
from vyre_dist.driver.workforce import Workforce
from vyre_dist.engine.salvage import salvaged
from vyre_dist.engine.shards import cut
from vyre_dist.engine.tasks import (
    FindingRow,
    FolderRun,
    LargeDocument,
    PartResult,
    Piece,
    ScanTask,
    StitchTask,
    Task,
    count,
    report_order,
    split_at,
)


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """`depth`: tasks in hand per worker and hand of it, the one being done included. `slots_ahead`:
    shards that may be planned beyond the oldest unfinished one. `deaths`: failures of one task
    before it is cut in two, or its only document put in quarantine. `lost_in_a_row`: workers lost
    without a task done in between before the scan is given up; four times the number of workers if
    that is more, as a node that fails takes many along. Losses that cut a task in two are not
    counted: they lead somewhere; nor are workers that could not be started while there is another
    one. `stall_seconds`: silence that is worth a warning.
    """

    depth: int = 2
    slots_ahead: int = 256
    deaths: int = 2
    lost_in_a_row: int = 16
    stall_seconds: float = 60.0


@dataclass(slots=True)
class _Assignment:
    task: Task
    slot: int
    failures: int = 0


@dataclass(slots=True)
class _Slot:
    """A planned shard: its rows wait until everything in it, and before it, is done."""

    outstanding: int = 0
    rows: list[FindingRow] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _SplitDocument:
    whole: Piece
    slot: int
    missing: int
    parts: list[PartResult] = field(default_factory=list)
    rows: list[FindingRow] = field(default_factory=list)


class ScanMachine:
    """One scan's state. `handle` takes one event and returns what to do, in order."""

    def __init__(
        self,
        workers: Iterable[int],
        config: MachineConfig | None = None,
        at_once: int | None = None,
    ) -> None:
        """`workers`: the numbers of all there may be. `at_once`: how many of them may be starting
        at the same time.
        """
        self.config = config or MachineConfig()
        self.totals = Totals()
        self.roster = Roster()
        self._force = Workforce(workers, self.config.depth, at_once)
        self.left_out: list[str] = []
        self._left_places: set[str] = set()
        self._assignments: dict[int, _Assignment] = {}
        self._queue: deque[int] = deque()
        self._slots: dict[int, _Slot] = {}
        self._next_slot = self._oldest_slot = 0
        self._next_task = 0
        self._split: dict[int, _SplitDocument] = {}
        self._given_up: set[int] = set()
        self._unstarted: set[int] = set()
        self._asked_for_plan = self._plan_ended = self._over = False
        self._lost_in_a_row = 0
        self._watchdog = Watchdog(self.config.stall_seconds)

    @property
    def over(self) -> bool:
        """Whether Finish or Abort has been said."""
        return self._over

    def handle(self, event: Event) -> list[Action]:
        """Take `event` into account."""
        if self._over:
            return []
        actions: list[Action] = []
        match event:
            case Tick():
                if (silent := self._watchdog.silence(event.now)) is not None:
                    actions.append(Warn(f"no progress for {silent:.0f} s: {self._stuck_on()}"))
                if not self._force.begun:
                    # it loads the pack while the first inputs are listed
                    actions.append(StartWorker(self._force.begin()))
            case ShardPlanned():
                self._asked_for_plan = False
                self._plan(event)
            case PlanEnded():
                self._asked_for_plan = False
                self._plan_ended = True
            case WorkerReady():
                self._force.ready(event.worker, event.hands)
                if event.facts is not None:
                    self.roster.joined(event.worker, event.facts)
                self._unstarted.discard(event.worker)
                self._watchdog.progress()
            case WorkerRefused():
                self._refused(event, actions)
            case PoolRefused():
                self._over = True
                return [Abort(event.detail, refused=True)]
            case TaskDone():
                self._done(event, actions)
            case TaskFailed():
                self._failed_task(event, actions)
            case WorkerLost():
                self._lost(event, actions)
        if not self._over:
            self._emit(actions)
            self._assign(actions)
            self._plan_or_finish(actions)
        return actions

    # --- planning

    def _plan(self, event: ShardPlanned) -> None:
        number = self._next_slot
        self._next_slot += 1
        slot = self._slots[number] = _Slot()
        pieces = [item for item in event.pieces if isinstance(item, Piece)]
        partial = {piece.document for piece in pieces if not piece.whole}
        for document in event.documents:
            if document.document in partial:
                self._split[document.document] = _SplitDocument(document, number, document.size)
            else:
                slot.documents.append(document.document)
        for item in event.pieces:
            if isinstance(item, FolderRun):
                slot.documents += range(item.first, item.first + len(item.names))
        for piece in pieces:
            if not piece.whole and piece.end == piece.size:
                split = self._split[piece.document]
                split.slot = number
                slot.documents.append(piece.document)
        self._enqueue(ScanTask(event.pieces), number)

    def _enqueue(self, task: Task, slot: int, failures: int = 0, first: bool = False) -> None:
        """Queue a task of `slot`, without the pieces of documents that have been given up."""
        if self._given_up and isinstance(task, ScanTask):
            # a file of a folder is given up only when the task that holds it is over
            gone = self._given_up
            task = ScanTask(
                tuple(
                    [p for p in task.pieces if isinstance(p, FolderRun) or p.document not in gone]
                )
            )
            if not task.pieces:
                return
        self._assignments[self._next_task] = _Assignment(task, slot, failures)
        self._slots[slot].outstanding += 1
        if first:
            self._queue.appendleft(self._next_task)
        else:
            self._queue.append(self._next_task)
        self._next_task += 1

    def _assign(self, actions: list[Action]) -> None:
        """Hand queued tasks to the workers with the least in hand, up to the depth, and start
        workers for the others.
        """
        self._hand_out(range(1, 2), actions)
        while self._force.wanted(len(self._queue)):
            actions.append(StartWorker(self._force.begin()))
        self._hand_out(range(2, self.config.depth + 1), actions)

    def _hand_out(self, depths: range, actions: list[Action]) -> None:
        for worker in self._force.takers(len(self._queue), depths):
            task_id = self._queue.popleft()
            self._force.give(worker, task_id)
            actions.append(Submit(worker, task_id, self._assignments[task_id].task))

    def _plan_or_finish(self, actions: list[Action]) -> None:
        if self._plan_ended:
            if not self._slots:
                self._over = True
                actions.append(Finish())
            return
        ahead = self._next_slot - self._oldest_slot
        # a reserve, so that a worker that falls idle does not wait for the walk
        reserve = max(self._force.room(), self._force.begun)
        wanted = len(self._queue) <= reserve and ahead < self.config.slots_ahead
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
        result = event.result
        self.roster.did(event.worker, result)
        self.totals.add(result, len(set(result.skipped) - self._split.keys()))
        self._keep(result.findings, assignment)
        for problem in result.problems:
            self._keep_parts(assignment)
            self._fail_document(problem.document, problem.reason, problem.detail, actions)
        actions += [ReportNote(n.document, n.reason, n.detail) for n in result.notes]
        for document in result.skipped:
            self._drop_split(document)
        for part in result.parts:
            self._add_part(part)
        for large in result.large:
            self._cut(large, assignment.slot)
        if result.undone:
            self._hand_out_again(assignment, result.undone)
        self._close_task(assignment)

    def _cut(self, large: LargeDocument, slot: int) -> None:
        """Plan the pieces of a document that was planned as one, for want of its size."""
        piece = large.piece
        self._split[piece.document] = _SplitDocument(piece, slot, piece.size)
        for part in reversed(cut(piece, large.piece_bytes)):
            self._enqueue(ScanTask((part,)), slot, first=True)

    def _hand_out_again(self, assignment: _Assignment, undone: int) -> None:
        """Queue what a worker left of a task, in two halves: there was more in it than anybody
        knew.
        """
        if not isinstance(assignment.task, ScanTask):
            raise AssertionError("a join was left undone")
        pieces = assignment.task.pieces
        rest = split_at(pieces, count(pieces) - undone)[1]
        for half in reversed(split_at(rest, (undone + 1) // 2)):
            if half:
                self._enqueue(ScanTask(half), assignment.slot, assignment.failures, first=True)

    def _keep(self, rows: list[FindingRow], assignment: _Assignment) -> None:
        """Put findings where they wait for their turn; those of a piece wait for the other pieces
        first.
        """
        slot_rows = self._slots[assignment.slot].rows
        if not self._split:
            slot_rows += rows
            return
        for row in rows:
            split = self._split.get(row.document)
            (slot_rows if split is None else split.rows).append(row)

    def _take(self, worker: int, task_id: int) -> _Assignment | None:
        """The assignment that `worker` answers for, now off its hands; None for an answer that came
        too late.
        """
        return self._assignments.pop(task_id) if self._force.take(worker, task_id) else None

    def _close_task(self, assignment: _Assignment) -> None:
        self._slots[assignment.slot].outstanding -= 1

    def _add_part(self, part: PartResult) -> None:
        split = self._split.get(part.document)
        if split is None:
            return
        split.parts.append(part)
        split.missing -= part.end - part.start
        if split.missing == 0 and part.document not in self._given_up:
            del self._split[part.document]
            parts = tuple(sorted(split.parts, key=lambda p: p.start))
            self._slots[split.slot].rows += split.rows
            self._enqueue(StitchTask(split.whole, parts), split.slot, first=True)

    def _drop_split(self, document: int) -> None:
        """Count a split document that is skipped; each of its pieces says so."""
        if document in self._split and document not in self._given_up:
            self._give_up(document)
            self.totals.skipped += 1

    def _fail_document(
        self, document: int, reason: str, detail: str, actions: list[Action]
    ) -> None:
        """List a document once, however many of its pieces failed."""
        if document not in self._given_up:
            self._give_up(document)
            actions.append(ReportProblem(document, reason, detail))

    def _keep_parts(self, assignment: _Assignment) -> None:
        """A document that is not joined has its parts' own findings."""
        if isinstance(task := assignment.task, StitchTask):
            split = _SplitDocument(task.piece, assignment.slot, 0, list(task.parts))
            self._split[task.piece.document] = split

    def _give_up(self, document: int) -> None:
        """Go without the pieces of a document that nobody has begun. What others find, or have
        found, is reported.
        """
        self._given_up.add(document)
        split = self._split.get(document)
        if split is None:
            return
        split.rows.clear()
        # a piece that ended its worker is no reason to try the others
        for task_id in reversed([t for t in self._queue if self._is_about(t, document)]):
            self._queue.remove(task_id)
            assignment = self._assignments.pop(task_id)
            self._close_task(assignment)
            self._enqueue(assignment.task, assignment.slot, assignment.failures, first=True)

    def _is_about(self, task_id: int, document: int) -> bool:
        task = self._assignments[task_id].task
        return isinstance(task, ScanTask) and any(
            isinstance(p, Piece) and p.document == document for p in task.pieces
        )

    def _emit(self, actions: list[Action]) -> None:
        """Say what is final, oldest shard first, as far as there is no gap."""
        while (slot := self._slots.get(self._oldest_slot)) is not None and slot.outstanding == 0:
            split = [d for d in slot.documents if d in self._split] if self._split else []
            if not self._given_up.issuperset(split):
                return
            rows = [row for row in slot.rows if row.document not in self._given_up]
            for document in split:
                rows += salvaged(self._split.pop(document).parts)
            if rows:
                rows.sort(key=report_order)
                self.totals.findings += len(rows)
                actions.append(Emit(rows))
            if slot.documents:
                self._given_up.difference_update(slot.documents)
                actions.append(Forget(tuple(slot.documents)))
            del self._slots[self._oldest_slot]
            self._oldest_slot += 1

    # --- failures

    def _failed_task(self, event: TaskFailed, actions: list[Action]) -> None:
        assignment = self._take(event.worker, event.task_id)
        if assignment is not None:
            self._watchdog.progress()
            self._again(assignment, event.detail, actions)

    def _lost(self, event: WorkerLost, actions: list[Action]) -> None:
        # what is nobody's fault, of a worker that has not begun: there was no process, and may be
        # none for a while
        unstarted = event.blameless and not self._force.is_ready(event.worker)
        told = event.worker in self._unstarted
        if unstarted:
            self._unstarted.add(event.worker)
        self.totals.workers_lost += not unstarted
        cut = self._take_back(
            self._force.lost(event.worker), "" if event.blameless else event.detail, actions
        )
        self._lost_in_a_row += not cut and not (unstarted and self._force.any_ready)
        if self._lost_in_a_row >= max(self.config.lost_in_a_row, 4 * self._force.begun):
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
        self._take_back(self._force.leave_out(event.worker, event.room), "", actions)
        self._unstarted.discard(event.worker)
        if not self._force.begun and not self._force.most:
            self._over = True
            actions.append(
                Abort(f"worker {event.worker} could not start: {event.detail}", refused=True)
            )
        elif event.place not in self._left_places:
            self._left_places.add(event.place)
            self.left_out.append(event.detail)
            actions.append(Warn(f"{event.detail}; the scan goes on with the others"))

    def _take_back(self, tasks: list[int], detail: str, actions: list[Action]) -> bool:
        """Queue again what a worker had in hand. `detail`: how it ended, where its task may be the
        reason; whether that was then cut in two.
        """
        cut = False
        # tasks are begun in the order they were given: the first one was being done; of a worker
        # with several hands some of the others too, but a document that ends a process of its team
        # is told of by the team, which lives on
        for position, task_id in enumerate(reversed(tasks), 1):
            assignment = self._assignments.pop(task_id)
            if position == len(tasks) and detail:
                cut = self._again(assignment, detail, actions)
            else:
                self._close_task(assignment)
                self._enqueue(assignment.task, assignment.slot, assignment.failures, first=True)
        return cut

    def _again(self, assignment: _Assignment, detail: str, actions: list[Action]) -> bool:
        """Retry a task that failed; cut it in two when it keeps failing (True); give its last
        document up.
        """
        self.totals.retries += 1
        self._close_task(assignment)
        failures = assignment.failures + 1
        task, slot = assignment.task, assignment.slot
        if failures < self.config.deaths:
            self._enqueue(task, slot, failures, first=True)
        elif isinstance(task, ScanTask) and (number := count(task.pieces)) > 1:
            for half in reversed(split_at(task.pieces, number // 2)):
                # the halves have already failed together: one failure more and they are cut again
                self._enqueue(ScanTask(half), slot, self.config.deaths - 1, first=True)
            return True
        else:
            last = task.pieces[0] if isinstance(task, ScanTask) else task.piece
            document = last.first if isinstance(last, FolderRun) else last.document
            self._keep_parts(assignment)
            self._fail_document(
                document, "quarantined", f"scanning it failed {failures} times: {detail}", actions
            )
        return False

    # --- time

    def _stuck_on(self) -> str:
        """What the scan has been waiting for."""
        busy = self._force.busy()
        if busy:
            first = list(busy.items())[:4]
            return ", ".join(f"worker {w} on {_name(self._assignments[t].task)}" for w, t in first)
        return (
            "waiting for the list of inputs"
            if self._force.any_ready
            else "no worker has started yet"
        )


def _name(task: Task) -> str:
    if isinstance(task, StitchTask):
        return f"joining {task.piece.path}"
    first = task.pieces[0]
    number = count(task.pieces)
    more = f" and {number - 1} more" if number > 1 else ""
    if isinstance(first, FolderRun):
        return f"{first.prefix}{first.names[0]}{more}"
    return f"{first.path} [{first.start}, {first.end}){more}"
