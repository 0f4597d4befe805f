"""TunedKind: workers that run the same program on the same adapter, and what is known of each.

Part of the driver's tuning: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import get_args

from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.dispatch.keys import AutotuneKey
from vyre_dist.driver.tuned_class import TunedClass
from vyre_dist.driver.tuning_link import Target
from vyre_dist.engine.tasks import Challenge, TaskResult
from vyre_dist.program.program_facts import ProgramFacts
from vyre_dist.tuning.workload import Density, Size, WorkloadClass

_WORKLOADS = tuple(
    WorkloadClass(density, size).name
    for density, size in product(get_args(Density), get_args(Size))
)


@dataclass(slots=True, eq=False)
class TunedKind:
    """`challengers`: of the default. `asked`: when the store was. `classes`: all, by name."""

    key: AutotuneKey
    programs: ProgramFacts
    challengers: tuple[Choice, ...]
    asked: float
    classes: dict[str, TunedClass] = field(init=False)

    def __post_init__(self) -> None:
        targets = [Target(self.key, self.programs.fused, workload) for workload in _WORKLOADS]
        self.classes = {target.workload: TunedClass(target) for target in targets}

    @property
    def agreed(self) -> Choice:
        """What is best for all classes that are known, or the default."""
        choices = {each.choice for each in self.classes.values() if each.is_decided}
        return choices.pop() if len(choices) == 1 else DEFAULT_CHOICE


@dataclass(slots=True, eq=False)
class TunedWorker:
    """`workload`: the class of what it did last. `run`: seconds of one of its dispatches. `since`:
    when it was done with what it did last. `versions`: of what its speed depends on.
    """

    versions: Mapping[str, str]
    kind: TunedKind | None = None
    workload: str = ""
    run: float = 0.0
    since: float = 0.0

    def did(self, result: TaskResult, spent: float, now: float) -> float:
        """Learn from an answer; when the worker was done with what it did before that.

        `spent`: seconds of the task that challengers took.
        """
        before, self.since = self.since, now
        if dispatches := result.fused + result.serial:
            self.run = max(0.0, result.seconds - spent) / dispatches
        documents = result.documents + len(result.parts)
        scanned = WorkloadClass.of(result.bytes, documents, result.matches)
        if scanned is not None:
            self.workload = scanned.name
        return before


@dataclass(frozen=True, slots=True)
class Given:
    """What a task was given, at `at`, beside what it is to scan. `granted`: seconds."""

    tuned: TunedClass | None
    choice: Choice
    at: float
    trial: Challenge | None = None
    granted: float = 0.0
