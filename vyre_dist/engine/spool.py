"""Spool: bytes that wait for their turn, in unlinked files."""

from __future__ import annotations

import os
from typing import IO, TypeAlias
from weakref import WeakSet

from vyre_dist.engine.filed import Filed
from vyre_dist.errors import UsageError
from vyre_dist.temporary import temporary_directory

SMALL_BYTES = 64 << 10
"""Less stays in memory: a file would save nothing."""
SMALL_PART_BYTES = 256
"""The same of one of a split document's parts."""
_FILE_BYTES = 64 << 20


_files: WeakSet[IO[bytes]] = WeakSet()


def _let_go() -> None:
    """Close in a forked child what its parent has: their room would be free when the child ends."""
    for file in list(_files):
        file.close()


os.register_at_fork(after_in_child=_let_go)


class Stored:
    """Bytes that a Spool has written. Their room on the disk is free when nobody holds them, nor
    what lies in the same file, any more.
    """

    __slots__ = ("_file", "_offset", "_size")

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file, self._offset, self._size = file, offset, size

    def __len__(self) -> int:
        return self._size

    def read(self) -> bytes:
        """The bytes."""
        data = b""
        while missing := self._size - len(data):
            more = os.pread(self._file.fileno(), missing, self._offset + len(data))
            if not more:
                raise OSError(f"a temporary file ends {missing} bytes too early")
            data = data + more if data else more
        return data


Kept: TypeAlias = bytes | Stored | Filed
"""Bytes, wherever they are."""


def bytes_of(kept: Kept) -> bytes:
    """The bytes themselves."""
    return kept if isinstance(kept, bytes) else kept.read()


class Spool:
    """Writes what is large to temporary files. They have no name, since they hold secrets: they are
    gone with this process, however it ends.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._end = 0
        self.trouble = ""
        """Why bytes stay in memory, if they do."""

    def keep_part(self, data: Kept) -> Kept:
        """The same of a split document's part. There may be as many as it takes until the last one
        is done: all but the smallest go to a file.
        """
        return self.keep(data, SMALL_PART_BYTES)

    def keep(self, data: Kept, small: int = SMALL_BYTES) -> Kept:
        """`data`, in a file if it is not `small` and there is room."""
        if not isinstance(data, bytes) or len(data) < small:
            return data
        try:
            return self._write(data)
        except (OSError, UsageError) as error:
            self.trouble = f"findings wait in memory, for want of a temporary file: {error}"
            self._file = None
            return data

    def _write(self, data: bytes) -> Stored:
        if self._file is None or self._end >= _FILE_BYTES:
            from tempfile import TemporaryFile  # with much behind it that small scans do without

            # closed when the last Stored is gone that lies in it
            self._file = TemporaryFile(buffering=0, dir=temporary_directory())  # noqa: SIM115
            self._end = 0
            _files.add(self._file)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        stored = Stored(self._file, self._end, len(data))
        self._end += len(data)
        return stored
