"""ReadBuffer: memory that tens of thousands of small files are read into, one behind the other.

ReusedMemory is what it is made of; pieces of large files are read into one, too.
"""

from __future__ import annotations

import functools
import itertools
import mmap
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from vyre_dist.engine.files import (
    OPEN_FLAGS,
    LargeFile,
    check_regular,
    open_file,
    read_changed,
    read_error,
)
from vyre_dist.engine.tasks import Stamp
from vyre_dist.extract.file_windows import FileWindows

_ALIGNMENT = 16
"""An arena's (compiler/arena.py), which takes longer to import than a small scan to run."""
_NEWLINE = 0x0A

_MOST_AT_ONCE, _FEWEST_AT_ONCE = 64, 8
"""Files of a folder that are open at the same time; few after one that took more care."""
# a folder is only passed through, and whoever may do that need not be allowed to list it
_FOLDER_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_PATH, _MOST_NAME = 4096, 256
"""Bytes of a path that the kernel takes, and of a name in it."""
_FROM_START, _TO_END = itertools.repeat(0), itertools.repeat(os.SEEK_END)


def _private_memory(size: int) -> memoryview:
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        # as of other memory, and not an error of the file that is being read
        raise MemoryError(f"{size >> 20} MiB to read into: {error.strerror}") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # this kernel has no huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


