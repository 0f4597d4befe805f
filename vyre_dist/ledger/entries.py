"""Entries: what a scan has done, each with all that the driver takes from it.

An entry is of one shard, and says which of its documents and pieces it covers. What the entries of
a shard do not cover is still to be done; which tasks did the others, and in which order, makes no
difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from vyre_dist.engine.tasks import FolderRun, Item, Piece, TaskResult


@dataclass(frozen=True, slots=True)
class Covered:
    """Documents and pieces. `documents`: [first, end) of whole ones. `pieces`: (document, start,
    end) of others.
    """

    documents: tuple[tuple[int, int], ...] = ()
    pieces: tuple[tuple[int, int, int], ...] = ()

    def numbers(self) -> Iterator[int]:
        """The documents that it has anything of."""
        for first, end in self.documents:
            yield from range(first, end)
        for document, _, _ in self.pieces:
            yield document


@dataclass(frozen=True, slots=True)
class Entry:
    """What came of a task, or of several that joined a document, of shard number `shard`.

    `covered`: of a scan. `joined`: the document of a join, None for a scan. `result`: what is to be
    counted; of a document that was given up, its problem.
    """

    shard: int
    result: TaskResult
    covered: Covered = field(default_factory=Covered)
    joined: int | None = None


def covered_by(items: Sequence[Item]) -> Covered:
    """What a task with these items covers."""
    documents: list[tuple[int, int]] = []
    pieces: list[tuple[int, int, int]] = []
    for item in items:
        if isinstance(item, FolderRun):
            first, end = item.first, item.first + len(item.names)
        elif item.whole:
            first, end = item.document, item.document + 1
        else:
            pieces.append((item.document, item.start, item.end))
            continue
        if documents and documents[-1][1] == first:
            first = documents.pop()[0]
        documents.append((first, end))
    return Covered(tuple(documents), tuple(pieces))


class Done:
    """All that some entries cover."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._ranges: list[tuple[int, int]] = []
        self._pieces: set[tuple[int, int]] = set()
        self.joined: set[int] = set()
        for entry in entries:
            self._ranges += entry.covered.documents
            self._pieces.update([(document, start) for document, start, _ in entry.covered.pieces])
            if entry.joined is not None:
                self.joined.add(entry.joined)
        self._ranges.sort()

    def has_piece(self, piece: Piece) -> bool:
        """Whether a piece of a split document is done."""
        return (piece.document, piece.start) in self._pieces

    def rest_of(self, items: Iterable[Item]) -> list[Item]:
        """What of `items` is not done, in order."""
        rest: list[Item] = []
        for item in items:
            if isinstance(item, FolderRun):
                rest += self._rest_of_run(item)
            elif not (self._has(item.document) if item.whole else self.has_piece(item)):
                rest.append(item)
        return rest

    def _has(self, document: int) -> bool:
        return any(first <= document < end for first, end in self._ranges)

    def _rest_of_run(self, run: FolderRun) -> Iterator[FolderRun]:
        for first, end in self._ranges:
            if end <= run.first:
                continue
            after = first - run.first
            if after >= len(run.names):
                break
            if after > 0:
                yield _slice(run, 0, after)
            run = _slice(run, min(end - run.first, len(run.names)), len(run.names))
        if run.names:
            yield run


def _slice(run: FolderRun, start: int, end: int) -> FolderRun:
    return run._replace(first=run.first + start, names=run.names[start:end])
