"""LocalPool with real processes and real faults: killed in the middle, killed by a document, cut
off while answering.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import fcntl
import itertools
import multiprocessing
import os
import re
import resource
import signal
import termios
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest
from small_corpus import write_small_files

from vyre_dist import Scanner
from vyre_dist.driver import local_pool
from vyre_dist.driver.events import Event, TaskDone, TaskFailed, WorkerLost, WorkerReady
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.machine import MachineConfig
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.pool import WorkerPool, WorkerSpec
from vyre_dist.driver.run import Callbacks, ScanAbortedError, ScanOutcome, run_scan
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.reported import Reporter
from vyre_dist.engine.tasks import Piece, ScanTask
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.errors import UsageError, WorkerUnusableError
from vyre_dist.finding import Finding
from vyre_dist.kernels.backends import BACKENDS, cpu_backend_class
from vyre_dist.rules.model import PackData, Rule
from vyre_dist.sources import walk, walk_folders

PACK = PackData(
    "small",
    (
        Rule("key", r"AKIA[0-9A-Z]{16}", keywords=("akia",)),
        Rule("pair", r"(\w+)=(\d+)", secret_group=2),
        Rule("dotenv", None, path=r"\.env$"),
    ),
)
MARKER = b"POISON"
PATIENCE = 30.0
# more than any pipe holds, and twice that in the findings
LONG_MATCHES = (b"x" * 50_000 + b"=1 ") * 40


def spec(backend: str = "cpu", shard_bytes: int = 2048) -> WorkerSpec:
    return WorkerSpec(PACK, EngineConfig(backend=backend, shard_bytes=shard_bytes))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty small files, an empty one, a .env, and one that is cut into pieces at every shard size
    used here.
    """
    root = tmp_path_factory.mktemp("corpus")
    write_small_files(root, 40)
    (root / "d0" / "empty").touch()
    (root / "d0" / ".env").write_text("a=1\n")
    (root / "d1" / "long").write_text(
        "".join(f"n{i}={i} AKIA{'C' * 12}{i:04d} text\n" for i in range(1500))
    )
    return root


def scan(
    pool: WorkerPool,
    root: Path,
    shard_bytes: int = 2048,
    watch: Callable[[], object] = lambda: None,
    config: MachineConfig | None = None,
    folders: bool = False,
) -> tuple[list[Finding], ScanOutcome, list[str]]:
    """Findings, outcome and warnings; `watch` is called after every round of events."""
    found: list[Finding] = []
    warnings: list[str] = []
    callbacks = Callbacks(found.extend, lambda _: None, warnings.append, lambda _t, _p: watch())
    outcome = run_scan(
        Plan((walk_folders if folders else walk)([root]), shard_bytes, 8),
        pool,
        PACK.rules,
        callbacks,
        config,
    )
    return found, outcome, warnings


@pytest.fixture(scope="module")
def expected(corpus: Path) -> list[Finding]:
    """What the library finds, in one process and without splitting anything."""
    return sorted(Scanner(PACK, "cpu").scan_paths(corpus), key=order)


def order(f: Finding) -> tuple[str, int, str]:
    return f.path, f.start, f.rule_id


def start_all(pool: LocalPool) -> None:
    """Have every worker started that there can be."""
    for worker in pool.start():
        pool.begin(worker)


def events_until(pool: LocalPool, done: Callable[[Sequence[Event]], bool]) -> list[Event]:
    """Poll until `done` says so."""
    events: list[Event] = []
    deadline = time.monotonic() + PATIENCE
    while not done(events):
        assert time.monotonic() < deadline, events
        events += pool.poll(1.0)
    return events


def waiting_bytes(connection: Connection) -> int:
    """How much lies in the pipe, unread."""
    count = array("i", [0])
    fcntl.ioctl(connection.fileno(), termios.FIONREAD, count)
    return count[0]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """After every test here all workers are gone, and so are the descriptors that led to them."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert multiprocessing.active_children() == []
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # spawn's resource tracker keeps one


# --- the same answer


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


# --- faults


class Faulty(cpu_backend_class()):  # type: ignore[misc]
    """A backend that comes to harm on documents with a marker in them, as a bug in a library would
    make it.
    """

    fault: Callable[[], object]

    def _candidate_windows(self, windows: Any) -> Any:
        if any(MARKER in bytes(window.data) for window in windows):
            type(self).fault()
        return super()._candidate_windows(windows)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], WorkerSpec]:
    """faulty(fault): a spec whose workers (forked, they know our backends) call `fault` at every
    marker.
    """

    def make(fault: Callable[[], object]) -> WorkerSpec:
        backend = type("FaultyBackend", (Faulty,), {"fault": staticmethod(fault)})
        monkeypatch.setitem(BACKENDS, "faulty", lambda pack, cache, _: backend(pack, cache))
        return spec("faulty")

    return make


def abort() -> None:
    faulthandler.disable()  # pytest's, which would tell all about it
    os.abort()


def out_of_memory() -> None:
    raise MemoryError("no room for 7 GB")


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "killed": (
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        r"ended by signal 9 \(Killed\): out of memory",
    ),
    "aborted": (abort, r"ended by signal 6 \(Aborted\)"),
    "real-time signal": (lambda: os.kill(os.getpid(), signal.SIGRTMIN + 5), r"ended by signal 39"),
    "left": (lambda: os._exit(7), r"ended with exit code 7"),
    "raised": (
        out_of_memory,
        r"MemoryError: no room for 7 GB \(out_of_memory, test_local_pool\.py:\d+\)",
    ),
}


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


@contextlib.contextmanager
def files_left(number: int) -> Iterator[None]:
    """This process may open so many files more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir("/proc/self/fd")}
    # the listing's own is among them, and closed by now
    most = before[0] if before[0] != resource.RLIM_INFINITY else 1 << 20
    free = (n for n in range(most) if n not in taken or not os.path.exists(f"/proc/self/fd/{n}"))
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (next(itertools.islice(free, number, None)), before[1])
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


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


def test_a_worker_without_what_it_needs_says_so() -> None:
    """What it can't do without is gone: the loss is not its task's."""
    pool = LocalPool(spec(), 1, "fork")

    def gone(*_: object) -> None:
        raise WorkerUnusableError("the process that owns the GPU is gone: \udcff")

    try:
        with pytest.MonkeyPatch.context() as patches:
            patches.setattr(ScanEngine, "run", gone)
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
    monkeypatch.setattr(ScanEngine, "run", fail)
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


# --- starting


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
