"""TaskRun: a task on its way through an engine, which may have begun with the next one before the
last of this one comes back from a device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vyre_dist.engine.tasks import TaskResult


class TaskRun:
    """What a task has come to so far. `done` is called once, when that is all."""

    def __init__(self, answer: TaskResult, done: Callable[[TaskRun], None]) -> None:
        self.answer = answer
        self.error: Exception | None = None
        self._done: Callable[[TaskRun], None] | None = done

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time that is spent in here as the task's."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.answer.seconds += time.perf_counter() - began

    def fail(self, error: Exception) -> None:
        """The task could not be done, for the first reason that is told."""
        self.error = self.error or error

    def end(self) -> None:
        """Nothing more comes. May be called twice."""
        done, self._done = self._done, None
        if done is not None:
            done(self)

    def result(self) -> TaskResult:
        """What came of it. Raises what it failed with."""
        if self.error is not None:
            raise self.error
        return self.answer
