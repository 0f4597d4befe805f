"""Inputs that are not walked: lists of paths (`--files-from`) and a document on standard input.

The paths of a list go to walk() like any other arguments, so that a missing one becomes a problem there.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import BinaryIO

from vyre_dist.errors import UsageError
from vyre_dist.sources.document import DocumentRef

STDIN_NAME = "<stdin>"
MAX_LISTED_PATH = 1 << 20
_CHUNK = 1 << 20


class FileListError(UsageError):
    """A list of paths cannot be read, or is none; `source` names it."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"--files-from {source}: {message}")
        self.source = source


class StdinTooLargeError(UsageError):
    """Standard input is longer than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"standard input is longer than the {limit} bytes allowed; save it to a file or raise the limit"
        )
        self.limit = limit


def read_file_list(source: str, stdin: BinaryIO | None = None) -> Iterator[str]:
    """The paths that the file `source` lists, or `stdin` where it is "-". It is opened here, and read as they are needed.

    They are separated by NUL bytes if there is one in the first MiB, otherwise by newlines. Nothing else is
    special: no comments, no quotes, no trimming; empty items are passed over. Bytes that are not UTF-8
    become surrogates. Raises FileListError where the list cannot be read or holds an item above 1 MiB.
    """
    if source == "-":
        if stdin is None:
            raise FileListError(source, "standard input is not available here; name a file")
        return _items(stdin, source)
    paths = _items_of_file(source)
    next(paths)
    return paths


def _items_of_file(source: str) -> Iterator[str]:
    """An empty one once the file is open: whoever asks for no more has it closed with the generator."""
    try:
        file = open(source, "rb", buffering=0)  # noqa: SIM115 (closed below, once it is known to open)
    except (OSError, ValueError) as error:
        raise FileListError(
            source, f"cannot be opened: {getattr(error, 'strerror', None) or error}"
        ) from error
    with file:
        yield ""
        yield from _items(file, source)


def _items(stream: BinaryIO, source: str) -> Iterator[str]:
    separator: bytes | None = None
    rest = b""
    while True:
        try:
            chunk = _read(stream)
        except OSError as error:
            raise FileListError(source, f"cannot be read: {error.strerror}") from error
        rest += chunk
        if separator is None:
            # a pipe may hand out its first MiB in small pieces: wait until it is there, or there is no more
            if chunk and len(rest) < _CHUNK:
                continue
            separator = b"\0" if b"\0" in rest else b"\n"
        *items, rest = rest.split(separator)
        if not chunk:
            items.append(rest)
        longest = max(map(len, (*items, rest)))
        if longest > MAX_LISTED_PATH:
            raise FileListError(
                source, f"has an item of {longest} bytes, which is no path; is it a list of paths?"
            )
        yield from (os.fsdecode(item) for item in items if item)
        if not chunk:
            return


def _read(stream: BinaryIO) -> bytes:
    """Up to 1 MiB, and nothing at the end only: a pipe that another process made non-blocking may have nothing yet."""
    # the mode is left as it is: whoever shares the pipe relies on it
    while (chunk := stream.read(_CHUNK)) is None:
        select.select([stream], [], [])
    return chunk


def spool_stdin(stream: BinaryIO, directory: str, *, max_bytes: int | None = None) -> DocumentRef:
    """Copy `stream` to a new file in `directory`, one MiB at a time, and describe it as a document.

    The file is readable by its owner only; removing it is the caller's part (the `open_path` of the
    result). Raises StdinTooLargeError above `max_bytes`, and OSError where the directory cannot take it; no
    file stays then.
    """
    import tempfile

    fd, path = tempfile.mkstemp(prefix="vyre-dist-stdin-", dir=directory)
    try:
        with open(fd, "wb", buffering=0) as out:
            size = 0
            while chunk := _read(stream):
                size += len(chunk)
                if max_bytes is not None and size > max_bytes:
                    raise StdinTooLargeError(max_bytes)
                view = memoryview(chunk)
                while view:
                    view = view[out.write(view) :]
            info = os.fstat(fd)
    except BaseException:
        os.unlink(path)
        raise
    return DocumentRef(
        STDIN_NAME, info.st_size, info.st_mtime_ns, info.st_ino, os.path.abspath(path), "stdin"
    )
