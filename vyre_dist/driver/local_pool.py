"""LocalPool: workers that are processes of this machine. No Ray: a small scan is over before Ray
would have started.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from vyre_dist.driver.events import (
    Event,
    PoolRefused,
    TaskDone,
    TaskFailed,
    WorkerLost,
    WorkerReady,
    WorkerRefused,
)
from vyre_dist.driver.gpu_process import GpuProcess
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.signals import signals_blocked
from vyre_dist.driver.worker_facts import facts_of
from vyre_dist.driver.worker_loop import READY, REFUSED, UNUSABLE, read_answer, serve
from vyre_dist.engine.task_codec import encode_task
from vyre_dist.engine.tasks import Task
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.engine.worker_process import STOP_SECONDS, end
from vyre_dist.errors import UsageError
from vyre_dist.kernels import resolve_backend

if TYPE_CHECKING:
    from vyre_dist.driver.fork_server import ForkServer

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
"""Of files, processes or memory there may be more a moment later."""
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 16.0
"""Seconds between two attempts to start a process in the place of one that was lost. They
double.
"""
_MOST_STARTING = 16
"""Processes at a time, or one for each processor: while more start, the first ones may do what
there is to do.
"""


_NVIDIA_DRIVER = "/proc/driver/nvidia"
"""Without it there is hardly a GPU: to hear so takes less time than to compile a pack, and nothing
has to be undone.
"""


@dataclass(frozen=True, slots=True)
class Lost:
    """How a process ended in place of an answer.

    `unrelated_to_tasks`: not by its task, which it had not begun or could not do there.
    """

    detail: str
    unrelated_to_tasks: bool


def _fork(process: Any) -> None:
    """Start it. Where that fails, close the pipes that multiprocessing had made for it by then: it
    leaves them open, and with one attempt after the other they would take all the files that this
    process may have.
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
    """At most `workers` processes (None: one for each processor this process may use). With the
    cuda backend there is one more: it owns the GPU and scans what the others read.

    `start_method`: fork where that is safe (Linux, no other threads yet), else spawn: a process
    that is spawned forks the workers. Either way the pack is loaded once, and a worker is up in
    milliseconds. `raise_when_short`: `begin` raises OSError where files, processes or memory are
    short, since the caller has other pools for which they need not be.
    """

    name = "local"

    def __init__(
        self,
        spec: WorkerSpec,
        workers: int | None = None,
        start_method: str | None = None,
        *,
        raise_when_short: bool = False,
    ) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"{workers} workers: at least 1 is needed")
        self._spec, self._of_many = spec, raise_when_short
        processors = len(os.sched_getaffinity(0))
        self._count = workers or processors
        self.at_once = max(_MOST_STARTING, processors)
        if start_method is None:
            safe = sys.platform == "linux" and threading.active_count() == 1
            start_method = "fork" if safe else "spawn"
        self._forks = start_method == "fork"
        self._workers: dict[int, _Worker] = {}
        self._engine: ScanEngine | None = None
        self._server: ForkServer | None = None
        self.gpu: GpuProcess | None = None
        self._refused = ""
        self._held: list[Event] = []
        self._waits: dict[int, float] = {}
        self._later: dict[int, tuple[float, WorkerLost]] = {}

    def start(self) -> Sequence[int]:
        """See WorkerPool."""
        if self._spec.config.backend == "cuda":
            self.gpu = GpuProcess(self._spec)
            self.gpu.start()
            if not os.path.exists(_NVIDIA_DRIVER):
                self._refused = self.gpu.first_look()
        if self._refused:
            return range(self._count)
        gpu = self.gpu.address if self.gpu else ""
        if self._forks:
            # compiled once, before the fork: the workers share its pages and are ready at once
            self._engine = ScanEngine(self._spec.pack, self._spec.config, gpu)
        else:
            from vyre_dist.driver.fork_server import ForkServer

            self._server = ForkServer(self._spec, gpu)
            self._server.start()
        return range(self._count)

    def begin(self, worker: int) -> None:
        """See WorkerPool. Where files, processes or memory are short for another one, those that
        there are go on; one of many pools raises OSError.
        """
        if self._refused:
            return
        try:
            self._workers[worker] = self._spawn(worker)
        except OSError as error:
            if error.errno not in _SHORT or self._of_many:
                raise
            started = len(self._workers)
            detail = (
                f"of {self._count} workers only {started} could be started ({error.strerror}): ask "
                "for fewer "
                "(--workers), or raise the limits (ulimit -n, -u, -v)"
            )
            self._held.append(WorkerRefused(worker, detail, capacity=started))

    def _spawn(self, number: int) -> _Worker:
        ours, theirs = Pipe()
        try:
            process = self._fork(number, ours, theirs) if self._forks else self._have_forked(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return _Worker(process, ours)

    def _have_forked(self, theirs: Connection) -> Any:
        if self._server is None:
            raise AssertionError("the pool was not started")
        return self._server.fork(theirs)

    def _fork(self, number: int, ours: Connection, theirs: Connection) -> Any:
        # a forked child holds copies of all our ends; while it does, its siblings would not see us
        # die
        not_theirs: list[Any] = [ours, *(w.connection for w in self._workers.values())]
        if self.gpu:
            not_theirs += self.gpu.open_ends()
        process = multiprocessing.get_context("fork").Process(
            target=serve,
            args=(theirs, lambda: self._engine, not_theirs),
            name=f"vyre-worker-{number}",
            daemon=True,
        )
        # forked workers have our handlers, too, until they have dropped them
        with signals_blocked(spawns=False), warnings.catch_warnings():
            # Python 3.12 warns of any thread; those that there are, NumPy's, know how to live with
            # a fork
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
            _fork(process)
        return process

    @property
    def pids(self) -> list[int]:
        """The processes that were started, as far as their numbers are known."""
        processes = [w.process for w in self._workers.values() if w.process is not None]
        return [process.pid for process in processes if process.pid is not None]

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        """See WorkerPool."""
        w = self._workers[worker]
        w.tasks.append(task_id)
        # a worker that is gone: poll reads the end of its pipe and says so
        with contextlib.suppress(OSError):
            w.connection.send_bytes(encode_task(task))

    def call(self, worker: int, task: bytes) -> bytes | Lost:
        """The answer to a task, or how the worker ended: for a caller that waits for one worker,
        and has the others called from other threads. Not to be mixed with `submit` and `poll` once
        all are ready.
        """
        w = self._workers[worker]
        try:
            w.connection.send_bytes(task)
            while not w.ready:
                said = w.connection.recv_bytes()
                if said != READY:
                    return Lost(_text(said, REFUSED), unrelated_to_tasks=True)
                w.ready = True
            said = w.connection.recv_bytes()
        except (EOFError, OSError):
            return Lost(self._obituary(w), unrelated_to_tasks=not w.ready)
        return (
            Lost(_text(said, UNUSABLE), unrelated_to_tasks=True)
            if said.startswith(UNUSABLE)
            else said
        )

    def poll(self, timeout: float) -> list[Event]:
        """See WorkerPool."""
        if self._refused:
            return [PoolRefused(self._refused)]
        by_connection = {
            w.connection: n for n, w in self._workers.items() if not w.connection.closed
        }
        events: list[Event] = []
        gpu = self.gpu if self.gpu and not self.gpu.connection.closed else None
        if self._held and (gpu is None or gpu.promising):
            timeout = 0.0
        if self._later:
            due = min(due for due, _ in self._later.values())
            timeout = min(timeout, max(0.0, due - time.monotonic()))
        for ready in wait([*by_connection, *([gpu.connection] if gpu else [])], timeout):
            if gpu and ready is gpu.connection:
                if refused := gpu.mind():
                    events.append(PoolRefused(refused))
                continue
            number = by_connection[ready]  # type: ignore[index]
            self._held.append(self._read(number, self._workers[number]))
        now = time.monotonic()
        for number in [number for number, (due, _) in self._later.items() if due <= now]:
            self._held.append(self._later.pop(number)[1])
        if self.gpu is None or self.gpu.promising:
            # before that workers could begin without it; but nothing is to be scanned where there
            # is none
            events += [self._with_facts(event) for event in self._held]
            self._held.clear()
        return events

    def _with_facts(self, event: Event) -> Event:
        if not isinstance(event, WorkerReady):
            return event
        backend = resolve_backend(self._spec.config.backend)
        device, pid = self.gpu.device if self.gpu else "", self._workers[event.worker].process.pid
        return WorkerReady(event.worker, facts=facts_of(backend, device, pid=pid))

    def _read(self, number: int, worker: _Worker) -> Event:
        try:
            data = worker.connection.recv_bytes()
        except (EOFError, OSError):
            # OSError: the connection was reset, or ended in the middle of an answer
            return WorkerLost(number, self._obituary(worker))
        if not worker.ready:
            if data == READY:
                worker.ready = True
                self._waits.pop(number, None)
                return WorkerReady(number)
            # all load the same in the same place
            return PoolRefused(_text(data, REFUSED))
        if data.startswith(UNUSABLE):
            self._obituary(worker)
            return WorkerLost(number, _text(data, UNUSABLE), unrelated_to_tasks=True)
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
        if pid is None:
            return "no process could be started"
        if code is None:
            return f"process {pid} closed its connection, and nobody has told of its end"
        if code >= 0:
            return f"process {pid} ended with exit code {code}"
        hint = ": out of memory, perhaps" if -code == signal.SIGKILL else ""
        return f"process {pid} was ended by signal {-code} ({signal.strsignal(-code)}){hint}"

    def replace(self, worker: int) -> None:
        """See WorkerPool. One that can't be started is lost, too, which `poll` says after a
        while.
        """
        before = self._workers[worker]
        self._end(before)
        try:
            self._workers[worker] = self._spawn(worker)
        except OSError as error:
            # memory, processes or files are short, and may be there for the next attempt
            self._workers[worker] = _Worker(None, before.connection)
            pause = self._waits.get(worker, _FIRST_WAIT)
            self._waits[worker] = min(2 * pause, _LONGEST_WAIT)
            loss = WorkerLost(
                worker, f"no process could be started ({error})", unrelated_to_tasks=True
            )
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
        if self._server:
            self._server.close()
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
