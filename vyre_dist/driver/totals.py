"""Totals: what a scan's finished tasks add up to."""

from __future__ import annotations

from dataclasses import dataclass, field

from vyre_dist.engine.tasks import RaceSums, TaskResult


@dataclass(slots=True)
class Totals:
    """What the finished tasks add up to. Python ints: a cluster's sums pass 32 bits."""

    documents: int = 0
    bytes: int = 0
    findings: int = 0
    skipped: int = 0
    capped: int = 0
    committed: int = 0
    rolled_back: int = 0
    fused: int = 0
    serial: int = 0
    worker_seconds: float = 0.0
    retries: int = 0
    workers_lost: int = 0
    raced: RaceSums = field(default_factory=lambda: [0, 0, 0, 0])

    def add(self, result: TaskResult, skipped: int) -> None:
        """Count a finished task; `skipped`: how many documents it skipped that no other task will
        speak of.
        """
        self.documents += result.documents
        self.bytes += result.bytes
        self.skipped += skipped
        self.capped += result.capped
        self.committed += result.committed
        self.rolled_back += result.rolled_back
        self.fused += result.fused
        self.serial += result.serial
        self.worker_seconds += result.seconds
        self.raced = [a + b for a, b in zip(self.raced, result.raced, strict=True)]
