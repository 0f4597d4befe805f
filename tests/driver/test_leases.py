"""Leases: what takes too long is taken from its worker; what is slow at the end is done twice."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from local_pools import MARKER, PACK, order, scan, spec
from machine_steps import found, names, planned, row, send, shard, tasks, whole

from vyre_dist.driver.events import (
    ReplaceWorker,
    ReportProblem,
    ShardPlanned,
    Submit,
    TaskDone,
    TaskFailed,
    Tick,
    WorkerLost,
    WorkerReady,
)
from vyre_dist.driver.leases import Leases
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.machine import ScanMachine
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.planned_shards import PlannedShards
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import Callbacks, run_scan
from vyre_dist.driver.task_queue import TaskQueue
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tasks import FolderRun, Piece, ScanTask, TaskResult, count
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.finding import Finding
from vyre_dist.sources import DocumentRef, FolderFiles, walk


def overdue(leases: Leases, now: float, *at_work: tuple[int, list[int]]) -> list[tuple[int, int]]:
    leases.is_time(now)
    return [(o.worker, o.task_id) for o in leases.overdue(now, at_work, lambda _: 1_000_000)]


def test_a_task_may_take_ten_times_the_median_and_a_minute_at_least() -> None:
    """Of as many bytes; twice the least as long as nothing is known."""
    leases = Leases(60.0, 10.0)
    assert leases.allowed(10**9) == 120.0
    for seconds in (1.0, 2.0, 300.0):
        leases.did(1_000_000, seconds)
    leases.did(100, 50.0)  # of so few bytes nothing is learned
    assert leases.allowed(1_000_000) == 60.0
    assert leases.allowed(100_000_000) == 2000.0


def test_time_counts_from_when_a_worker_is_at_a_task() -> None:
    """What waits behind another task has all of its time left; of one worker one task is told."""
    leases = Leases(10.0, 10.0)
    leases.did(1_000_000, 0.1)
    assert overdue(leases, 1.0, (0, [7]), (1, [8, 9])) == []
    assert overdue(leases, 4.0, (0, [7]), (1, [9, 10])) == []
    assert overdue(leases, 7.0, (0, [7]), (1, [9, 10])) == []
    assert overdue(leases, 11.5, (0, [7]), (1, [9, 10])) == [(0, 7), (1, 9)]
    assert overdue(leases, 14.5, (1, [10])) == [(1, 10)]


def test_time_in_which_the_driver_was_stopped_does_not_count() -> None:
    """Its workers may have been stopped with it."""
    leases = Leases(10.0, 10.0)
    leases.did(1_000_000, 0.1)
    overdue(leases, 1.0, (0, [7]))
    assert overdue(leases, 3600.0, (0, [7])) == []
    assert overdue(leases, 3604.0, (0, [7])) == []
    assert overdue(leases, 3608.0, (0, [7])) == []
    assert overdue(leases, 3612.0, (0, [7])) == [(0, 7)]


def test_leases_grow_to_about_a_second() -> None:
    """Of the rate that was seen; by as much as leaves each worker many of them."""
    leases = Leases(60.0, 10.0)
    assert leases.size(10**12, 2) == 0  # nothing is known
    leases.did(100_000_000, 0.2)
    assert leases.size(10**12, 2) == pytest.approx(500_000_000, abs=1)
    assert leases.size(64_000_000, 2) == 1_000_000
    assert leases.size(10**12, 0) == 0
    leases.did(10**9, 0.01)
    leases.did(10**9, 0.01)
    assert leases.size(10**13, 2) == 1 << 30


def test_a_plan_gives_larger_shards_when_it_is_told() -> None:
    """Large files are cut as before, and several pieces are one lease."""
    folder = FolderFiles("/f/", [f"n{i}" for i in range(300)])
    plan = Plan([folder, DocumentRef("/big", 10 << 20, 1, 1)], 1 << 20, 10)
    first = plan.next()
    assert isinstance(first, ShardPlanned) and count(first.pieces) == 10
    plan.lease_bytes = 4 << 20
    shards = [first]
    while isinstance(planned := plan.next(), ShardPlanned):
        shards.append(planned)
    assert [count(shard.pieces) for shard in shards[1:3]] == [40, 40]
    assert sum(count(shard.pieces) for shard in shards) == 310
    pieces = [p for shard in shards for p in shard.pieces if isinstance(p, Piece)]
    assert [p.end - p.start for p in pieces] == [1 << 20] * 10
    assert len(shards) < 12


def test_a_worker_does_all_of_a_lease(tmp_path: Path) -> None:
    """However much more than a shard's bytes that is."""
    names = [f"n{i}" for i in range(40)]
    for name in names:
        (tmp_path / name).write_bytes(b"pair=1\n" * 3000)
    engine = ScanEngine(PACK, EngineConfig(backend="cpu", shard_bytes=50_000))
    task = ScanTask((FolderRun.of(0, f"{tmp_path}/", names),))
    result = engine.run(task)
    assert (result.documents, result.undone) == (40, 0)


