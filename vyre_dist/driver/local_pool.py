"""LocalPool: workers that are processes of this machine. No Ray: a small scan is over before Ray would have started."""

from __future__ import annotations

import contextlib
import errno
import gc
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from vyre_dist.driver.events import Event, TaskDone, TaskFailed, WorkerLost, WorkerReady, WorkerRefused
from vyre_dist.driver.gpu_process import GpuProcess
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.signals import ENDING, held_back
from vyre_dist.driver.worker_loop import answer, read_answer
from vyre_dist.engine.tasks import Task, encode_task
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.engine.worker_process import STOP_SECONDS, end, receive
from vyre_dist.errors import UsageError, VyreError, WorkerUnusableError

_READY = b"ready"
_REFUSED = b"refused "
_UNUSABLE = b"unusable "

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
"""Of files, processes or memory there may be more a moment later."""
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 16.0
"""Seconds between two attempts to start a process in the place of one that was lost. They double."""


@dataclass(frozen=True, slots=True)
class Lost:
    """How a process ended in place of an answer. `blameless`: not by its task, which it had not begun or which could not be
    done there."""

    detail: str
    blameless: bool


def _fork(process: Any) -> None:
    """Start it. Where that fails, close the pipes that multiprocessing had made for it by then: it leaves them open, and
    with one attempt after the other they would take all the files that this process may have.
    """
    before = _open_files()
    room_to_look = os.open(os.devnull, os.O_RDONLY)
    try:
        process.start()
    except OSError:
        os.close(room_to_look)
        for file in _open_files() - before:
            os.close(file)
        raise
    os.close(room_to_look)


def _open_files() -> set[int]:
    listed = set(map(int, os.listdir("/proc/self/fd")))
    return {
        file for file in listed if os.path.exists(f"/proc/self/fd/{file}")
    }  # the listing's own is closed by now


class _Worker:
    """The driver's end of one process."""

    def __init__(self, process: Any, connection: Connection) -> None:
        """`process`: None for one that could not be started; its `connection` is closed."""
        self.process = process
        self.connection = connection
        self.ready = False
        self.tasks: deque[int] = deque()


