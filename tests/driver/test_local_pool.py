"""LocalPool with real processes: the same answer whoever works, starting, and closing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from local_pools import (
    LONG_MATCHES,
    MARKER,
    PACK,
    PATIENCE,
    events_until,
    order,
    scan,
    spec,
    start_all,
)

from vyre_dist import Scanner
from vyre_dist.driver import local_pool
from vyre_dist.driver.events import TaskDone, WorkerLost, WorkerReady
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import ScanAbortedError
from vyre_dist.engine.reported import Reporter
from vyre_dist.engine.tasks import Piece, ScanTask
from vyre_dist.errors import UsageError
from vyre_dist.finding import Finding
from vyre_dist.sources import walk

pytestmark = pytest.mark.usefixtures("no_process_is_left")


@pytest.mark.parametrize("folders", [False, True])
@pytest.mark.parametrize(
    ("workers", "method", "shard_bytes"),
    [
        (1, "fork", 2048),
        (2, "fork", 257),
        (3, "fork", 1 << 20),
        (2, "fork", 31),
        (2, "spawn", 2048),
    ],
)
def test_findings_are_the_same_whoever_does_the_work(
    corpus: Path,
    expected: list[Finding],
    workers: int,
    method: str,
    shard_bytes: int,
    folders: bool,
) -> None:
    """Workers, start method, shard size and whether sizes were asked for change nothing; findings
    come document by document in the walk's order.
    """
    found, outcome, warnings = scan(
        LocalPool(spec(shard_bytes=shard_bytes), workers, method),
        corpus,
        shard_bytes,
        folders=folders,
    )
    assert sorted(found, key=order) == expected and not warnings
    paths = [getattr(entry, "path", "") for entry in walk([corpus])]
    assert [f.path for f in found] == sorted((f.path for f in found), key=paths.index)
    assert [(f.path, f.start) for f in found] == sorted(
        ((f.path, f.start) for f in found), key=lambda at: (paths.index(at[0]), at[1])
    )
    # the last of them may not be ready before all is done
    assert outcome.complete and 1 <= outcome.workers <= workers
    assert outcome.totals.documents == len(paths)
    assert outcome.totals.bytes == sum(p.stat().st_size for p in corpus.rglob("*") if p.is_file())


def test_long_tasks_and_long_answers_do_not_wait_for_each_other() -> None:
    """Six tasks of 2 MB are handed to one worker that has answers of 4 MB to give, and nobody is
    polling.
    """
    pool = LocalPool(spec(shard_bytes=1 << 24), 1, "fork")
    text = LONG_MATCHES
    try:
        start_all(pool)
        events_until(pool, bool)
        for task_id in range(6):
            pool.submit(
                0,
                task_id,
                ScanTask((Piece(task_id, "inline", len(text), 0, len(text), inline=text),)),
            )
        done = [
            e
            for e in events_until(pool, lambda events: len(events) == 6)
            if isinstance(e, TaskDone)
        ]
    finally:
        pool.close()
    assert [e.task_id for e in done] == [0, 1, 2, 3, 4, 5]
    assert [len(e.result.findings) for e in done] == [40] * 6


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_one_document_is_one_process_of_a_thousand(tmp_path: Path, method: str) -> None:
    """Processes are started for the work that there is, not for the number that there may be."""
    (tmp_path / "a").write_text("x=1")
    pool = LocalPool(spec(), 1000, method)
    pids: set[int] = set()
    found, outcome, _ = scan(pool, tmp_path, watch=lambda: pids.update(pool.pids))
    assert [f.match for f in found] == [b"x=1"]
    assert (len(pids), outcome.workers) == (1, 1)


def test_a_pool_starts_no_more_processes_than_there_are_tasks(
    corpus: Path, expected: list[Finding]
) -> None:
    """With more of them than work, there is one for each task at most, and nothing is missing."""
    pool = LocalPool(spec(), 10_000, "fork")
    pids: set[int] = set()
    found, outcome, _ = scan(pool, corpus, watch=lambda: pids.update(pool.pids))
    assert sorted(found, key=order) == expected
    tasks = sum(use.tasks for use in outcome.uses)
    assert 1 <= len(pids) <= tasks < 100


def test_a_forking_pool_says_at_once_what_its_workers_could_not_use() -> None:
    """The pack is compiled before the fork: a wrong backend is a UsageError, and no process is
    started.
    """
    pool = LocalPool(spec("abacus"), 2, "fork")
    with pytest.raises(UsageError, match="unknown backend 'abacus'"):
        start_all(pool)
    pool.close()


def test_a_spawning_pool_learns_it_from_its_workers(tmp_path: Path) -> None:
    """A worker that can't start for good says so; the scan is given up at once, as refused."""
    (tmp_path / "a").write_text("x=1")
    pool = LocalPool(spec("abacus"), 1, "spawn")
    with pytest.raises(ScanAbortedError, match="unknown backend 'abacus'") as caught:
        scan(pool, tmp_path)
    assert caught.value.refused and caught.value.outcome.totals.documents == 0


