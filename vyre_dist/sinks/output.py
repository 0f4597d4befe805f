"""Where a sink's bytes go: standard output, a special file, or a file that appears only when it is whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import sys
from typing import BinaryIO, Protocol

from vyre_dist.errors import UsageError
from vyre_dist.own_files import SUFFIX

STDOUT = "-"
_MOST_LINKS = 40
_MOST_DIGITS = 10
_NAME_BYTES = 100


class OutputError(UsageError):
    """A destination cannot be written to; `destination` names it."""

    def __init__(self, destination: str, message: str) -> None:
        super().__init__(f"output {destination!r}: {message}")
        self.destination = destination


class Output(Protocol):
    """An open destination: write to `stream`, then `commit`, or `abort` to leave things as they were."""

    stream: BinaryIO
    is_terminal: bool

    def commit(self) -> None:
        """Make what was written count. Raises OSError."""

    def abort(self) -> None:
        """Give up; a file destination keeps what it had."""


class _Direct:
    """A stream that cannot be replaced as a whole; what was written to it stays."""

    def __init__(self, stream: BinaryIO, *, owned: bool) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self._owned = owned

    def commit(self) -> None:
        self.stream.flush()
        if self._owned:
            self.stream.close()

    def abort(self) -> None:
        if self._owned:
            with contextlib.suppress(OSError):  # the run has failed already, and this output with it
                self.stream.close()


class _Replacing:
    """A temporary file beside the destination, renamed onto it at the end.

    It is readable by its owner only, as findings are secrets; a file that is replaced hands on its mode.
    """

    is_terminal = False

    def __init__(self, destination: str) -> None:
        import tempfile

        self._destination = os.path.realpath(destination)  # a link keeps pointing at its file
        directory, name = os.path.split(self._destination)
        fd, self._temporary = tempfile.mkstemp(prefix=f".{_beginning(name)}.", suffix=SUFFIX, dir=directory)
        self.stream: BinaryIO = open(fd, "wb", buffering=1 << 18)  # noqa: SIM115 (lives as long as the sink)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(fd, stat.S_IMODE(os.stat(self._destination).st_mode))
        except BaseException:
            self.abort()
            raise

    def commit(self) -> None:
        try:
            self.stream.flush()
            os.fsync(self.stream.fileno())
            self.stream.close()
            os.replace(self._temporary, self._destination)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        with contextlib.suppress(OSError):  # a full disk fails the flush; the file goes all the same
            self.stream.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary)


def _beginning(name: str) -> str:
    """As much of a file's name as leaves room for what is put around it; no half characters."""
    return os.fsencode(name)[:_NAME_BYTES].decode(sys.getfilesystemencoding(), "ignore")


def _descriptor(destination: str) -> int | None:
    """N for /dev/fd/N and /proc/self/fd/N, for /dev/stdout and /dev/stderr, and for links to them; else None."""
    own = os.path.realpath("/proc/self/fd")
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(destination)
        # as far as here and no further: what such a link leads to is the file that was opened
        if (
            name.isascii()
            and name.isdecimal()
            and len(name) < _MOST_DIGITS
            and os.path.realpath(folder) == own
        ):
            return int(name)
        try:
            destination = os.path.join(folder, os.readlink(destination))
        except OSError:
            return None
    return None


def identity(destination: str) -> str:
    """The same for two destinations that are one, by whatever name."""
    number = 1 if destination == STDOUT else _descriptor(destination)
    if number is None:
        return os.path.realpath(destination)
    return STDOUT if number == 1 else f"/dev/fd/{number}"


def _open_descriptor(number: int) -> BinaryIO:
    duplicate = os.dup(number)
    if fcntl.fcntl(duplicate, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        os.close(duplicate)
        raise OSError("it is open for reading only")
    return os.fdopen(duplicate, "wb")


def open_output(destination: str, stdout: BinaryIO) -> Output:
    """Open a path, or `stdout` for "-". Raises OutputError where it cannot be.

    Devices, pipes and sockets (/dev/null, a named pipe) are written to directly: renaming a file onto them would
    replace them. So is what is open already (/dev/stdout, /dev/fd/N), whatever it is: it may be a file that others
    append to.
    """
    if destination == STDOUT:
        return _Direct(stdout, owned=False)
    try:
        if (number := _descriptor(destination)) is not None:
            return _Direct(_open_descriptor(number), owned=True)
        try:
            mode = os.stat(destination).st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        if stat.S_ISDIR(mode):
            raise OutputError(destination, "is a directory; name a file in it")
        if not stat.S_ISREG(mode):
            return _Direct(open(destination, "wb"), owned=True)
        return _Replacing(destination)
    except OSError as error:
        raise OutputError(destination, f"cannot be written: {error.strerror or error}") from error
