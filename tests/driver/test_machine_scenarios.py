"""ScanMachine by hand: single scenarios with every action spelled out. All schedules at once:
test_machine_model.py.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

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
from vyre_dist.driver.machine import MachineConfig, ScanMachine
from vyre_dist.engine.salvage import keep
from vyre_dist.engine.tasks import (
    DocumentNote,
    DocumentProblem,
    FindingRow,
    LargeDocument,
    PartResult,
    Piece,
    ScanTask,
    StitchTask,
    Task,
    TaskResult,
    path_row,
)

KILLED = "process 7 was ended by signal 9"


def whole(number: int, size: int = 10) -> Piece:
    return Piece(number, f"d{number}", size, 0, size)


def shard(*pieces: Piece) -> ShardPlanned:
    """A shard of whole documents, or of first pieces."""
    documents = tuple(Piece(p.document, p.path, p.size, 0, p.size) for p in pieces if p.start == 0)
    return ShardPlanned(pieces, documents)


def row(number: int, start: int = 0, rule: int = 0) -> FindingRow:
    return FindingRow(number, rule, start, start + 1, 1, 1, b"x", b"x", (), 0.0, 1, 1, 2)


def tasks(actions: Sequence[Action]) -> list[tuple[int, int, Task]]:
    return [(a.worker, a.task_id, a.task) for a in actions if isinstance(a, Submit)]


def names(actions: Sequence[Action]) -> list[str]:
    return [type(a).__name__ for a in actions]


def send(machine: ScanMachine, *events: Event) -> list[Action]:
    """The actions of all `events`, in a row."""
    return [action for event in events for action in machine.handle(event)]


def planned(
    *shards: ShardPlanned, workers: int = 1, **config: float
) -> tuple[ScanMachine, list[Action]]:
    """A machine with ready workers to which the whole plan is known, and its actions so far."""
    machine = ScanMachine(range(workers), MachineConfig(**config))  # type: ignore[arg-type]
    ready = [WorkerReady(w) for w in range(workers)]
    return machine, send(machine, Tick(1.0), *ready, *shards, PlanEnded())


def test_a_scan_of_nothing_finishes_before_any_worker_is_ready() -> None:
    """Without documents the scan is over as soon as the plan is."""
    machine = ScanMachine([0])
    assert machine.handle(Tick(1.0)) == [StartWorker(0), PlanMore()]
    assert machine.handle(PlanEnded()) == [Finish()]
    assert machine.over and machine.handle(WorkerReady(0)) == []


def test_one_document_from_plan_to_finish() -> None:
    """Plan, submit, emit, forget, finish: in this order, each once."""
    machine, actions = planned(shard(whole(0)))
    assert names(actions) == ["StartWorker", "PlanMore", "Submit", "PlanMore"]
    ((worker, task_id, task),) = tasks(actions)
    assert task == ScanTask((whole(0),))
    done = TaskDone(worker, task_id, TaskResult(findings=[row(0)], documents=1, bytes=10))
    assert machine.handle(done) == [Emit([row(0)]), Forget((0,)), Finish()]
    assert (machine.totals.documents, machine.totals.bytes, machine.totals.findings) == (1, 10, 1)


def test_findings_wait_for_the_shards_before_them() -> None:
    """What was done first is emitted second when it stands second."""
    machine, actions = planned(shard(whole(0)), shard(whole(1)), workers=2)
    first, second = tasks(actions)
    assert machine.handle(TaskDone(second[0], second[1], TaskResult(findings=[row(1)]))) == []
    last = machine.handle(TaskDone(first[0], first[1], TaskResult(findings=[row(0)])))
    assert last == [Emit([row(0)]), Forget((0,)), Emit([row(1)]), Forget((1,)), Finish()]


def test_rows_of_a_shard_are_sorted_by_document_start_and_rule() -> None:
    """The order of findings is the documents', whatever the engine's."""
    machine, actions = planned(shard(whole(0), whole(1)))
    rows = [row(1, 5), row(0, 9, 0), row(0, 3, 8), row(0, 3, 2)]
    (emit, *_) = machine.handle(TaskDone(0, tasks(actions)[0][1], TaskResult(findings=rows)))
    assert emit == Emit([row(0, 3, 2), row(0, 3, 8), row(0, 9, 0), row(1, 5)])


def test_what_a_path_alone_says_comes_first() -> None:
    """A path rule's row leads its document, whatever number the rule has, as it does in a Scanner's
    results.
    """
    machine, actions = planned(shard(whole(0)))
    own = path_row(0, 9)
    rows = [row(0, 0, 2), own]
    (emit, *_) = machine.handle(TaskDone(0, tasks(actions)[0][1], TaskResult(findings=rows)))
    assert emit == Emit([own, row(0, 0, 2)])


def test_tasks_go_to_the_workers_with_the_least_in_hand() -> None:
    """With three tasks and two workers of depth 2, both get one before one gets two."""
    _, actions = planned(*[shard(whole(i)) for i in range(5)], workers=2)
    assert [(w, t) for w, t, _ in tasks(actions)] == [(0, 0), (1, 1), (0, 2), (1, 3)]


def test_a_worker_that_is_not_ready_gets_nothing() -> None:
    """A task waits for a worker that has loaded the pack: one behind another one, for one that is
    still starting.
    """
    machine = ScanMachine([0, 1])
    actions = send(machine, Tick(1.0), *(shard(whole(i)) for i in range(3)), WorkerReady(1))
    assert [(w, t) for w, t, _ in tasks(actions)] == [(1, 0), (1, 1)]
    assert [(w, t) for w, t, _ in tasks(machine.handle(WorkerReady(0)))] == [(0, 2)]


def started(actions: Sequence[Action]) -> list[int]:
    return [a.worker for a in actions if isinstance(a, StartWorker)]


def test_one_task_starts_one_worker_of_a_thousand() -> None:
    """However many there may be, one starts at once, and others when there are tasks that it won't
    do.
    """
    machine = ScanMachine(range(1000))
    actions = send(machine, Tick(1.0), shard(whole(0)), PlanEnded(), WorkerReady(0))
    assert started(actions) == [0]
    assert names(machine.handle(TaskDone(0, 0, TaskResult()))) == ["Forget", "Finish"]


def test_workers_start_as_there_is_work_for_them() -> None:
    """One for each task that nobody has in hand; of a ready one's tasks in hand, none that another
    could do waits for it.
    """
    machine = ScanMachine(range(1000))
    assert started(send(machine, Tick(1.0), shard(whole(0)))) == [0]
    assert started(machine.handle(shard(whole(1)))) == [1]
    actions = machine.handle(WorkerReady(0))
    assert [(w, t) for w, t, _ in tasks(actions)] == [(0, 0)]
    assert started(machine.handle(shard(whole(2)))) == [2]
    # what was one task turns out to be four
    large = [LargeDocument(whole(0, 40), 10)]
    assert started(machine.handle(TaskDone(0, 0, TaskResult(large=large)))) == [3, 4, 5]


def test_no_more_start_at_once_than_the_pool_says() -> None:
    """The first ones may do what there is to do, before the others are there."""
    machine = ScanMachine(range(1000), at_once=3)
    actions = send(machine, Tick(1.0), *(shard(whole(i)) for i in range(10)), PlanEnded())
    assert started(actions) == [0, 1, 2]
    actions = machine.handle(WorkerReady(1))
    assert started(actions) == [3] and [w for w, _, _ in tasks(actions)] == [1, 1]


def test_the_plan_does_not_run_ahead_for_workers_that_nobody_started() -> None:
    """Of a thousand workers that may start three at a time, the first four shards are planned, and
    no more.
    """
    machine = ScanMachine(range(1000), at_once=3)
    actions, planned_shards = machine.handle(Tick(1.0)), 0
    while PlanMore() in actions:
        actions = machine.handle(shard(whole(planned_shards)))
        planned_shards += 1
    assert planned_shards == 4


def test_planning_stops_ahead_of_a_shard_that_is_stuck() -> None:
    """No more than `slots_ahead` shards are planned beyond the oldest one that is not finished."""
    machine = ScanMachine([0, 1], MachineConfig(slots_ahead=4))
    actions = send(machine, Tick(1.0), WorkerReady(0), WorkerReady(1))
    number = 0
    for _ in range(50):
        if PlanMore() in actions:
            actions = machine.handle(shard(whole(number)))
            number += 1
        else:
            # task 0 never ends; all others do
            done = [(w, t) for w, held in machine._force.in_hand.items() for t in held if t != 0]
            if not done:
                break
            actions = machine.handle(TaskDone(*done[0], TaskResult()))
    assert number == 4
    assert PlanMore() in machine.handle(TaskDone(0, 0, TaskResult()))


def test_a_killed_worker_is_replaced_and_only_its_first_task_is_blamed() -> None:
    """Of two tasks in hand the first was being done: it counts a failure; both come again, in their
    order.
    """
    machine, _ = planned(shard(whole(0), whole(1)), shard(whole(2), whole(3)))
    actions = machine.handle(WorkerLost(0, KILLED))
    assert names(actions) == ["Warn", "ReplaceWorker"]
    assert machine.totals.retries == 1 and machine.totals.workers_lost == 1
    again = tasks(machine.handle(WorkerReady(0)))
    assert [task for _, _, task in again] == [
        ScanTask((whole(0), whole(1))),
        ScanTask((whole(2), whole(3))),
    ]
    # the second death cuts the first task in two; the second one is still whole
    machine.handle(WorkerLost(0, KILLED))
    again = tasks(machine.handle(WorkerReady(0)))
    assert [task for _, _, task in again] == [ScanTask((whole(0),)), ScanTask((whole(1),))]


def test_losses_that_no_task_is_to_blame_for() -> None:
    """However often the workers lose what they all work with, no document is given up; but such
    losses end, too.
    """
    machine, _ = planned(*[shard(whole(i)) for i in range(4)], workers=4, depth=1, lost_in_a_row=20)
    for turn in range(4):
        for worker in range(4):
            actions = machine.handle(
                WorkerLost(worker, "the GPU's process is gone", blameless=True)
            )
            assert names(actions) == ["Warn", "ReplaceWorker"], turn
        again = [task for worker in range(4) for task in tasks(machine.handle(WorkerReady(worker)))]
        assert sorted(task.pieces[0].document for _, _, task in again) == [0, 1, 2, 3]
    assert machine.totals.retries == 0
    for worker in range(4):
        (*_, last) = machine.handle(WorkerLost(worker, "the GPU's process is gone", blameless=True))
    assert isinstance(last, Abort)


def test_a_worker_that_can_not_be_started_ends_no_scan_that_another_goes_on_with() -> None:
    """It is told of once, tried for as long as there is another worker, and counts as lost once it
    had been one.
    """
    machine, _ = planned(*[shard(whole(i)) for i in range(8)], workers=2, depth=1)
    none = "no process could be started (no memory)"
    assert names(machine.handle(WorkerLost(0, KILLED))) == ["Warn", "ReplaceWorker"]
    assert names(machine.handle(WorkerLost(0, none, blameless=True))) == ["Warn", "ReplaceWorker"]
    for _ in range(100):
        assert machine.handle(WorkerLost(0, none, blameless=True)) == [ReplaceWorker(0)]
    assert machine.totals.workers_lost == 1
    # one that was started after all, and is lost again, is told of again
    machine.handle(WorkerReady(0))
    assert names(machine.handle(WorkerLost(0, "gone", blameless=True))) == ["Warn", "ReplaceWorker"]
    assert names(machine.handle(WorkerLost(0, none, blameless=True))) == ["Warn", "ReplaceWorker"]
    # when the last one is gone, it ends
    machine.handle(WorkerLost(1, KILLED))
    attempts = 0
    while not machine.over:
        (*_, last) = machine.handle(WorkerLost(attempts % 2, none, blameless=True))
        attempts += 1
    assert attempts <= 16 and isinstance(last, Abort) and none in last.detail


def test_a_late_answer_of_a_lost_worker_is_ignored() -> None:
    """What was given to a worker that was lost counts when it is done anew, and only then."""
    machine, actions = planned(shard(whole(0)))
    ((_, old, _),) = tasks(actions)
    machine.handle(WorkerLost(0, KILLED))
    result = TaskResult(findings=[row(0)], documents=1)
    assert machine.handle(TaskDone(0, old, result)) == []
    ((_, new, _),) = tasks(machine.handle(WorkerReady(0)))
    assert machine.handle(TaskDone(0, old, result)) == []
    assert machine.handle(TaskDone(0, new, result)) == [Emit([row(0)]), Forget((0,)), Finish()]
    assert machine.totals.documents == 1


def test_an_answer_for_a_task_of_another_worker_is_ignored() -> None:
    """Only the worker that has a task in hand can answer for it."""
    machine, actions = planned(shard(whole(0)), shard(whole(1)), workers=2)
    ids = [t for _, t, _ in tasks(actions)]
    assert machine.handle(TaskDone(1, ids[0], TaskResult(documents=1))) == []
    assert machine.totals.documents == 0


@pytest.mark.parametrize("count", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("bad", [0, -1, 0.5])
@pytest.mark.parametrize("how", ["dies", "raises"])
def test_a_poisoned_document_is_found_by_halving_and_the_rest_is_scanned(
    count: int, bad: float, how: str
) -> None:
    """The one document that fails whoever scans it is put in quarantine; all others are scanned
    once.
    """
    poison = count // 2 if bad == 0.5 else range(count)[int(bad)]
    machine, actions = planned(shard(*map(whole, range(count))))
    scanned: list[int] = []
    reported: list[Action] = []
    failures = 0
    todo = list(actions)
    while not machine.over:
        in_hand = [(t.task_id, t.task) for t in todo if isinstance(t, Submit)]
        todo = []
        lost = False
        for task_id, task in in_hand:
            assert isinstance(task, ScanTask)
            documents = [p.document for p in task.pieces]
            if lost:
                break
            if poison in documents:
                failures += 1
                lost = how == "dies"
                events = (
                    [WorkerLost(0, KILLED), WorkerReady(0)]
                    if lost
                    else [TaskFailed(0, task_id, "oops")]
                )
            else:
                scanned += documents
                events = [TaskDone(0, task_id, TaskResult(documents=len(documents)))]
            for event in events:
                actions = machine.handle(event)
                reported += [a for a in actions if isinstance(a, ReportProblem)]
                todo += actions
    assert sorted([*scanned, poison]) == list(range(count))
    ((document, reason),) = [
        (a.document, a.reason) for a in reported if isinstance(a, ReportProblem)
    ]
    assert (document, reason) == (poison, "quarantined")
    assert failures <= 2 + count.bit_length()
    assert machine.totals.documents == count - 1


def split(size: int, step: int = 10, number: int = 0) -> list[Piece]:
    return [Piece(number, "big", size, at, min(at + step, size)) for at in range(0, size, step)]


def part(piece: Piece) -> PartResult:
    return PartResult(piece.document, piece.start, piece.end, (), b"")


def test_a_split_document_is_joined_when_its_last_part_has_come() -> None:
    """Parts that come in any order make one StitchTask with all of them in order; its findings are
    the document's.
    """
    pieces = split(25)
    machine, actions = planned(*[shard(p) for p in pieces], shard(whole(1)), workers=4)
    given = tasks(actions)
    assert machine.handle(TaskDone(given[3][0], given[3][1], TaskResult(findings=[row(1)]))) == []
    for i in (2, 0):
        assert not tasks(
            machine.handle(TaskDone(given[i][0], given[i][1], TaskResult(parts=[part(pieces[i])])))
        )
    ((worker, task_id, task),) = tasks(
        machine.handle(TaskDone(given[1][0], given[1][1], TaskResult(parts=[part(pieces[1])])))
    )
    assert task == StitchTask(Piece(0, "big", 25, 0, 25), tuple(map(part, pieces)))
    last = machine.handle(TaskDone(worker, task_id, TaskResult(findings=[row(0, 19)], documents=1)))
    assert last == [Emit([row(0, 19)]), Forget((0,)), Emit([row(1)]), Forget((1,)), Finish()]


def test_a_finding_of_the_first_piece_waits_for_the_whole_document() -> None:
    """A path rule's finding comes with its piece; it is emitted in its place, or not at all if the
    document fails.
    """
    pieces = split(20)
    for fails in (False, True):
        machine, actions = planned(*map(shard, pieces), workers=2)
        (a, b) = tasks(actions)
        first = TaskResult(findings=[row(0, 0, rule=5)], parts=[part(pieces[0])])
        assert machine.handle(TaskDone(a[0], a[1], first)) == []
        if fails:
            problems = [DocumentProblem(0, "changed", "it shrank")]
            actions = machine.handle(TaskDone(b[0], b[1], TaskResult(problems=problems)))
            assert actions == [ReportProblem(0, "changed", "it shrank"), Forget((0,)), Finish()]
        else:
            ((worker, stitch, _),) = tasks(
                machine.handle(TaskDone(b[0], b[1], TaskResult(parts=[part(pieces[1])])))
            )
            rows = [row(0, 0, rule=9), row(0, 0, rule=2)]
            actions = machine.handle(TaskDone(worker, stitch, TaskResult(findings=rows)))
            assert actions[0] == Emit([row(0, 0, rule=2), row(0, 0, rule=5), row(0, 0, rule=9)])


def kept(piece: Piece) -> PartResult:
    """A part with one finding of its own, 3 bytes after its start."""
    rows = [row(piece.document, piece.start + 3)]
    return PartResult(piece.document, piece.start, piece.end, (0,), b"", b"", keep(rows, 0, 0, -1))


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_pieces_that_were_read_are_reported_of_a_document_that_fails(late: bool) -> None:
    """The findings of pieces that were done come out in its turn, whether they are done before or
    after it fails.
    """
    pieces = split(30)
    machine, actions = planned(*map(shard, pieces), shard(whole(1)), workers=4)
    a, b, c, d = tasks(actions)
    failing = [(b, TaskResult(problems=[DocumentProblem(0, "changed", "it shrank")]))]
    reading = [(a, TaskResult(parts=[kept(pieces[0])])), (c, TaskResult(parts=[kept(pieces[2])]))]
    done = machine.handle(TaskDone(d[0], d[1], TaskResult(findings=[row(1)], documents=1)))
    for (worker, task_id, _), result in failing + reading if late else reading + failing:
        done += machine.handle(TaskDone(worker, task_id, result))
    emitted = [[(r.document, r.rule, r.start) for r in a.rows] for a in done if isinstance(a, Emit)]
    assert emitted == [[(0, 0, 3), (0, 0, 23)], [(1, 0, 0)]]
    assert [a.reason for a in done if isinstance(a, ReportProblem)] == ["changed"]
    assert done[-1] == Finish() and machine.totals.findings == 3


@pytest.mark.parametrize("fault", ["problem", "failure"])
def test_pieces_are_reported_of_a_document_that_cannot_be_joined(fault: str) -> None:
    """Where joining finds another file, or fails again and again, what the pieces found by
    themselves comes out.
    """
    pieces = split(20)
    machine, actions = planned(*map(shard, pieces), workers=2)
    for i, (worker, task_id, _) in enumerate(tasks(actions)):
        actions = machine.handle(TaskDone(worker, task_id, TaskResult(parts=[kept(pieces[i])])))
    for _ in range(1 if fault == "problem" else 2):
        ((worker, task_id, _),) = tasks(actions)
        changed = TaskDone(
            worker,
            task_id,
            TaskResult(problems=[DocumentProblem(0, "changed", "it is another one")]),
        )
        actions = machine.handle(
            changed if fault == "problem" else TaskFailed(worker, task_id, "no memory")
        )
    assert [a.reason for a in actions if isinstance(a, ReportProblem)] == [
        "changed" if fault == "problem" else "quarantined"
    ]
    assert [
        [(r.document, r.rule, r.start) for r in a.rows] for a in actions if isinstance(a, Emit)
    ] == [[(0, 0, 3), (0, 0, 13)]]
    assert actions[-1] == Finish()


def test_a_note_is_told_before_its_document_is_forgotten() -> None:
    """What a worker notes of a document that it scanned to its end reaches whoever reports."""
    machine, actions = planned(shard(whole(0)))
    ((worker, task_id, _),) = tasks(actions)
    done = machine.handle(
        TaskDone(worker, task_id, TaskResult(notes=[DocumentNote(0, "grew", "by 3")], documents=1))
    )
    assert done == [ReportNote(0, "grew", "by 3"), Forget((0,)), Finish()]


def test_a_problem_of_every_piece_is_one_problem() -> None:
    """A split document that changed is listed once, and pieces that nobody has begun are not
    begun.
    """
    pieces = split(100)
    machine, actions = planned(*map(shard, pieces), shard(whole(1)))
    assert len(tasks(actions)) == 2
    changed = TaskResult(problems=[DocumentProblem(0, "changed", "it shrank")])
    first = machine.handle(TaskDone(0, 0, changed))
    assert first[0] == ReportProblem(0, "changed", "it shrank")
    # what comes next is the other document
    assert [task for _, _, task in tasks(first)] == [ScanTask((whole(1),))]
    second = machine.handle(TaskDone(0, 1, changed))
    assert not [a for a in second if isinstance(a, ReportProblem)]


def test_a_skipped_split_document_counts_once() -> None:
    """Each piece of a document that an allowlist rules out says so; it is one skipped document."""
    pieces = split(30)
    machine, actions = planned(*map(shard, pieces), workers=3)
    for worker, task_id, _ in tasks(actions):
        last = machine.handle(TaskDone(worker, task_id, TaskResult(skipped=[0])))
    assert last == [Forget((0,)), Finish()]
    assert machine.totals.skipped == 1


def test_a_stitch_task_that_fails_puts_its_document_in_quarantine() -> None:
    """Joining is retried like any task; it cannot be cut in two."""
    pieces = split(20)
    machine, actions = planned(*map(shard, pieces), workers=2)
    for i, (worker, task_id, _) in enumerate(tasks(actions)):
        actions = machine.handle(TaskDone(worker, task_id, TaskResult(parts=[part(pieces[i])])))
    for _ in range(2):
        ((worker, task_id, _),) = tasks(actions)
        actions = machine.handle(TaskFailed(worker, task_id, "no memory"))
    assert [a.reason for a in actions if isinstance(a, ReportProblem)] == ["quarantined"]
    assert names(actions)[-2:] == ["Forget", "Finish"]


@pytest.mark.parametrize("workers", [1, 3, 20])
def test_a_pool_whose_workers_all_die_is_given_up(workers: int) -> None:
    """16 losses in a row, or four times the number of workers, end the scan; before that each is
    replaced.
    """
    machine = ScanMachine(range(workers))
    machine.handle(Tick(1.0))
    limit = max(16, 4 * workers)
    for i in range(limit - 1):
        actions = machine.handle(WorkerLost(i % workers, KILLED))
        assert ReplaceWorker(i % workers) in actions
    (abort,) = machine.handle(WorkerLost(0, KILLED))
    assert isinstance(abort, Abort) and not abort.refused
    assert str(limit) in abort.detail and KILLED in abort.detail
    assert machine.over


def test_a_task_that_is_done_ends_the_row_of_losses() -> None:
    """Losses with work done in between are not given up over."""
    machine, actions = planned(
        *[shard(whole(i)) for i in range(40)], lost_in_a_row=3, depth=1, workers=1
    )
    for number in range(39):
        ((_, task_id, _),) = tasks(actions)
        assert not machine.over, number
        actions = machine.handle(TaskDone(0, task_id, TaskResult()))
        machine.handle(WorkerLost(0, KILLED))
        actions = machine.handle(WorkerReady(0))
    assert machine.totals.workers_lost == 39


def test_a_row_of_poisoned_documents_in_one_shard_is_survived() -> None:
    """Halving is not held against the workers: eight deadly documents side by side cost no more
    than themselves.
    """
    machine, actions = planned(shard(*map(whole, range(1000))))
    deadly = set(range(8))
    reported = []
    while not machine.over:
        task_id, task = next((a.task_id, a.task) for a in actions if isinstance(a, Submit))
        assert isinstance(task, ScanTask)
        in_hand = list(machine._force.in_hand[0])
        assert in_hand[0] == task_id
        if deadly.isdisjoint(p.document for p in task.pieces):
            events: list[Event] = [TaskDone(0, task_id, TaskResult(documents=len(task.pieces)))]
        else:
            events = [WorkerLost(0, KILLED), WorkerReady(0)]
        # one task after the other: what is in hand behind it is kept
        actions = [*[a for a in actions if isinstance(a, Submit)][1:]] if len(events) == 1 else []
        actions += send(machine, *events)
        reported += [a.document for a in actions if isinstance(a, ReportProblem)]
    assert reported == sorted(deadly)
    assert machine.totals.documents == 992


def test_a_big_document_that_kills_all_workers_at_once_is_survived() -> None:
    """With a deadly piece in every hand, the document is given up and the others are scanned."""
    workers = 8
    pieces = split(1000)
    machine, actions = planned(*map(shard, pieces), shard(whole(1)), workers=workers)
    in_hand: dict[int, list[tuple[int, Task]]] = {w: [] for w in range(workers)}
    problems = 0
    while not machine.over:
        for worker, task_id, task in tasks(actions):
            in_hand[worker].append((task_id, task))
        problems += sum(isinstance(a, ReportProblem) for a in actions)
        worker = max(in_hand, key=lambda w: len(in_hand[w]))
        task_id, task = in_hand[worker].pop(0)
        assert isinstance(task, ScanTask)
        if task.pieces[0].document == 1:
            actions = machine.handle(TaskDone(worker, task_id, TaskResult(documents=1)))
        else:
            in_hand[worker].clear()
            actions = send(machine, WorkerLost(worker, KILLED), WorkerReady(worker))
    assert problems == 1 and isinstance(actions[-1], Finish)
    assert machine.totals.documents == 1


def test_a_worker_that_does_not_fit_is_left_out() -> None:
    """What it had in hand goes to another one, which starts; the reason is told once for each
    place.
    """
    machine, actions = planned(*[shard(whole(i)) for i in range(3)], workers=3, depth=1)
    actions = machine.handle(WorkerRefused(0, "no worker can run on a: it runs 0.0.1", "a", room=2))
    assert names(actions) == ["Warn"] and "0.0.1" in actions[0].message  # type: ignore[union-attr]
    actions = machine.handle(WorkerRefused(1, "no worker can run on a: it runs 0.0.1", "a", room=2))
    assert actions == [StartWorker(0)]
    assert machine.left_out == ["no worker can run on a: it runs 0.0.1"]
    documents = {t.pieces[0].document for _, _, t in tasks(machine.handle(WorkerReady(0)))}  # type: ignore[union-attr]
    assert documents == {1} and machine.totals.workers_lost == 0


def test_a_worker_that_does_not_fit_gets_another_try_where_there_is_room() -> None:
    """Its number is started again, elsewhere, if the pool can have as many as before."""
    machine = ScanMachine(range(2))
    send(machine, Tick(1.0), shard(whole(0)), PlanEnded())
    actions = machine.handle(WorkerRefused(0, "no Hyperscan", "a", room=5))
    assert names(actions) == ["Warn", "StartWorker"]


def test_a_scan_for_which_no_worker_fits_ends() -> None:
    """When nobody works, and the pool has room for nobody, the last reason is the scan's."""
    machine = ScanMachine([0, 1])
    send(machine, Tick(1.0), shard(whole(0)))
    machine.handle(WorkerRefused(0, "no Hyperscan", "a", room=1))
    (*_, abort) = machine.handle(WorkerRefused(1, "another version", "b", room=0))
    assert abort == Abort("worker 1 could not start: another version", refused=True)
    assert machine.handle(WorkerReady(0)) == []


