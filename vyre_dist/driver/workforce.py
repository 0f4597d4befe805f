"""Workforce: which workers a scan has, which of them are started, and which tasks each has.

Part of the state machine: no I/O, no clock. Workers are started when there is work that nobody is
about to do.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice


class Workforce:
    """Workers by number. One is idle until it is begun, then starting, then ready.

    `numbers`: all there may be. `depth`: tasks that a worker has for each one that it does at the
    same time, that one included. `at_once`: how many may be starting at the same time; None for all
    of them.
    """

    def __init__(self, numbers: Iterable[int], depth: int, at_once: int | None = None) -> None:
        self._idle = deque(numbers)
        self._most = len(self._idle)
        self._depth = depth
        self._at_once = at_once if at_once is not None else len(self._idle)
        self._starting: set[int] = set()
        self._ready: set[int] = set()
        self._concurrency: dict[int, int] = {}
        # ready workers with room by how many times they have all that they do at the same time, as
        # heaps of numbers; who is not at that level any more is passed over
        self._levels: list[list[int]] = [[] for _ in range(depth)]
        self._level: dict[int, int] = {}
        self._room: dict[int, tuple[int, int]] = {}
        self._rooms = self._capacity = 0
        self.assigned: dict[int, deque[int]] = {}
        """The tasks of each worker that was begun, in the order in which they were given."""

    @property
    def begun(self) -> int:
        """How many workers are starting or ready."""
        return len(self.assigned)

    @property
    def most(self) -> int:
        """How many workers there may be."""
        return self._most

    @property
    def any_ready(self) -> bool:
        """Whether there is a worker that takes tasks."""
        return bool(self._ready)

    def is_ready(self, worker: int) -> bool:
        """Whether the worker takes tasks."""
        return worker in self._ready

    # --- starting

    def wanted(self, queued: int) -> bool:
        """Whether to begin one more worker: more tasks are queued than those starting will take."""
        return (
            bool(self._idle)
            and queued > len(self._starting)
            and self.begun < self._most
            and len(self._starting) < self._at_once
        )

    def add(self, numbers: Iterable[int]) -> None:
        """There may be these, too."""
        new = list(numbers)
        self._idle.extend(new)
        self._most += len(new)
        self._at_once += len(new)

    def begin(self) -> int:
        """The number of an idle worker, now starting."""
        worker = self._idle.popleft()
        self._starting.add(worker)
        self.assigned[worker] = deque()
        return worker

    def ready(self, worker: int, concurrency: int) -> None:
        """The worker takes tasks, and does `concurrency` of them at the same time."""
        self._know(worker)
        self._starting.discard(worker)
        self._ready.add(worker)
        self._concurrency[worker] = concurrency
        self._note_capacity(worker)

    def lost(self, worker: int) -> list[int]:
        """The worker is gone and another is starting under its number. Its tasks, oldest first."""
        self._know(worker)
        tasks = list(self.assigned[worker])
        self.assigned[worker].clear()
        self._ready.discard(worker)
        self._note_capacity(worker)
        self._starting.add(worker)
        return tasks

    def leave_out(self, worker: int, most: int) -> list[int]:
        """The worker is gone and no other starts; there may be `most` from now on. Its tasks."""
        tasks = self.lost(worker)
        self._starting.discard(worker)
        del self.assigned[worker]
        self._idle.append(worker)
        self._most = min(self._most, most)
        return tasks

    def _know(self, worker: int) -> None:
        """A worker that begins on its own, unasked."""
        if worker not in self.assigned:
            self._idle.remove(worker)
            self.assigned[worker] = deque()

    # --- tasks

    def takers(self, queued: int, depths: range) -> Iterator[int]:
        """The workers that get the next of `queued` tasks, up to each of `depths` in turn; each is
        given one before the next is asked for.

        Nobody gets a task behind another one if a worker that is starting can do it sooner.
        """
        for depth in depths:
            kept = len(self._starting) if depth > 1 else 0
            heap = self._levels[depth - 1]
            while queued > kept and heap:
                worker = heap[0]
                if self._level.get(worker) != depth - 1:
                    heapq.heappop(heap)
                    continue
                queued -= 1
                yield worker

    def give(self, worker: int, task_id: int) -> None:
        """The worker has one task more."""
        self.assigned[worker].append(task_id)
        self._note_capacity(worker)

    def take(self, worker: int, task_id: int) -> bool:
        """Whether `worker` had the task; it has no longer."""
        assigned = self.assigned.get(worker)
        if assigned is None or task_id not in assigned:
            return False
        assigned.remove(task_id)
        self._note_capacity(worker)
        return True

    def has(self, task_id: int) -> bool:
        """Whether a worker has the task; looks at all of them."""
        return any(task_id in tasks for tasks in self.assigned.values())

    def free_capacity(self) -> int:
        """How many tasks more the ready workers may be given."""
        return self._rooms

    @property
    def capacity(self) -> int:
        """How many tasks the ready workers may have in all."""
        return self._capacity

    def unoccupied(self) -> list[int]:
        """The ready workers that have nothing to do."""
        return [worker for worker in sorted(self._ready) if not self.assigned[worker]]

    def busy(self) -> dict[int, int]:
        """The task that each worker with any is at."""
        return {worker: tasks[0] for worker, tasks in self.assigned.items() if tasks}

    def at_work(self) -> Iterator[tuple[int, list[int]]]:
        """The tasks that each ready worker is at: the first ones, as many as it does at a time."""
        for worker in self._ready:
            if tasks := self.assigned[worker]:
                yield worker, list(islice(tasks, self._concurrency[worker]))

    def _note_capacity(self, worker: int) -> None:
        """Keep sums and levels true: a thousand workers are not looked through at every event."""
        before = self._room.pop(worker, None)
        if before is not None:
            self._rooms -= before[0]
            self._capacity -= before[1]
        if worker not in self._ready:
            self._level.pop(worker, None)
            return
        at_once, tasks = self._concurrency[worker], len(self.assigned[worker])
        most = self._depth * at_once
        # one that was handed a task of another's beside its own may have more than that
        self._room[worker] = room, _ = max(0, most - tasks), most
        self._rooms += room
        self._capacity += most
        level = tasks // at_once
        if level != self._level.get(worker):
            self._level[worker] = level
            if level < self._depth:
                heapq.heappush(self._levels[level], worker)
