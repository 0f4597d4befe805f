"""Overtime: which workers have taken too long for what they are at, and what others do about it.

Part of the state machine. How long a task may take is in leases.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from vyre_dist.driver.events import Submit, WorkerLost
from vyre_dist.driver.leases import Leases
from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.planned_shards import PlannedShards
from vyre_dist.driver.task_queue import TaskQueue
from vyre_dist.driver.workforce import Workforce

_SHARDS_PER_TASK = 4
"""Shards that are open at most, for each task that the workers may have: one that takes sixty times
as long as others must not have them wait.
"""


class Overtime:
    """Looks after the leases of a workforce."""

    def __init__(
        self,
        config: MachineConfig,
        workforce: Workforce,
        queue: TaskQueue,
        shards: PlannedShards,
    ) -> None:
        self._leases = Leases(config.lease_seconds, config.lease_factor)
        self._config, self._workforce, self._queue = config, workforce, queue
        self._shards = shards
        self._doubled: set[int] = set()
        self.is_time, self.did = self._leases.is_time, self._leases.did

    def lease_bytes(self, done: int) -> int:
        """What the next shard should have, if that is more than the least; see Leases.size."""
        return self._leases.size(done, self._workforce.capacity // self._config.depth)

    @property
    def far_ahead(self) -> bool:
        """Whether enough shards have been planned beyond the oldest one that is not finished."""
        most = max(self._config.shards_ahead, _SHARDS_PER_TASK * self._workforce.capacity)
        return self._shards.ahead >= most

    def losses(self, now: float) -> list[tuple[WorkerLost, int]]:
        """The workers that are to be replaced, each with the task that is to blame."""
        late = self._leases.overdue(now, self._workforce.at_work(), self._queue.size)
        return [
            (
                WorkerLost(
                    each.worker,
                    f"no answer about {self._queue.describe(each.task_id)} for "
                    f"{each.seconds:.0f} s",
                ),
                each.task_id,
            )
            for each in late
        ]

    def doubles(self, now: float) -> Iterator[Submit]:
        """Give workers that have nothing to do what others are slow at, and what waits behind."""
        idle = self._workforce.unoccupied()
        slow = self._leases.slowest(now, self._queue.size) if idle else []
        for task_id in dict.fromkeys(t for s in slow for t in self._workforce.assigned[s.worker]):
            if idle and self._queue.is_open(task_id) and task_id not in self._doubled:
                self._doubled.add(task_id)
                self._workforce.give(worker := idle.pop(), task_id)
                shard = self._queue.shard_of(task_id)
                yield Submit(worker, task_id, self._queue.task(task_id), shard)

    def silent_for(self, seconds: float) -> str:
        """That nothing was done for so long, and what the scan has been waiting for."""
        return f"no progress for {seconds:.0f} s: {self._stuck_on()}"

    def _stuck_on(self) -> str:
        busy = self._workforce.busy()
        if busy:
            first = list(busy.items())[:4]
            return ", ".join(f"worker {w} on {self._queue.describe(t)}" for w, t in first)
        return (
            "waiting for the list of inputs"
            if self._workforce.any_ready
            else "no worker has started yet"
        )
