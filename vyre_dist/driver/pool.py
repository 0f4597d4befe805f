"""WorkerPool: what the driver needs of a set of workers, local processes or Ray actors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vyre_dist.driver.events import Event, TaskDone
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.tasks import Task
from vyre_dist.rules.model import PackData


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What every worker of a run is started with."""

    pack: PackData
    config: EngineConfig


MOST_READ = 64 << 20
"""Bytes of findings that a poll takes in, and what the last result has above it. Other results wait
where they are: workers that find more than the driver can write wait, too.
"""


def bytes_in(events: Sequence[Event]) -> int:
    """The bytes of findings and spans that came with events."""
    results = [event.result for event in events if isinstance(event, TaskDone)]
    parts = [part for result in results for part in result.parts]
    return sum([r.findings.bytes for r in results]) + sum(
        [len(part.spans) + len(part.kept) for part in parts]
    )


class WorkerPool(Protocol):
    """Workers numbered 0 … n-1.

    All methods are called from one thread; tasks of one worker are done in the order given.

    `at_once`: how many workers may be starting at the same time. `same_machine`: whether all of
    them see the driver's files.
    """

    name: str
    at_once: int
    same_machine: bool

    def start(self) -> Sequence[int]:
        """Prepare for workers, and return the numbers of all there can be. None is started yet.

        Raises UsageError when the pool can never have what was asked for.
        """
        ...

    def begin(self, worker: int) -> None:
        """Begin to start a worker.

        `poll` then gives its WorkerReady, WorkerRefused or WorkerLost, or the pool's PoolRefused.
        """
        ...

    def submit(self, worker: int, task_id: int, task: Task) -> None:
        """Queue a task at a worker. Never raises for a dead worker: that is an event."""
        ...

    def poll(self, timeout: float) -> list[Event]:
        """Wait up to `timeout` seconds for events; [] when none came."""
        ...

    def replace(self, worker: int) -> None:
        """Start a new worker in the place of a lost one."""
        ...

    def unusable(self) -> str:
        """When all tasks are done: why what was asked for could not have been used; "" if it could.

        Waits for what is still starting: that a scan was over before is no reason to keep quiet
        about it.
        """
        ...

    def notes(self) -> Sequence[str]:
        """What the user should know about where the workers ran, a line each.

        Asked when all is done, also after `close`.
        """
        ...

    def close(self) -> None:
        """Stop all workers, now. May be called twice."""
        ...
