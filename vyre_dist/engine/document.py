"""Document: random access to one document's bytes, wherever they are, and how it is cut into
windows.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import Protocol

from vyre_dist.engine.content import Evidence, first_difference
from vyre_dist.engine.tasks import Stamp
from vyre_dist.errors import VyreError
from vyre_dist.extract import Window
from vyre_dist.sources.document import problem_of

# what reading says of a directory, of a FIFO whose writer is silent, of a socket
_NO_FILE = frozenset({errno.EISDIR, errno.EAGAIN, errno.ENXIO})


class DocumentError(VyreError):
    """A document could not be read to its end. `reason` is one of the sources' reason codes,
    `detail` for people.
    """

    def __init__(self, path: str, reason: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.reason = reason
        self.detail = detail


class Document(Protocol):
    """What the engine needs of a document."""

    path: str
    size: int

    def read(self, start: int, end: int) -> bytes:
        """Exactly the bytes [start, end). Raises DocumentError when they can't be had."""
        ...

    def verify(self) -> None:
        """Raise DocumentError if the document is not what it was when it was opened."""
        ...


class BytesDocument:
    """A document in memory."""

    def __init__(self, data: bytes, path: str) -> None:
        self.data = data
        self.path = path
        self.size = len(data)

    def read(self, start: int, end: int) -> bytes:
        """See Document."""
        return self.data if (start, end) == (0, self.size) else self.data[start:end]

    def verify(self) -> None:
        """See Document: bytes do not change."""


class MemoryDocument:
    """A document in memory that belongs to somebody else: only what is asked for is copied."""

    def __init__(self, data: memoryview, path: str) -> None:
        self._data = data
        self.path = path
        self.size = len(data)

    def read(self, start: int, end: int) -> bytes:
        """See Document."""
        return bytes(self._data[start:end])

    def verify(self) -> None:
        """See Document: whoever lends the bytes keeps them as they are."""


class FileDocument:
    """The first `size` bytes of an open regular file, planned as a document. It may grow; they must
    stay as they were. Close it, or use `with`.

    `stamp`: as planned, None when only the size is known.
    `evidence`: what its bytes were found to be; they are read again where times and size don't show
    that they still are.
    """

    def __init__(
        self,
        open_path: str,
        path: str,
        size: int,
        stamp: Stamp | None = None,
        evidence: Sequence[Evidence] = (),
    ) -> None:
        """Open it. Raises DocumentError: it can't be opened, is another file than was planned, or
        too short.
        """
        self.path = path
        self.size = size
        self._stamp = stamp
        self._evidence = evidence
        try:
            self._fd = os.open(open_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise read_error(path, error) from error
        try:
            self._look()
        except DocumentError:
            self.close()
            raise

    def __enter__(self) -> FileDocument:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)

    def verify(self) -> None:
        """Raise DocumentError unless the planned bytes are still what the evidence says, and the
        file is the one planned.
        """
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

    def grown_to(self) -> int:
        """The file's size now."""
        return os.fstat(self._fd).st_size

    def _look(self) -> bool:
        """Whether size and time are as planned. Raises DocumentError for another file, and for one
        that is shorter.
        """
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
        """The bytes from `start` on, as many as there is room for. Raises DocumentError."""
        done = 0
        try:
            while done < len(room):
                if not (got := os.preadv(self._fd, (room[done:],), start + done)):
                    raise _shrank(self.path, start + done, self.size)
                done += got
        except OSError as error:
            raise read_error(self.path, error) from error


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


def window_of(
    document: Document,
    start: int,
    end: int,
    overlap: int,
    data: memoryview | None = None,
    place: int = -1,
) -> Window:
    """The window that owns the match starts [start, end) of `document`.

    `overlap`: bytes needed after the last owned start (CompiledPack.overlap). `data`: what
    window_bounds says, where it has been read already, and its place (see Window).
    """
    base, stop = window_bounds(document, start, end, overlap)
    held = document.read(base, stop) if data is None else data
    return Window(
        held, base, start - base, min(end, document.size) - base, end >= document.size, place
    )


def window_bounds(document: Document, start: int, end: int, overlap: int) -> tuple[int, int]:
    """What of `document` the window that owns [start, end) holds."""
    return bounds_of(document.size, start, end, overlap)


def bounds_of(size: int, start: int, end: int, overlap: int) -> tuple[int, int]:
    """The same of a document of `size` bytes."""
    return max(0, start - 1), min(size, end + overlap)
