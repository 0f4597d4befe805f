"""ScanMachine against every schedule that Hypothesis can think of: workers that finish, fail, die,
answer late or twice.

The pool is simulated; documents, tasks and results are real, and so is the plan.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import replace
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from long_runs import examples
from machine_fates import (
    SHARD_BYTES,
    SHARD_DOCUMENTS,
    Fate,
    check_coverage,
    documents_of,
    fates,
    inputs_of,
    rows_of,
    work,
)
from machine_steps import rows_emitted

from vyre_dist.driver.events import (
    Abort,
    Action,
    Emit,
    Event,
    Finish,
    Forget,
    PlanMore,
    Record,
    Recorded,
    ReplaceWorker,
    ReportProblem,
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
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.plan import Plan
from vyre_dist.engine.finding_rows import FindingRow
from vyre_dist.engine.tasks import Task, TaskResult
from vyre_dist.ledger.entries import Entry

STALL = 60.0


class Schedules(RuleBasedStateMachine):
    """One scan; each rule is something that may happen next."""

    @initialize(
        corpus=st.lists(fates, max_size=14),
        workers=st.integers(1, 4),
        depth=st.integers(1, 3),
        ahead=st.integers(1, 6),
        max_failures=st.integers(1, 3),
        concurrency=st.integers(1, 3),
        at_once=st.integers(1, 4),
        recorded=st.booleans(),
    )
    def begin(
        self,
        corpus: list[Fate],
        workers: int,
        depth: int,
        ahead: int,
        max_failures: int,
        concurrency: int,
        at_once: int,
        recorded: bool,
    ) -> None:
        self.corpus = corpus
        self.concurrency = concurrency
        self.at_once = at_once
        self.room = workers
        self.refused = False
        self.config = MachineConfig(
            depth, ahead, max_failures, stall_seconds=STALL, recorded=recorded
        )
        self.unrecorded: list[int] = []
        self.entries: list[Entry] = []
        self.plan = Plan(inputs_of(corpus), SHARD_BYTES, SHARD_DOCUMENTS)
        self.machine = ScanMachine(range(workers), self.config, at_once)
        self.idle = set(range(workers))
        self.starting: set[int] = set()
        self.assigned: dict[int, deque[tuple[int, Task]]] = {w: deque() for w in range(workers)}
        self.stale: list[tuple[int, int, Task]] = []
        self.plan_owed = 0
        self.emitted: list[FindingRow] = []
        self.problems: Counter[int] = Counter()
        self.forgotten: set[int] = set()
        self.failures: Counter[int] = Counter()
        self.done: list[TaskResult] = []
        self.lost_in_a_row = 0
        self.lost = 0
        self.now = 1000.0
        self.progress_at = self.now
        self.warned = False
        self.finished = False
        self.aborted = False
        self.send(Tick(self.now))

    # --- the pool

    def send(self, event: Event) -> None:
        over = self.machine.over
        actions = self.machine.handle(event)
        assert not (over and actions)
        for action in actions:
            self.carry_out(action)

    def carry_out(self, action: Action) -> None:
        assert not self.finished and not self.aborted
        match action:
            case Submit(worker, task_id, task):
                assert worker not in self.starting | self.idle
                self.assigned[worker].append((task_id, task))
                assert len(self.assigned[worker]) <= self.config.depth * self.concurrency
            case StartWorker(worker):
                self.idle.remove(worker)
                self.starting.add(worker)
                assert len(self.starting) <= self.at_once
            case Record(number, entry):
                assert self.config.recorded and number == len(self.entries)
                self.entries.append(entry)
                self.unrecorded.append(number)
            case PlanMore():
                self.plan_owed += 1
                assert self.plan_owed == 1
            case Emit(found) as emit:
                assert found
                self.emitted += rows_emitted(emit)
            case ReportProblem(document, _, detail):
                assert detail
                self.problems[document] += 1
                assert self.plan.path_of(document) == f"d{document}"
            case Forget(documents):
                assert all(map(self.forgotten.isdisjoint, documents))
                self.forgotten.update(*documents)
                self.plan.forget([numbers[-1] for numbers in documents])
            case ReplaceWorker(worker):
                assert worker not in self.starting and not self.assigned[worker]
                self.starting.add(worker)
            case Finish():
                assert not self.unrecorded
                self.finished = True
            case Abort():
                self.aborted = True
            case Warn(message):
                assert message

    def busy(self) -> list[int]:
        return [w for w, tasks in self.assigned.items() if tasks]

    def progress(self) -> None:
        self.progress_at, self.warned = self.now, False

    def finish(self, worker: int, hand: int = 0) -> None:
        """The task in one of the worker's concurrency is done, unless there is poison in it."""
        hand %= min(self.concurrency, len(self.assigned[worker]))
        task_id, task = self.assigned[worker][hand]
        poisons = [self.corpus[d] for d in documents_of(task) if self.corpus[d].poison]
        if any(fate.deadly for fate in poisons) and self.concurrency == 1:
            self.lose(worker)
        elif poisons:
            self.fail(worker, hand)
        else:
            del self.assigned[worker][hand]
            self.stale.append((worker, task_id, task))
            result = work(task, self.corpus)
            if not self.machine.over:
                self.done.append(result)
                self.lost_in_a_row = 0
            self.progress()
            self.send(TaskDone(worker, task_id, result))

    def fail(self, worker: int, hand: int = 0) -> None:
        hand %= min(self.concurrency, len(self.assigned[worker]))
        task_id, task = self.assigned[worker][hand]
        del self.assigned[worker][hand]
        self.stale.append((worker, task_id, task))
        self.failures.update(documents_of(task))
        self.progress()
        self.send(TaskFailed(worker, task_id, "ValueError: poison"))

    def lose(self, worker: int) -> None:
        tasks = self.assigned[worker]
        if tasks:
            self.failures.update(documents_of(tasks[0][1]))
        self.stale += [(worker, *item) for item in tasks]
        tasks.clear()
        self.starting.discard(worker)
        self.lost += not self.machine.over
        self.lost_in_a_row += 1
        self.send(WorkerLost(worker, "ended by SIGKILL"))

    # --- what may happen

    @precondition(lambda self: self.plan_owed)
    @rule()
    def plan_answers(self) -> None:
        self.plan_owed = 0
        with patch(
            "vyre_dist.engine.shards.ASSUMED_BYTES", 1
        ):  # so that a shard has several files of a folder
            planned = self.plan.next()
        self.send(planned)

    @precondition(lambda self: self.starting)
    @rule(data=st.data())
    def worker_is_ready(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.starting)))
        self.starting.discard(worker)
        self.progress()
        self.send(WorkerReady(worker, self.concurrency))

    @precondition(lambda self: self.starting)
    @rule(data=st.data())
    def worker_dies_while_starting(self, data: st.DataObject) -> None:
        self.lose(data.draw(st.sampled_from(sorted(self.starting))))

    @precondition(lambda self: self.starting)
    @rule(data=st.data())
    def worker_can_not_be_started(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.starting)))
        self.starting.discard(worker)
        # one that is left may go on, however often this comes
        self.lost_in_a_row += self.starting >= set(self.assigned) - {worker} - self.idle
        self.send(WorkerLost(worker, "no process could be started", unrelated_to_tasks=True))

    @precondition(lambda self: self.starting or set(self.assigned) - self.idle)
    @rule(data=st.data(), place=st.sampled_from("ab"))
    def worker_does_not_fit(self, data: st.DataObject, place: str) -> None:
        """One is left out, in the midst of its work perhaps, and there may be one less from now
        on.
        """
        worker = data.draw(st.sampled_from(sorted(set(self.assigned) - self.idle)))
        tasks = self.assigned[worker]
        self.stale += [(worker, *item) for item in tasks]
        tasks.clear()
        self.starting.discard(worker)
        self.idle.add(worker)
        self.room = data.draw(st.integers(0 if self.idle == set(self.assigned) else 1, self.room))
        self.room = max(self.room, len(set(self.assigned) - self.idle))
        self.refused = not self.room
        self.send(WorkerRefused(worker, "another version", place, self.room))

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def task_ends(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(self.busy())), data.draw(st.integers(0, 2)))

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def task_raises(self, data: st.DataObject) -> None:
        self.fail(data.draw(st.sampled_from(self.busy())), data.draw(st.integers(0, 2)))

    @rule(data=st.data())
    def worker_dies(self, data: st.DataObject) -> None:
        if alive := sorted(set(self.assigned) - self.starting - self.idle):
            self.lose(data.draw(st.sampled_from(alive)))

    @precondition(lambda self: self.unrecorded)
    @rule(data=st.data())
    def entries_are_recorded(self, data: st.DataObject) -> None:
        """Some of those that wait, at once."""
        self.recorded(data.draw(st.sampled_from(self.unrecorded)))

    def recorded(self, number: int) -> None:
        self.unrecorded = [each for each in self.unrecorded if each > number]
        self.send(Recorded(number))

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), raises=st.booleans())
    def answer_comes_late_or_twice(self, data: st.DataObject, raises: bool) -> None:
        worker, task_id, task = data.draw(st.sampled_from(self.stale))
        before = replace(self.machine.totals)
        late = TaskFailed(worker, task_id, "late")
        event = late if raises else TaskDone(worker, task_id, work(task, self.corpus))
        assert self.machine.handle(event) == []
        assert self.machine.totals == before

    @rule(seconds=st.sampled_from([0.2, 10.0, 59.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = not self.machine.over and not self.warned and self.now - self.progress_at >= STALL
        actions = [] if self.machine.over else self.machine.handle(Tick(self.now))
        warnings = [a for a in actions if isinstance(a, Warn)]
        assert len(warnings) == due
        self.warned = self.warned or due
        for action in actions:
            self.carry_out(action)

    # --- what must hold

    @invariant()
    def every_problem_is_listed_once(self) -> None:
        for document, times in self.problems.items():
            fate = self.corpus[document]
            assert times == 1
            assert fate.problem or self.failures[document] >= self.config.max_failures

    @invariant()
    def findings_come_once_and_in_order(self) -> None:
        keys = [(row.document, row.line != 0, row.start, row.rule) for row in self.emitted]
        assert keys == sorted(set(keys))

    @invariant()
    def counts_are_sums_of_what_was_done(self) -> None:
        totals = self.machine.totals
        assert totals.documents == sum(r.documents for r in self.done)
        assert totals.bytes == sum(r.bytes for r in self.done)
        assert totals.fused == len(self.done)
        assert totals.findings == len(self.emitted)
        assert totals.workers_lost == self.lost

    @invariant()
    def it_is_given_up_only_after_many_losses(self) -> None:
        if self.aborted:
            assert self.lost_in_a_row >= self.config.lost_in_a_row or self.refused

    def teardown(self) -> None:
        """When faults stop, everything but the poison is scanned, and the machine holds on to
        nothing.
        """
        if not hasattr(self, "machine"):
            return
        for _ in range(5000):
            if self.machine.over:
                break
            if self.plan_owed:
                self.plan_answers()
            elif self.busy():
                self.finish(self.busy()[0])
            elif self.unrecorded:
                self.recorded(self.unrecorded[-1])
            else:
                worker = min(self.starting)  # there is one, or the machine would wait for ever
                self.starting.discard(worker)
                self.send(WorkerReady(worker, self.concurrency))
        if self.aborted:
            return
        assert self.finished
        expected = [
            row for i, fate in enumerate(self.corpus) if self.scanned(i) for row in rows_of(i, fate)
        ]
        expected.sort(key=lambda row: (row.document, row.line != 0, row.start, row.rule))
        assert self.emitted == expected
        for number, fate in enumerate(self.corpus):
            if self.problems[number]:
                continue
            assert not fate.poison and not (fate.problem and not fate.skipped)
        totals = self.machine.totals
        skipped = sum(fate.skipped and not self.problems[i] for i, fate in enumerate(self.corpus))
        assert totals.skipped == skipped
        assert totals.documents == sum(self.scanned(i) for i in range(len(self.corpus)))
        assert totals.documents + totals.skipped + len(self.problems) == len(self.corpus)
        assert self.forgotten == set(range(len(self.corpus)))
        machine = self.machine
        rooms = (machine, machine._shards, machine._queue, machine._split, machine._records)
        held = {
            (type(room).__name__, k): v
            for room in rooms
            for k, v in vars(room).items()
            if isinstance(v, Collection) and k not in ("_unstarted", "left_out", "_left_out_nodes")
        }
        assert len(held) >= 6 and not any(map(len, held.values())), held
        assert not any(machine._workforce.assigned.values())
        assert not self.plan._paths
        if self.config.recorded:
            check_coverage(self.entries, len(self.corpus))

    def scanned(self, number: int) -> bool:
        return not self.problems[number] and not self.corpus[number].skipped


Schedules.TestCase.settings = settings(
    max_examples=examples(300),
    stateful_step_count=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestSchedules = Schedules.TestCase
TestSchedules.__doc__ = (
    "Every document is accounted for once, in order, whatever happens to tasks and workers."
)
