"""ScanMachine by hand: audits, which workers do that have nothing else to do."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace

from machine_steps import KILLED, decoded, found, part, planned, row, shard, split, tasks, whole

from vyre_dist.driver.events import (
    Action,
    Finish,
    Forget,
    PlanEnded,
    PlanMore,
    ReportAudit,
    StartWorker,
    TaskDone,
    TaskFailed,
    Tick,
    Warn,
    WorkerLost,
    WorkerReady,
)
from vyre_dist.driver.machine import MachineConfig, ScanMachine
from vyre_dist.engine.tally import Tally
from vyre_dist.engine.tasks import (
    AuditAnswer,
    AuditCursor,
    AuditTask,
    Piece,
    ScanTask,
    StitchTask,
    TaskResult,
)
from vyre_dist.input_problem import AUDIT_DIFFERS, NOT_AUDITED, InputNote, InputProblem


def audit(number: int) -> AuditTask:
    return AuditTask(whole(number), (), Tally())


def scanned(*numbers: int) -> TaskResult:
    """What a task of these documents answers, all of which are to be audited."""
    rows = [row(number) for number in numbers]
    audits = [audit(number) for number in numbers]
    return TaskResult(findings=found(*rows), documents=len(numbers), audits=audits)


def same() -> TaskResult:
    return TaskResult(audited=1, audited_bytes=10, audit=AuditAnswer(None))


def differs() -> TaskResult:
    answer = AuditAnswer(None, AUDIT_DIFFERS, "one more")
    return TaskResult(audited=1, audited_bytes=10, audit_differs=1, audit=answer)


def without_plans(actions: list[Action]) -> list[Action]:
    return [a for a in actions if type(a).__name__ not in ("PlanMore", "Submit", "StartWorker")]


def test_findings_do_not_wait_for_audits_and_the_end_does() -> None:
    """A document's findings are out before its audit is done; the scan is over after it."""
    machine, actions = planned(shard(whole(0)))
    ((worker, task_id, _),) = tasks(actions)
    actions = machine.handle(TaskDone(worker, task_id, scanned(0)))
    assert decoded(without_plans(actions)) == [[row(0)], Forget((range(1),))]
    ((_, audit_id, task),) = tasks(actions)
    assert task == audit(0)
    assert machine.handle(TaskDone(worker, audit_id, same())) == [Finish()]
    totals = machine.totals
    assert (totals.audited, totals.audited_bytes, totals.documents, totals.findings) == (
        1,
        10,
        1,
        1,
    )


def test_people_are_told_once_that_audits_go_on() -> None:
    """When they have done so for a while, and nothing else is to be done."""
    machine, actions = planned(shard(whole(0)))
    ((_, task_id, _),) = tasks(actions)
    assert machine.handle(Tick(50.0)) == []
    ((_, audit_id, _),) = tasks(machine.handle(TaskDone(0, task_id, scanned(0, 1))))
    assert machine.handle(Tick(51.0)) == [] == machine.handle(Tick(55.0))
    assert machine.handle(Tick(56.0)) == [Warn("all is scanned; 2 audits are left")]
    assert machine.handle(Tick(59.0)) == []
    machine.handle(TaskDone(0, audit_id, same()))


def test_an_audit_waits_until_there_is_nothing_to_scan() -> None:
    """Not even a worker's second task is an audit as long as others wait."""
    machine, actions = planned(*[shard(whole(n)) for n in range(4)])
    first, second = tasks(actions)
    given = tasks(machine.handle(TaskDone(0, first[1], scanned(0))))
    assert [type(task) for _, _, task in given] == [ScanTask]
    given += tasks(machine.handle(TaskDone(0, second[1], TaskResult())))
    assert [type(task) for _, _, task in given] == [ScanTask] * 2
    assert not tasks(machine.handle(TaskDone(0, given[0][1], TaskResult())))
    ((_, audit_id, task),) = tasks(machine.handle(TaskDone(0, given[1][1], TaskResult())))
    assert task == audit(0)
    assert Finish() in machine.handle(TaskDone(0, audit_id, same()))