class ReusedMemory:
    """`size` bytes that are given out from their start, again and again.

    New memory costs a page fault for every 4 KiB, which takes longer than to read them. `allocate`:
    gives the memory, when it is first needed; there is twice as much then, so that one half is read
    while the other is filled. `position`: where in it the latest room lies.
    """

    def __init__(self, size: int, allocate: Callable[[int], memoryview] | None = None) -> None:
        self._size = -(-size // _ALIGNMENT) * _ALIGNMENT
        self._halves = 2 if allocate else 1
        self._alignment = _ALIGNMENT if allocate else 1
        self._allocate = allocate or _private_memory
        self._low = self._at = self.position = 0

    @functools.cached_property
    def _view(self) -> memoryview:
        # not before its process has forked, if it will: the workers must not share it
        return self._allocate(self._size * self._halves)

    def take(self, size: int) -> memoryview | None:
        """Room for `size` bytes that somebody else reads; None if there is too little left."""
        at = self._at
        if at + size > self._low + self._size:
            return None
        self._took(at, size)
        return self._view[at : at + size]

    def _took(self, at: int, size: int) -> None:
        self.position = at
        self._at = -(-(at + size) // self._alignment) * self._alignment

    def clear(self) -> None:
        """Begin anew, in the other half where there are two: what was read there is overwritten.

        Due when what was read before the latest `clear` (where there is one half: what was read) is
        not wanted any more.
        """
        if self._halves == 2:
            self._low = self._size - self._low
        self._at = self._low

    def restart(self) -> None:
        """Begin anew in the half that is being filled: what was read there is not wanted."""
        self._at = self._low


class ReadBuffer(ReusedMemory):
    """Memory for one file behind the other. A file for which too little is left gets its own.

    `limit`: the largest file to read at once. Room is for `batch_bytes` of files, after which
    `clear` is due, and one more of up to 16 MiB.
    """

    _AT_FIRST = 1 << 20  # enough for nearly every file; of one that fills it, the size is looked up
    _MOST = 16 << 20  # a larger file gets memory of its own

    def __init__(
        self, batch_bytes: int, limit: int, allocate: Callable[[int], memoryview] | None = None
    ) -> None:
        self._limit = limit
        self._most = max(self._AT_FIRST, min(limit, self._MOST))
        self._largest = min(self._AT_FIRST - 1, limit)
        self._at_once = _MOST_AT_ONCE
        super().__init__(batch_bytes + self._most + 1, allocate)

    def read(self, path: str) -> bytes | memoryview:
        """The bytes of the regular file at `path` as they are now; a view is good until `clear`.

        A file is at its end where a read gives nothing: fewer bytes than there was room for may
        also mean an error that the next read will tell. Raises LargeFile, and DocumentError:
        vanished, permission, io-error, not-a-file, or changed (it says that it is no larger than
        the limit, and is).
        """
        at = self._at
        fd = open_file(path, path)
        try:
            view = self._view[at : min(at + self._AT_FIRST, self._low + self._size)]
            size = os.readv(fd, (view,))
            if not 0 < size < len(view) or size > self._limit:
                # also what a FIFO gives that took the file's place, nothing, and what the memory's
                # end has room for
                return self._read_on(fd, size, path)
            if more := os.read(fd, 1):
                return read_changed(fd, bytes(view[:size]) + more, path, self._limit)
            self._took_file(at, size)
            return view[:size]
        except OSError as error:
            raise read_error(path, error) from error
        finally:
            os.close(fd)

    def _read_on(self, fd: int, size: int, path: str) -> bytes | memoryview:
        """The whole of a file of which `size` bytes have been read: none, or all that fitted."""
        info = os.fstat(fd)
        check_regular(path, info.st_mode)
        if info.st_size > self._limit:
            raise LargeFile(info.st_size, Stamp.of(info))
        view = self._view[self._at : min(self._at + self._most, self._low + self._size)]
        while size < len(view) and (got := os.readv(fd, (view[size:],))) > 0:
            size += got
        if size == len(view) or size > self._limit:
            return read_changed(fd, bytes(view[:size]), path, self._limit)
        self._took_file(self._at, size)
        return view[:size]

    def _took_file(self, at: int, size: int) -> None:
        """Have a newline stand behind it; there was room for more than the file."""
        self._view[at + size] = _NEWLINE
        self._took(at, size + 1)

    def read_files(
        self,
        prefix: str,
        names: Sequence[bytes],
        first: int,
        last: int,
        windows: FileWindows,
        room: int,
    ) -> int:
        """Read the files `prefix` + name, of `names` [first, last), and add them to `windows`.

        All of these, or until they have `room` bytes or more, or one takes more care: `read` may
        be able to read that, or tells what is wrong with it. Returns the number of the first that
        was not read.
        """
        windows.memory, windows.joined = self._view, self._alignment == 1
        full = min(self._at + room, self._low + self._size - self._AT_FIRST)
        try:
            folder = _Folder(prefix)
        except OSError:
            return first  # `read` meets it again, and tells
        try:
            while first < last and self._at < full:
                chunk = names[first : min(last, first + self._at_once)]
                read = self._read_chunk(folder, chunk, windows, full)
                first += read
                if read < len(chunk):
                    if self._at < full:
                        # what was opened behind it will be opened once more
                        self._at_once = _FEWEST_AT_ONCE
                    break
                self._at_once = min(2 * self._at_once, _MOST_AT_ONCE)
        finally:
            folder.close()
        return first

    def _read_chunk(
        self, folder: _Folder, names: Sequence[bytes], windows: FileWindows, full: int
    ) -> int:
        """Read files until the memory is taken up to `full`, or one takes more care; how many.

        This is done for each of a tree's files. So each call is made for all of them in turn, and
        nothing is done between two calls that can be done for all.
        """
        memory, alignment, at, largest = self._view, self._alignment, self._at, self._largest
        fds: list[int] = []
        sizes: list[int] = []
        got: list[int] = []
        starts: list[int] = []
        ends: list[int] = []
        views: list[tuple[memoryview]] = []
        try:
            with suppress(OSError):  # `read` meets it again, and tells
                fds.extend(map(folder.open, names))
            with suppress(OSError):  # it is no file
                sizes.extend(map(os.lseek, fds, _FROM_START, _TO_END))
            for size in sizes:
                if not 0 < size <= largest or at >= full:
                    break
                starts.append(at)
                end = at + size
                ends.append(end)
                # a file that has grown meanwhile fills one byte more
                views.append((memory[at : end + 1],))
                at = -(-end // alignment) * alignment if alignment > 1 else end + 1
            with suppress(OSError):
                got.extend(map(os.preadv, fds, views, _FROM_START))
        finally:
            _close_all(fds)
        # fewer bytes than it has: an error, which the next read tells, or it shrank
        read = len(got)
        if got != sizes[:read]:
            read = next(i for i, size in enumerate(got) if size != sizes[i])
        if read < len(starts):
            at = starts[read]
            del starts[read:], ends[read:]
        if alignment == 1:
            for end in ends:
                memory[end] = _NEWLINE
        windows.starts += starts
        windows.ends += ends
        self._at = at
        return read


class _Folder:
    """A folder whose files are opened one after the other. Raises OSError."""

    def __init__(self, prefix: str) -> None:
        """`prefix`: what stands before a file's name in its path."""
        before = os.fsencode(prefix)
        self._directory: int | None = None
        self.open: Callable[[bytes], int]
        # a path that is too long is too long for its reader, too
        if before.endswith(b"/") and len(before) < _MOST_PATH - _MOST_NAME:
            self._directory = os.open(before, _FOLDER_FLAGS)
            self.open = functools.partial(os.open, flags=OPEN_FLAGS, dir_fd=self._directory)
        else:
            self.open = lambda name: os.open(before + name, OPEN_FLAGS)

    def close(self) -> None:
        """Let go of the folder."""
        if self._directory is not None:
            os.close(self._directory)


def _close_all(fds: Sequence[int]) -> None:
    """Close descriptors, which follow each other but for what takes the place of closed ones."""
    first, count = 0, len(fds)
    while first < count and fds[first:] != list(range(fds[first], fds[first] + count - first)):
        os.close(fds[first])
        first += 1
    if first < count:
        os.closerange(fds[first], fds[-1] + 1)
