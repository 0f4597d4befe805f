"""RecordedPlan: the plan of a run that is resumed: what was planned before, and then the rest.

What was done of a shard comes with it, unless a document has changed since, or what was found is
lost: then that does not count any more, and is done anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence, Set

from vyre_dist.driver.events import PlanEnded, ShardPlanned
from vyre_dist.driver.plan import Plan
from vyre_dist.engine.part_files import filed_in
from vyre_dist.engine.shards import DEFAULT_SHARD_DOCUMENTS, cut_from
from vyre_dist.engine.tasks import FolderRun, Item, Piece, Stamp
from vyre_dist.input_problem import InputNote, InputProblem
from vyre_dist.ledger.entries import Entry
from vyre_dist.ledger.history import History, KnownShard
from vyre_dist.ledger.records import Done
from vyre_dist.sources.document import DocumentRef, FolderFiles

_ANEW = "it changed after it had been scanned, and was scanned anew"
CLOCK_STEP_NS = 20_000_000
"""The kernel's stamps of files may be so much behind its clock."""

Voided = Callable[[int, list[int], tuple[Item, ...] | None], None]
"""Told of entries of a shard that do not count any more, and of its items if they are others."""


Stat = Callable[[str], os.stat_result]


class RecordedPlan(Plan):
    """See Plan. `inputs` are those of the run, listed anew; of them, what was planned is left out.
    They are not listed if the whole plan is known. `voided`: None takes all that was done as it is.
    `stat`: as os.stat.
    """

    def __init__(
        self,
        history: History,
        voided: Voided | None,
        inputs: Iterable[FolderFiles | DocumentRef | InputProblem],
        shard_bytes: int,
        shard_documents: int = DEFAULT_SHARD_DOCUMENTS,
        stat: Stat = os.stat,
    ) -> None:
        self._stat = stat
        self._shard_bytes = shard_bytes
        rest = inputs
        if history.end is not None:
            rest = ()
        elif history.planned or history.problems:
            rest = _rest_of(inputs, history)
        super().__init__(rest, shard_bytes, shard_documents)
        self.problems += history.problems
        self._voided = voided
        self._told: set[int] = set()
        self._open: set[int] = set()
        """Documents with pieces that are still, or again, to be scanned."""
        self._failed: set[int] = set()
        """Documents in pieces with problems that count."""
        self._standing = -1
        """The latest document in pieces, if it is scanned as it was planned."""
        self._known = self._known_shards(history)

    def next(self) -> ShardPlanned | PlanEnded:
        """See Plan."""
        known = next(self._known, None)
        return known if known is not None else super().next()

    def _known_shards(self, history: History) -> Iterator[ShardPlanned]:
        last: Item | None = None
        for known in history.shards():
            self._remember(known.items)
            last = known.items[-1] if known.items else last
            yield self._as_it_is_now(known)
        # the driver before may have ended while it planned the pieces of a document
        if (
            self._voided is not None
            and isinstance(last, Piece)
            and last.end < last.size
            and last.document == self._standing
        ):
            for piece in cut_from(last, last.end, self._shard_bytes):
                yield planned((piece,), ())

    def _remember(self, items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, FolderRun):
                self._paths.add(item.first, item.prefix, item.names)
                self.documents = item.first + len(item.names)
            elif item.start == 0:
                self._paths.add(item.document, "", [item.path])
                self.documents = item.document + 1

    def _as_it_is_now(self, known: KnownShard) -> ShardPlanned:
        """A shard with what counts of its entries."""
        if self._voided is None:
            return self._as_it_was(known)
        items = tuple(self._items_now(known.items))
        kept = set(_parts_in(items))
        newer = _newer(known, self._stat)
        newer.update([piece.document for piece in _parts_in(known.items) if piece not in kept])
        places = self._void_in(known, kept, newer | _lost(known))
        if not places and items == known.items:
            return planned(items, known.done)
        # who scans a piece compares its document's stamp with the plan's, and tells of another
        standing = {piece.document for piece in kept}
        for document in sorted(newer - standing - self._told):
            self.notes.append(InputNote(self.path_of(document), "changed", _ANEW))
        self._told |= newer
        self._voided(known.shard, places, None if items == known.items else items)
        return planned(items, [done for i, done in enumerate(known.done) if i not in places])

    def _as_it_was(self, known: KnownShard) -> ShardPlanned:
        """A shard as the latest driver has left it. It may have ended when it had planned a large
        document anew, and its later pieces, which lie in other shards, were still there.
        """
        items: list[Item] = []
        for item in known.items:
            if isinstance(item, Piece) and not item.whole:
                if item.start == 0:
                    self._standing = item.document
                if item.document != self._standing:
                    continue
            items.append(item)
        if len(items) == len(known.items):
            return planned(known.items, known.done)
        kept = set(_parts_in(items))
        gone = {piece.document for piece in _parts_in(known.items) if piece not in kept}
        places = self._void_in(known, kept, gone)
        done = [done for i, done in enumerate(known.done) if i not in places]
        return planned(tuple(items), done)

    def _items_now(self, items: Iterable[Item]) -> Iterator[Item]:
        """A shard's items, but of a large document that has changed, which is planned anew as one
        of unknown size.
        """
        for item in items:
            if not isinstance(item, Piece) or item.whole or self._stands(item):
                yield item
            elif item.start == 0:
                yield item._replace(size=0, end=0, stamp=None)

    def _stands(self, piece: Piece) -> bool:
        """Whether a document in pieces is scanned as planned. Its first piece decides for all: each
        of them is scanned, or none.
        """
        if piece.start == 0 and _is_as_planned(piece, self._stat):
            self._standing = piece.document
        return piece.document == self._standing

    def _void_in(self, known: KnownShard, pieces: Set[Piece], documents: Set[int]) -> list[int]:
        """Which entries of a shard do not count, where those with any of `documents` don't.
        `pieces`: what there is in it of documents in pieces.

        What else such an entry covers is scanned anew, too. Where that is a piece, its document has
        to be joined anew. Where it told that a document is large, what was done of the pieces that
        came of that does not count. Where it told of a problem of a document in pieces, those that
        nobody scanned for that reason are to be scanned.
        """
        places, found = set[int](), set(documents)
        while True:
            count = [done.entry for i, done in enumerate(known.done) if i not in places]
            failed = self._failed.union(
                [p.document for each in count if each.covered.pieces for p in each.result.problems]
            )
            there = {(part.document, part.start) for each in count for part in each.result.parts}
            still = self._open.union(
                [piece.document for piece in pieces if (piece.document, piece.start) not in there]
            )
            more = [
                i
                for i, done in enumerate(known.done)
                if i not in places
                and (
                    touches(done.entry, found)
                    or done.entry.joined in still
                    or not _left_out(done.entry) <= failed
                )
            ]
            if not more:
                self._failed, self._open = failed, still
                return sorted(places)
            places.update(more)
            for i in more:
                large = known.done[i].entry.result.large
                found.update([each.piece.document for each in large])


