"""SplitDocuments: documents that are scanned in several pieces, until they are joined or given up.

Part of the state machine. How a document's parts are joined is in joins.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from vyre_dist.driver.joins import Joins
from vyre_dist.driver.planned_shards import PlannedShards
from vyre_dist.driver.task_queue import Assignment, TaskQueue
from vyre_dist.engine.finding_blocks import FindingBlock
from vyre_dist.engine.salvage import Salvage
from vyre_dist.engine.shards import cut
from vyre_dist.engine.tasks import (
    LargeDocument,
    PartResult,
    Piece,
    ScanTask,
    StitchTask,
    TaskResult,
)
from vyre_dist.ledger.entries import Done, Entry


@dataclass(slots=True)
class _SplitDocument:
    """A document in pieces that are not all done.

    `shard`: where its findings are reported. `missing`: bytes of it that no part covers yet.
    `blocks`: findings by path, which wait for the parts.
    """

    whole: Piece
    shard: int
    missing: int
    parts: list[PartResult] = field(default_factory=list)
    blocks: list[FindingBlock] = field(default_factory=list)


class SplitDocuments:
    """By number. `given_up`: the documents, split or not, of which nothing more is scanned."""

    def __init__(self, shards: PlannedShards, queue: TaskQueue, given_up: set[int]) -> None:
        self._shards = shards
        self._queue = queue
        self._given_up = given_up
        self._split: dict[int, _SplitDocument] = {}
        self._joins = Joins(queue)
        self._joined: dict[int, _SplitDocument] = {}

    def among(self, documents: Iterable[int]) -> list[int]:
        """Those of `documents` that are split; mostly there are none at all."""
        return [d for d in documents if d in self._split] if self._split else []

    def number_outside(self, documents: list[int]) -> int:
        """How many of `documents` are not split."""
        return len(set(documents) - self._split.keys())

    def plan(self, whole: Piece, shard: int) -> None:
        """A document's first piece is in `shard`."""
        self._split[whole.document] = _SplitDocument(whole, shard, whole.size)

    def ends_in(self, document: int, shard: int) -> None:
        """A document's last piece is in `shard`."""
        self._split[document].shard = shard
        self._shards[shard].add(document)

    def cut(self, large: LargeDocument, shard: int, done: Done | None = None) -> None:
        """Plan the pieces of a document that was planned as one, for want of its size; without
        those that are done.
        """
        self.plan(large.piece, shard)
        for part in reversed(cut(large.piece, large.piece_bytes)):
            if done is None or not done.has_piece(part):
                self._queue.add(ScanTask((part,)), shard, first=True)

    def keep_blocks(self, blocks: list[FindingBlock], shard: int) -> None:
        """Put findings where they wait: in their shard, or with their document's pieces."""
        shard_blocks = self._shards[shard].blocks
        if not self._split:
            shard_blocks += blocks
            return
        for block in blocks:
            # a block with one of a split document has no other document's
            split = self._split.get(block.document)
            (shard_blocks if split is None else split.blocks).append(block)

    def add_part(self, part: PartResult, done: Done | None = None) -> None:
        """A piece was scanned; after the last one the parts are to be joined, unless that is done,
        too.
        """
        split = self._split.get(part.document)
        if split is None:
            return
        split.parts.append(part)
        split.missing -= part.end - part.start
        if split.missing or part.document in self._given_up:
            return
        joined = done is not None and part.document in done.joined
        if self._queue.closed and not joined:
            return
        del self._split[part.document]
        self._shards[split.shard].blocks += split.blocks
        if joined:
            split.blocks = []
            self._joined[part.document] = split
        else:
            parts = tuple(sorted(split.parts, key=lambda p: p.start))
            self._joins.begin(split.whole, parts, split.shard)

    def restore_join(self, entry: Entry) -> None:
        """An entry of an earlier driver comes; if it is a join, its document's parts came before.

        If they could not be joined, they are what there is of it.
        """
        if entry.joined is not None:
            split = self._joined.pop(entry.joined, None)
            if split is not None and entry.result.problems:
                self._split[entry.joined] = split

    def joined(self, assignment: Assignment, result: TaskResult) -> TaskResult | None:
        """What a task's result comes to; None if it is a document's of which more is missing."""
        return self._joins.done(assignment, result)

    def keep_parts(self, assignment: Assignment) -> None:
        """A document whose join failed: its parts' own findings are what there is of it."""
        task = assignment.task
        # of a document that was given up, other stretches may fail, too
        if isinstance(task, StitchTask) and task.piece.document not in self._split:
            parts = self._joins.end(task.piece.document) or task.parts
            split = _SplitDocument(task.piece, assignment.shard, 0, list(parts))
            self._split[task.piece.document] = split

    def give_up(self, document: int) -> bool:
        """Scan nothing more of a document; whether that is news.

        What other workers find in its pieces, or have found, is reported.
        """
        if document in self._given_up:
            return False
        self._given_up.add(document)
        split = self._split.get(document)
        if split is not None:
            split.blocks.clear()
            # a piece that ended its worker is no reason to try the others
            self._queue.drop_pieces(document)
        return True

    def salvage(self, document: int) -> Salvage:
        """The pieces that were read of a document that was given up; it is over."""
        return Salvage(document, tuple(self._split.pop(document).parts))
