"""LocalPool where files, processes or memory are short: it waits, or goes on with fewer."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from local_pools import (
    MARKER,
    events_until,
    files_left,
    order,
    scan,
    spec,
    start_all,
)

from vyre_dist.driver import local_pool
from vyre_dist.driver.events import TaskDone, WorkerLost, WorkerReady
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.run import ScanAbortedError
from vyre_dist.engine.tasks import ScanTask
from vyre_dist.finding import Finding

pytestmark = pytest.mark.usefixtures("no_process_is_left")


def test_a_replacement_that_can_not_be_started_is_lost_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files, processes or memory are short for a while, that is an event like the loss
    before, and no exception. It comes later each time, and nobody else waits for it.
    """
    monkeypatch.setattr(local_pool, "_FIRST_WAIT", 0.4)
    pool = LocalPool(spec(), 2, "fork")
    try:
        start_all(pool)
        events_until(pool, lambda events: len(events) == 2)
        os.kill(pool._workers[0].child.process.pid, signal.SIGKILL)
        (lost,) = events_until(pool, bool)
        assert isinstance(lost, WorkerLost) and not lost.unrelated_to_tasks
        with files_left(0):
            for wait_seconds in (0.4, 0.8):
                began = time.monotonic()
                pool.replace(0)
                pool.submit(1, 1, ScanTask(()))
                both = events_until(pool, lambda events: len(events) == 2)
                done, lost = sorted(both, key=lambda event: isinstance(event, WorkerLost))
                assert isinstance(done, TaskDone)
                assert isinstance(lost, WorkerLost) and lost.worker == 0 and lost.unrelated_to_tasks
                assert "no process could be started" in lost.detail
                assert wait_seconds <= time.monotonic() - began < wait_seconds + 5.0
        pool.replace(0)
        assert events_until(pool, bool) == [WorkerReady(0)]
        assert not pool._waits and not pool._later
    finally:
        pool.close()


def test_a_scan_outlasts_a_shortage(
    tmp_path: Path,
    faulty: Callable[[Callable[[], object]], WorkerSpec],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker is killed while there are no files for another: the one that is left does the work,
    in one long task, and the user hears of it once, however often it is tried.
    """
    monkeypatch.setattr(local_pool, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(local_pool, "_LONGEST_WAIT", 0.02)
    release = tmp_path / "release"
    root = tmp_path / "corpus"
    root.mkdir()
    for i in range(2):
        (root / f"f{i}").write_bytes(b"x=1 " + MARKER + b" y=2")
    attempts: list[int] = []
    killed: list[int] = []

    def busy() -> None:
        (tmp_path / str(os.getpid())).touch()
        while not release.exists():
            time.sleep(0.01)

    pool = LocalPool(faulty(busy), 2, "fork")
    replace = pool.replace

    def counted(worker: int) -> None:
        attempts.append(worker)
        replace(worker)

    monkeypatch.setattr(pool, "replace", counted)
    with contextlib.ExitStack() as shortage:

        def watch() -> None:
            if not killed:
                at_work = [int(name) for name in os.listdir(tmp_path) if name.isdecimal()]
                if len(at_work) == 2:
                    # the three that the worker took do not do for another one
                    shortage.enter_context(files_left(0))
                    killed.append(at_work[0])
                    os.kill(killed[0], signal.SIGKILL)
            elif len(attempts) >= 30:
                shortage.close()
                release.touch()

        found, outcome, warnings = scan(pool, root, shard_bytes=5, watch=watch)
    assert [f.match for f in found] == [b"x=1", b"y=2"] * 2 and outcome.complete
    assert len(attempts) >= 30 and len(warnings) == 2
    assert "was ended by signal 9" in warnings[0] and "no process could be started" in warnings[1]


@pytest.mark.parametrize("short", ["memory", "files"])
def test_attempts_that_fail_leave_no_file_open(short: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a worker can't be started, this process has as many files open as before, and
    one more can be.
    """
    monkeypatch.setattr(local_pool, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(local_pool, "_LONGEST_WAIT", 0.01)
    pool = LocalPool(spec(), 1, "fork")
    try:
        start_all(pool)
        assert events_until(pool, bool) == [WorkerReady(0)]
        pool.replace(0)
        assert events_until(pool, bool) == [WorkerReady(0)]
        os.kill(pool._workers[0].child.process.pid, signal.SIGKILL)
        events_until(pool, bool)
        failed, counts = [0], []

        def no_memory() -> int:
            failed[0] += 1
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

        with monkeypatch.context() as patch:
            if short == "memory":
                patch.setattr(os, "fork", no_memory)
            for room in range(2, 12):
                with files_left(room) if short == "files" else contextlib.nullcontext():
                    pool.replace(0)
                    (lost,) = events_until(pool, bool)
                if not isinstance(lost, WorkerLost):
                    break  # there were files enough
                counts.append(len(os.listdir("/proc/self/fd")))
        assert len(counts) > 2 and len(set(counts)) == 1, counts
        assert failed[0] == (10 if short == "memory" else 0)
        pool.replace(0)
        assert events_until(pool, bool) == [WorkerReady(0)]
    finally:
        pool.close()


def test_where_more_workers_can_not_be_started_the_others_go_on(
    corpus: Path, expected: list[Finding]
) -> None:
    """The limit of open files ends no scan: it is told how many workers there could be, and they do
    the work.
    """
    # each takes six, and keeps three
    with files_left(16):
        found, outcome, warnings = scan(LocalPool(spec(), 60, "fork"), corpus)
    assert sorted(found, key=order) == expected and outcome.complete
    assert 1 <= outcome.workers < 10
    (warning,) = warnings
    assert re.match(
        r"of 60 workers only [1-9] could be started \(Too many open files\).*--workers", warning
    )


def test_where_no_worker_can_be_started_the_scan_is_refused(corpus: Path) -> None:
    """Without any there is nothing to go on with."""
    with (
        files_left(4),
        pytest.raises(ScanAbortedError, match="of 60 workers only 0 could be") as caught,
    ):
        scan(LocalPool(spec(), 60, "fork"), corpus)
    assert caught.value.refused
