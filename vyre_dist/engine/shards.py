"""Sharding: documents in, scan tasks out. Small documents are packed together, large ones cut into pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vyre_dist.engine.tasks import Piece

# keeps a task of tiny files to about a second's work, and its result to a few megabytes
DEFAULT_SHARD_DOCUMENTS = 4096


def cut(document: Piece, shard_bytes: int) -> list[Piece]:
    """The pieces of a whole document: itself if it is no larger than `shard_bytes`."""
    size = document.size
    if size <= shard_bytes:
        return [document]
    d = document
    return [
        Piece(d.document, d.path, size, at, min(at + shard_bytes, size), d.open_path, d.stamp, d.inline)
        for at in range(0, size, shard_bytes)
    ]


def pack_shards(
    documents: Iterable[Piece], shard_bytes: int, shard_documents: int = DEFAULT_SHARD_DOCUMENTS
) -> Iterator[list[Piece]]:
    """Lists of pieces of about `shard_bytes` each, in the order of the documents.

    A piece of a large document is a shard of its own or shares one with the small documents around it, within the limit.
    """
    shard: list[Piece] = []
    total = 0
    for document in documents:
        pieces = [document] if document.size <= shard_bytes else cut(document, shard_bytes)
        for piece in pieces:
            length = piece.end - piece.start
            if shard and (total + length > shard_bytes or len(shard) >= shard_documents):
                yield shard
                shard, total = [], 0
            shard.append(piece)
            total += length
    if shard:
        yield shard
