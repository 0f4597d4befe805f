"""Team: the processes of one worker that owns a GPU. One reads and finds while others wait for the device.

To the driver they are one worker, with as many hands.
"""

from __future__ import annotations

import queue
import threading
from multiprocessing import Pipe
from multiprocessing.connection import wait

from vyre_dist.driver.events import WorkerLost, WorkerReady, WorkerRefused
from vyre_dist.driver.gpu_process import GpuProcess
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.worker_loop import failed
from vyre_dist.errors import UsageError, WorkerUnusableError

_ATTEMPTS = 8
"""At a task, by processes that end before they could do anything about it."""


class Team:
    """`processes` workers in a LocalPool. `run` may be called from as many threads. Close it."""

    def __init__(self, spec: WorkerSpec, processes: int) -> None:
        # spawned: who has a team has threads
        self._pool = LocalPool(spec, processes, start_method="spawn", of_many=True)
        self._lock = threading.Lock()
        self._idle: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._refused = ""
        self._stop, self._stopped = Pipe()
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Return when all are ready. Raises UsageError when one can't start, for a reason that others would meet again."""
        try:
            waiting = set(self._pool.start())
            while waiting or not (self._pool.gpu is None or self._pool.gpu.ready):
                for event in self._pool.poll(1.0):
                    if isinstance(event, WorkerReady):
                        waiting.discard(event.worker)
                        self._idle.put(event.worker)
                    elif isinstance(event, WorkerRefused | WorkerLost):
                        raise UsageError(event.detail)
        except BaseException:
            self._pool.close()
            raise
        if gpu := self._pool.gpu:
            self._watcher = threading.Thread(
                target=self._watch, args=(gpu,), name="vyre-gpu-watch", daemon=True
            )
            self._watcher.start()

    def _watch(self, gpu: GpuProcess) -> None:
        """See to it that a process owns the GPU, until the team is closed or none can."""
        while self._stopped not in wait([gpu.connection, self._stopped]):
            with self._lock:
                self._refused = gpu.mind()
            if self._refused:
                return

    def run(self, task: bytes) -> bytes:
        """Have an idle process do a task; the answer, for read_answer. A process that ends instead is replaced: if the task
        may be the reason the answer says so, else another process does it.

        Raises WorkerUnusableError when nobody owns the GPU any more, or no process lives long enough to begin.
        """
        why = ""
        for _ in range(_ATTEMPTS):
            if self._refused:
                raise WorkerUnusableError(self._refused)
            worker = self._idle.get()
            try:
                answer = self._pool.call(worker, task)
                if isinstance(answer, bytes):
                    return answer
                with self._lock:
                    if self._refused:
                        raise WorkerUnusableError(self._refused)
                    self._pool.replace(worker)
                why = answer.detail
                if not answer.blameless:
                    return failed(why)
            finally:
                self._idle.put(worker)
        raise WorkerUnusableError(f"{_ATTEMPTS} processes in a row could not begin a task; the last: {why}")

    def close(self) -> None:
        """End the processes."""
        self._stop.close()
        if self._watcher:
            self._watcher.join()
        self._stopped.close()
        self._pool.close()
