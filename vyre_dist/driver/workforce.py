"""Workforce: which workers a scan has, which of them are started, and how much each has in hand.

Part of the state machine: no I/O, no clock. Workers are started when there is work that nobody is
about to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator


class Workforce:
    """Workers by number. One is idle until it is begun, then starting, then ready.

    `numbers`: all there may be. `depth`: tasks in hand per worker and hand of it, the one being
    done included. `at_once`: how many may be starting at the same time; None for all of them.
    """

    def __init__(self, numbers: Iterable[int], depth: int, at_once: int | None = None) -> None:
        self._idle = deque(numbers)
        self._most = len(self._idle)
        self._depth = depth
        self._at_once = at_once if at_once is not None else len(self._idle)
        self._starting: set[int] = set()
        self._ready: set[int] = set()
        self._hands: dict[int, int] = {}
        self._free: set[int] = set()
        self.in_hand: dict[int, deque[int]] = {}
        """The tasks of each worker that was begun, in the order in which they were given."""

    @property
    def begun(self) -> int:
        """How many workers are starting or ready."""
        return len(self.in_hand)

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
        """Whether to begin one more worker, as `queued` tasks are more than those that are starting
        will take.
        """
        return (
            bool(self._idle)
            and queued > len(self._starting)
            and self.begun < self._most
            and len(self._starting) < self._at_once
        )

    def begin(self) -> int:
        """The number of an idle worker, now starting."""
        worker = self._idle.popleft()
        self._starting.add(worker)
        self.in_hand[worker] = deque()
        return worker

    def ready(self, worker: int, hands: int) -> None:
        """The worker takes tasks, and does `hands` of them at the same time."""
        self._know(worker)
        self._starting.discard(worker)
        self._ready.add(worker)
        self._hands[worker] = hands
        self._note_room(worker)

    def lost(self, worker: int) -> list[int]:
        """The worker is gone and another is starting under its number. What it had in hand, oldest
        first.
        """
        self._know(worker)
        tasks = list(self.in_hand[worker])
        self.in_hand[worker].clear()
        self._ready.discard(worker)
        self._free.discard(worker)
        self._starting.add(worker)
        return tasks

    def leave_out(self, worker: int, most: int) -> list[int]:
        """The worker is gone and nobody is starting; there may be `most` workers from now on. What
        it had in hand.
        """
        tasks = self.lost(worker)
        self._starting.discard(worker)
        del self.in_hand[worker]
        self._idle.append(worker)
        self._most = min(self._most, most)
        return tasks

    def _know(self, worker: int) -> None:
        """A worker that begins on its own, unasked."""
        if worker not in self.in_hand:
            self._idle.remove(worker)
            self.in_hand[worker] = deque()

    # --- tasks

    def takers(self, queued: int, depths: range) -> Iterator[int]:
        """The workers that get the next of `queued` tasks, one after the other, up to each of
        `depths` in turn.

        Nobody gets a task behind another one if a worker that is starting can do it sooner.
        """
        for depth in depths:
            kept = len(self._starting) if depth > 1 else 0
            for worker in sorted(self._free) if queued > kept else ():
                most = depth * self._hands[worker]
                while queued > kept and len(self.in_hand[worker]) < most:
                    queued -= 1
                    yield worker

    def give(self, worker: int, task_id: int) -> None:
        """The worker has one task more in hand."""
        self.in_hand[worker].append(task_id)
        self._note_room(worker)

    def take(self, worker: int, task_id: int) -> bool:
        """Whether `worker` had the task in hand; it has no longer."""
        in_hand = self.in_hand.get(worker)
        if in_hand is None or task_id not in in_hand:
            return False
        in_hand.remove(task_id)
        self._note_room(worker)
        return True

    def room(self) -> int:
        """How many tasks more the ready workers may be given."""
        return sum(self._room(worker) for worker in self._free)

    def busy(self) -> dict[int, int]:
        """The task that each worker with any is at."""
        return {worker: tasks[0] for worker, tasks in self.in_hand.items() if tasks}

    def _note_room(self, worker: int) -> None:
        """Keep `_free` true: the ready workers that may be given more. A thousand are not looked
        through at every event.
        """
        if worker in self._ready and self._room(worker) > 0:
            self._free.add(worker)
        else:
            self._free.discard(worker)

    def _room(self, worker: int) -> int:
        return self._depth * self._hands[worker] - len(self.in_hand[worker])