def test_of_many_audits_the_oldest_come_first() -> None:
    """What waits is bounded: where there are more, workers do them before they scan on."""
    machine, actions = planned(*[shard(whole(n)) for n in range(9)], audits_waiting=2)
    first, second = tasks(actions)
    ((_, _, third),) = tasks(machine.handle(TaskDone(0, first[1], scanned(0, 10))))
    assert isinstance(third, ScanTask)
    ((_, _, task),) = tasks(machine.handle(TaskDone(0, second[1], scanned(1))))
    assert task == audit(0)


def test_nothing_more_is_planned_while_too_many_wait() -> None:
    """A run that goes on after another one may find all of that one's audits in its ledger."""
    machine = ScanMachine(range(1), MachineConfig(audits_waiting=2))
    machine.handle(Tick(1.0))
    machine.handle(WorkerReady(0))
    ((_, task_id, _),) = tasks(machine.handle(shard(*[whole(n) for n in range(6)])))
    given = deque(tasks(machine.handle(TaskDone(0, task_id, scanned(*range(6))))))
    actions = machine.handle(shard(whole(6)))  # what had been asked for before
    while given and PlanMore() not in actions:
        given += tasks(actions)
        _, task_id, task = given.popleft()
        result = same() if isinstance(task, AuditTask) else TaskResult()
        actions = machine.handle(TaskDone(0, task_id, result))
    assert 0 < machine.totals.audited < 6


def test_an_audit_goes_on_where_it_was() -> None:
    """What is left of it waits again; it is counted when it is over."""
    machine, actions = planned(shard(whole(0)))
    ((_, task_id, _),) = tasks(actions)
    ((_, audit_id, _),) = tasks(machine.handle(TaskDone(0, task_id, scanned(0))))
    cursor = AuditCursor(3, 20, 19)
    rest = TaskResult(audit=AuditAnswer(cursor))
    ((_, again, task),) = tasks(machine.handle(TaskDone(0, audit_id, rest)))
    assert task == replace(audit(0), cursor=cursor) and machine.totals.audited == 0
    assert machine.handle(TaskDone(0, audit_id, same())) == []  # late, or twice
    assert Finish() in machine.handle(TaskDone(0, again, same()))
    assert machine.totals.audited == 1


def test_what_an_audit_finds_is_a_problem_with_its_path() -> None:
    """The document's findings stay."""
    machine, actions = planned(shard(whole(0)))
    ((_, task_id, _),) = tasks(actions)
    ((_, audit_id, _),) = tasks(machine.handle(TaskDone(0, task_id, scanned(0))))
    assert machine.handle(TaskDone(0, audit_id, differs())) == [
        ReportAudit(InputProblem("d0", AUDIT_DIFFERS, "one more")),
        Finish(),
    ]
    assert (machine.totals.audit_differs, machine.totals.findings) == (1, 1)


def test_an_audit_that_fails_is_a_note() -> None:
    """It is tried twice, whether it raises or ends its worker: the scan's own result is whole."""
    machine, actions = planned(shard(whole(0)))
    ((_, task_id, _),) = tasks(actions)
    ((_, audit_id, _),) = tasks(machine.handle(TaskDone(0, task_id, scanned(0))))
    ((_, again, task),) = tasks(machine.handle(TaskFailed(0, audit_id, "it raised")))
    assert task == audit(0)
    actions = machine.handle(WorkerLost(0, KILLED))
    why = f"auditing it failed 2 times: {KILLED}"
    assert ReportAudit(InputNote("d0", NOT_AUDITED, why)) in actions
    assert Finish() in actions and any(isinstance(a, Warn) for a in actions)
    assert (machine.totals.not_audited, machine.totals.audited) == (1, 0)
    assert machine.handle(TaskDone(0, again, same())) == []


