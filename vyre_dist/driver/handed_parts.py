"""HandedParts: where what a task finds goes, and who puts it there.

Its worker does, if it reaches the run's place. What comes back from one that does not is put there
by the driver; and such a worker gets parts that it is to join with their bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vyre_dist.driver.recording import Recording
from vyre_dist.engine.part_files import file_result, filed_in
from vyre_dist.engine.spool import bytes_of
from vyre_dist.engine.tasks import AuditTask, PartResult, StitchTask, Task, TaskResult


class HandedParts:
    """Of the tasks of a scan with a `recording`. `same_machine`: see WorkerPool. `wall_ns`: the
    time that files are stamped with.
    """

    def __init__(
        self, recording: Recording, same_machine: bool, wall_ns: Callable[[], int]
    ) -> None:
        self._recording = recording
        self._same_machine = same_machine
        self._wall_ns = wall_ns
        self._given: dict[tuple[int, int], tuple[int, str]] = {}
        self._attempts = 0
        self._reaching: set[int] = set()

    def given(self, worker: int, task_id: int, task: Task, shard: int) -> Task:
        """`task` as a worker gets it. Two of them may be at one task. Raises OSError."""
        if isinstance(task, AuditTask):
            return task  # it finds nothing that is kept
        self._attempts += 1
        part = self._recording.part(shard, self._attempts)
        self._given[worker, task_id] = (self._wall_ns(), part)
        if not part or self._same_machine:
            return replace(task, part=part)
        if isinstance(task, StitchTask) and worker not in self._reaching:
            task = replace(task, parts=tuple(map(_with_bytes, task.parts)))
        return replace(task, part=part, proof=self._recording.proof)

    def ended(self, worker: int, task_id: int) -> tuple[int | None, str]:
        """When a task was given to a worker that has answered, None if not known, and its part."""
        return self._given.pop((worker, task_id), (None, ""))

    def stored(self, worker: int, result: TaskResult, part: str) -> TaskResult:
        """`result` with what is large in it in the part file. Raises OSError."""
        if any(filed_in(result)):
            self._reaching.add(worker)
        return file_result(result, part) if part else result

    def gone(self, worker: int) -> None:
        """Another process, perhaps elsewhere, takes a worker's place."""
        self._reaching.discard(worker)
        for own in [key for key in self._given if key[0] == worker]:
            del self._given[own]

    @property
    def earliest(self) -> int:
        """When the task was given that has waited longest for an answer; 0 if there is none."""
        return min([began for began, _ in self._given.values()], default=0)


def _with_bytes(part: PartResult) -> PartResult:
    newlines, spans, kept = map(bytes_of, (part.newlines, part.spans, part.kept))
    return replace(part, newlines=newlines, spans=spans, kept=kept)
