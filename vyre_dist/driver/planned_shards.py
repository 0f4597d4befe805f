"""PlannedShards: shards in the order of the plan, and the findings that wait in them.

Part of the state machine. What a shard's tasks are, and who does them, is in task_queue.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vyre_dist.engine.finding_blocks import FindingBlock


@dataclass(slots=True)
class PlannedShard:
    """A shard whose findings wait until everything in it, and before it, is done.

    `outstanding`: its tasks that are not over. `documents`: those that end in it, as ranges: a
    shard of a tree's files is one.
    """

    outstanding: int = 0
    blocks: list[FindingBlock] = field(default_factory=list)
    documents: list[range] = field(default_factory=list)

    def add(self, first: int, count: int = 1) -> None:
        """So many documents end in it, from number `first` on."""
        last = self.documents[-1] if self.documents else range(first, first)
        if last.stop == first:
            self.documents[-1:] = [range(last.start, first + count)]
        else:
            self.documents.append(range(first, first + count))


class PlannedShards:
    """The shards that were planned and are not finished, by number."""

    def __init__(self) -> None:
        self._shards: dict[int, PlannedShard] = {}
        self._next = self._oldest = 0

    def __getitem__(self, number: int) -> PlannedShard:
        return self._shards[number]

    def __bool__(self) -> bool:
        return bool(self._shards)

    @property
    def ahead(self) -> int:
        """How many shards have been planned from the oldest unfinished one on."""
        return self._next - self._oldest

    def plan(self) -> int:
        """The number of one shard more."""
        number = self._next
        self._shards[number] = PlannedShard()
        self._next += 1
        return number

    def without_tasks(self) -> Iterator[PlannedShard]:
        """The oldest shards that have no task outstanding, up to the first one that has.

        Each is finished, and gone, when the next one is asked for.
        """
        while (shard := self._shards.get(self._oldest)) is not None and not shard.outstanding:
            yield shard
            del self._shards[self._oldest]
            self._oldest += 1
