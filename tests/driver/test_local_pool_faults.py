"""LocalPool with real faults: killed in the middle, killed by a document, cut off in an answer."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path

import pytest
from local_pools import (
    FAULTS,
    LONG_MATCHES,
    MARKER,
    PACK,
    PATIENCE,
    events_until,
    order,
    out_of_memory,
    scan,
    spec,
    start_all,
    waiting_bytes,
)

from vyre_dist.driver.events import TaskDone, TaskFailed, WorkerLost, WorkerReady
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import Callbacks, ScanAbortedError, run_scan
from vyre_dist.engine.tasks import Piece, ScanTask
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.errors import WorkerUnusableError
from vyre_dist.finding import Finding
from vyre_dist.sources import walk

pytestmark = pytest.mark.usefixtures("no_process_is_left")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("where", ["small", "big"])
def test_a_document_that_ends_its_worker_is_put_in_quarantine(
    tmp_path: Path,
    faulty: Callable[[Callable[[], object]], WorkerSpec],
    corpus: Path,
    expected: list[Finding],
    fault: str,
    where: str,
) -> None:
    """It is listed with the reason after a few deaths; every other document is scanned as if
    nothing had been.
    """
    root = tmp_path / "corpus"
    root.symlink_to(corpus)
    poison = tmp_path / "poison"
    poison.write_bytes(b"x=1 " + MARKER + b" y=2 " * (1 if where == "small" else 4000))
    found: list[Finding] = []
    warnings: list[str] = []
    do, message = FAULTS[fault]
    callbacks = Callbacks(found.extend, lambda _: None, warnings.append, lambda _t, _p: None)
    plan = Plan(walk([corpus / "d0", corpus / "d1", poison, corpus / "d2"]), 2048, 8)
    outcome = run_scan(plan, LocalPool(faulty(do), 2, "fork"), PACK.rules, callbacks)
    # what was read whole of the deadly one is reported, too
    assert sorted([f for f in found if f.path != str(poison)], key=order) == expected
    (problem,) = outcome.problems
    assert (problem.path, problem.reason) == (str(poison), "quarantined")
    assert re.search(message, problem.detail), problem.detail
    deaths = outcome.totals.workers_lost
    assert (deaths == 0) if fault == "raised" else (2 <= deaths <= 6)
    assert len(warnings) == deaths


def test_a_worker_killed_in_the_middle_of_a_task_costs_nothing_but_time(
    corpus: Path, tmp_path: Path, faulty: Callable[[Callable[[], object]], WorkerSpec]
) -> None:
    """Killed while it provably scans, it is replaced, and its task is done by another."""
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "a").write_bytes(b"x=1 " + MARKER + b" y=2")
    (root / "b").write_bytes(b"z=3")
    busy = tmp_path / "pid"
    killed: list[int] = []

    def stop_once() -> None:
        if not busy.is_symlink():
            busy.symlink_to(str(os.getpid()))
            signal.pause()

    def kill_it() -> None:
        if busy.is_symlink() and not killed:
            killed.append(int(os.readlink(busy)))
            os.kill(killed[0], signal.SIGKILL)

    found, outcome, warnings = scan(LocalPool(faulty(stop_once), 1, "fork"), root, watch=kill_it)
    assert [f.match for f in found] == [b"x=1", b"y=2", b"z=3"]
    assert killed and outcome.complete
    assert (outcome.totals.workers_lost, outcome.totals.retries, outcome.totals.documents) == (
        1,
        1,
        2,
    )
    (warning,) = warnings
    assert f"process {killed[0]} was ended by signal 9" in warning


def test_a_pool_in_which_every_worker_dies_is_given_up(
    tmp_path: Path, faulty: Callable[[Callable[[], object]], WorkerSpec]
) -> None:
    """Where every document is deadly the scan ends, says so, and tells what was done."""
    for i in range(100):
        (tmp_path / f"f{i}").write_bytes(MARKER)
    with pytest.raises(ScanAbortedError, match="16 workers were lost in a row") as caught:
        scan(LocalPool(faulty(lambda: os._exit(1)), 1, "fork"), tmp_path)
    assert not caught.value.refused
    assert caught.value.outcome.totals.documents == 0
    assert all(p.reason == "quarantined" for p in caught.value.outcome.problems)


def test_a_worker_cut_off_in_the_middle_of_its_answer_is_lost_like_any_other() -> None:
    """Half an answer in the pipe and then its end: an event, no exception; the other worker is not
    touched.
    """
    pool = LocalPool(spec(), 2, "fork")
    try:
        start_all(pool)
        events_until(pool, lambda events: sum(isinstance(e, WorkerReady) for e in events) == 2)
        text = LONG_MATCHES
        pool.submit(0, 5, ScanTask((Piece(0, "inline", len(text), 0, len(text), inline=text),)))
        worker = pool._workers[0]
        # some of the answer is there; it is longer than any pipe, so the worker is still writing
        deadline = time.monotonic() + PATIENCE
        while waiting_bytes(worker.child.connection) < 50_000:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(worker.child.process.pid, signal.SIGKILL)
        worker.child.process.join(PATIENCE)
        (lost,) = events_until(pool, bool)
        assert isinstance(lost, WorkerLost) and lost.worker == 0 and "signal 9" in lost.detail
        pool.replace(0)
        (ready,) = events_until(pool, bool)
        assert ready == WorkerReady(0)
    finally:
        pool.close()


def test_a_task_for_a_dead_worker_is_an_event_and_no_exception() -> None:
    """Whoever submits need not know that the worker died a moment ago."""
    pool = LocalPool(spec(), 1, "fork")
    try:
        start_all(pool)
        events_until(pool, bool)
        worker = pool._workers[0]
        os.kill(worker.child.process.pid, signal.SIGKILL)
        worker.child.process.join(PATIENCE)
        pool.submit(0, 1, ScanTask(()))
        pool.submit(0, 2, ScanTask(()))
        (lost,) = events_until(pool, bool)
        assert isinstance(lost, WorkerLost)
    finally:
        pool.close()
        pool.close()


def test_a_worker_without_what_it_needs_says_so() -> None:
    """What it can't do without is gone: the loss is not its task's."""
    pool = LocalPool(spec(), 1, "fork")

    def gone(*_: object) -> None:
        raise WorkerUnusableError("the process that owns the GPU is gone: \udcff")

    try:
        with pytest.MonkeyPatch.context() as patches:
            patches.setattr(ScanEngine, "_scan", gone)
            start_all(pool)
        events_until(pool, bool)
        pool.submit(0, 1, ScanTask(()))
        assert events_until(pool, bool) == [
            WorkerLost(0, "the process that owns the GPU is gone: \udcff", unrelated_to_tasks=True)
        ]
        pool.replace(0)
        assert events_until(pool, bool) == [WorkerReady(0)]
    finally:
        pool.close()


def test_an_error_with_an_undecodable_path_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker lives on, whatever is in the text of what went wrong."""

    def fail(*_: object) -> None:
        raise AssertionError("\udcff/x: it is not so")

    pool = LocalPool(spec(), 1, "fork")
    monkeypatch.setattr(ScanEngine, "_scan", fail)
    try:
        start_all(pool)
        events_until(pool, bool)
        pool.submit(0, 1, ScanTask(()))
        (failed,) = events_until(pool, bool)
        assert isinstance(failed, TaskFailed) and "\udcff/x: it is not so" in failed.detail
    finally:
        pool.close()


