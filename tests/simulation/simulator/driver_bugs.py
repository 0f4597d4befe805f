"""Bugs of resuming, and of the state machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from simulator.planting import Bug, change, in_list
from vyre_dist.driver import leases, recorded_plan, run
from vyre_dist.driver.events import ReportProblem
from vyre_dist.driver.handed_parts import HandedParts
from vyre_dist.driver.intake import Intake
from vyre_dist.driver.leases import Leases, Overdue
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.driver.overtime import Overtime
from vyre_dist.driver.planned_shards import PlannedShards
from vyre_dist.driver.recorded_plan import RecordedPlan
from vyre_dist.driver.records import Records
from vyre_dist.driver.split_documents import SplitDocuments
from vyre_dist.driver.task_queue import TaskQueue
from vyre_dist.driver.workforce import Workforce
from vyre_dist.engine.tasks import ScanTask
from vyre_dist.ledger import entries, history
from vyre_dist.ledger.history import History
from vyre_dist.ledger.staged import StagedRun

BUGS: list[Bug] = []
bug = in_list(BUGS)


# --- resuming


@bug("resume skips a piece")
def _(stack: ExitStack) -> None:
    def rest_of(self: entries.Done, items: Sequence[Any]) -> list[Any]:
        return old(self, items)[:-1]

    old = change(stack, entries.Done, "rest_of", rest_of)


@bug("resume does all again")
def _(stack: ExitStack) -> None:
    def as_it_is(self: RecordedPlan, known: history.KnownShard) -> Any:
        if self._voided is None:
            return old(self, known)
        return recorded_plan.planned(known.items, ())

    old = change(stack, RecordedPlan, "_as_it_is_now", as_it_is)


@bug("resume lists nothing more")
def _(stack: ExitStack) -> None:
    def rest_of(inputs: Any, known: History) -> Any:
        return iter(()) if known.planned else old(inputs, known)

    old = change(stack, recorded_plan, "_rest_of", rest_of)


@bug("resume forgets what could not be listed")
def _(stack: ExitStack) -> None:
    def init(self: History, storage: Any) -> None:
        old(self, storage)
        self.problems = []

    old = change(stack, History, "__init__", init)


@bug("documents that were changed are kept as they were")
def _(stack: ExitStack) -> None:
    change(stack, recorded_plan, "_is_newer", lambda *_: False)


@bug("a scan is said to have begun when it was answered", rare=True)
def _(stack: ExitStack) -> None:
    def ended(self: HandedParts, worker: int, task_id: int) -> tuple[int, str]:
        return self._wall_ns(), old(self, worker, task_id)[1]

    old = change(stack, HandedParts, "ended", ended)


@bug("what no answer led to is scanned anew by each driver (was there)")
def _(stack: ExitStack) -> None:
    change(stack, run._Loop, "_begun", lambda self: self._began_ns or 0)


@bug("a document in pieces is taken as it was planned, though it was changed")
def _(stack: ExitStack) -> None:
    change(stack, recorded_plan, "_is_as_planned", lambda *_: True)


@bug("what is left of a shard is one task, whatever lies between (was there)", rare=True)
def _(stack: ExitStack) -> None:
    def add_rest(
        self: TaskQueue, items: Sequence[Any], shard: int, failures: int = 0, first: bool = False
    ) -> None:
        if items:
            self.add(ScanTask(tuple(items)), shard, failures, first)

    change(stack, TaskQueue, "add_rest", add_rest)


@bug("a merge takes pieces of what was planned anew (was there)", rare=True)
def _(stack: ExitStack) -> None:
    def as_it_was(self: RecordedPlan, known: history.KnownShard) -> Any:
        return recorded_plan.planned(known.items, known.done)

    change(stack, RecordedPlan, "_as_it_was", as_it_was)


@bug("what came when a staged run got its directory is not told as kept (was there)", rare=True)
def _(stack: ExitStack) -> None:
    def commit(self: StagedRun, *, idle: bool) -> int | None:
        before = self.directory
        found = old(self, idle=idle)
        return None if self.directory is not before else found

    old = change(stack, StagedRun, "commit", commit)


# --- the state machine


@bug("duplicate counted")
def _(stack: ExitStack) -> None:
    def done(self: ScanMachine, event: Any, actions: list[Any]) -> None:
        if event.task_id not in self._queue._assignments:
            self.totals.add(event.result, 0)
        old(self, event, actions)

    old = change(stack, ScanMachine, "_done", done)


@bug("late answer accepted after requeue")
def _(stack: ExitStack) -> None:
    known: dict[int, Any] = {}

    def take(self: ScanMachine, worker: int, task_id: int) -> Any:
        self._workforce.take(worker, task_id)
        found = self._queue.take_back(task_id)
        if found is not None:
            known[id(self), task_id] = found
            return found
        assignment = known.get((id(self), task_id))
        if assignment is not None and assignment.shard in self._shards._shards:
            self._shards[assignment.shard].outstanding += 1
            return assignment
        return None

    change(stack, ScanMachine, "_take", take)


@bug("poison blamed on the second task")
def _(stack: ExitStack) -> None:
    def take_back(
        self: ScanMachine,
        tasks: list[int],
        detail: str,
        actions: list[Any],
        blamed: int | None = None,
    ) -> bool:
        return old(self, tasks, detail, actions, tasks[-1] if tasks else None)

    old = change(stack, ScanMachine, "_take_back", take_back)


@bug("a document is given up after its first failure")
def _(stack: ExitStack) -> None:
    def again(self: ScanMachine, assignment: Any, detail: str, actions: list[Any]) -> bool:
        assignment.failures += 1
        return old(self, assignment, detail, actions)

    old = change(stack, ScanMachine, "_again", again)


@bug("failures are forgotten")
def _(stack: ExitStack) -> None:
    def again(self: ScanMachine, assignment: Any, detail: str, actions: list[Any]) -> bool:
        assignment.failures = 0
        return old(self, assignment, detail, actions)

    old = change(stack, ScanMachine, "_again", again)


@bug("what a lost worker had is not done again")
def _(stack: ExitStack) -> None:
    def requeue(self: TaskQueue, assignment: Any) -> None:
        self.close(assignment)

    change(stack, TaskQueue, "requeue", requeue)


@bug("findings are put out before they are recorded")
def _(stack: ExitStack) -> None:
    def add(self: Records, entry: Any, actions: list[Any]) -> None:
        old(self, entry, actions)
        if self._wanted:
            self._shards[entry.shard].outstanding -= 1

    def kept(self: Records, number: int) -> None:
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()

    old = change(stack, Records, "add", add)
    change(stack, Records, "kept", kept)


@bug("nobody is replaced who takes too long")
def _(stack: ExitStack) -> None:
    change(stack, Overtime, "losses", lambda self, now: [])


@bug("what waits behind a hanging task is blamed for it (was there)", rare=True)
def _(stack: ExitStack) -> None:
    def overdue(self: Leases, now: float, at_work: Any, size_of: Any) -> list[Overdue]:
        self._last_look = now
        begun: dict[tuple[int, int], float] = {}
        late: list[Overdue] = []
        for worker, tasks in at_work:
            own: list[Overdue] = []
            for task_id in tasks:
                since = begun[worker, task_id] = self._begun.get((worker, task_id), now)
                if now - since > self._least and now - since > self.allowed(size_of(task_id)):
                    own.append(Overdue(worker, task_id, now - since))
            if own:
                late.append(max(own, key=lambda each: each.seconds))
        self._begun = begun
        return late

    change(stack, leases.Leases, "overdue", overdue)


@bug("who is slow at what another one has done ends the driver (was there)")
def _(stack: ExitStack) -> None:
    def describe(self: TaskQueue, task_id: int) -> str:
        return repr(self.task(task_id))[:20]

    change(stack, TaskQueue, "describe", describe)


@bug("the plan runs ahead without a bound")
def _(stack: ExitStack) -> None:
    change(stack, Overtime, "far_ahead", property(lambda self: False))
    change(stack, Workforce, "free_capacity", lambda self: 1000)


@bug("a document is joined before its last piece is done")
def _(stack: ExitStack) -> None:
    def add_part(self: SplitDocuments, part: Any, done: Any = None) -> None:
        split = self._split.get(part.document)
        if split is not None and split.missing > part.end - part.start and len(split.parts) == 1:
            split.missing = part.end - part.start
        old(self, part, done)

    old = change(stack, SplitDocuments, "add_part", add_part)


@bug("a problem is told for each piece")
def _(stack: ExitStack) -> None:
    def fail(self: Intake, document: int, reason: str, detail: str, actions: list[Any]) -> None:
        self._split.give_up(document)
        actions.append(ReportProblem(document, reason, detail))

    change(stack, Intake, "fail_document", fail)


@bug("a shard is put out before the one before it")
def _(stack: ExitStack) -> None:
    def without_tasks(self: PlannedShards) -> Iterator[Any]:
        yield from old(self)
        for number in list(self._shards):
            if not self._shards[number].outstanding and number > self._oldest:
                yield self._shards[number]
                self._shards[number].blocks = []
                self._shards[number].documents = []

    old = change(stack, PlannedShards, "without_tasks", without_tasks)
