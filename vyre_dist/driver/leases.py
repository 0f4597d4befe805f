"""Leases: how long workers may take for what they are at. Part of the state machine: no clock.

A worker that was stopped, or whose matcher hangs, says nothing: not even that it is gone. So each
task has a deadline, which follows from what others took for their bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

_SAMPLES = 129
_LEAST_BYTES = 64 << 10
"""A task of fewer bytes says little about how long a byte takes."""

_PARTS = 16
"""A deadline is missed by this part of the least one at most."""

_LEASE_SECONDS = 1.0
_LEAST_LEASES = 32
"""A lease has no more than this part of what each worker has done so far."""
_MOST_BYTES = 1 << 30

_SLOW_SECONDS, _SLOW_FACTOR = 2.0, 3.0
"""At the end of a scan what takes so long, and so many times as long as usual, is begun again by a
worker that has nothing to do.
"""

_OWN_SILENCE = 5.0
"""Seconds without a tick in which this process was stopped itself, and its workers, too, perhaps:
by Ctrl-Z, or a machine that slept. They come several a second.
"""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A task that `worker` has been at for `seconds`, which is longer than it may take."""

    worker: int
    task_id: int
    seconds: float


class Leases:
    """When tasks were begun, and when they have to be done."""

    def __init__(self, least_seconds: float, factor: float) -> None:
        """A task may take `factor` times as long as the median one of as many bytes, and
        `least_seconds` at least.
        """
        self._least, self._factor = least_seconds, factor
        self._begun: dict[tuple[int, int], float] = {}
        self._rates: deque[float] = deque(maxlen=_SAMPLES)
        self._last_tick = self._last_look = 0.0

    def did(self, scanned: int, seconds: float) -> None:
        """A task of so many bytes took so long."""
        if scanned >= _LEAST_BYTES:
            self._rates.append(seconds / scanned)

    def allowed(self, size: int) -> float:
        """The seconds that a task of `size` bytes may take.

        As long as nothing is known, twice the least: all may wait for slow storage.
        """
        if not self._rates:
            return 2 * self._least
        return max(self._least, self._factor * self._usual(size))

    def _usual(self, size: int) -> float:
        return median(self._rates) * size if self._rates else 0.0

    def size(self, done: int, hands: int) -> int:
        """The bytes that a lease should have when `done` have been scanned by workers that do
        `hands` tasks at the same time: about a second's, but few of what each has done so far.

        So nobody is at a long one when all others have come to the end.
        """
        if not self._rates or not hands:
            return 0
        return int(
            min(_LEASE_SECONDS / median(self._rates), done / (_LEAST_LEASES * hands), _MOST_BYTES)
        )

    def is_time(self, now: float) -> bool:
        """Whether `overdue` should be asked: it looks at all workers. Every tick is told."""
        if self._last_tick and now - self._last_tick > _OWN_SILENCE:
            gone = now - self._last_tick
            self._begun = {task: begun + gone for task, begun in self._begun.items()}
        self._last_tick = now
        return now - self._last_look >= min(1.0, self._least / _PARTS)

    def overdue(
        self,
        now: float,
        at_work: Iterable[tuple[int, Sequence[int]]],
        size_of: Callable[[int], int],
    ) -> list[Overdue]:
        """The tasks whose time is over, one of each worker at most: the one that was begun first.
        Another one may only wait for it.

        `at_work`: the tasks that each worker is at. `size_of`: a task's bytes.
        """
        self._last_look = now
        begun: dict[tuple[int, int], float] = {}
        late: list[Overdue] = []
        for worker, tasks in at_work:
            for task_id in tasks:
                begun[worker, task_id] = self._begun.get((worker, task_id), now)
            first = min(tasks, key=lambda each: begun[worker, each])
            seconds = now - begun[worker, first]
            if seconds > self._least and seconds > self.allowed(size_of(first)):
                late.append(Overdue(worker, first, seconds))
        self._begun = begun
        return late

    def slowest(self, now: float, size_of: Callable[[int], int]) -> list[Overdue]:
        """What takes much longer than is usual, the longest first; as of the latest `overdue`."""
        found = [Overdue(worker, task, now - at) for (worker, task), at in self._begun.items()]
        slow = [
            each
            for each in found
            if each.seconds > max(_SLOW_SECONDS, _SLOW_FACTOR * self._usual(size_of(each.task_id)))
        ]
        return sorted(slow, key=lambda each: -each.seconds)