def test_a_spawned_worker_that_is_never_forked_is_lost() -> None:
    """When the process that forks them is gone, who waited for it is lost; another such process
    starts the next one.
    """
    pool = LocalPool(spec(), 2, "spawn")
    try:
        first, second = pool.start()
        assert pool._server is not None and pool._server.pid is not None
        os.kill(pool._server.pid, signal.SIGSTOP)
        pool.begin(first)
        os.kill(pool._server.pid, signal.SIGKILL)
        (event,) = events_until(pool, bool)
        assert isinstance(event, WorkerLost) and "no process could be started" in event.detail
        pool.replace(first)
        pool.begin(second)
        assert len(events_until(pool, lambda events: len(events) == 2)) == 2
        assert len(set(pool.pids)) == 2
    finally:
        pool.close()


def test_fifteen_spawned_workers_wait_for_nobody() -> None:
    """None of them waits for another to be there, nor does who asks for them: all are asked for
    before there is anybody who could fork one, and all come.
    """
    pool = LocalPool(spec(), 15, "spawn")
    try:
        numbers = pool.start()
        assert pool._server is not None and pool._server.pid is not None
        os.kill(pool._server.pid, signal.SIGSTOP)
        for number in numbers:
            pool.begin(number)
        assert pool.pids == []
        os.kill(pool._server.pid, signal.SIGCONT)
        ready = events_until(pool, lambda events: len(events) == 15)
        assert {event.worker for event in ready if isinstance(event, WorkerReady)} == set(range(15))
    finally:
        pool.close()


def test_how_a_spawned_worker_ended_is_told() -> None:
    """Its exit code comes from the process that forked it; without that, its end is seen all the
    same.
    """
    pool = LocalPool(spec(), 2, "spawn")
    try:
        start_all(pool)
        events_until(pool, lambda events: len(events) == 2)
        os.kill(pool.pids[0], signal.SIGSEGV)
        (lost,) = events_until(pool, bool)
        assert isinstance(lost, WorkerLost) and "was ended by signal 11" in lost.detail
        assert pool._server is not None and pool._server.pid is not None
        os.kill(pool._server.pid, signal.SIGKILL)
        pool.submit(1, 1, ScanTask(()))
        (done,) = events_until(pool, bool)
        assert isinstance(done, TaskDone), "a worker does not need whoever forked it"
        os.kill(pool.pids[1], signal.SIGKILL)
        (lost,) = events_until(pool, bool)
        assert isinstance(lost, WorkerLost) and "nobody has told of its end" in lost.detail
    finally:
        pool.close()


@pytest.mark.parametrize("workers", [0, -1])
def test_a_pool_needs_workers(workers: int) -> None:
    """Fewer than one is refused with the number in the message."""
    with pytest.raises(UsageError, match=f"{workers} workers: at least 1"):
        LocalPool(spec(), workers)


def test_closing_does_not_wait_for_work_in_hand(
    faulty: Callable[[Callable[[], object]], WorkerSpec],
) -> None:
    """Workers that are in the middle of something that never ends are gone in a moment."""
    pool = LocalPool(faulty(signal.pause), 3, "fork")
    start_all(pool)
    events_until(pool, lambda events: len(events) == 3)
    for worker in range(3):
        pool.submit(worker, worker, ScanTask((Piece(0, "inline", 6, 0, 6, inline=MARKER),)))
    processes = [w.child.process.pid for w in pool._workers.values()]
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < 3.0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in processes)


def test_results_wait_in_their_pipes_while_a_poll_has_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With many workers, the results that come at once are not all in memory at once; each of them
    comes, whoever has to wait.
    """
    monkeypatch.setattr(local_pool, "MOST_READ", 1)
    text = b"AKIA" + b"D" * 16
    pool = LocalPool(spec(), 2, "fork")
    try:
        start_all(pool)
        events_until(pool, lambda events: len(events) == 2)
        for task_id in range(6):
            piece = Piece(task_id, "inline", len(text), 0, len(text), inline=text)
            pool.submit(task_id % 2, task_id, ScanTask((piece,)))
        polls = []
        deadline = time.monotonic() + PATIENCE
        while sum(map(len, polls)) < 6 and time.monotonic() < deadline:
            polls.append(pool.poll(1.0))
    finally:
        pool.close()
    assert max(map(len, polls)) == 1
    done = [event.task_id for poll in polls for event in poll if isinstance(event, TaskDone)]
    assert sorted(done) == [*range(6)]
    assert [t for t in done if t % 2] == [1, 3, 5]


def test_a_workers_row_is_what_the_library_gives(corpus: Path) -> None:
    """A row that came through a worker is the Finding that Scanner.scan makes of the same bytes."""
    data = b"a=1 AKIA" + b"D" * 16
    pool = LocalPool(spec(), 1, "fork")
    try:
        start_all(pool)
        events_until(pool, bool)
        pool.submit(0, 0, ScanTask((Piece(0, "p", len(data), 0, len(data), inline=data),)))
        (done,) = events_until(pool, bool)
    finally:
        pool.close()
    assert isinstance(done, TaskDone)
    rows = sorted(done.result.findings, key=lambda row: row.start)
    found = Reporter(PACK.rules).findings(rows, {0: "p"}.__getitem__)
    assert [finding for _, finding in found] == Scanner(PACK, "cpu").scan(data, "p")
