"""Sharding: documents in, scan tasks out. Small ones share a task, large ones are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vyre_dist.engine.tasks import AuditTask, FolderRun, Item, Piece, StitchTask, Task

# keeps a task of tiny files to about a second's work, and its result to a few megabytes
DEFAULT_SHARD_DOCUMENTS = 4096

# What a file is taken to have while its size is not known. A worker that finds more than a shard's
# bytes in a task hands the rest back, so a wrong guess costs a message.
ASSUMED_BYTES = 32 << 10


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
    size = document.size
    if size <= shard_bytes:
        return [document]
    d = document
    return [
        Piece(
            d.document,
            d.path,
            size,
            at,
            min(at + shard_bytes, size),
            d.open_path,
            d.stamp,
            d.inline,
        )
        for at in range(0, size, shard_bytes)
    ]


def pack_shards(
    documents: Iterable[Item],
    shard_bytes: int,
    shard_documents: int = DEFAULT_SHARD_DOCUMENTS,
    factor: Callable[[], float] = lambda: 1.0,
) -> Iterator[list[Item]]:
    """Lists of pieces and runs of about `shard_bytes` each, in the order of the documents.

    Larger documents are cut into pieces of that. `factor`: is asked how many times as much each
    list may have.
    """
    shard: list[Item] = []
    total = number = 0
    most_bytes, most_documents = float(shard_bytes), float(shard_documents)
    for item in _parts(documents, shard_bytes):
        if not shard:
            most_bytes, most_documents = shard_bytes * factor(), shard_documents * factor()
        if isinstance(item, Piece):
            length = item.end - item.start
            if shard and (total + length > most_bytes or number >= most_documents):
                yield shard
                shard, total, number = [], 0, 0
                most_bytes, most_documents = shard_bytes * factor(), shard_documents * factor()
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
    for item in documents:
        if isinstance(item, FolderRun) or item.size <= shard_bytes:
            yield item
        else:
            yield from cut(item, shard_bytes)


def _slice(run: FolderRun, start: int, end: int) -> FolderRun:
    return run._replace(first=run.first + start, names=run.names[start:end])
