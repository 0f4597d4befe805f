"""Output: where a sink's bytes go. A file appears at its destination when it is whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Sequence
from typing import BinaryIO, Protocol, TextIO

from vyre_dist.atomic_file import AtomicFile
from vyre_dist.errors import UsageError
from vyre_dist.sinks.destination import STDOUT

_MOST_LINKS = 40
_MOST_DIGITS = 10


class OutputError(UsageError):
    """A destination cannot be written to; `destination` names it."""

    def __init__(self, destination: str, message: str) -> None:
        super().__init__(f"output {destination!r}: {message}")
        self.destination = destination


class Output(Protocol):
    """An open destination: write to `stream`, then call `commit` or `abort`."""

    stream: BinaryIO
    is_terminal: bool
    kept_at: str | None
    """Where the file is when it was committed after `give_up`; None for what is no file."""

    def remove_leftovers(self) -> Sequence[str]:
        """Remove the unfinished files that dead writers of the same destination have left; returns
        their paths.
        """

    def give_up(self) -> None:
        """Have `commit` leave the destination's older file alone: the run was given up."""

    def commit(self) -> None:
        """Put what was written in its place. Raises OSError."""

    def abort(self) -> None:
        """Drop what was written; a file destination keeps what it had."""

    def drop_stream(self) -> None:
        """After an error: drop what the stream still holds, so that the next flush does not fail
        again. Starting a process flushes.
        """


class _Direct:
    """An output that cannot be replaced as a whole: what was written to it stays."""

    kept_at: str | None = None

    def __init__(self, stream: BinaryIO, *, owned: bool) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self._owned = owned

    def remove_leftovers(self) -> Sequence[str]:
        return ()

    def give_up(self) -> None:
        pass

    def commit(self) -> None:
        self.stream.flush()
        if self._owned:
            self.stream.close()

    def abort(self) -> None:
        if self._owned:
            # the run has failed already, and this output with it
            with contextlib.suppress(OSError):
                self.stream.close()

    def drop_stream(self) -> None:
        if not self._owned:
            drop_stream(self.stream)


class _Replacing:
    """An output that replaces a file as a whole. Only its owner may read it: it holds secrets."""

    is_terminal = False

    def __init__(self, destination: str) -> None:
        self._file = AtomicFile(destination)
        self.stream = self._file.stream
        self._given_up = False
        self.kept_at: str | None = None

    def remove_leftovers(self) -> Sequence[str]:
        return self._file.remove_leftovers()

    def give_up(self) -> None:
        self._given_up = True

    def commit(self) -> None:
        if self._given_up:
            self.kept_at = self._file.set_aside()
        else:
            self._file.commit()

    def abort(self) -> None:
        self._file.abort()

    def drop_stream(self) -> None:
        pass


def drop_stream(stream: BinaryIO | TextIO) -> None:
    """Drop what a standard stream still holds, and whatever is written to it from now on."""
    try:
        number = stream.fileno()
    except OSError:  # it has no descriptor
        return
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, number)
    os.close(nowhere)
    stream.flush()


def _descriptor(destination: str) -> int | None:
    """The N of /dev/fd/N and /proc/self/fd/N, /dev/stdout, /dev/stderr and links to them; None for
    other names.
    """
    own = os.path.realpath("/proc/self/fd")
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(destination)
        # not further: such a link leads to the file that was opened
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
    """A name that all names of one destination share."""
    number = 1 if destination == STDOUT else _descriptor(destination)
    if number is None:
        return os.path.realpath(destination)
    return STDOUT if number == 1 else f"/dev/fd/{number}"


def _open_descriptor(number: int) -> BinaryIO:
    duplicate = os.dup(number)
    if fcntl.fcntl(duplicate, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        os.close(duplicate)
        raise OSError("it is closed, or open for reading only")
    return os.fdopen(duplicate, "wb")


def open_output(destination: str, stdout: BinaryIO) -> Output:
    """Open a path, or `stdout` for "-". Raises OutputError where that cannot be done.

    Devices, pipes and sockets (/dev/null, a named pipe) are written to directly: renaming a file
    onto them would replace them. What is open already (/dev/stdout, /dev/fd/N) is written to
    directly as well: it may be a file that others append to.
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
