"""What a document may be that a program hands over: bytes-like objects and text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TypeAlias

from vyre_dist.document_paths import written_path
from vyre_dist.engine.row_paths import NamedRows, NumberedRows
from vyre_dist.engine.tasks import Piece
from vyre_dist.errors import UsageError

BATCH_HEAD, BATCH_TAIL = "<batch ", ">"
"""Around the number of a batch's document in its path, where it has no other."""

Content: TypeAlias = bytes | bytearray | memoryview | str
"""The bytes of a document, or text, which stands for its UTF-8 bytes."""


def document_of(number: int, content: Content, path: str) -> Piece:
    """A document in memory as the one piece that is all of it.

    `path` is written as that of a file would be. Raises UsageError for what is no document.
    """
    data = _bytes_of(content)
    if not isinstance(path, str):
        raise UsageError(f"a document's path is a str, found {type(path).__name__} {path!r:.100}")
    return Piece(number, written_path(path), len(data), 0, len(data), inline=data)


def check_batch(batch: Iterable[Content | tuple[str, Content]]) -> None:
    """Raise UsageError for what is no batch of documents."""
    if isinstance(batch, str | bytes | bytearray | memoryview):
        raise UsageError(
            f"a batch is a list of documents, found one {type(batch).__name__}: use scan for it, "
            "or put it in a list"
        )
    if isinstance(batch, Mapping):
        raise UsageError("a batch is a list of documents, found a mapping: give its items()")


def documents_of(batch: Iterable[Content | tuple[str, Content]], first: int = 0) -> list[Piece]:
    """The documents of a batch, in order, from number `first` on. One without a path is called
    `<batch NUMBER>`.
    """
    pieces = []
    for number, entry in enumerate(batch, first):
        if not isinstance(entry, tuple):
            pieces.append(document_of(number, entry, f"{BATCH_HEAD}{number}{BATCH_TAIL}"))
        elif len(entry) == 2:
            pieces.append(document_of(number, entry[1], entry[0]))
        else:
            raise UsageError(
                f"document {number} of the batch is a tuple of {len(entry)}: give its content, or "
                "(path, content)"
            )
    return pieces


def rows_of(
    chunk: Sequence[Content | tuple[str, Content]], first: int
) -> tuple[Sequence[bytes], NamedRows | NumberedRows]:
    """The contents and paths of a batch's documents from number `first` on.

    What documents_of gives, without an object for each where all are of one kind. Raises what it
    raises.
    """
    contents: Sequence[object] = chunk
    numbers = range(first, first + len(chunk))
    paths: NamedRows | NumberedRows = NumberedRows(BATCH_HEAD, BATCH_TAIL, numbers)
    kinds = set(map(type, chunk))
    if kinds == {tuple} and set(map(len, chunk)) == {2}:
        # zip would make an iterator of each
        names, texts = (list(map(itemgetter(i), chunk)) for i in (0, 1))
        if set(map(type, names)) == {str}:
            paths = NamedRows(names)
            contents, kinds = texts, set(map(type, texts))
    if kinds == {bytes}:
        return contents, paths  # type: ignore[return-value]
    if kinds == {str}:
        with contextlib.suppress(UnicodeEncodeError):  # documents_of tells which
            return list(map(str.encode, contents)), paths  # type: ignore[arg-type]
    pieces = documents_of(chunk, first)
    given = [
        entry[0] if isinstance(entry, tuple) else paths.of(row) for row, entry in enumerate(chunk)
    ]
    return [piece.inline or b"" for piece in pieces], NamedRows(given)


def _bytes_of(content: object) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        try:
            return content.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"the text has no UTF-8: there is a lone surrogate at {error.start}. Give bytes "
                "(text.encode('utf-8', 'surrogateescape') if it came from a file's name)"
            ) from None
    try:
        # bytes(5) would be five zeros
        return bytes(memoryview(content))  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(
            f"a document is bytes, a bytes-like object or str, found {type(content).__name__}: "
            "files are scanned by scan_paths"
        ) from None