def touches(entry: Entry, documents: set[int]) -> bool:
    """Whether an entry has anything of `documents`."""
    return entry.joined in documents or not documents.isdisjoint(entry.covered.numbers())


def planned(items: tuple[Item, ...], done: Sequence[Done]) -> ShardPlanned:
    """A shard with what was done of it."""
    whole = [
        item._replace(end=item.size) for item in items if isinstance(item, Piece) and not item.start
    ]
    return ShardPlanned(items, tuple(whole), tuple([each.entry for each in done]))


def _newer(known: KnownShard, stat: Stat) -> set[int]:
    """The documents of a shard that were written to after their scan had begun."""
    newer: set[int] = set()
    if not known.done:
        return newer
    places = dict(_places_of(known.items))
    for done in known.done:
        for document in done.entry.covered.numbers():
            if document not in newer and _is_newer(places[document], done.began_ns, stat):
                newer.add(document)
    return newer


def _lost(known: KnownShard) -> set[int]:
    """The documents whose findings are in part files that are not there any more."""
    lost: set[int] = set()
    for done in known.done:
        entry = done.entry
        if not all(kept.is_there() for kept in filed_in(entry.result)):
            lost.update(entry.covered.numbers())
            if entry.joined is not None:
                lost.add(entry.joined)
    return lost


def _left_out(entry: Entry) -> set[int]:
    """The documents of which an entry covers pieces that were not scanned."""
    result = entry.result
    there = {(part.document, part.start) for part in result.parts}
    pieces = [(document, start) for document, start, _ in entry.covered.pieces]
    return {piece[0] for piece in pieces if piece not in there}.difference(result.skipped)


def _parts_in(items: Iterable[Item]) -> Iterator[Piece]:
    """The pieces that are not all of their documents."""
    return (item for item in items if isinstance(item, Piece) and not item.whole)


def _is_as_planned(piece: Piece, stat: Stat) -> bool:
    if piece.stamp is None:
        return True
    try:
        info = stat(piece.open_path or piece.path)
    except OSError:
        return True  # who scans it tells what is wrong
    return info.st_size == piece.size and Stamp.of(info) == piece.stamp


def _places_of(items: Iterable[Item]) -> Iterator[tuple[int, str]]:
    """Each document of a shard, and where it is opened."""
    for item in items:
        if isinstance(item, FolderRun):
            prefix = item.prefix if item.open_prefix is None else item.open_prefix
            for i, name in enumerate(item.names):
                yield item.first + i, prefix + name
        else:
            yield item.document, item.open_path or item.path


def _is_newer(place: str, began_ns: int, stat: Stat) -> bool:
    """Whether a file was changed since. One that is gone was not: what was found in it stands."""
    try:
        info = stat(place)
    except OSError:
        return False
    # who writes can set the time of the last write, but not that of the last change
    return max(info.st_mtime_ns, info.st_ctime_ns) >= began_ns - CLOCK_STEP_NS


def _rest_of(
    inputs: Iterable[FolderFiles | DocumentRef | InputProblem], history: History
) -> Iterator[FolderFiles | DocumentRef | InputProblem]:
    """What of `inputs` was not planned. As long as they come in the same order, nothing of them is
    held.
    """
    listed = set(history.problems)
    planned = history.paths()
    expected = next(planned, None)
    others: set[str] | None = None
    for entry in inputs:
        if isinstance(entry, InputProblem):
            if entry not in listed:
                yield entry
            continue
        if expected is None and others is None:
            yield entry  # all that was planned has come
            continue
        prefix = entry.prefix if isinstance(entry, FolderFiles) else ""
        names = entry.names if isinstance(entry, FolderFiles) else [entry.path]
        new: list[str] = []
        for name in names:
            path = prefix + name
            if others is None and path == expected:
                expected = next(planned, None)
            elif expected is None:
                new.append(name)
            else:
                # something has come or gone: from here on each is looked up
                if others is None:
                    others = {expected, *planned}
                if path not in others:
                    new.append(name)
        if not new:
            continue
        if isinstance(entry, FolderFiles):
            yield entry._replace(names=new)
        else:
            yield entry