def ticks(machine: ScanMachine, first: float, last: float) -> list[object]:
    return [a for second in range(int(first), int(last)) for a in machine.handle(Tick(second))]


def test_a_worker_that_does_not_answer_is_replaced() -> None:
    """Its first task is blamed, as if it had died; its only document is given up after a while."""
    machine, _ = planned(shard(whole(0)), shard(whole(1)), lease_seconds=20)
    assert names(ticks(machine, 2, 40)) == []
    actions = ticks(machine, 40, 45)
    assert names(actions) == ["Warn", "ReplaceWorker"]
    assert "no answer about d0 [0, 10) for" in actions[0].message
    assert machine.handle(TaskDone(0, 0, TaskResult())) == []  # too late
    assert [task_id for _, task_id, _ in tasks(machine.handle(WorkerReady(0)))] != []
    actions = ticks(machine, 45, 95)
    (problem,) = [a for a in actions if isinstance(a, ReportProblem)]
    assert problem.document == 0 and problem.reason == "quarantined"
    assert "failed 2 times: no answer about d0" in problem.detail
    assert ReplaceWorker(0) in actions


def test_of_a_worker_that_does_several_tasks_the_late_one_is_blamed() -> None:
    """Though it has been given others before."""
    machine = ScanMachine([0], MachineConfig(lease_seconds=20))
    send(machine, Tick(1.0), WorkerReady(0, concurrency=2))
    send(machine, shard(whole(0)), shard(whole(1)), shard(whole(2)), shard(whole(3)))
    ticks(machine, 2, 30)
    machine.handle(TaskDone(0, 0, TaskResult()))  # 1 and 2 are being done now
    actions = ticks(machine, 30, 45)
    assert "no answer about d1" in actions[0].message
    assert machine.totals.retries == 1


def test_what_waits_behind_a_slow_task_is_not_blamed() -> None:
    """Of two that a worker is at, the smaller one has less time, and may wait for the other."""
    leases = Leases(10.0, 10.0)
    leases.did(1_000_000, 1.0)
    sizes = {7: 5_000_000, 8: 0}
    blamed: dict[int, int] = {}
    for now in range(1, 54):
        leases.is_time(now)
        for late in leases.overdue(now, [(0, [7, 8])], lambda task: sizes[task]):
            blamed[now] = late.task_id
    assert blamed == {52: 7, 53: 7}


def test_who_is_slow_at_what_another_one_has_done_is_told_of() -> None:
    """Nobody knows any more what it was."""
    shards = PlannedShards()
    queue = TaskQueue(shards, set())
    queue.add(ScanTask((whole(0),)), shards.plan())
    task_id, _ = queue.give_out()
    assert queue.describe(task_id).startswith("d0")
    assert queue.take_back(task_id) is not None
    assert queue.describe(task_id) == "what another worker has done meanwhile"


def test_what_is_left_of_a_task_is_queued_by_stretches() -> None:
    """What was between two documents has its place between their findings."""
    shards = PlannedShards()
    queue = TaskQueue(shards, set())
    number = shards.plan()
    rest = [FolderRun.of(3, "d/", ["a", "b"]), whole(5), whole(7), whole(8)]
    queue.add_rest(rest, number)
    first, second = (queue.give_out()[1] for _ in range(2))
    assert (first.pieces, second.pieces) == (tuple(rest[:2]), tuple(rest[2:]))
    assert shards[number].outstanding == 2
    queue.add_rest(rest, number, first=True)
    assert queue.give_out()[1].pieces == tuple(rest[:2])


