"""LocalPool: workers that are processes of this machine.

Without Ray: a small scan is over before Ray would have started.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from vyre_dist.driver.events import (
    Event,
    GpuLeftOut,
    PoolRefused,
    TaskDone,
    TaskFailed,
    WorkerLost,
    WorkerReady,
    WorkerRefused,
)
from vyre_dist.driver.gpu_signs import has_nvidia_driver
from vyre_dist.driver.held_back import HeldBack
from vyre_dist.driver.pool import MOST_READ, WorkerSpec, bytes_in
from vyre_dist.driver.worker_facts import WorkerFacts, facts_of
from vyre_dist.driver.worker_loop import LOADER, read_answer, serve, worker_load
from vyre_dist.engine.task_codec import encode_task
from vyre_dist.engine.tasks import Task
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.errors import UsageError
from vyre_dist.kernels import has_cupy, resolve_backend
from vyre_dist.processes.child import Child
from vyre_dist.processes.messages import READY, UNUSABLE, read_message
from vyre_dist.processes.start import Closable, fork

if TYPE_CHECKING:
    from vyre_dist.driver.gpu_devices import GpuWish
    from vyre_dist.driver.gpu_process import GpuProcess
    from vyre_dist.driver.gpu_set import GpuSet
    from vyre_dist.processes.fork_server import ForkServer

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


@dataclass(frozen=True, slots=True)
class Lost:
    """How a process ended in place of an answer.

    `unrelated_to_tasks`: not by its task, which it had not begun or could not do there.
    """

    detail: str
    unrelated_to_tasks: bool


class _Worker:
    """A worker's process, and the tasks it was given."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.tasks: deque[int] = deque()


