"""ScanMachine by hand: tasks that fail, workers that are lost or do not fit, step by step."""

from __future__ import annotations

import pytest
from machine_steps import (
    KILLED,
    decoded,
    found,
    lost_by_itself,
    names,
    planned,
    row,
    send,
    shard,
    split,
    tasks,
    whole,
)

from vyre_dist.driver.events import (
    Abort,
    Action,
    Event,
    Finish,
    Forget,
    PlanEnded,
    PoolRefused,
    ReplaceWorker,
    ReportProblem,
    StartWorker,
    Submit,
    TaskDone,
    TaskFailed,
    Tick,
    WorkerLost,
    WorkerReady,
    WorkerRefused,
)
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.engine.tasks import (
    ScanTask,
    Task,
    TaskResult,
)


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
            actions = machine.handle(lost_by_itself(worker, "the GPU's process is gone"))
            assert names(actions) == ["Warn", "ReplaceWorker"], turn
        again = [task for worker in range(4) for task in tasks(machine.handle(WorkerReady(worker)))]
        assert sorted(task.pieces[0].document for _, _, task in again) == [0, 1, 2, 3]
    assert machine.totals.retries == 0
    for worker in range(4):
        (*_, last) = machine.handle(lost_by_itself(worker, "the GPU's process is gone"))
    assert isinstance(last, Abort)


def test_a_worker_that_can_not_be_started_ends_no_scan_that_another_goes_on_with() -> None:
    """It is told of once, tried for as long as there is another worker, and counts as lost once it
    had been one.
    """
    machine, _ = planned(*[shard(whole(i)) for i in range(8)], workers=2, depth=1)
    none = "no process could be started (no memory)"
    assert names(machine.handle(WorkerLost(0, KILLED))) == ["Warn", "ReplaceWorker"]
    assert names(machine.handle(lost_by_itself(0, none))) == [
        "Warn",
        "ReplaceWorker",
    ]
    for _ in range(100):
        assert machine.handle(lost_by_itself(0, none)) == [ReplaceWorker(0)]
    assert machine.totals.workers_lost == 1
    # one that was started after all, and is lost again, is told of again
    machine.handle(WorkerReady(0))
    assert names(machine.handle(lost_by_itself(0, "gone"))) == [
        "Warn",
        "ReplaceWorker",
    ]
    assert names(machine.handle(lost_by_itself(0, none))) == [
        "Warn",
        "ReplaceWorker",
    ]
    # when the last one is gone, it ends
    machine.handle(WorkerLost(1, KILLED))
    attempts = 0
    while not machine.over:
        (*_, last) = machine.handle(lost_by_itself(attempts % 2, none))
        attempts += 1
    assert attempts <= 16 and isinstance(last, Abort) and none in last.detail


def test_a_late_answer_of_a_lost_worker_is_ignored() -> None:
    """What was given to a worker that was lost counts when it is done anew, and only then."""
    machine, actions = planned(shard(whole(0)))
    ((_, old, _),) = tasks(actions)
    machine.handle(WorkerLost(0, KILLED))
    result = TaskResult(findings=found(row(0)), documents=1)
    assert machine.handle(TaskDone(0, old, result)) == []
    ((_, new, _),) = tasks(machine.handle(WorkerReady(0)))
    assert machine.handle(TaskDone(0, old, result)) == []
    done = machine.handle(TaskDone(0, new, result))
    assert decoded(done) == [[row(0)], Forget((range(1),)), Finish()]
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
        assigned = [(t.task_id, t.task) for t in todo if isinstance(t, Submit)]
        todo = []
        lost = False
        for task_id, task in assigned:
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
        assigned = list(machine._workforce.assigned[0])
        assert assigned[0] == task_id
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
    assigned: dict[int, list[tuple[int, Task]]] = {w: [] for w in range(workers)}
    problems = 0
    while not machine.over:
        for worker, task_id, task in tasks(actions):
            assigned[worker].append((task_id, task))
        problems += sum(isinstance(a, ReportProblem) for a in actions)
        worker = max(assigned, key=lambda w: len(assigned[w]))
        task_id, task = assigned[worker].pop(0)
        assert isinstance(task, ScanTask)
        if task.pieces[0].document == 1:
            actions = machine.handle(TaskDone(worker, task_id, TaskResult(documents=1)))
        else:
            assigned[worker].clear()
            actions = send(machine, WorkerLost(worker, KILLED), WorkerReady(worker))
    assert problems == 1 and isinstance(actions[-1], Finish)
    assert machine.totals.documents == 1


def test_a_worker_that_does_not_fit_is_left_out() -> None:
    """What it had in hand goes to another one, which starts; the reason is told once for each
    place.
    """
    machine, actions = planned(*[shard(whole(i)) for i in range(3)], workers=3, depth=1)
    misfit = "no worker can run on a: it runs 0.0.1"
    actions = machine.handle(WorkerRefused(0, misfit, "a", capacity=2))
    assert names(actions) == ["Warn"] and "0.0.1" in actions[0].message  # type: ignore[union-attr]
    actions = machine.handle(WorkerRefused(1, misfit, "a", capacity=2))
    assert actions == [StartWorker(0)]
    assert machine.left_out == [misfit]
    documents = {t.pieces[0].document for _, _, t in tasks(machine.handle(WorkerReady(0)))}  # type: ignore[union-attr]
    assert documents == {1} and machine.totals.workers_lost == 0


def test_a_worker_that_does_not_fit_gets_another_try_where_there_is_room() -> None:
    """Its number is started again, elsewhere, if the pool can have as many as before."""
    machine = ScanMachine(range(2))
    send(machine, Tick(1.0), shard(whole(0)), PlanEnded())
    actions = machine.handle(WorkerRefused(0, "no Hyperscan", "a", capacity=5))
    assert names(actions) == ["Warn", "StartWorker"]


def test_a_scan_for_which_no_worker_fits_ends() -> None:
    """When nobody works, and the pool has room for nobody, the last reason is the scan's."""
    machine = ScanMachine([0, 1])
    send(machine, Tick(1.0), shard(whole(0)))
    machine.handle(WorkerRefused(0, "no Hyperscan", "a", capacity=1))
    (*_, abort) = machine.handle(WorkerRefused(1, "another version", "b", capacity=0))
    assert abort == Abort("worker 1 could not start: another version", refused=True)
    assert machine.handle(WorkerReady(0)) == []


def test_a_pool_that_can_not_do_what_was_asked_for_ends_the_scan() -> None:
    """Whoever is ready: a reason that holds for all is nobody's alone."""
    machine, _ = planned(shard(whole(0)), workers=2)
    assert machine.handle(PoolRefused("no usable GPU")) == [Abort("no usable GPU", refused=True)]
