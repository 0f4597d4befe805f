"""What a scan's loop tells its tuning, and has it say."""

from __future__ import annotations

from collections.abc import Callable

from vyre_dist.driver.events import Event, TaskDone, TaskFailed, WorkerReady, WorkerRefused
from vyre_dist.driver.tuning import Tuning


def tell(tuning: Tuning, event: Event) -> None:
    """What has happened to a worker or a task."""
    match event:
        case TaskDone(worker, task_id, result):
            tuning.done(worker, task_id, result)
        case TaskFailed(worker, task_id):
            tuning.failed(worker, task_id)
        case WorkerReady(worker, _, facts) if facts is not None:
            tuning.ready(worker, facts)
        case WorkerRefused(worker):
            tuning.lost(worker)
        case _:
            pass


def pass_time(tuning: Tuning, waiting: int, listing: bool, warn: Callable[[str], None]) -> None:
    """`waiting`: how many tasks wait for a worker; `listing`: whether there may be more."""
    tuning.waiting, tuning.listing = waiting, listing
    tuning.tick()
    for line in tuning.lines:
        warn(line)
    tuning.lines.clear()