def test_an_audit_that_its_worker_has_not_begun_is_not_to_blame() -> None:
    """It waits again, and has not failed."""
    machine, actions = planned(shard(whole(0), whole(1)), audits_waiting=0)
    ((_, task_id, _),) = tasks(actions)
    given = tasks(machine.handle(TaskDone(0, task_id, scanned(0, 1))))
    assert [task for _, _, task in given] == [audit(0), audit(1)]
    machine.handle(WorkerLost(0, KILLED))
    given = tasks(machine.handle(WorkerReady(0)))
    for _, task_id, _ in given:
        actions = machine.handle(TaskDone(0, task_id, same()))
    assert actions[-1] == Finish() and machine.totals.audited == 2


def test_workers_start_for_what_is_left_to_audit() -> None:
    """At the end of a plan there may be more audits than workers."""
    machine = ScanMachine(range(3), MachineConfig())
    machine.handle(Tick(1.0))
    machine.handle(WorkerReady(0))
    documents = [whole(n) for n in range(5)]
    actions = machine.handle(shard(*documents))
    ((_, task_id, _),) = tasks(actions)
    machine.handle(PlanEnded())
    actions = machine.handle(TaskDone(0, task_id, scanned(*range(5))))
    assert [a.worker for a in actions if isinstance(a, StartWorker)] == [1, 2]
    assert len(tasks(actions)) == 1


def test_a_split_document_is_audited_when_it_is_joined() -> None:
    """Once."""
    pieces = split(20)
    machine, actions = planned(*[shard(p) for p in pieces], workers=2)
    given = tasks(actions)
    for (worker, task_id, _), piece in zip(given, pieces, strict=True):
        actions = machine.handle(TaskDone(worker, task_id, TaskResult(parts=[part(piece)])))
    ((worker, task_id, task),) = tasks(actions)
    assert isinstance(task, StitchTask)
    own = AuditTask(Piece(0, "big", 20, 0, 20), (), Tally())
    joined = TaskResult(findings=found(row(0)), documents=1, audits=[own])
    ((_, _, task),) = tasks(machine.handle(TaskDone(worker, task_id, joined)))
    assert task == own


def test_audits_count_once_whatever_happens() -> None:
    """Workers that fail, die, answer late and twice: each document is audited once, or named."""
    for seed in range(300):
        draw = random.Random(seed)
        machine, actions = planned(
            *[shard(whole(n), whole(n + 100)) for n in range(6)], workers=3, audits_waiting=2
        )
        at: dict[int, list[tuple[int, object]]] = {n: [] for n in range(3)}
        late: list[TaskDone] = []
        notes: list[str] = []
        for _ in range(2000):
            for worker, task_id, task in tasks(actions):
                at[worker].append((task_id, task))
            notes += [a.found.path for a in actions if isinstance(a, ReportAudit)]
            if machine.over:
                break
            busy = [n for n in at if at[n]]
            worker = draw.choice(busy)
            task_id, task = at[worker][0]
            if isinstance(task, ScanTask):
                result = scanned(*[p.document for p in task.pieces if isinstance(p, Piece)])
            else:
                rest = TaskResult(audit=AuditAnswer(AuditCursor(1)))
                result = draw.choice([same(), rest])
            fate = draw.random()
            if fate < 0.1 and isinstance(task, AuditTask):
                at[worker].pop(0)
                actions = machine.handle(TaskFailed(worker, task_id, "raised"))
            elif fate < 0.15:
                late.append(TaskDone(worker, task_id, result))
                at[worker].clear()
                lost = machine.handle(WorkerLost(worker, KILLED, draw.random() < 0.9))
                actions = lost + machine.handle(WorkerReady(worker))
            elif fate < 0.2 and late:
                actions = machine.handle(draw.choice(late))
            else:
                at[worker].pop(0)
                late.append(TaskDone(worker, task_id, result))
                actions = machine.handle(late[-1])
        assert machine.over
        totals = machine.totals
        assert totals.audited + totals.not_audited == totals.documents, seed
        assert len(notes) == totals.not_audited == len(set(notes))
        assert totals.audited_bytes == 10 * totals.audited