def test_an_answer_that_was_given_before_the_death_counts() -> None:
    """What a worker wrote whole before it died is read first, then its end."""
    pool = LocalPool(spec(), 1, "fork")
    try:
        start_all(pool)
        events_until(pool, bool)
        pool.submit(0, 9, ScanTask((Piece(0, "inline", 3, 0, 3, inline=b"a=1"),)))
        worker = pool._workers[0]
        assert wait([worker.child.connection], PATIENCE)
        os.kill(worker.child.process.pid, signal.SIGKILL)
        worker.child.process.join(PATIENCE)
        done, lost = events_until(pool, lambda events: len(events) == 2)
        assert isinstance(done, TaskDone) and len(done.result.findings) == 1
        assert isinstance(lost, WorkerLost)
    finally:
        pool.close()


def test_an_exception_in_a_task_leaves_the_worker_alive(
    faulty: Callable[[Callable[[], object]], WorkerSpec],
) -> None:
    """The answer says what was raised and where; the next task is done by the same process."""
    pool = LocalPool(faulty(out_of_memory), 1, "fork")
    try:
        start_all(pool)
        events_until(pool, bool)
        for task_id, data in enumerate((MARKER, b"a=1")):
            pool.submit(
                0, task_id, ScanTask((Piece(0, "inline", len(data), 0, len(data), inline=data),))
            )
        failed, done = events_until(pool, lambda events: len(events) == 2)
        assert isinstance(failed, TaskFailed) and failed.detail.startswith("MemoryError: no room")
        assert isinstance(done, TaskDone)
    finally:
        pool.close()
