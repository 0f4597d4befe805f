"""ForkServer: a process without threads that loads once and forks, for those who must not fork.

A child is there milliseconds after it was asked for, and shares what was loaded with the others.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.spawn import get_executable
from typing import NoReturn

from vyre_dist.import_path import guarded_children
from vyre_dist.processes.child import STOP_SECONDS, Child
from vyre_dist.processes.serve import let_signals_through
from vyre_dist.processes.signals import signals_blocked
from vyre_dist.processes.start import with_pipe

# Neither the working directory (-P) nor its parent's main module is for it, which multiprocessing's
# spawn would import: in a Ray worker that takes most of a second.
_BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[4:]; "
    "from vyre_dist.processes.fork_server import run; run(*sys.argv[1:4])"
)

# what is said of each child: its number when it is forked, and its exit code when it has ended
_PID = struct.Struct("=q")
_CODE = struct.Struct("=i")


class ForkedProcess:
    """A forked child as a ChildProcess.

    `status` is at its end when the child is gone, whether or not there is still somebody to tell
    its exit code.
    """

    def __init__(self, status: int) -> None:
        self._status: int | None = status
        self._told = b""

    @property
    def pid(self) -> int | None:
        """None: not forked yet, or never."""
        self._read(0.0)
        return _PID.unpack_from(self._told)[0] if len(self._told) >= _PID.size else None

    @property
    def exitcode(self) -> int | None:
        """As multiprocessing has it: negative for a signal. None: not ended, or nobody has told."""
        self._read(0.0)
        end = _PID.size + _CODE.size
        return _CODE.unpack_from(self._told, _PID.size)[0] if len(self._told) >= end else None

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as anybody can tell."""
        self._read(0.0)
        return self._status is not None and self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while self._status is not None and len(self._told) < _PID.size + _CODE.size:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return
            self._read(left)

    def terminate(self) -> None:
        """SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Hear no more of it."""
        if self._status is not None:
            os.close(self._status)
            self._status = None

    def _signal(self, number: signal.Signals) -> None:
        if self.alive and (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _read(self, timeout: float | None) -> None:
        """Take in what there is, or what comes within `timeout` seconds."""
        if self._status is None:
            return
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        if poll.poll(None if timeout is None else 1000 * timeout):
            said = os.read(self._status, 64)
            self._told += said
            if not said:
                self.close()


class ForkServer:
    """`start` it, and close it whatever happens.

    `loader`: "module:function", called there once with `load`; what it returns is called in each
    child with its connection.
    """

    def __init__(self, loader: str, load: bytes) -> None:
        self._loader = loader
        # not through a pipe: whoever starts it would wait until it has read that
        self._load = os.memfd_create("vyre-fork-server", os.MFD_CLOEXEC)
        with open(self._load, "wb", closefd=False) as f:
            f.write(load)
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's number; None before it is started and when it has been closed."""
        return self._process.pid if self._process else None

    def start(self) -> socket.socket:
        """Begin to start it; nobody waits. The socket that takes requests. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, guarded_children(), signals_blocked(spawns=False):
                files = (theirs.fileno(), self._load)
                path = [folder for folder in sys.path if os.path.isabs(folder)]
                executable = os.fsdecode(get_executable())
                self._process = subprocess.Popen(
                    [executable, "-P", "-c", _BOOTSTRAP, *map(str, files), self._loader, *path],
                    stdin=subprocess.DEVNULL,
                    pass_fds=files,
                )
        except BaseException:
            ours.close()
            raise
        if self._control is not None:
            self._control.close()
        self._control = ours
        return ours

    def fork(self) -> Child:
        """Have it fork a child, when it has loaded. Raises OSError."""
        return with_pipe(lambda _, theirs: self._ask(theirs))

    def _ask(self, connection: Connection) -> ForkedProcess:
        control = self._control
        if control is None or self._process is None or self._process.poll() is not None:
            control = self.start()
        ours, theirs = os.pipe()
        files = [connection.fileno(), theirs]
        try:
            try:
                socket.send_fds(control, [b"f"], files)
            except ConnectionError:
                # it has ended, and nobody could have waited for that yet
                socket.send_fds(self.start(), [b"f"], files)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return ForkedProcess(ours)

    def close(self) -> None:
        """End it: it has nothing to save. May be called twice.

        Children end when their connections do.
        """
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None
        if self._load >= 0:
            os.close(self._load)
            self._load = -1


def run(control: str, load: str, loader: str) -> None:
    """The process's life: load, then fork at each request until `control`'s other end is closed.

    `control`, `load`: open files. See ForkServer.
    """
    with open(int(load), "rb") as f:
        f.seek(0)  # its offset is the parent's, too
        body = f.read()
    module, _, name = loader.partition(":")
    work = getattr(importlib.import_module(module), name)(body)
    _Forks(socket.socket(fileno=int(control)), work).serve()


class _Forks:
    """The server's own side."""

    def __init__(self, control: socket.socket, work: Callable[[Connection], None]) -> None:
        self._control, self._work = control, work
        self._statuses: dict[int, int] = {}
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake)
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until nobody asks any more."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == self._woken:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._woken, 4096)
                    self._reap()
                    continue
                asked, files, _, _ = socket.recv_fds(self._control, 1, 2)
                if not asked:
                    return
                self._fork(files)

    def _fork(self, files: list[int]) -> None:
        try:
            # else this process may have no more files open: the parent sees the connection's end
            if len(files) == 2:
                connection, status = files
                pid = os.fork()
                if pid == 0:
                    self._live(connection, status)
                self._statuses[pid] = os.dup(status)
        except OSError:
            traceback.print_exc()
        finally:
            for file in files:
                os.close(file)

    def _live(self, connection: int, status: int) -> NoReturn:
        """A child's life. `status` stays open as long as it lives."""
        code = 1
        try:
            # by itself: one that is known to be ready can be signalled
            _tell(status, _PID.pack(os.getpid()))
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            self._control.close()
            for file in (self._woken, self._wake, *self._statuses.values()):
                os.close(file)
            let_signals_through()
            self._work(Connection(connection))
            code = 0
        except BaseException:  # noqa: BLE001 - it must not return into the server's loop
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while self._statuses:
            pid, ended = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            status = self._statuses.pop(pid)
            _tell(status, _CODE.pack(os.waitstatus_to_exitcode(ended)))
            os.close(status)


def _tell(status: int, what: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody wants to hear of it any more
        os.write(status, what)
