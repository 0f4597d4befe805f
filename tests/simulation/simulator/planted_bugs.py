"""Planted bugs: what the checks must find, each a change of one small function of the product.

Some of them have been in it until the simulator found them ("was there").
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from simulator.simulation import Result, simulate
from simulator.storage import ProcessStorage
from vyre_dist.driver import leases, recorded_plan, run
from vyre_dist.driver.events import ReportProblem
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
from vyre_dist.engine.filed import Filed
from vyre_dist.engine.tasks import ScanTask
from vyre_dist.ledger import entries, history, owner
from vyre_dist.ledger.history import History
from vyre_dist.ledger.journal import Journal, _Writer
from vyre_dist.ledger.owner import DEAD_SECONDS, Owner, RunTakenError
from vyre_dist.ledger.records import PlanEnd
from vyre_dist.ledger.run_directory import RunDirectory
from vyre_dist.ledger.staged import StagedRun
from vyre_dist.storage import frames

MOST_SECONDS = 60.0
"""In which a planted bug must be found."""

Planting = Callable[[ExitStack], None]


@dataclass(frozen=True, slots=True)
class Bug:
    """`name`: what goes wrong. `plant`: makes it so."""

    name: str
    plant: Planting


BUGS: list[Bug] = []


def bug(name: str) -> Callable[[Planting], Planting]:
    """Add a bug to the list."""

    def add(plant: Planting) -> Planting:
        BUGS.append(Bug(name, plant))
        return plant

    return add


@contextmanager
def planted(bug_: Bug) -> Iterator[None]:
    """The bug is there."""
    with ExitStack() as stack:
        bug_.plant(stack)
        yield


def change(stack: ExitStack, place: Any, name: str, new: Any) -> Any:
    """Have another function in the place of one; the old one."""
    old = getattr(place, name)
    stack.enter_context(patch.object(place, name, new))
    return old


def found(bug_: Bug) -> tuple[float, Result | None]:
    """Processor seconds until a seed tells of the bug, and what it says; None if none does in
    time.
    """
    began, seed = time.process_time(), 0
    with planted(bug_):
        while (seconds := time.process_time() - began) < MOST_SECONDS:
            result = simulate(seed)
            if result.violation:
                return time.process_time() - began, result
            seed += 1
    return seconds, None


# --- the ledger


@bug("done before sync")
def _(stack: ExitStack) -> None:
    def commit(self: RunDirectory, *, idle: bool) -> int | None:
        if self._since is not None and self._last is not None and not idle:
            last, self._last = self._last, None
            return last
        return old(self, idle=idle)

    old = change(stack, RunDirectory, "commit", commit)


@bug("a failed commit is taken for one")
def _(stack: ExitStack) -> None:
    def commit(self: Journal) -> None:
        with contextlib.suppress(OSError):
            old(self)

    old = change(stack, Journal, "commit", commit)


@bug("a frame is numbered before it is written")
def _(stack: ExitStack) -> None:
    def commit(self: Any) -> None:
        if self.records:
            frame = frames.framed(self._frames, b"".join(self.records))
            self._frames += 1
            self._log.append(frame)
            self.records.clear()

    change(stack, _Writer, "commit", commit)


@bug("records wait for as long as anybody is at work")
def _(stack: ExitStack) -> None:
    def commit(self: RunDirectory, *, idle: bool) -> int | None:
        return old(self, idle=idle) if idle else None

    old = change(stack, RunDirectory, "commit", commit)


@bug("torn tail read")
def _(stack: ExitStack) -> None:
    def frame(view: memoryview, at: int) -> frames.Frame | None:
        if len(view) - at < frames.HEADER_BYTES:
            return None
        _, number, length, _ = frames._HEADER.unpack_from(view, at)
        start = at + frames.HEADER_BYTES
        return frames.Frame(number, start, view[start : start + length])

    change(stack, frames, "_frame", frame)


@bug("a torn tail is damage")
def _(stack: ExitStack) -> None:
    def check(name: str, data: bytes, at: int, number: int) -> None:
        raise frames.DamagedError(name, at, "it is torn")

    change(stack, frames, "_check_torn", check)


@bug("what counts of the logs of dead drivers is not synced (was there)")
def _(stack: ExitStack) -> None:
    change(stack, ProcessStorage, "sync", lambda self, name: None)


@bug("what does not count any more is not put down")
def _(stack: ExitStack) -> None:
    change(stack, RunDirectory, "void", lambda self, shard, places, items: None)


@bug("the end of the plan is put down too early")
def _(stack: ExitStack) -> None:
    def planned(self: RunDirectory, shard: int, items: Any) -> None:
        old(self, shard, items)
        if not self._ended and shard >= 2:
            end = PlanEnd(self._shards, self._documents, self._checksum, {})
            self._writer.plan(end)

    old = change(stack, RunDirectory, "planned", planned)


# --- the owner


@bug("epoch not compared")
def _(stack: ExitStack) -> None:
    change(stack, Owner, "check", lambda self: None)


@bug("the owner is looked at when it is time to beat, and not at each commit")
def _(stack: ExitStack) -> None:
    def check(self: Owner) -> None:
        if self.due:
            old(self)

    old = change(stack, Owner, "check", check)


@bug("a driver that lives is taken for dead")
def _(stack: ExitStack) -> None:
    change(stack, owner, "lives", lambda *_: False)


@bug("an owner says once that it lives")
def _(stack: ExitStack) -> None:
    change(stack, Owner, "due", property(lambda self: False))


@bug("a fenced driver commits what it has when it ends (was there)")
def _(stack: ExitStack) -> None:
    def close(self: RunDirectory) -> None:
        journal = self._journal
        if journal is not None and not self._taken:
            with contextlib.suppress(OSError):
                journal.commit()
        old(self)

    old = change(stack, RunDirectory, "close", close)


@bug("what a fenced driver appends later counts")
def _(stack: ExitStack) -> None:
    change(stack, history, "_counted", lambda name, data, length: data)


@bug("a list that is late is a later owner (was there)")
def _(stack: ExitStack) -> None:
    def check(self: Owner) -> None:
        last = owner._last(self._storage)
        if last != self.epoch:
            raise RunTakenError(self._storage.place, last)
        old(self)

    old = change(stack, Owner, "check", check)


@bug("a beat from the future is a sign of life (was there)")
def _(stack: ExitStack) -> None:
    def lives(driver: owner.Identity, clock: Callable[[], float], host: owner.Host) -> bool:
        if driver.ended or host.knows(driver):
            return old(driver, clock, host)
        return clock() - driver.beat < DEAD_SECONDS

    old = change(stack, owner, "lives", lives)


@bug("logs of a plan are those that are listed at the time (was there)")
def _(stack: ExitStack) -> None:
    def logs_of(self: History, kind: str) -> list[tuple[str, int]]:
        listed = {f"{kind}/{name}" for name in self._storage.names(kind)}
        return [each for each in old(self, kind) if each[0] in listed]

    old = change(stack, History, "_logs_of", logs_of)


# --- parts


@bug("a part is named that could not be written")
def _(stack: ExitStack) -> None:
    def put(self: ProcessStorage, name: str, data: Any) -> None:
        with contextlib.suppress(OSError):
            old(self, name, data)

    old = change(stack, ProcessStorage, "put", put)


@bug("two tasks of a shard have one part")
def _(stack: ExitStack) -> None:
    def part(self: RunDirectory, shard: int, task_id: int | str) -> str:
        return f"{self._parts}/{shard}.{self._owner.epoch}"

    change(stack, RunDirectory, "part", part)


@bug("drivers give parts the same names")
def _(stack: ExitStack) -> None:
    def part(self: RunDirectory, shard: int, task_id: int | str) -> str:
        return f"{self._parts}/{shard}.{task_id}"

    change(stack, RunDirectory, "part", part)


@bug("all frames of a part begin where the first one does")
def _(stack: ExitStack) -> None:
    def read(self: Filed) -> bytes:
        return old(Filed(self.part, 0, self.size))

    old = change(stack, Filed, "read", read)


# --- resuming


@bug("resume skips a piece")
def _(stack: ExitStack) -> None:
    def rest_of(self: entries.Done, items: Sequence[Any]) -> list[Any]:
        return old(self, items)[:-1]

    old = change(stack, entries.Done, "rest_of", rest_of)


@bug("resume does all again")
def _(stack: ExitStack) -> None:
    def as_it_is(self: RecordedPlan, known: history.KnownShard) -> Any:
        return recorded_plan.planned(known.items, ())

    change(stack, RecordedPlan, "_as_it_is_now", as_it_is)


@bug("resume lists nothing more")
def _(stack: ExitStack) -> None:
    change(stack, recorded_plan, "_rest_of", lambda inputs, known: iter(()))


@bug("resume forgets what could not be listed")
def _(stack: ExitStack) -> None:
    def init(self: History, storage: Any) -> None:
        old(self, storage)
        self.problems = []

    old = change(stack, History, "__init__", init)


@bug("documents that were changed are kept as they were")
def _(stack: ExitStack) -> None:
    change(stack, recorded_plan, "_is_newer", lambda *_: False)


@bug("a scan is said to have begun when it was answered")
def _(stack: ExitStack) -> None:
    change(stack, run._Loop, "_begun", lambda self: self._wall_ns())


@bug("what no answer led to is scanned anew by each driver (was there)")
def _(stack: ExitStack) -> None:
    change(stack, run._Loop, "_begun", lambda self: self._began_ns or 0)


@bug("a document in pieces is taken as it was planned, though it was changed")
def _(stack: ExitStack) -> None:
    change(stack, recorded_plan, "_is_as_planned", lambda *_: True)


@bug("what is left of a shard is one task, whatever lies between (was there)")
def _(stack: ExitStack) -> None:
    def add_rest(
        self: TaskQueue, items: Sequence[Any], shard: int, failures: int = 0, first: bool = False
    ) -> None:
        if items:
            self.add(ScanTask(tuple(items)), shard, failures, first)

    change(stack, TaskQueue, "add_rest", add_rest)


@bug("a merge takes pieces of what was planned anew (was there)")
def _(stack: ExitStack) -> None:
    def as_it_was(self: RecordedPlan, known: history.KnownShard) -> Any:
        return recorded_plan.planned(known.items, known.done)

    change(stack, RecordedPlan, "_as_it_was", as_it_was)


@bug("what came when a staged run got its directory is not told as kept (was there)")
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


@bug("what waits behind a hanging task is blamed for it (was there)")
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
