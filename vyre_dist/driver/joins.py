"""Joins: split documents whose parts have come, while stretches of them are joined.

Part of the state machine. A document with few matches is joined by one task. Of one with many,
several workers join a stretch each, all at once: a stretch is told how far the matches before it
reach, as its neighbour's own parts say. Where that turns out to be otherwise, since the neighbour's
matches were out of step up to its end, the stretch is joined once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from vyre_dist.driver.task_queue import Assignment, TaskQueue
from vyre_dist.engine.finding_blocks import Findings
from vyre_dist.engine.lines import unpack_counts
from vyre_dist.engine.spool import bytes_of
from vyre_dist.engine.tasks import (
    AuditTask,
    PartResult,
    Piece,
    Reach,
    StitchTask,
    Stretch,
    TaskResult,
    searched_elsewhere,
)
from vyre_dist.rules.keyword_table import merged_flags

STRETCH_BYTES = 4 << 20
"""Of encoded spans, 24 bytes each, and of newlines, 4 bytes for 64 KiB: parts with more than that
are a stretch.
"""

_SEARCHED = 8
"""Bytes that are searched once more for one of those: a piece of 32 MiB takes a tenth of a second.
"""


@dataclass(slots=True)
class _Join:
    """A document that is joined in stretches. `rests`: what each one is told of the others.

    `results`: None of a stretch that is not done, or to be done once more. `open`: whether only
    the first stretch has begun, which is to tell of keywords.
    """

    whole: Piece
    shard: int
    stretches: list[tuple[PartResult, ...]]
    rests: list[Stretch]
    results: list[TaskResult | None]
    open: bool

    def task(self, number: int) -> StitchTask:
        return StitchTask(self.whole, self.stretches[number], self.rests[number])


class Joins:
    """By document's number."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self._joins: dict[int, _Join] = {}

    def begin(self, whole: Piece, parts: tuple[PartResult, ...], shard: int) -> None:
        """Queue what joins `parts`, all of a document's, in order."""
        stretches = _stretches(parts)
        if len(stretches) == 1:
            self._queue.add(StitchTask(whole, parts), shard, first=True)
            return
        rests = _rests(parts, stretches)
        join = _Join(whole, shard, stretches, rests, [None] * len(stretches), bool(rests[0].asked))
        self._joins[whole.document] = join
        self._add(join, [0] if join.open else range(len(stretches)))

    def end(self, document: int) -> tuple[PartResult, ...] | None:
        """Forget a document; its parts, None if it is not joined in stretches."""
        join = self._joins.pop(document, None)
        return None if join is None else tuple([part for own in join.stretches for part in own])

    def done(self, assignment: Assignment, result: TaskResult) -> TaskResult | None:
        """The result of a document that is joined now; None if stretches are missing.

        That of a document that is joined at once, or can't be, is the task's.
        """
        task = assignment.task
        if not isinstance(task, StitchTask) or task.stretch is None:
            return result
        join = self._joins.get(task.piece.document)
        if join is None:
            return None  # it has been given up
        if result.problems:
            return result
        number = [own[0].start for own in join.stretches].index(task.parts[0].start)
        if task.stretch.reaches != join.rests[number].reaches:
            return None  # it is joined once more
        join.results[number] = result
        again: list[int] = []
        if join.open:
            join.open = False
            asked = task.stretch.asked
            join.rests = [_told(rest, asked, result.keywords) for rest in join.rests]
            again += range(1, len(join.stretches))
        after = number + 1
        if after < len(join.stretches) and join.rests[after].reaches != result.reaches:
            join.rests[after] = join.rests[after]._replace(reaches=result.reaches)
            join.results[after] = None
            if after not in again:
                again.append(after)
        self._add(join, again)
        results = [each for each in join.results if each is not None]
        if len(results) < len(join.stretches):
            return None
        del self._joins[task.piece.document]
        return _merged(results)

    def _add(self, join: _Join, numbers: Sequence[int]) -> None:
        for number in reversed(numbers):
            self._queue.add(join.task(number), join.shard, first=True)


def _stretches(parts: Sequence[PartResult]) -> list[tuple[PartResult, ...]]:
    stretches: list[tuple[PartResult, ...]] = []
    own: list[PartResult] = []
    size = 0
    elsewhere = frozenset(searched_elsewhere(parts))
    for part in parts:
        more = len(part.spans) + len(part.newlines)
        if elsewhere.intersection(part.unsearched):
            more += (part.end - part.start) // _SEARCHED
        if own and size + more > STRETCH_BYTES:
            stretches.append(tuple(own))
            own, size = [], 0
        own.append(part)
        size += more
    return [*stretches, tuple(own)]


def _rests(parts: Sequence[PartResult], stretches: Sequence[Sequence[PartResult]]) -> list[Stretch]:
    """What each stretch is told, as far as the parts know."""
    keywords = {rule for part in parts for rule in part.keywords}
    asked = {rule for part in parts for rule in part.keyless} - keywords
    rest = Stretch(
        elsewhere=searched_elsewhere(parts),
        keywords=tuple(sorted(keywords)),
        asked=tuple(sorted(asked)),
        keyword_flags=merged_flags([part.keyword_flags for part in parts]),
    )
    rests: list[Stretch] = []
    newlines = 0
    for own in stretches:
        rests.append(rest._replace(newlines=newlines))
        newlines += sum([sum(unpack_counts(bytes_of(part.newlines))) for part in own])
        reaches = tuple([Reach(rule, end) for rule, end in own[-1].reaches])
        rest = rest._replace(reaches=reaches, asked=())
    return rests


def _told(rest: Stretch, asked: Sequence[int], keywords: Sequence[int]) -> Stretch:
    """`keywords`: those of the rules that were asked for that have one."""
    return rest._replace(
        keywords=tuple(sorted({*rest.keywords, *keywords})),
        keyless=tuple(sorted(set(asked).difference(keywords))),
    )


def _merged(results: Sequence[TaskResult]) -> TaskResult:
    merged = TaskResult(
        findings=Findings(blocks=[block for each in results for block in each.findings.blocks])
    )
    for each in results:
        merged.notes += each.notes
        merged.seconds += each.seconds
        merged.add_metrics(each)
    merged.audits = _merged_audits([audit for each in results for audit in each.audits])
    return merged


def _merged_audits(audits: Iterable[AuditTask]) -> list[AuditTask]:
    """One audit of all of a document, of those of its stretches."""
    merged: list[AuditTask] = []
    for audit in audits:
        if merged:
            merged[0].found.merge(audit.found)
            evidence = merged[0].evidence + audit.evidence
            merged = [replace(merged[0], evidence=evidence)]
        else:
            merged.append(replace(audit, found=audit.found.copy()))
    return merged
