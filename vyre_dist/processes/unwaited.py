"""Processes that nobody waits for: killed when they are of no use any more, and left.

Python waits for each process of multiprocessing when it ends. One that is inside a driver may take
most of a second to die, which is longer than many a scan.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from multiprocessing.spawn import get_executable
from typing import NoReturn

from vyre_dist.import_path import guarded_children
from vyre_dist.processes.child import Child
from vyre_dist.processes.serve import let_signals_through
from vyre_dist.processes.signals import signals_blocked
from vyre_dist.processes.start import Closable, with_pipe

# As fork_server.py's: neither the working directory nor its parent's main module is for it.
_BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[4:]; "
    "from vyre_dist.processes.unwaited import run; run(*sys.argv[1:4])"
)

_left: list[UnwaitedProcess] = []
"""Those that had not ended when they were closed: each start looks whether they have."""


class UnwaitedProcess:
    """A ChildProcess. `alive`: an open file, at its end when the process is gone. `ended`: its exit
    code, once it has one.
    """

    def __init__(self, pid: int, alive: int, ended: Callable[[], int | None]) -> None:
        self._pid, self._alive, self._ended = pid, alive, ended
        self._code: int | None = None

    @property
    def pid(self) -> int | None:
        """Its number."""
        return self._pid

    @property
    def exitcode(self) -> int | None:
        """As multiprocessing has it: negative for a signal. None: not ended yet."""
        if self._code is None:
            self._code = self._ended()
        return self._code

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds."""
        poll = select.poll()
        poll.register(self._alive, select.POLLIN)
        if self._code is None and poll.poll(None if timeout is None else 1000 * timeout):
            # it has closed its files: of what ends a process that is the last that takes its time
            with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
                os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)

    def terminate(self) -> None:
        """SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Hear no more of it. Who has not ended yet is reaped when the next process is started."""
        os.close(self._alive)
        if self.exitcode is None:
            _left.append(self)

    def _signal(self, number: signal.Signals) -> None:
        if self.exitcode is None:
            os.kill(self._pid, number)


def fork_unwaited(target: Callable[[Connection], None], not_theirs: Iterable[Closable]) -> Child:
    """A copy of this process that calls `target` with the child's connection. Raises OSError.

    `not_theirs`: what the child closes first. Only where no other thread holds a lock that the
    child needs.
    """

    def start(ours: Connection, theirs: Connection) -> UnwaitedProcess:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError):  # there is none, or it is closed
                stream.flush()
        alive, held = os.pipe()
        try:
            pid = _fork()
        except BaseException:
            os.close(alive)
            raise
        finally:
            if os.getpid() == parent:
                os.close(held)
        if pid == 0:
            _live(target, theirs, (ours, *not_theirs), alive)
        return UnwaitedProcess(pid, alive, lambda: _exit_code(pid))

    parent = os.getpid()
    _reap()
    with signals_blocked(spawns=False):
        return with_pipe(start)


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of any thread; those that there are, NumPy's, know how to live with it
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
        return os.fork()


def _live(
    target: Callable[[Connection], None],
    theirs: Connection,
    not_theirs: Iterable[Closable],
    alive: int,
) -> NoReturn:
    """A forked child's life: it never returns into its parent's code."""
    code = 1
    try:
        os.close(alive)
        for each in not_theirs:
            each.close()
        let_signals_through()
        target(theirs)
        code = 0
    except BaseException:  # noqa: BLE001 - see above
        import traceback  # 2 ms, which a scan need not spend

        traceback.print_exc()
    finally:
        with contextlib.suppress(AttributeError, ValueError, OSError):
            sys.stderr.flush()
        os._exit(code)


def start_unwaited(target: Callable[[Connection, bytes], None], load: bytes) -> Child:
    """A new interpreter that calls `target`, a function of a module, with the child's connection
    and `load`. Raises OSError.

    Not forked: a fork may not use CUDA once its parent has, and not while it has threads.
    """
    # not through a pipe: whoever starts it would wait until it has read that
    loaded = os.memfd_create("vyre-load", os.MFD_CLOEXEC)

    def start(_: Connection, theirs: Connection) -> UnwaitedProcess:
        alive, held = os.pipe()
        files = (theirs.fileno(), loaded)
        path = [folder for folder in sys.path if os.path.isabs(folder)]
        name = f"{target.__module__}:{target.__qualname__}"
        executable = os.fsdecode(get_executable())
        try:
            process = subprocess.Popen(
                [executable, "-P", "-c", _BOOTSTRAP, *map(str, files), name, *path],
                stdin=subprocess.DEVNULL,
                pass_fds=(*files, held),
            )
        except BaseException:
            os.close(alive)
            raise
        finally:
            os.close(held)
        return UnwaitedProcess(process.pid, alive, process.poll)

    _reap()
    try:
        with open(loaded, "wb", closefd=False) as f:
            f.write(load)
        with guarded_children(), signals_blocked(spawns=False):
            return with_pipe(start)
    finally:
        os.close(loaded)


def run(connection: str, load: str, name: str) -> None:
    """The life of a process that `start_unwaited` started."""
    with open(int(load), "rb") as f:
        f.seek(0)  # its offset is the parent's, too
        body = f.read()
    module, _, function = name.partition(":")
    let_signals_through()
    getattr(importlib.import_module(module), function)(Connection(int(connection)), body)


def _reap() -> None:
    for process in list(_left):
        if process.exitcode is not None:
            _left.remove(process)


def _exit_code(pid: int) -> int | None:
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # somebody else has waited for it, or the kernel was told to
        return 0
    return os.waitstatus_to_exitcode(status) if ended else None