def test_a_pool_that_can_not_do_what_was_asked_for_ends_the_scan() -> None:
    """Whoever is ready: a reason that holds for all is nobody's alone."""
    machine, _ = planned(shard(whole(0)), workers=2)
    assert machine.handle(PoolRefused("no usable GPU")) == [Abort("no usable GPU", refused=True)]


def test_silence_is_told_once_and_names_what_is_stuck() -> None:
    """A minute without progress is one warning; the next one comes after progress and another
    minute.
    """
    machine, _ = planned(*[shard(whole(i)) for i in range(3)])
    assert machine.handle(Tick(60.9)) == []
    (warning,) = machine.handle(Tick(61.0))
    assert (
        isinstance(warning, Warn)
        and "60 s" in warning.message
        and "worker 0 on d0" in warning.message
    )
    assert machine.handle(Tick(1000.0)) == []
    machine.handle(TaskDone(0, 0, TaskResult()))
    assert machine.handle(Tick(1059.0)) == []
    (warning,) = machine.handle(Tick(1060.0))
    assert isinstance(warning, Warn) and "worker 0 on d1" in warning.message


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], "no worker has started yet"),
        ([WorkerReady(0)], "waiting for the list of inputs"),
    ],
)
def test_silence_without_work_in_hand_says_what_is_waited_for(
    events: list[Event], expected: str
) -> None:
    """The watchdog tells a slow start from a slow walk."""
    machine = ScanMachine([0], MachineConfig(stall_seconds=5.0))
    send(machine, Tick(100.0), *events)
    (warning,) = machine.handle(Tick(106.0))
    assert isinstance(warning, Warn) and expected in warning.message