def slow_at_the_end() -> tuple[ScanMachine, list[Submit]]:
    """A machine whose only open task is at worker 0, and given to worker 1, too."""
    machine, _ = planned(shard(whole(0)), shard(whole(1)), workers=2)
    machine.handle(TaskDone(1, 1, TaskResult(documents=1)))
    assert names(ticks(machine, 2, 3)) == []
    actions = ticks(machine, 3, 6)
    assert [(a.worker, a.task_id) for a in actions if isinstance(a, Submit)] == [(1, 0)]
    assert names(ticks(machine, 6, 30)) == []  # once
    return machine, [a for a in actions if isinstance(a, Submit)]


@pytest.mark.parametrize("winner", [0, 1])
def test_what_is_slow_at_the_end_is_done_by_two_and_counts_once(winner: int) -> None:
    """Whoever answers first has done it; the other's answer is nothing."""
    machine, _ = slow_at_the_end()
    result = TaskResult(documents=1, findings=found(row(0)))
    actions = machine.handle(TaskDone(winner, 0, result))
    assert names(actions) == ["Emit", "Forget", "Forget", "Finish"]
    assert machine.totals.findings == 1 and machine.totals.documents == 2


@pytest.mark.parametrize(
    "end", [WorkerLost(0, "it was killed"), TaskFailed(0, 0, "bad"), WorkerLost(1, "it was killed")]
)
def test_of_two_that_are_at_a_task_one_may_fail(end: WorkerLost | TaskFailed) -> None:
    """The task is not queued again as long as the other is at it; if that fails, too, it is."""
    machine, _ = slow_at_the_end()
    actions = machine.handle(end)
    assert not [a for a in actions if isinstance(a, Submit)] and machine.totals.retries == 0
    other = 1 - end.worker
    again = send(machine, WorkerReady(end.worker), WorkerLost(other, "killed as well"))
    assert machine.totals.retries == 1
    assert [a.worker for a in again if isinstance(a, Submit)] == [end.worker]


def hang() -> None:
    threading.Event().wait()


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.usefixtures("no_process_is_left")
@pytest.mark.parametrize("fault", [hang, stop])
def test_a_document_that_hangs_its_worker_is_put_in_quarantine(
    tmp_path: Path,
    faulty: Callable[[Callable[[], object]], WorkerSpec],
    corpus: Path,
    expected: list[Finding],
    fault: Callable[[], object],
) -> None:
    """In a matcher that does not come to an end, or a process that was stopped: all else is
    scanned.
    """
    poison = tmp_path / "poison"
    poison.write_bytes(b"x=1 " + MARKER)
    found: list[Finding] = []
    warnings: list[str] = []
    callbacks = Callbacks(found.extend, lambda _: None, warnings.append, lambda _t, _p: None)
    plan = Plan(walk([corpus / "d0", poison, *sorted(corpus.glob("d[1-9]*"))]), 2048, 8)
    config = MachineConfig(lease_seconds=0.7)
    outcome = run_scan(plan, LocalPool(faulty(fault), 2, "fork"), PACK.rules, callbacks, config)
    assert sorted(found, key=order) == expected
    (problem,) = outcome.problems
    assert (problem.path, problem.reason) == (str(poison), "quarantined")
    assert "no answer about" in problem.detail
    assert outcome.totals.workers_lost == len(warnings) >= 2
    assert all("no answer about" in warning for warning in warnings)


@pytest.mark.usefixtures("no_process_is_left")
def test_a_worker_that_is_stopped_from_outside_costs_nothing_but_time(
    corpus: Path, expected: list[Finding]
) -> None:
    """Its tasks are done by others, whole."""
    pool = LocalPool(spec(), 2, "fork")
    stopped: list[int] = []

    def watch() -> None:
        if not stopped and (pids := [w.child.pid for w in pool._workers.values() if w.tasks]):
            os.kill(pids[0] or 0, signal.SIGSTOP)
            stopped.append(pids[0] or 0)

    found, outcome, _ = scan(pool, corpus, watch=watch, config=MachineConfig(lease_seconds=0.7))
    assert stopped and outcome.complete
    assert sorted(found, key=order) == expected
