"""NoPool: no workers at all, for a run of which only what was done is looked at."""

from __future__ import annotations

from collections.abc import Sequence

from vyre_dist.driver.events import Event
from vyre_dist.engine.tasks import Task


class NoPool:
    """See WorkerPool. It is never given a task."""

    name = "none"
    at_once = 0
    same_machine = True

    def start(self) -> Sequence[int]:
        """See WorkerPool."""
        return ()

    def begin(self, worker: int) -> None:
        """See WorkerPool. Never called."""
        raise AssertionError(f"worker {worker} of a pool that has none")

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        """See WorkerPool. Never called."""
        raise AssertionError(f"task {task_id} for worker {worker} of a pool that has none: {task}")

    def poll(self, timeout: float) -> list[Event]:
        """See WorkerPool. Nothing ever comes."""
        del timeout
        return []

    def replace(self, worker: int) -> None:
        """See WorkerPool. Never called."""
        raise AssertionError(f"worker {worker} of a pool that has none")

    def unusable(self) -> str:
        """See WorkerPool."""
        return ""

    def notes(self) -> Sequence[str]:
        """See WorkerPool."""
        return ()

    def close(self) -> None:
        """See WorkerPool."""