class LocalPool:
    """`workers` processes (None: one for each processor this process may use). With the cuda backend there is one more: it
    owns the GPU and scans what the others read.

    `start_method`: fork where that is safe (Linux, no other threads yet; a worker is then up in milliseconds), else spawn.
    `of_many`: this is one of several pools, so what is short here need not be so for the others.
    """

    name = "local"

    def __init__(
        self,
        spec: WorkerSpec,
        workers: int | None = None,
        start_method: str | None = None,
        *,
        of_many: bool = False,
    ) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"{workers} workers: at least 1 is needed")
        self._spec, self._of_many = spec, of_many
        self._count = workers or len(os.sched_getaffinity(0))
        if start_method is None:
            safe = sys.platform == "linux" and threading.active_count() == 1
            start_method = "fork" if safe else "spawn"
        self._context: Any = multiprocessing.get_context(start_method)
        self._forks = start_method == "fork"
        self._workers: dict[int, _Worker] = {}
        self._engine: ScanEngine | None = None
        self.gpu: GpuProcess | None = None
        self._held: list[Event] = []
        self._waits: dict[int, float] = {}
        self._later: dict[int, tuple[float, WorkerLost]] = {}

    def start(self) -> Sequence[int]:
        """See WorkerPool. Raises UsageError, too, when files, processes or memory are short for so many; one of many pools
        raises OSError.
        """
        if self._spec.config.backend == "cuda":
            self.gpu = GpuProcess(self._spec)
            self.gpu.start()
        if self._forks:
            # compiled once, before the fork: the workers share its pages and are ready at once
            self._engine = ScanEngine(self._spec.pack, self._spec.config, self._gpu_address)
        for number in range(self._count):
            try:
                self._workers[number] = self._spawn(number)
            except OSError as error:
                if error.errno not in _SHORT or self._of_many:
                    raise
                raise UsageError(
                    f"of {self._count} workers only {number} could be started ({error.strerror}): ask for fewer "
                    "(--workers), or raise the limits (ulimit -n, -u, -v)"
                ) from error
        return list(self._workers)

    @property
    def _gpu_address(self) -> str:
        return self.gpu.address if self.gpu else ""

    def _spawn(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        # a forked child holds copies of all our ends; while it does, its siblings would not see us die
        not_theirs = [w.connection for w in self._workers.values()] + [ours] if self._forks else []
        if self._forks and self.gpu:
            not_theirs += self.gpu.open_ends()
        process = self._context.Process(
            target=_serve,
            args=(theirs, self._spec, self._engine, self._gpu_address, not_theirs),
            name=f"vyre-worker-{number}",
            daemon=True,
        )
        # forked workers have our handlers, too, until they have dropped them
        with held_back(not self._forks), warnings.catch_warnings():
            # Python 3.12 warns of any thread; those that there are, NumPy's, know how to live with a fork
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
            if self._forks:
                _fork(process)
            else:
                process.start()
        theirs.close()
        return _Worker(process, ours)

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        """See WorkerPool."""
        w = self._workers[worker]
        w.tasks.append(task_id)
        # a worker that is gone: poll reads the end of its pipe and says so
        with contextlib.suppress(OSError):
            w.connection.send_bytes(encode_task(task))

    def call(self, worker: int, task: bytes) -> bytes | Lost:
        """The answer to a task, or how the worker ended: for a caller that waits for one worker, and has the others called
        from other threads. Not to be mixed with `submit` and `poll` once all are ready.
        """
        w = self._workers[worker]
        try:
            w.connection.send_bytes(task)
            while not w.ready:
                said = w.connection.recv_bytes()
                if said != _READY:
                    return Lost(_text(said, _REFUSED), blameless=True)
                w.ready = True
            said = w.connection.recv_bytes()
        except (EOFError, OSError):
            return Lost(self._obituary(w), blameless=not w.ready)
        return Lost(_text(said, _UNUSABLE), blameless=True) if said.startswith(_UNUSABLE) else said

    def poll(self, timeout: float) -> list[Event]:
        """See WorkerPool."""
        by_connection = {w.connection: n for n, w in self._workers.items() if not w.connection.closed}
        events: list[Event] = []
        gpu = self.gpu if self.gpu and not self.gpu.connection.closed else None
        if self._later:
            due = min(due for due, _ in self._later.values())
            timeout = min(timeout, max(0.0, due - time.monotonic()))
        for ready in wait([*by_connection, *([gpu.connection] if gpu else [])], timeout):
            if gpu and ready is gpu.connection:
                if refused := gpu.mind():
                    events.append(WorkerRefused(min(self._workers), refused))
                continue
            number = by_connection[ready]  # type: ignore[index]
            self._held.append(self._read(number, self._workers[number]))
        now = time.monotonic()
        for number in [number for number, (due, _) in self._later.items() if due <= now]:
            self._held.append(self._later.pop(number)[1])
        if self.gpu is None or self.gpu.promising:
            # before that workers could begin without it; but nothing is to be scanned where there is none
            events += self._held
            self._held.clear()
        return events

    def _read(self, number: int, worker: _Worker) -> Event:
        try:
            data = worker.connection.recv_bytes()
        except (EOFError, OSError):
            # OSError: the connection was reset, or ended in the middle of an answer
            return WorkerLost(number, self._obituary(worker))
        if not worker.ready:
            if data == _READY:
                worker.ready = True
                self._waits.pop(number, None)
                return WorkerReady(number)
            return WorkerRefused(number, _text(data, _REFUSED))
        if data.startswith(_UNUSABLE):
            self._obituary(worker)
            return WorkerLost(number, _text(data, _UNUSABLE), blameless=True)
        task_id = worker.tasks.popleft()
        result, error = read_answer(data)
        return TaskDone(number, task_id, result) if result else TaskFailed(number, task_id, error)

    @staticmethod
    def _obituary(worker: _Worker) -> str:
        worker.connection.close()
        if worker.process is None:
            return "no process could be started"
        worker.process.join(STOP_SECONDS)
        pid, code = worker.process.pid, worker.process.exitcode
        if code is None:
            return f"process {pid} closed its connection without ending"
        if code >= 0:
            return f"process {pid} ended with exit code {code}"
        hint = ": out of memory, perhaps" if -code == signal.SIGKILL else ""
        return f"process {pid} was ended by signal {-code} ({signal.strsignal(-code)}){hint}"

    def replace(self, worker: int) -> None:
        """See WorkerPool. One that can't be started is lost, too, which `poll` says after a while."""
        before = self._workers[worker]
        self._end(before)
        try:
            self._workers[worker] = self._spawn(worker)
        except OSError as error:
            # memory, processes or files are short, and may be there for the next attempt
            self._workers[worker] = _Worker(None, before.connection)
            pause = self._waits.get(worker, _FIRST_WAIT)
            self._waits[worker] = min(2 * pause, _LONGEST_WAIT)
            loss = WorkerLost(worker, f"no process could be started ({error})", blameless=True)
            self._later[worker] = (time.monotonic() + pause, loss)

    def unusable(self) -> str:
        """See WorkerPool."""
        return self.gpu.verdict() if self.gpu else ""

    def notes(self) -> Sequence[str]:
        """See WorkerPool. The engine that forked workers share is what writes to the cache."""
        return [self._engine.cache.trouble] if self._engine and self._engine.cache.trouble else []

    def close(self) -> None:
        """See WorkerPool."""
        workers, self._workers = list(self._workers.values()), {}
        for w in workers:
            w.connection.close()
            if w.process is not None:
                w.process.terminate()
        for w in workers:
            self._end(w)
        if self.gpu:
            self.gpu.close()

    @staticmethod
    def _end(worker: _Worker) -> None:
        worker.connection.close()
        if worker.process is not None:
            end(worker.process)
            worker.process.close()


def _text(data: bytes, prefix: bytes) -> str:
    return data.removeprefix(prefix).decode(errors="surrogateescape")


def _serve(
    connection: Connection, spec: WorkerSpec, engine: ScanEngine | None, gpu: str, not_ours: list[Any]
) -> None:
    """The worker's life: load, then answer until the driver is gone."""
    for signum in ENDING:
        # whatever a forked worker's parent does about them
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    for other in not_ours:
        other.close()
    try:
        if engine is None:
            engine = ScanEngine(spec.pack, spec.config, gpu)
    except VyreError as error:
        connection.send_bytes(_REFUSED + str(error).encode(errors="surrogateescape"))
        return
    # what was loaded lives as long as the worker: the collector need not look at it, nor so often at the rest
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=receive, args=(connection, tasks), daemon=True).start()
    # a driver that closed its end, or died, may be seen here before the thread sees it
    try:
        with contextlib.suppress(OSError):
            connection.send_bytes(_READY)
            while True:
                connection.send_bytes(answer(engine, tasks.get()))
    except WorkerUnusableError as error:
        with contextlib.suppress(OSError):
            connection.send_bytes(_UNUSABLE + str(error).encode(errors="surrogateescape"))
