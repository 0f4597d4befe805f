"""Where a sink's bytes go: standard output, a special file, or a file that appears only when it is whole."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import BinaryIO, Protocol

from vyre_dist.errors import UsageError
from vyre_dist.own_files import SUFFIX

STDOUT = "-"


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
        fd, self._temporary = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=SUFFIX, dir=directory)
        self.stream: BinaryIO = open(fd, "wb", buffering=1 << 18)  # noqa: SIM115 (lives as long as the sink)
        with contextlib.suppress(FileNotFoundError):
            os.fchmod(fd, stat.S_IMODE(os.stat(self._destination).st_mode))

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


def open_output(destination: str, stdout: BinaryIO) -> Output:
    """Open a path, or `stdout` for "-". Raises OutputError where it cannot be.

    Devices, pipes and sockets (/dev/stdout, /dev/null, a named pipe) are written to directly: renaming a
    file onto them would replace them.
    """
    if destination == STDOUT:
        return _Direct(stdout, owned=False)
    try:
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
