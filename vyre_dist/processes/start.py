"""Starting a child: spawned, or forked where that is safe. Signals are blocked meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Protocol

from vyre_dist.processes.child import Child, ChildProcess
from vyre_dist.processes.serve import let_signals_through
from vyre_dist.processes.signals import signals_blocked


class Closable(Protocol):
    """An open end of something."""

    def close(self) -> None: ...


def with_pipe(start: Callable[[Connection, Connection], ChildProcess]) -> Child:
    """A child at the other end of a pipe. Raises OSError.

    `start`: is given our end and the child's.
    """
    ours, theirs = Pipe()
    try:
        process = start(ours, theirs)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Child(process, ours)


def spawn(target: Callable[..., None], arguments: Iterable[object], name: str) -> Child:
    """A new interpreter that calls `target` with the child's connection and `arguments`.

    Not forked: a fork may not use CUDA once its parent has, and not while it has threads.
    """

    def start(_: Connection, theirs: Connection) -> ChildProcess:
        process = multiprocessing.get_context("spawn").Process(
            target=_spawned, args=(target, theirs, *arguments), name=name, daemon=True
        )
        process.start()
        return process

    with signals_blocked(spawns=True):
        return with_pipe(start)


def _spawned(target: Callable[..., None], *arguments: object) -> None:
    let_signals_through()
    target(*arguments)


def fork(
    target: Callable[[Connection], None],
    name: str,
    not_theirs: Iterable[Closable],
) -> Child:
    """A copy of this process that calls `target` with the child's connection. Raises OSError.

    `not_theirs`: what the child closes first. While it held a copy of the other children's
    connections, these would not see their parent die.
    """

    def start(ours: Connection, theirs: Connection) -> ChildProcess:
        process = multiprocessing.get_context("fork").Process(
            target=_forked, args=(target, theirs, [ours, *not_theirs]), name=name, daemon=True
        )
        # forked children have our handlers, too, until they have dropped them
        with signals_blocked(spawns=False), warnings.catch_warnings():
            # Python 3.12 warns of any thread; those that there are, NumPy's, know how to live with
            # a fork
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
            _start_fork(process)
        return process

    return with_pipe(start)


def _forked(
    target: Callable[[Connection], None], theirs: Connection, not_theirs: Iterable[Closable]
) -> None:
    let_signals_through()
    for each in not_theirs:
        each.close()
    target(theirs)


def _start_fork(process: multiprocessing.process.BaseProcess) -> None:
    """Start a forked process; where that fails, close the pipes that were made for it.

    multiprocessing leaves them open, and with one attempt after the other they would take all the
    files that this process may have.
    """
    before = _open_files()
    room_to_look = os.open(os.devnull, os.O_RDONLY)
    try:
        process.start()
    except OSError:
        os.close(room_to_look)
        for file in _open_files() - before:
            os.close(file)
        raise
    os.close(room_to_look)


def _open_files() -> set[int]:
    listed = set(map(int, os.listdir("/proc/self/fd")))
    # the listing's own is closed by now
    return {file for file in listed if os.path.exists(f"/proc/self/fd/{file}")}
