"""AtomicFile: a file that appears at its destination only when it is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from typing import BinaryIO

from vyre_dist.leftovers import Fate, beginning, lock, remove_of, unfinished_name

INCOMPLETE = ".incomplete"
"""What is appended to the destination's name when a file is set aside."""

_LONGEST_NAME = 255
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class AtomicFile:
    """Write to `stream`, then call `commit`, `set_aside` or `abort`. A second call has no effect.

    Until then the bytes lie beside the destination under a temporary name. `mode`: that of a new
    file, less the umask; a file that is replaced hands on its own. `durable`: a committed file
    outlives a power failure. Raises OSError.
    """

    def __init__(self, destination: str, *, mode: int = 0o600, durable: bool = True) -> None:
        _check_replaceable(destination)
        self.destination = os.path.realpath(destination)  # a link keeps pointing at its file
        self._durable = durable
        fd, self._path = _create(self.destination, mode)
        self.stream: BinaryIO = open(fd, "wb", buffering=1 << 18)  # noqa: SIM115 (lives as long as this)

    def remove_leftovers(self) -> Sequence[str]:
        """Remove what dead writers of the same destination have left; returns the paths."""
        return remove_of(self.destination)

    def commit(self) -> None:
        """Put the file in its place."""
        self._publish(self.destination)

    def set_aside(self) -> str:
        """Put the file beside the destination, which keeps what it had; returns the path."""
        aside = incomplete_name(self.destination)
        self._publish(aside)
        return aside

    def _publish(self, path: str) -> None:
        try:
            self.stream.flush()
            fd = self.stream.fileno()
            self._take_mode(fd)
            if self._durable:
                os.fsync(fd)
            # closed last: the lock goes with it, and who gets the lock may remove the file
            os.replace(self._path, path)
            self.stream.close()
        except BaseException:
            self.abort()
            raise

    def _take_mode(self, fd: int) -> None:
        """Give the file the mode of the one that it replaces, if there is one."""
        try:
            wanted = stat.S_IMODE(os.stat(self.destination).st_mode)
        except FileNotFoundError:
            return
        now = stat.S_IMODE(os.fstat(fd).st_mode)
        try:
            if now != wanted:
                os.fchmod(fd, wanted)
        except OSError:
            # some file systems have no modes. That loses no file, unless others could read it
            if now & ~wanted & (stat.S_IRWXG | stat.S_IRWXO):
                raise

    def abort(self) -> None:
        """Drop the file; the destination keeps what it had."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        with contextlib.suppress(OSError):  # a full disk fails the flush
            self.stream.close()


def incomplete_name(destination: str) -> str:
    """Where a file for `destination` is put that is set aside."""
    directory, name = os.path.split(destination)
    if len(os.fsencode(name)) + len(INCOMPLETE) > _LONGEST_NAME:
        name = beginning(name)
    return os.path.join(directory, name + INCOMPLETE)


def _check_replaceable(path: str) -> None:
    """Refuse devices and pipes: a file that is renamed onto one would replace it."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "is no regular file, and would be replaced by one", path)


def _create(destination: str, mode: int) -> tuple[int, str]:
    """A new, locked file beside `destination`: its descriptor and path."""
    directory, name = os.path.split(destination)
    while True:
        path = os.path.join(directory, unfinished_name(name))
        try:
            fd = os.open(path, _FLAGS, mode)
        except FileExistsError:
            continue
        try:
            # before it was locked, somebody may have taken it for a leftover, and removed it
            if lock(fd) is not Fate.LIVE and os.path.samestat(os.stat(path), os.fstat(fd)):
                return fd, path
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise
        os.close(fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
