"""Regular files: opening them, reading them at once or in parts, and every way it can go wrong.

Small files are read with as few system calls as they allow. Who reads which file how is in
open_document.py.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import Self

from vyre_dist.engine.content import Evidence, first_difference
from vyre_dist.engine.document import DocumentError
from vyre_dist.engine.tasks import Stamp
from vyre_dist.sources.document import problem_of

OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK

# what reading says of a directory, of a FIFO whose writer is silent, of a socket
_NO_FILE = frozenset({errno.EISDIR, errno.EAGAIN, errno.ENXIO})


class LargeFile(Exception):  # noqa: N818 - no error: the answer that a file has to be read in pieces
    """A file that is larger than the reader's limit. `size` in bytes."""

    def __init__(self, size: int, stamp: Stamp) -> None:
        super().__init__(size)
        self.size = size
        self.stamp = stamp


def open_file(open_path: str, path: str) -> int:
    """A descriptor of the file at `open_path`, called `path` in errors. Raises DocumentError."""
    try:
        return os.open(open_path, OPEN_FLAGS)
    except OSError as error:
        raise read_error(path, error) from error


def read_whole(open_path: str, path: str, planned: int, limit: int) -> bytes:
    """The bytes of a regular file as it is now.

    `planned` is its size when it was listed: if it is still that, four system calls do. A file that
    changed is read as it is, but not beyond `limit` bytes. Raises LargeFile for one that outgrew
    it, and DocumentError: vanished, permission, io-error, not-a-file, or changed (it says that it
    is no larger than the limit, and is).
    """
    fd = open_file(open_path, path)
    try:
        data = os.read(fd, planned + 1)
        # nothing where something was planned may be a FIFO that took the file's place; an empty
        # plan, a /proc file
        if len(data) == planned and planned > 0:
            return data
        return read_changed(fd, data, path, limit)
    except OSError as error:
        raise read_error(path, error) from error
    finally:
        os.close(fd)


def read_changed(fd: int, data: bytes, path: str, limit: int) -> bytes:
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


class FileDocument:
    """The first `size` bytes of an open regular file, which must stay as they are; it may grow.

    `stamp`: as planned, None when only the size is known. `evidence`: what its bytes were found to
    be; they are read again where times and size don't show that they still are.
    """

    def __init__(
        self,
        open_path: str,
        path: str,
        size: int,
        stamp: Stamp | None = None,
        evidence: Sequence[Evidence] = (),
    ) -> None:
        """Open it. Raises DocumentError: it can't be opened, is another file, or too short."""
        self.path = path
        self.size = size
        self._stamp = stamp
        self._evidence = evidence
        self._fd = open_file(open_path, path)
        try:
            self._look()
        except DocumentError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)

    def verify(self) -> None:
        """Raise DocumentError unless it is the planned file, with the bytes of the evidence."""
        if self._look():
            return
        changed = first_difference(self._evidence, self.read)
        if changed is not None:
            raise DocumentError(
                self.path,
                "changed",
                "the file was written to during the scan: its bytes "
                f"[{changed.start}, {changed.end}) are no longer what was scanned; scan it again",
            )

    def size_now(self) -> int:
        """See OpenDocument."""
        return os.fstat(self._fd).st_size

    def _look(self) -> bool:
        """Whether size and time are as planned. Raises DocumentError for another file."""
        now = os.fstat(self._fd)
        check_regular(self.path, now.st_mode)
        if self._stamp is not None and now.st_ino != self._stamp.inode:
            raise DocumentError(
                self.path, "changed", "another file took its place during the scan; scan it again"
            )
        if now.st_size < self.size:
            raise _shrank(self.path, now.st_size, self.size)
        if self._stamp is None or now.st_size != self.size:
            return now.st_size == self.size
        # who writes can set the time of the last write, but not that of the last change
        planned = self._stamp
        return now.st_mtime_ns == planned.mtime_ns and planned.ctime_ns in (0, now.st_ctime_ns)

    def read(self, start: int, end: int) -> bytes:
        """See Document."""
        try:
            data = os.pread(self._fd, end - start, start)
            while len(data) < end - start:
                more = os.pread(self._fd, end - start - len(data), start + len(data))
                if not more:
                    raise _shrank(self.path, start + len(data), self.size)
                data += more
        except OSError as error:
            raise read_error(self.path, error) from error
        return data

    def read_into(self, room: memoryview, start: int) -> None:
        """See OpenDocument."""
        done = 0
        try:
            while done < len(room):
                if not (got := os.preadv(self._fd, (room[done:],), start + done)):
                    raise _shrank(self.path, start + done, self.size)
                done += got
        except OSError as error:
            raise read_error(self.path, error) from error


def read_into(room: memoryview, open_path: str, path: str) -> int | None:
    """Read a regular file, as it is now, to its end; its size, or None if there is too little room.

    Raises DocumentError.
    """
    fd = open_file(open_path, path)
    try:
        info = os.fstat(fd)
        check_regular(path, info.st_mode)
        if info.st_size > len(room):
            return None
        size = 0
        # a file is at its end where a read gives nothing; files of /proc say that they have 0 bytes
        while size < len(room) and (got := os.readv(fd, (room[size:],))) > 0:
            size += got
        return None if size == len(room) and os.read(fd, 1) else size
    except OSError as error:
        raise read_error(path, error) from error
    finally:
        os.close(fd)


def _shrank(path: str, at: int, planned: int) -> DocumentError:
    detail = (
        f"the file shrank during the scan: it ends at {at}, planned were {planned} bytes; scan it "
        f"again"
    )
    return DocumentError(path, "changed", detail)


def check_regular(path: str, mode: int) -> None:
    """Raise DocumentError unless `mode` (of stat) is a regular file's."""
    if not stat.S_ISREG(mode):
        raise DocumentError(
            path, "not-a-file", f"it is no regular file any more (mode {stat.S_IFMT(mode):o})"
        )


def read_error(path: str, error: OSError) -> DocumentError:
    """An OSError from opening or reading, as the DocumentError that the report lists."""
    if error.errno in _NO_FILE:
        return DocumentError(
            path, "not-a-file", f"it is no regular file any more: {error.strerror}"
        )
    problem = problem_of(path, error)
    return DocumentError(path, problem.reason, problem.detail)