def test_a_machine_holds_on_to_nothing_however_long_the_scan() -> None:
    """What it remembers is bounded by the work in flight, not by the documents, nor by those that
    failed.
    """
    machine = ScanMachine([0])
    actions = send(machine, Tick(1.0), WorkerReady(0))
    held = []
    for number in range(3000):
        while PlanMore() in actions:
            more = (
                [shard(p) for p in split(20, number=number)]
                if number % 3 == 0
                else [shard(whole(number))]
            )
            actions = send(machine, *more)
        worker, task_id = next((w, ids[0]) for w, ids in machine._force.in_hand.items() if ids)
        task = machine._assignments[task_id].task
        numbers = [p.document for p in task.pieces] if isinstance(task, ScanTask) else []
        result = TaskResult(problems=[DocumentProblem(n, "vanished", "gone") for n in numbers])
        actions = machine.handle(TaskDone(worker, task_id, result))
        held.append(sum(len(v) for v in vars(machine).values() if hasattr(v, "__len__")))
    assert max(held) < 50


def test_planning_a_shard_of_many_small_files_takes_no_time() -> None:
    """4096 documents in one shard are planned in a few milliseconds, not in the square of their
    number.
    """
    machine = ScanMachine([0])
    event = shard(*map(whole, range(4096)))
    began = time.perf_counter()
    machine.handle(event)
    assert time.perf_counter() - began < 0.2