class LocalPool:
    """At most `workers` processes; None for one for each processor this process may use.

    With the cuda backend there is one more for each GPU: it owns it and scans what its share of the
    others reads. With `auto` they start when they are worth it, where there is a GPU.

    `start_method`: fork where that is safe (Linux, no other threads yet), else spawn: a process
    that is spawned forks the workers. Either way the pack is loaded once, and a worker is up in
    milliseconds. `gpus`: which, None for all. `gpus_at_once`: they start at once with `auto`, too:
    they are there for nobody else. `raise_when_short`: `begin` raises OSError where files,
    processes or memory are short, since the caller has other pools for which they need not be.
    `threads_later`: this process may get threads while the pool is at work: no worker is forked
    from it from then on.
    """

    name = "local"
    same_machine = True

    def __init__(
        self,
        spec: WorkerSpec,
        workers: int | None = None,
        start_method: str | None = None,
        *,
        gpus: GpuWish | None = None,
        gpus_at_once: bool = False,
        raise_when_short: bool = False,
        threads_later: bool = False,
    ) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"{workers} workers: at least 1 is needed")
        self._spec, self._of_many = spec, raise_when_short
        processors = len(os.sched_getaffinity(0))
        self._count = workers or processors
        self.at_once = max(_MOST_STARTING, processors)
        if start_method is None:
            safe = sys.platform == "linux" and threading.active_count() == 1
            # processes of GPUs come later
            safe = safe and not (threads_later and has_nvidia_driver())
            start_method = "fork" if safe else "spawn"
        self._threads_later = threads_later
        self._forks = start_method == "fork"
        self._workers: dict[int, _Worker] = {}
        self._engine: ScanEngine | None = None
        self._server: ForkServer | None = None
        self._wish, self._gpus_at_once = gpus, gpus_at_once
        self.gpus: GpuSet | None = None
        self._refused = ""
        self._held = HeldBack(self._facts)
        self._waits: dict[int, float] = {}
        self._last_read = -1
        self._later: dict[int, tuple[float, WorkerLost]] = {}

    def start(self) -> Sequence[int]:
        """See WorkerPool."""
        backend = self._spec.config.backend
        if backend == "cuda" or (backend == "auto" and has_nvidia_driver() and has_cupy()):
            from vyre_dist.driver.gpu_set import open_gpus

            self.gpus = open_gpus(
                self._spec,
                self._wish,
                self._count,
                self._open_ends,
                forks=self._forks,
            )
            if self.gpus:
                # from here on `close` ends what is started, whatever interrupts that
                self.gpus.begin_first(at_once=self._gpus_at_once)
            if self.gpus and self.gpus.needed and not has_nvidia_driver():
                self._refused = self.gpus.first_look()
        if self._refused:
            return range(self._count)
        gpu = self.gpus.share(0).address if self.gpus else ""
        if self._forks:
            # compiled once, before the fork: the workers share its pages and are ready at once
            self._engine = ScanEngine(self._spec.pack, self._spec.config, gpu)
        else:
            self._open_server(gpu)
        return range(self._count)

    def _open_server(self, gpu: str) -> ForkServer:
        """What forks the workers in place of this process."""
        from vyre_dist.processes.fork_server import ForkServer

        server = self._server = ForkServer(LOADER, worker_load(self._spec, gpu))
        server.start()
        return server

    def _open_ends(self) -> list[Closable]:
        """What a forked process has to close."""
        ends: list[Closable] = [w.child.connection for w in self._workers.values()]
        return ends + (self.gpus.open_ends() if self.gpus else [])

    def begin(self, worker: int) -> None:
        """See WorkerPool. Where files, processes or memory are short, the others go on.

        Raises OSError instead with `raise_when_short`.
        """
        if self._refused:
            return
        try:
            self._workers[worker] = self._start(worker)
        except OSError as error:
            if error.errno not in _SHORT or self._of_many:
                raise
            started = len(self._workers)
            detail = (
                f"of {self._count} workers only {started} could be started ({error.strerror}): ask "
                "for fewer "
                "(--workers), or raise the limits (ulimit -n, -u, -v)"
            )
            self._held.add(WorkerRefused(worker, detail, capacity=started))

    def _start(self, number: int) -> _Worker:
        share = self.gpus.share(number) if self.gpus else None
        if self.gpus and (self.gpus.needed or self.gpus.begun):
            self.gpus.begin(number)
        server = self._server
        if server is None and self._threads_later and threading.active_count() > 1:
            # a fork could copy a lock that another thread holds
            server = self._open_server("")
        if server is not None:
            worker = _Worker(server.fork())
            if share:
                worker.child.connection.send_bytes(share.encode())
            return worker
        engine = self._engine
        if engine is None:
            raise AssertionError("the pool was not started")
        name = f"vyre-worker-{number}"
        return _Worker(
            fork(lambda theirs: serve(theirs, lambda: engine, share), name, self._open_ends())
        )

    @property
    def pids(self) -> list[int]:
        """The processes that were started, as far as their numbers are known."""
        return [pid for w in self._workers.values() if (pid := w.child.pid) is not None]

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        """See WorkerPool."""
        w = self._workers[worker]
        w.tasks.append(task_id)
        if self.gpus and self.gpus.payoff:
            self.gpus.payoff.began(time.monotonic())
        # a worker that is gone: poll reads the end of its pipe and says so
        with contextlib.suppress(OSError):
            w.child.connection.send_bytes(encode_task(task))

    def call(self, worker: int, task: bytes) -> bytes | Lost:
        """The answer to a task, or how the worker ended.

        For a caller that waits for one worker, and has the others called from other threads. Not to
        be mixed with `submit` and `poll` once all are ready.
        """
        child = self._workers[worker].child
        try:
            child.connection.send_bytes(task)
            while not child.ready:
                said = read_message(child.connection.recv_bytes())
                if said.kind != READY:
                    return Lost(said.text, unrelated_to_tasks=True)
                child.ready = True
            answer = child.connection.recv_bytes()
        except (EOFError, OSError):
            return Lost(child.death(), unrelated_to_tasks=not child.ready)
        said = read_message(answer)
        return Lost(said.text, unrelated_to_tasks=True) if said.kind == UNUSABLE else answer

    def poll(self, timeout: float) -> list[Event]:
        """See WorkerPool."""
        if self._refused:
            return [PoolRefused(self._refused)]
        by_connection = {
            w.child.connection: n for n, w in self._workers.items() if not w.child.connection.closed
        }
        events: list[Event] = []
        gpus = self.gpus.connections if self.gpus else {}
        if self._held and self._may_tell:
            timeout = 0.0
        if self._later:
            due = min(due for due, _ in self._later.values())
            timeout = min(timeout, max(0.0, due - time.monotonic()))
        if self.gpus and self.gpus.payoff:
            timeout = min(timeout, self.gpus.payoff.due(time.monotonic()))
        answered = []
        for ready in wait([*by_connection, *gpus], timeout):
            if self.gpus and ready in gpus:
                events += self._heard(self.gpus, gpus[ready])
            else:
                answered.append(by_connection[ready])  # type: ignore[index]
        # those that had to wait last time come first
        answered.sort(key=lambda number: (number <= self._last_read, number))
        room = MOST_READ
        for number in answered:
            if room > 0:
                self._last_read = number
                event = self._read(number, self._workers[number])
                room -= bytes_in([event])
                self._held.add(event)
        if self.gpus and self.gpus.needed and self.gpus.refused:
            return [*events, PoolRefused(self.gpus.refused)]
        now = time.monotonic()
        for number in [number for number, (due, _) in self._later.items() if due <= now]:
            self._held.add(self._later.pop(number)[1])
        if self.gpus:
            self.gpus.begin_if_it_pays(now, self._workers)
        return events + self._held.told(self._may_tell)

    def _heard(self, gpus: GpuSet, process: GpuProcess) -> list[Event]:
        """What comes of a word of a GPU's process."""
        known = process.product
        left_out = gpus.take(process)
        if process.product != known:
            for worker in self._workers:
                self._held.know_better(worker)
        return [GpuLeftOut(left_out)] if left_out else []

    @property
    def _may_tell(self) -> bool:
        """Whether what workers did may be told."""
        return self.gpus is None or not self.gpus.needed or self.gpus.promising

    def _facts(self, worker: int) -> WorkerFacts:
        pid = self._workers[worker].child.pid or 0
        # as of the workers, which were forked from it
        programs = None if self._engine is None else self._engine.backend.facts
        backend = resolve_backend(self._spec.config.backend)
        if self.gpus is None:
            return facts_of(backend, pid=pid, programs=programs)
        product, gpus = self.gpus.product(worker), (self.gpus.token(worker),)
        return facts_of(backend, product, gpus=gpus, pid=pid, programs=programs)

    def _read(self, number: int, worker: _Worker) -> Event:
        child = worker.child
        try:
            data = child.connection.recv_bytes()
        except (EOFError, OSError):
            # OSError: the connection was reset, or ended in the middle of an answer
            return WorkerLost(number, child.death())
        said = read_message(data)
        if not child.ready:
            if said.kind == READY:
                child.ready = True
                self._waits.pop(number, None)
                return WorkerReady(number)
            # all load the same in the same place
            return PoolRefused(said.text)
        if said.kind == UNUSABLE:
            child.death()
            return WorkerLost(number, said.text, unrelated_to_tasks=True)
        task_id = worker.tasks.popleft()
        result, error = read_answer(data)
        if self.gpus and self.gpus.payoff and result:
            self.gpus.payoff.did(result.bytes, sum(large.piece.size for large in result.large))
        return TaskDone(number, task_id, result) if result else TaskFailed(number, task_id, error)

    def replace(self, worker: int) -> None:
        """See WorkerPool. `poll` says after a while that one was lost that can't be started."""
        before = self._workers[worker].child
        before.kill()  # it may be one that was stopped, or does not come to an end
        try:
            self._workers[worker] = self._start(worker)
        except OSError as error:
            # memory, processes or files are short, and may be there for the next attempt
            self._workers[worker] = _Worker(Child(None, before.connection))
            pause = self._waits.get(worker, _FIRST_WAIT)
            self._waits[worker] = min(2 * pause, _LONGEST_WAIT)
            loss = WorkerLost(
                worker, f"no process could be started ({error})", unrelated_to_tasks=True
            )
            self._later[worker] = (time.monotonic() + pause, loss)

    def unusable(self) -> str:
        """See WorkerPool."""
        return self.gpus.unusable() if self.gpus else ""

    def notes(self) -> Sequence[str]:
        """See WorkerPool. The engine that forked workers share is what writes to the cache."""
        return [self._engine.cache.trouble] if self._engine and self._engine.cache.trouble else []

    def close(self) -> None:
        """See WorkerPool."""
        workers, self._workers = list(self._workers.values()), {}
        if self.gpus:
            self.gpus.close()  # first: it takes them longest to end
        for w in workers:
            w.child.terminate()
        if self._server:
            self._server.close()
        for w in workers:
            w.child.end()
