"""Roster: the workers that a scan had, and what each of them did."""

from __future__ import annotations

from dataclasses import dataclass, field

from vyre_dist.driver.worker_facts import WorkerFacts
from vyre_dist.engine.tasks import TaskResult, TrialPair


@dataclass(slots=True)
class WorkerUse:
    """A worker by its number, and the sums of the tasks that it finished.

    `scanned`: bytes by the backend that scanned them.
    """

    worker: int
    facts: WorkerFacts
    tasks: int = 0
    bytes: int = 0
    scanned: dict[str, int] = field(default_factory=dict)
    committed: int = 0
    rolled_back: int = 0
    fused: int = 0
    pairs: list[TrialPair] = field(default_factory=list)

    @property
    def backend(self) -> str:
        """The one that scanned most of its bytes; without any, the one it was opened with."""
        return max(self.scanned, key=lambda name: self.scanned[name], default=self.facts.backend)

    def add(self, result: TaskResult) -> None:
        """Count a finished task."""
        self.tasks += 1
        self.bytes += result.bytes
        for name, scanned in result.scanned.items():
            self.scanned[name] = self.scanned.get(name, 0) + scanned
        self.committed += result.committed
        self.rolled_back += result.rolled_back
        self.fused += result.fused
        self.pairs += result.pairs


class Roster:
    """All workers that were ready at some time, in that order.

    One that took another's place on the same node with the same resources is counted with it.
    """

    def __init__(self) -> None:
        self.uses: list[WorkerUse] = []
        self._now: dict[int, WorkerUse] = {}

    def joined(self, worker: int, facts: WorkerFacts) -> None:
        """A worker is ready."""
        for use in self.uses:
            if use.worker == worker and _place(use.facts) == _place(facts):
                use.facts = facts  # a GPU's product may have come to be known
                self._now[worker] = use
                return
        use = self._now[worker] = WorkerUse(worker, facts)
        self.uses.append(use)

    def did(self, worker: int, result: TaskResult) -> None:
        """A worker finished a task, and it counts."""
        if worker in self._now:
            self._now[worker].add(result)

    @property
    def count(self) -> int:
        """How many workers there were, those that took another's place not counted."""
        return len(self._now)


def _place(facts: WorkerFacts) -> tuple[object, ...]:
    return facts.node, facts.host, facts.version, facts.gpus, facts.kind
