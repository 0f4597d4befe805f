"""Team: the processes of one worker that owns a GPU: some read and find while others wait for it.

To the driver they are one worker, which does as many tasks at the same time.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from multiprocessing import Pipe
from multiprocessing.connection import wait

from vyre_dist.driver.events import PoolRefused, WorkerLost, WorkerReady, WorkerRefused
from vyre_dist.driver.gpu_set import LOOK_SECONDS, GpuSet
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.worker_loop import failed
from vyre_dist.errors import GpuGoneError, UsageError, WorkerUnusableError

_LOG = logging.getLogger(__name__)

_ATTEMPTS = 8
"""At a task, by processes that end before they could do anything about it."""


class Team:
    """At most `processes` workers in a LocalPool, started when there is a task for them. Close it.

    `run` may be called from as many threads.
    """

    def __init__(self, spec: WorkerSpec, processes: int) -> None:
        # spawned: who has a team has threads
        self._pool = LocalPool(
            spec, processes, start_method="spawn", gpus_at_once=True, raise_when_short=True
        )
        self._lock = threading.Lock()
        self._idle: queue.LifoQueue[int] = queue.LifoQueue()
        self._unbegun: deque[int] = deque()
        self._begun = 0
        self._refused = ""
        self._stop, self._stopped = Pipe()
        self._watcher: threading.Thread | None = None

    @property
    def begun(self) -> int:
        """How many processes have been started, or are starting."""
        return self._begun

    @property
    def device(self) -> str:
        """The GPU's product name; "" without one, or as long as it is not known."""
        return self._pool.gpus.product(0) if self._pool.gpus else ""

    def start(self) -> None:
        """Return when the first process is ready, and there is a GPU at first sight.

        The processors begin while it is opened. Raises UsageError when that can't be, for a reason
        that others would meet again. A GPU that is not needed may come later.
        """
        until = time.monotonic() + LOOK_SECONDS
        try:
            self._unbegun.extend(self._pool.start())
            first = self._unbegun.popleft()
            self._pool.begin(first)
            self._begun = 1
            while self._idle.empty() or not self._shown(until):
                for event in self._pool.poll(1.0):
                    if isinstance(event, WorkerReady):
                        if self._idle.empty():
                            self._idle.put(first)
                    elif isinstance(event, WorkerRefused | WorkerLost | PoolRefused):
                        raise UsageError(event.detail)
        except BaseException:
            self._pool.close()
            raise
        if gpus := self._pool.gpus:
            self._watcher = threading.Thread(
                target=self._watch, args=(gpus,), name="vyre-gpu-watch", daemon=True
            )
            self._watcher.start()

    def _shown(self, until: float) -> bool:
        """Whether it is known whether there is a GPU; where none is needed, or it is too late."""
        gpus = self._pool.gpus
        if gpus is None or gpus.promising:
            return True
        return not gpus.needed and (bool(gpus.refused) or time.monotonic() > until)

    def _watch(self, gpus: GpuSet) -> None:
        """See to it that processes own the GPUs, until the team is closed or none can."""
        while waiting := gpus.connections:
            for ready in wait([*waiting, self._stopped]):
                if ready is self._stopped:
                    return
                with self._lock:
                    if left_out := gpus.take(waiting[ready]):  # type: ignore[index]
                        _LOG.warning("%s; its workers join another GPU's", left_out)
        if gpus.needed:
            self._refused = gpus.refused

    def run(self, task: bytes) -> bytes:
        """Have an idle process do a task; the answer, for read_answer.

        A process that ends instead is replaced. If the task may be the reason the answer says so,
        else another process does it.

        Raises GpuGoneError when nobody owns the GPU any more, WorkerUnusableError when no process
        lives long enough to begin.
        """
        why = ""
        for _ in range(_ATTEMPTS):
            if self._refused:
                raise GpuGoneError(self._refused)
            worker = self._someone()
            try:
                answer = self._pool.call(worker, task)
                if isinstance(answer, bytes):
                    return answer
                with self._lock:
                    if self._refused:
                        raise GpuGoneError(self._refused)
                    self._pool.replace(worker)
                why = answer.detail
                if not answer.unrelated_to_tasks:
                    return failed(why)
            finally:
                self._idle.put(worker)
        raise WorkerUnusableError(
            f"{_ATTEMPTS} processes in a row could not begin a task; the last: {why}"
        )

    def _someone(self) -> int:
        """A process that has nothing to do; one more is started rather than waited for."""
        with self._lock:
            try:
                return self._idle.get_nowait()
            except queue.Empty:
                if self._unbegun:
                    worker = self._unbegun.popleft()
                    try:
                        self._pool.begin(worker)
                    except OSError as error:
                        # those that there are do the work
                        _LOG.warning("a team goes on with %d processes: %s", self.begun, error)
                        self._unbegun.clear()
                    else:
                        self._begun += 1
                        return worker
        return self._idle.get()

    def close(self) -> None:
        """End the processes."""
        self._stop.close()
        if self._watcher:
            self._watcher.join()
        self._stopped.close()
        self._pool.close()
