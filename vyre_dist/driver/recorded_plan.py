"""RecordedPlan: the plan of a run that is resumed: what was planned before, and then the rest.

What was done of a shard comes with it, unless a document has changed since, or what was found is
lost: then that does not count any more, and is done anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from vyre_dist.driver.events import PlanEnded, ShardPlanned
from vyre_dist.driver.plan import Plan
from vyre_dist.engine.part_files import filed_in
from vyre_dist.engine.shards import DEFAULT_SHARD_DOCUMENTS, cut
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


class RecordedPlan(Plan):
    """See Plan. `inputs` are those of the run, listed anew; of them, what was planned is left out.
    They are not listed if the whole plan is known. `voided`: None takes all that was done as it is.
    """

    def __init__(
        self,
        history: History,
        voided: Voided | None,
        inputs: Iterable[FolderFiles | DocumentRef | InputProblem],
        shard_bytes: int,
        shard_documents: int = DEFAULT_SHARD_DOCUMENTS,
    ) -> None:
        rest = () if history.end is not None else _rest_of(inputs, history)
        super().__init__(rest, shard_bytes, shard_documents)
        self.problems += history.problems
        self._voided = voided
        self._anew: set[int] = set()
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
        if isinstance(last, Piece) and last.end < last.size and last.document not in self._anew:
            for piece in (
                ()
                if self._voided is None
                else cut(last._replace(start=0, end=last.size), last.end - last.start)
            ):
                if piece.start >= last.end:
                    yield _planned((piece,), ())

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
            return _planned(known.items, known.done)
        items = tuple(self._items_now(known.items))
        newer = _newer(known)
        newer.update([piece.document for piece in _pieces(known.items) if piece not in items])
        gone = _with_large(known, newer | _lost(known))
        places = [i for i, done in enumerate(known.done) if touches(done.entry, gone)]
        if not places and items == known.items:
            return _planned(items, known.done)
        for document in sorted(newer - self._anew):
            self.notes.append(InputNote(self.path_of(document), "changed", _ANEW))
        self._anew |= newer
        self._voided(known.shard, places, None if items == known.items else items)
        return _planned(items, [done for i, done in enumerate(known.done) if i not in places])

    def _items_now(self, items: Iterable[Item]) -> Iterator[Item]:
        """A shard's items, but of a large document that has changed, which is planned anew as one
        of unknown size.
        """
        for item in items:
            if not isinstance(item, Piece) or self._stands(item):
                yield item
            elif item.start == 0:
                yield item._replace(size=0, end=0, stamp=None)

    def _stands(self, piece: Piece) -> bool:
        if piece.whole or piece.stamp is None:
            return True
        return piece.document not in self._anew and _is_as_planned(piece)


def touches(entry: Entry, documents: set[int]) -> bool:
    """Whether an entry has anything of `documents`."""
    return entry.joined in documents or not documents.isdisjoint(entry.covered.numbers())


def _planned(items: tuple[Item, ...], done: Sequence[Done]) -> ShardPlanned:
    whole = [
        item._replace(end=item.size) for item in items if isinstance(item, Piece) and not item.start
    ]
    return ShardPlanned(items, tuple(whole), tuple([each.entry for each in done]))


def _newer(known: KnownShard) -> set[int]:
    """The documents of a shard that were written to after their scan had begun."""
    newer: set[int] = set()
    if not known.done:
        return newer
    places = dict(_places_of(known.items))
    for done in known.done:
        for document in done.entry.covered.numbers():
            if document not in newer and _is_newer(places[document], done.began_ns):
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


def _with_large(known: KnownShard, documents: set[int]) -> set[int]:
    """`documents`, and those that are told to be large by an entry with any of them: where that
    does not count, what was done of their pieces does not, either.
    """
    found, grown = set(documents), bool(documents)
    while grown:
        large = {
            each.piece.document
            for done in known.done
            if touches(done.entry, found)
            for each in done.entry.result.large
        }
        grown = not large <= found
        found |= large
    return found


def _pieces(items: Iterable[Item]) -> Iterator[Piece]:
    return (item for item in items if isinstance(item, Piece))


def _is_as_planned(piece: Piece) -> bool:
    try:
        info = os.stat(piece.open_path or piece.path)
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


def _is_newer(place: str, began_ns: int) -> bool:
    """Whether a file was changed since. One that is gone was not: what was found in it stands."""
    try:
        info = os.stat(place)
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
