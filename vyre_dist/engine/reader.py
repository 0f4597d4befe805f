"""Reading whole files for the scan: as few system calls as a small file allows, and every way it can go wrong.

Pieces of big files go through FileDocument; this is the path that tens of thousands of small files take.
"""

from __future__ import annotations

import mmap
import os

from vyre_dist.engine.document import DocumentError, check_regular, read_error

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


def read_whole(open_path: str, path: str, planned: int, limit: int) -> bytes:
    """The bytes of a regular file as it is now.

    `planned` is its size when it was listed: if it is still that, four system calls do. A file that changed
    is read as it is, but not beyond `limit` bytes. Raises DocumentError: vanished, permission, io-error,
    not-a-file, or changed (it outgrew the limit).
    """
    try:
        fd = os.open(open_path, _FLAGS)
    except OSError as error:
        raise read_error(path, error) from error
    try:
        data = os.read(fd, planned + 1)
        # nothing where something was planned may be a FIFO that took the file's place; an empty plan, a /proc file
        if len(data) == planned and planned > 0:
            return data
        return _read_changed(fd, data, path, limit)
    except OSError as error:
        raise read_error(path, error) from error
    finally:
        os.close(fd)


def _read_changed(fd: int, data: bytes, path: str, limit: int) -> bytes:
    check_regular(path, os.fstat(fd).st_mode)
    parts = [data]
    total = len(data)
    while data:
        if total > limit:
            raise DocumentError(
                path, "changed", f"the file outgrew {limit} bytes during the scan; scan it again"
            )
        data = os.read(fd, 1 << 20)
        parts.append(data)
        total += len(data)
    return b"".join(parts)


# enough for nearly every file; of one that fills it, the size is looked up before more is read
_FIRST_READ = 1 << 20


class LargeFile(Exception):  # noqa: N818 - no error: the answer that a file has to be read in pieces
    """A file that is larger than the reader's limit. `size` in bytes, `stamp` as Piece has it."""

    def __init__(self, size: int, stamp: tuple[int, int]) -> None:
        super().__init__(size)
        self.size = size
        self.stamp = stamp


class Arena:
    """Memory that files are read into one behind the other, and that is used again and again.

    It has room for `batch_bytes` of files and one of `limit` bytes behind them; pages that no file reached cost
    nothing.
    """

    def __init__(self, batch_bytes: int, limit: int) -> None:
        self._limit = limit
        # private: an engine may be made before its process forks, and the workers must not share it
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._view = memoryview(mmap.mmap(-1, batch_bytes + limit + 1, flags=flags))
        self._batch_bytes = batch_bytes
        self._at = 0

    def clear(self) -> None:
        """Begin at the start: what was read before is overwritten."""
        self._at = 0

    @property
    def full(self) -> bool:
        """Whether `batch_bytes` have been read since `clear`; do not read more then."""
        return self._at >= self._batch_bytes

    def read(self, path: str) -> memoryview:
        """The bytes of the regular file at `path` as they are now, good until `clear`.

        A file is at its end where a read gives nothing: fewer bytes than there was room for may also mean an
        error that the next read will tell. Raises LargeFile, and DocumentError: vanished, permission,
        io-error, not-a-file, or changed (it says that it is no larger than the limit, and is).
        """
        at, view = self._at, self._view
        try:
            fd = os.open(path, _FLAGS)
        except OSError as error:
            raise read_error(path, error) from error
        try:
            end = at + os.readv(fd, (view[at : at + _FIRST_READ],))
            if end == at:
                # also what a FIFO gives that took the file's place
                check_regular(path, os.fstat(fd).st_mode)
                return view[at:at]
            if end - at > self._limit or (end - at == _FIRST_READ and os.fstat(fd).st_size > self._limit):
                self._refuse(fd, path)
            while more := os.read(fd, 1):
                view[end : end + 1] = more
                end += 1 + os.readv(fd, (view[end + 1 :],))
                if end - at > self._limit:
                    self._refuse(fd, path)
        except OSError as error:
            raise read_error(path, error) from error
        finally:
            os.close(fd)
        self._at = end
        return view[at:end]

    def _refuse(self, fd: int, path: str) -> None:
        info = os.fstat(fd)
        check_regular(path, info.st_mode)
        if info.st_size > self._limit:
            raise LargeFile(info.st_size, (info.st_mtime_ns, info.st_ino))
        raise DocumentError(
            path, "changed", f"the file outgrew {self._limit} bytes during the scan; scan it again"
        )
