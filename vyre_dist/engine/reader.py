"""Reading whole files for the scan: as few system calls as a small file allows, and every way it
can go wrong.

Pieces of big files go through FileDocument; this is the path that tens of thousands of small files
take.
"""

from __future__ import annotations

import functools
import mmap
import os
from collections.abc import Callable

from vyre_dist.engine.document import DocumentError, check_regular, read_error
from vyre_dist.engine.tasks import Stamp

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


def read_whole(open_path: str, path: str, planned: int, limit: int) -> bytes:
    """The bytes of a regular file as it is now.

    `planned` is its size when it was listed: if it is still that, four system calls do. A file that
    changed is read as it is, but not beyond `limit` bytes. Raises LargeFile for one that outgrew
    it, and DocumentError: vanished, permission, io-error, not-a-file, or changed (it says that it
    is no larger than the limit, and is).
    """
    try:
        fd = os.open(open_path, _FLAGS)
    except OSError as error:
        raise read_error(path, error) from error
    try:
        data = os.read(fd, planned + 1)
        # nothing where something was planned may be a FIFO that took the file's place; an empty
        # plan, a /proc file
        if len(data) == planned and planned > 0:
            return data
        return _read_changed(fd, data, path, limit)
    except OSError as error:
        raise read_error(path, error) from error
    finally:
        os.close(fd)


def _read_changed(fd: int, data: bytes, path: str, limit: int) -> bytes:
    """The whole of a file of which `data` has been read."""
    check_regular(path, os.fstat(fd).st_mode)
    parts = [data]
    total = len(data)
    while total <= limit:
        # also after nothing: what was read before may have had no room
        data = os.read(fd, 1 << 20)
        if not data:
            return b"".join(parts)
        parts.append(data)
        total += len(data)
    info = os.fstat(fd)
    if info.st_size > limit:
        raise LargeFile(info.st_size, Stamp.of(info))
    raise DocumentError(
        path, "changed", f"it says that it has {info.st_size} bytes, and gives more than {limit}"
    )


_ALIGNMENT = (
    16  # an arena's (compiler/arena.py), which takes longer to import than a small scan to run
)


def _private_memory(size: int) -> memoryview:
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class LargeFile(Exception):  # noqa: N818 - no error: the answer that a file has to be read in pieces
    """A file that is larger than the reader's limit. `size` in bytes."""

    def __init__(self, size: int, stamp: Stamp) -> None:
        super().__init__(size)
        self.size = size
        self.stamp = stamp


class ReadBuffer:
    """Memory that files are read into one behind the other, and that is used again and again: new
    memory costs a page fault for every 4 KiB, which takes longer than to read them. A file for
    which too little is left gets its own.

    `limit`: the largest file to read at once. Room is for `batch_bytes` of files, and one more of
    up to 16 MiB. `allocate`: gives the memory, when it is first needed. `place`: where in it the
    latest file lies that was read into it.
    """

    _AT_FIRST = 1 << 20  # enough for nearly every file; of one that fills it, the size is looked up
    _MOST = 16 << 20  # a larger file gets memory of its own

    def __init__(
        self, batch_bytes: int, limit: int, allocate: Callable[[int], memoryview] | None = None
    ) -> None:
        self._limit = limit
        self._most = max(self._AT_FIRST, min(limit, self._MOST))
        self._size = batch_bytes + self._most
        self._allocate = allocate or _private_memory
        self._at = self.place = 0

    @functools.cached_property
    def _view(self) -> memoryview:
        # not before its process has forked, if it will: the workers must not share it
        return self._allocate(self._size)

    def take(self, size: int) -> memoryview | None:
        """Room for `size` bytes that somebody else reads; None if there is too little left."""
        at = self._at
        if at + size > self._size:
            return None
        self._took(at, size)
        return self._view[at : at + size]

    def _took(self, at: int, size: int) -> None:
        self.place = at
        self._at = -(-(at + size) // _ALIGNMENT) * _ALIGNMENT

    def clear(self) -> None:
        """Begin at the start: what was read before is overwritten. Due once `batch_bytes` have been
        read, and when what was read is not wanted any more.
        """
        self._at = 0

    def read(self, path: str) -> bytes | memoryview:
        """The bytes of the regular file at `path` as they are now; a view is good until `clear`.

        A file is at its end where a read gives nothing: fewer bytes than there was room for may
        also mean an error that the next read will tell. Raises LargeFile, and DocumentError:
        vanished, permission, io-error, not-a-file, or changed (it says that it is no larger than
        the limit, and is).
        """
        at = self._at
        try:
            fd = os.open(path, _FLAGS)
        except OSError as error:
            raise read_error(path, error) from error
        try:
            view = self._view[at : at + self._AT_FIRST]
            size = os.readv(fd, (view,))
            if not 0 < size < len(view) or size > self._limit:
                # also what a FIFO gives that took the file's place, nothing, and what the memory's
                # end has room for
                return self._read_on(fd, size, path)
            if more := os.read(fd, 1):
                return _read_changed(fd, bytes(view[:size]) + more, path, self._limit)
            self._took(at, size)
            return view[:size]
        except OSError as error:
            raise read_error(path, error) from error
        finally:
            os.close(fd)

    def _read_on(self, fd: int, size: int, path: str) -> bytes | memoryview:
        """The whole of a file of which `size` bytes have been read: none, or all that there was
        room for at first.
        """
        info = os.fstat(fd)
        check_regular(path, info.st_mode)
        if info.st_size > self._limit:
            raise LargeFile(info.st_size, Stamp.of(info))
        view = self._view[self._at : self._at + self._most]
        while size < len(view) and (got := os.readv(fd, (view[size:],))) > 0:
            size += got
        if size == len(view) or size > self._limit:
            return _read_changed(fd, bytes(view[:size]), path, self._limit)
        self._took(self._at, size)
        return view[:size]
