"""InProcessPool: one worker that is the calling process itself. No process is started for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from vyre_dist.driver.events import Event, TaskDone, WorkerReady
from vyre_dist.engine.tasks import Task
from vyre_dist.engine.worker import ScanEngine

_WORKER = 0


class InProcessPool:
    """See WorkerPool. `engine` does the tasks, one in each `poll`; whoever made it keeps it.

    What a task raises is raised by `poll`: there is no other worker that could try it again.
    """

    name = "in-process"
    same_machine = True
    at_once = 1

    def __init__(self, engine: ScanEngine) -> None:
        self._engine = engine
        self._begun: list[Event] = []
        self._tasks: deque[tuple[int, Task]] = deque()

    def start(self) -> Sequence[int]:
        """See WorkerPool."""
        return [_WORKER]

    def begin(self, worker: int) -> None:
        """See WorkerPool. The worker is ready at once."""
        self._begun.append(WorkerReady(worker))

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        """See WorkerPool."""
        del worker  # there is one
        self._tasks.append((task_id, task))

    def poll(self, timeout: float) -> list[Event]:
        """Do the next task. `timeout` is not needed: nothing can be waited for."""
        del timeout
        if self._begun:
            events, self._begun = self._begun, []
            return events
        if not self._tasks:
            return []
        task_id, task = self._tasks.popleft()
        return [TaskDone(_WORKER, task_id, self._engine.run(task))]

    def replace(self, worker: int) -> None:
        """See WorkerPool. Never called: the worker can't be lost without its caller."""
        raise AssertionError(f"worker {worker} is this process, which was not lost")

    def unusable(self) -> str:
        """See WorkerPool."""
        return ""

    def notes(self) -> Sequence[str]:
        """See WorkerPool."""
        return [self._engine.cache.trouble] if self._engine.cache.trouble else []

    def close(self) -> None:
        """See WorkerPool. The engine stays open."""
        self._tasks.clear()
