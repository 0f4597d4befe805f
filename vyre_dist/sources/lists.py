"""Inputs that are not walked: lists of paths (`--files-from`) and a document on standard input.

walk() takes the paths of a list as names, which are no globs, and reports missing ones.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import select
from collections.abc import Iterator
from typing import BinaryIO

from vyre_dist.errors import UsageError
from vyre_dist.leftovers import unfinished_name
from vyre_dist.sources.document import DocumentRef

STDIN_NAME = "<stdin>"
MAX_LISTED_PATH = 1 << 20
_CHUNK = 1 << 20


class FileListError(UsageError):
    """A list of paths cannot be read, or is no list; `source` names it."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"--files-from {source}: {message}")
        self.source = source


class StdinTooLargeError(UsageError):
    """Standard input is longer than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"standard input is longer than the {limit} bytes allowed; save it to a file or raise "
            "the limit"
        )
        self.limit = limit


class SpoolError(UsageError):
    """`directory` cannot take the copy of an input that is no file."""

    def __init__(self, shown: str, directory: str, size: int, error: OSError) -> None:
        came = f" ({size} bytes of it had come)" if size else ""
        super().__init__(
            f"{shown} cannot be kept in {directory!r}: {error.strerror or error}{came}; set TMPDIR "
            "to a folder with room "
            "for it, or save it to a file and scan that"
        )
        self.directory = directory


def read_file_list(source: str, stdin: BinaryIO | None = None) -> Iterator[str]:
    """The paths that the file `source` lists; "-" means `stdin`.

    Opens the file now, and reads it as paths are needed.

    NUL bytes separate the paths if there is one in the first MiB, otherwise newlines do. There are
    no comments, no quotes and no trimming. Empty items are skipped, and so is UTF-8's byte order
    mark before a list of lines. Bytes that are not UTF-8 become surrogates. Raises FileListError if
    the list cannot be read or holds an item above 1 MiB.
    """
    if source == "-":
        if stdin is None:
            raise FileListError(source, "standard input is not available here; name a file")
        return _items(stdin, source)
    paths = _items_of_file(source)
    next(paths)
    return paths


def _items_of_file(source: str) -> Iterator[str]:
    """An empty path once the file is open, then the list's. The generator closes the file."""
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
            # a pipe may give its first MiB in small pieces: wait for all of it, or for the end
            if chunk and len(rest) < _CHUNK:
                continue
            separator = b"\0" if b"\0" in rest else b"\n"
            if separator == b"\n":
                rest = rest.removeprefix(codecs.BOM_UTF8)  # an editor's, as in a rule pack
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
    """Up to 1 MiB, nothing only at the end: waits if a pipe that another process made non-blocking
    has nothing yet.
    """
    # the pipe stays non-blocking: the processes that share it rely on it
    while (chunk := stream.read(_CHUNK)) is None:
        select.select([stream], [], [])
    return chunk


@contextlib.contextmanager
def spool_stdin(
    stream: BinaryIO, directory: str, *, shown: str = STDIN_NAME, max_bytes: int | None = None
) -> Iterator[DocumentRef]:
    """Copy `stream` to a new file in `directory`, one MiB at a time, and describe it as the
    document `shown`.

    The file has no name, so nothing stays however this process ends. In this context the document's
    `open_path` reaches it through this process's descriptors: for this user's processes on this
    machine. Raises StdinTooLargeError above `max_bytes`, and SpoolError if the directory cannot
    take the copy.
    """
    fd = -1
    try:
        fd = _copied(stream, directory, shown, max_bytes)
        info = os.fstat(fd)
        yield DocumentRef(
            shown,
            info.st_size,
            info.st_mtime_ns,
            info.st_ino,
            f"/proc/{os.getpid()}/fd/{fd}",
            "stdin",
        )
    finally:
        if fd >= 0:
            os.close(fd)


def _copied(stream: BinaryIO, directory: str, shown: str, max_bytes: int | None) -> int:
    """The descriptor of a file without a name that holds all of `stream`."""
    size = 0
    try:
        fd = unnamed_file(directory)
    except OSError as error:
        raise SpoolError(shown, directory, size, error) from error
    try:
        while chunk := _read_of(stream, shown):
            size += len(chunk)
            if max_bytes is not None and size > max_bytes:
                raise StdinTooLargeError(max_bytes)
            view = memoryview(chunk)
            while view:
                view = view[os.write(fd, view) :]
    except OSError as error:
        os.close(fd)
        raise SpoolError(shown, directory, size, error) from error
    except BaseException:
        os.close(fd)
        raise
    return fd


def _read_of(stream: BinaryIO, shown: str) -> bytes:
    try:
        return _read(stream)
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror or error}") from error


def unnamed_file(directory: str) -> int:
    """A file in `directory` without a name, open for reading and writing, for its owner only."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        # errors of file systems and kernels without such files
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    path = os.path.join(directory, unfinished_name("stdin"))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)  # before anything is in it
    return fd
