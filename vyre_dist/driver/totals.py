"""Totals: what a scan's finished tasks add up to."""

from __future__ import annotations

from dataclasses import dataclass

from vyre_dist.engine.tasks import TaskResult
from vyre_dist.metrics import Metrics


@dataclass(slots=True)
class Totals(Metrics):
    """The sums of the finished tasks' metrics, and what the driver counts itself."""

    findings: int = 0
    skipped: int = 0
    worker_seconds: float = 0.0
    retries: int = 0
    workers_lost: int = 0

    def add(self, result: TaskResult, skipped: int) -> None:
        """Count a finished task.

        `skipped`: how many documents it skipped that no other task will report.
        """
        self.add_metrics(result)
        self.skipped += skipped
        self.worker_seconds += result.seconds
