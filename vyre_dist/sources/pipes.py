"""Named pipes as documents: reads FIFOs that the user named, as in `scan <(command)`, to their end
before the scan begins.

It reads all at the same time: a program that writes to several of them would wait for ever if they
were read one after the other.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vyre_dist.input_problem import InputProblem
from vyre_dist.sources.document import DocumentRef, problem_of
from vyre_dist.sources.lists import SpoolError, unnamed_file

FileId = tuple[int, int]
"""(device, inode)"""
Pipes = Mapping[FileId, "DocumentRef | InputProblem | None"]
"""The document or problem of each pipe; None: it was yielded already."""

_CHUNK = 1 << 20
_PATIENCE_SECONDS = 2.0


@dataclass(slots=True)
class _Pipe:
    """A pipe that is being read. `size`: bytes so far. `begun`: it has, or had, a writer."""

    path: str
    fd: int
    copy: int
    size: int = 0
    begun: bool = False


def pipe_id(path: str | int) -> FileId | None:
    """The identity of the pipe at `path`, or of an open one; None for anything else."""
    try:
        info = os.stat(path)
    except (OSError, ValueError):  # whoever opens it reports it
        return None
    return (info.st_dev, info.st_ino) if stat.S_ISFIFO(info.st_mode) else None


@contextlib.contextmanager
def spool_pipes(
    paths: Sequence[str], directory: str, waiting: Callable[[Sequence[str]], None] = lambda _: None
) -> Iterator[dict[FileId, DocumentRef | InputProblem | None]]:
    """Read those of `paths` that are pipes, each once, until their writers are gone. Copies them as
    spool_stdin does.

    After two seconds `waiting` is called once, with the pipes that nobody has opened for writing. A
    pipe that can't be opened is a problem. Raises SpoolError if `directory` cannot take a copy.
    """
    found: dict[FileId, DocumentRef | InputProblem | None] = {}
    with contextlib.ExitStack() as stack:
        pipes: dict[FileId, _Pipe] = {}
        for path in paths:
            identity = pipe_id(path)
            if identity is None or identity in found or identity in pipes:
                continue
            try:
                # opened without waiting for a writer; poll tells when there is one
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                found[identity] = problem_of(path, error)
                continue
            stack.callback(os.close, fd)
            try:
                copy = unnamed_file(directory)
            except OSError as error:
                raise SpoolError(path, directory, 0, error) from error
            stack.callback(os.close, copy)
            pipes[identity] = _Pipe(path, fd, copy)
        _read_all(list(pipes.values()), directory, waiting)
        for identity, pipe in pipes.items():
            info = os.fstat(pipe.copy)
            open_path = f"/proc/{os.getpid()}/fd/{pipe.copy}"
            found[identity] = DocumentRef(
                pipe.path, info.st_size, info.st_mtime_ns, info.st_ino, open_path, "stdin"
            )
        yield found


def _read_all(
    pipes: Sequence[_Pipe], directory: str, waiting: Callable[[Sequence[str]], None]
) -> None:
    poll = select.poll()
    by_fd = {pipe.fd: pipe for pipe in pipes}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    patient_until: float | None = time.monotonic() + _PATIENCE_SECONDS
    while by_fd:
        left = None if patient_until is None else max(0.0, patient_until - time.monotonic())
        for fd, _ in poll.poll(None if left is None else left * 1000 + 1):
            if not _read_some(by_fd[fd], directory):
                poll.unregister(fd)
                del by_fd[fd]
        if patient_until is not None and time.monotonic() >= patient_until:
            patient_until = None
            if silent := [pipe.path for pipe in by_fd.values() if not pipe.begun]:
                waiting(silent)


def _read_some(pipe: _Pipe, directory: str) -> bool:
    """Copy what has come; False at the end."""
    pipe.begun = True
    try:
        chunk = os.read(pipe.fd, _CHUNK)
    except BlockingIOError:  # another process has taken it
        return True
    view = memoryview(chunk)
    try:
        while view:
            written = os.write(pipe.copy, view)
            pipe.size += written
            view = view[written:]
    except OSError as error:
        raise SpoolError(pipe.path, directory, pipe.size, error) from error
    return bool(chunk)
