"""Sharding: documents in, scan tasks out. Small ones share a task, large ones are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vyre_dist.engine.tasks import AuditTask, FolderRun, Item, Piece, StitchTask, Task

# keeps a task of tiny files to about a second's work, and its result to a few megabytes
DEFAULT_SHARD_DOCUMENTS = 4096

# What a file is taken to have while its size is not known. A worker that finds more than a shard's
# bytes in a task hands the rest back, so a wrong guess costs a message.
ASSUMED_BYTES = 32 << 10

# A plan's first large documents are cut smaller, so that all workers of a large machine have
# something of a document of some hundred MiB, and no piece is still scanned on a processor when a
# GPU has done the rest.
FIRST_PIECE_BYTES = 16 << 20
FIRST_BYTES = 1 << 30


def size_of(task: Task) -> int:
    """About how many bytes a task has to look at."""
    if isinstance(task, StitchTask | AuditTask):
        return task.piece.size
    return sum(
        len(item.names) * ASSUMED_BYTES if isinstance(item, FolderRun) else item.end - item.start
        for item in task.pieces
    )


def cut(document: Piece, shard_bytes: int) -> list[Piece]:
    """The pieces of a whole document: itself if it is no larger than `shard_bytes`."""
    if document.size <= shard_bytes:
        return [document]
    return cut_from(document, 0, shard_bytes)


def cut_from(document: Piece, start: int, shard_bytes: int, end: int | None = None) -> list[Piece]:
    """The pieces of a document from the offset `start` on, to `end`; None: all the others."""
    stop = document.size if end is None else end
    return [
        document._replace(start=at, end=min(at + shard_bytes, stop))
        for at in range(start, stop, shard_bytes)
    ]


def pack_shards(
    documents: Iterable[Item],
    shard_bytes: int,
    shard_documents: int = DEFAULT_SHARD_DOCUMENTS,
    factor: Callable[[], float] = lambda: 1.0,
) -> Iterator[list[Item]]:
    """Lists of pieces and runs of about `shard_bytes` each, in the order of the documents.

    Larger documents are cut into pieces of that, the first ones (FIRST_BYTES) into smaller pieces,
    each in a list of its own. `factor`: is asked how many times as much each list may have.
    """
    shard: list[Item] = []
    total = number = 0
    most_bytes, most_documents = float(shard_bytes), float(shard_documents)
    for item in _parts(documents, shard_bytes):
        if not shard:
            most_bytes, most_documents = shard_bytes * factor(), shard_documents * factor()
        if isinstance(item, Piece):
            length = item.end - item.start
            alone = length == FIRST_PIECE_BYTES < shard_bytes and not item.whole
            if shard and (alone or total + length > most_bytes or number >= most_documents):
                yield shard
                shard, total, number = [], 0, 0
                most_bytes, most_documents = shard_bytes * factor(), shard_documents * factor()
            if alone:
                yield [item]
                continue
            shard.append(item)
            total += length
            number += 1
            continue
        at, end = 0, len(item.names)
        while at < end:
            room = min(int(most_documents) - number, int(most_bytes - total) // ASSUMED_BYTES)
            if room < 1 and shard:
                yield shard
                shard, total, number = [], 0, 0
                most_bytes, most_documents = shard_bytes * factor(), shard_documents * factor()
                continue
            taken = min(max(room, 1), end - at)
            shard.append(item if taken == end else _slice(item, at, at + taken))
            at += taken
            total += taken * ASSUMED_BYTES
            number += taken
    if shard:
        yield shard


def _parts(documents: Iterable[Item], shard_bytes: int) -> Iterator[Item]:
    """`documents` with the large ones cut."""
    first_bytes = FIRST_BYTES if shard_bytes > FIRST_PIECE_BYTES else 0
    for item in documents:
        if isinstance(item, FolderRun) or item.size <= shard_bytes:
            yield item
        else:
            small = min(first_bytes, item.size) // FIRST_PIECE_BYTES * FIRST_PIECE_BYTES
            first_bytes -= small
            yield from cut_from(item, 0, FIRST_PIECE_BYTES, small)
            yield from cut_from(item, small, shard_bytes)


def _slice(run: FolderRun, start: int, end: int) -> FolderRun:
    return run._replace(first=run.first + start, names=run.names[start:end])
