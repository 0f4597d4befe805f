"""ScanMachine by hand: planning, starting workers, order, silence; every action is spelled out.

All schedules at once: test_machine_model.py.
"""

from __future__ import annotations

import time

import pytest
from machine_steps import (
    decoded,
    found,
    names,
    planned,
    row,
    send,
    shard,
    split,
    started,
    tasks,
    whole,
)

from vyre_dist.driver.events import (
    Event,
    Finish,
    Forget,
    PlanEnded,
    PlanMore,
    ReportNote,
    StartWorker,
    TaskDone,
    Tick,
    Warn,
    WorkerReady,
)
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.finding_rows import path_row
from vyre_dist.engine.tasks import (
    DocumentNote,
    DocumentProblem,
    LargeDocument,
    ScanTask,
    TaskResult,
)


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
    done = TaskDone(worker, task_id, TaskResult(findings=found(row(0)), documents=1, bytes=10))
    assert decoded(machine.handle(done)) == [[row(0)], Forget((range(1),)), Finish()]
    assert (machine.totals.documents, machine.totals.bytes, machine.totals.findings) == (1, 10, 1)


def test_findings_wait_for_the_shards_before_them() -> None:
    """What was done first is emitted second when it stands second."""
    machine, actions = planned(shard(whole(0)), shard(whole(1)), workers=2)
    first, second = tasks(actions)
    assert machine.handle(TaskDone(second[0], second[1], TaskResult(findings=found(row(1))))) == []
    last = machine.handle(TaskDone(first[0], first[1], TaskResult(findings=found(row(0)))))
    assert decoded(last) == [
        [row(0)],
        Forget((range(1),)),
        [row(1)],
        Forget((range(1, 2),)),
        Finish(),
    ]


def test_blocks_of_a_shard_are_sorted_by_where_they_begin() -> None:
    """By document, start and rule, whatever the order of the answers; what a path alone says leads
    its document, whatever number the rule has.
    """
    machine, actions = planned(shard(whole(0), whole(1)))
    rows = [[row(1, 5)], [row(0, 9, 0)], [row(0, 3, 8)], [row(0, 3, 2)], [path_row(0, 9)]]
    blocks = [block for own in rows for block in found(*own).blocks]
    result = TaskResult(findings=Findings(blocks=blocks))
    (emitted, *_) = decoded(machine.handle(TaskDone(0, tasks(actions)[0][1], result)))
    assert emitted == [path_row(0, 9), row(0, 3, 2), row(0, 3, 8), row(0, 9, 0), row(1, 5)]


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
    """No more than `shards_ahead` shards are planned beyond the oldest one that is not finished, or
    than four for each task that workers may have.
    """
    machine = ScanMachine([0, 1], MachineConfig(shards_ahead=4))
    actions = send(machine, Tick(1.0), WorkerReady(0), WorkerReady(1))
    number = 0
    for _ in range(50):
        if PlanMore() in actions:
            actions = machine.handle(shard(whole(number)))
            number += 1
        else:
            # task 0 never ends; all others do
            done = [
                (w, t) for w, held in machine._workforce.assigned.items() for t in held if t != 0
            ]
            if not done:
                break
            actions = machine.handle(TaskDone(*done[0], TaskResult()))
    assert number == 16
    assert PlanMore() in machine.handle(TaskDone(0, 0, TaskResult()))


def test_a_note_is_told_before_its_document_is_forgotten() -> None:
    """What a worker notes of a document that it scanned to its end reaches whoever reports."""
    machine, actions = planned(shard(whole(0)))
    ((worker, task_id, _),) = tasks(actions)
    done = machine.handle(
        TaskDone(worker, task_id, TaskResult(notes=[DocumentNote(0, "grew", "by 3")], documents=1))
    )
    assert done == [ReportNote(0, "grew", "by 3"), Forget((range(1),)), Finish()]


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
        worker, task_id = next((w, ids[0]) for w, ids in machine._workforce.assigned.items() if ids)
        task = machine._queue.task(task_id)
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
